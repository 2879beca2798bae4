"""Ids that clients see: which are acceptable, and new ones in the hosted service's forms (dps.md 1.2 to 1.5, 8.5)."""

import base64
import hashlib
import re
from collections.abc import Callable
from functools import lru_cache

from homeport.errors import Code, HomeportError

Random = Callable[[int], bytes]
"""Returns that many unpredictable bytes, as `secrets.token_bytes` does."""

_REGISTRATION_ID = re.compile(r"[A-Za-z0-9\-._:]{0,127}[A-Za-z0-9\-]")
_DEVICE_ID = re.compile(r"[A-Za-z0-9\-:.+%_#*?!(),=@;$']{1,128}")


def check_registration_id(text: str, what: str = "RegistrationId") -> str:
    """Return the id, also of an enrollment group. Raises HomeportError INVALID_REGISTRATION_ID."""
    if not is_registration_id(text):
        raise HomeportError(Code.INVALID_REGISTRATION_ID, f"Invalid {what}")
    return text


def is_registration_id(text: str) -> bool:
    """Tell whether a device can have this registration id (contract dps.md 1.3)."""
    return _REGISTRATION_ID.fullmatch(text) is not None


def is_device_id(text: str) -> bool:
    """Tell whether a hub takes this as a device id (contract dps.md 1.4)."""
    return _DEVICE_ID.fullmatch(text) is not None


def new_guid(random: Random) -> str:
    """Return a random GUID."""
    digits = random(16).hex()
    # Version 4 of RFC 9562, written out: uuid.UUID takes five times as long, three times per registration.
    return (
        f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{'89ab'[int(digits[16], 16) & 3]}{digits[17:20]}-{digits[20:]}"
    )


def new_etag(random: Random) -> str:
    """Return a fresh ETag: the Base64 of a GUID in quotes."""
    return base64.b64encode(f'"{new_guid(random)}"'.encode()).decode("ascii")


def new_operation_id(id_scope: str, random: Random) -> str:
    """Return a fresh operation id; its middle part is the same for all operations of one id scope."""
    return f"5.{_instance(id_scope.lower())}.{new_guid(random)}"


@lru_cache(maxsize=64)
def _instance(id_scope: str) -> str:
    return hashlib.sha256(id_scope.encode()).hexdigest()[:16]
