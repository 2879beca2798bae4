"""How the less direct fields of a query are read: certificates, public keys, payloads."""

import base64
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from homeport.dps.model import Registration
from homeport.security.x509 import parse_der


def shown_certificate(kind: type, place: str) -> Callable[[str], Callable[[Any], object]]:
    """Return readers of what an enrollment shows of its certificate; a missing secondary repeats the primary."""

    def reader(member: str) -> Callable[[Any], object]:
        def read(enrollment: Any) -> object:
            attestation = enrollment.attestation
            if not isinstance(attestation, kind):
                return None
            der = getattr(attestation, place) or attestation.primary  # type: ignore[attr-defined]  # both kinds have it
            value: object = getattr(_info(der), member)
            return value

        return read

    return reader


@lru_cache(maxsize=1024)
def _info(der: bytes) -> object:
    return parse_der(der).info


def public_key(key: bytes | None) -> str | None:
    """Write a TPM's public key as its document does."""
    return None if key is None else base64.b64encode(key).decode("ascii")


def payload_of(registration: Registration) -> object:
    """Return what custom allocation gave the device."""
    try:
        return None if registration.payload is None else json.loads(registration.payload)
    except (ValueError, RecursionError):
        # A webhook made it; what cannot be read has no members.
        return None
