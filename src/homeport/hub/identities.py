"""What a new or changed identity is: its generation, etag, keys and scopes, and the twin it starts with. Pure.

Never here: which identities there are, and who is told of a change.
"""

from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from homeport.hub.errors import HubCode, HubError
from homeport.hub.model import NEVER, Authentication, DeviceIdentity, DeviceStatus, JsonObject, SasAuthentication, Twin
from homeport.hub.twin_patch import replace_section, replace_twin
from homeport.security.policies import Random
from homeport.security.sas import encode_key
from homeport.values import replace

KEY_BYTES: Final = 32
SYSTEM_MODULES: Final = ("$edgeAgent", "$edgeHub")
"""The modules that every Edge device has (contract hub.md 4.2)."""

_SCOPE_PREFIX: Final = "ms-azure-iot-edge://"
_TICK: Final = timedelta(microseconds=1)
_ETAG_BASE: Final = 100_000_000
_ETAG_SPAN: Final = 900_000_000


class IdentityWrite(Struct, frozen=True, kw_only=True):
    """What a client sets on an identity, completely: what it left out is a default here (contract hub.md 4.4)."""

    device_id: str
    authentication: Authentication | None = None
    """None asks for fresh keys."""
    status: DeviceStatus = DeviceStatus.ENABLED
    status_reason: str | None = None
    iot_edge: bool = False
    device_scope: str | None = None
    parent_scopes: tuple[str, ...] = ()
    managed_by: str | None = None


class InitialTwin(Struct, frozen=True, kw_only=True):
    """The content a new device's twin starts with; None is empty."""

    tags: JsonObject | None = None
    desired: JsonObject | None = None
    reported: JsonObject | None = None


def new_identity(write: IdentityWrite, now: datetime, random: Random) -> DeviceIdentity:
    """Make the identity that is written. Raises HubError INVALID_DEVICE_SCOPE."""
    scope, parents = scopes(write, now, None)
    return DeviceIdentity(
        device_id=write.device_id,
        generation_id=ticks(now),
        etag=new_etag(random),
        authentication=write.authentication or new_keys(random),
        status=write.status,
        status_reason=write.status_reason,
        iot_edge=write.iot_edge,
        device_scope=scope,
        parent_scopes=parents,
        managed_by=write.managed_by,
    )


def replaced_identity(write: IdentityWrite, stored: DeviceIdentity, now: datetime, random: Random) -> DeviceIdentity:
    """Return the stored identity as it is after the write. Raises HubError INVALID_DEVICE_SCOPE."""
    scope, parents = scopes(write, now, stored)
    return replace(
        stored,
        etag=new_etag(random),
        authentication=write.authentication or new_keys(random),
        status=write.status,
        status_reason=write.status_reason,
        status_updated_at=now if write.status is not stored.status else stored.status_updated_at,
        iot_edge=write.iot_edge,
        device_scope=scope,
        parent_scopes=parents,
        managed_by=write.managed_by,
    )


def new_keys(random: Random) -> SasAuthentication:
    """Make a primary and a secondary key."""
    return SasAuthentication(primary_key=random(KEY_BYTES), secondary_key=random(KEY_BYTES))


def new_etag(random: Random) -> str:
    """Make an etag as the hosted registry writes it: the Base64 of a nine-digit number (contract hub.md 3.4)."""
    number = int.from_bytes(random(6)) % _ETAG_SPAN + _ETAG_BASE
    return encode_key(str(number).encode())


def scopes(write: IdentityWrite, now: datetime, stored: DeviceIdentity | None) -> tuple[str | None, tuple[str, ...]]:
    """Return device scope and parent scopes by the rules of the Edge hierarchy (contract hub.md 4.7).

    Raises HubError INVALID_DEVICE_SCOPE.
    """
    for scope in (*write.parent_scopes, *((write.device_scope,) if write.device_scope else ())):
        if not scope.startswith(_SCOPE_PREFIX):
            raise HubError(HubCode.INVALID_DEVICE_SCOPE, f"A scope begins with {_SCOPE_PREFIX}")
    if len(write.parent_scopes) > 1:
        raise HubError(HubCode.INVALID_DEVICE_SCOPE, "A device has at most one parent.")
    if not write.iot_edge:
        return write.device_scope, (write.device_scope,) if write.device_scope else ()
    if stored is None:
        return f"{_SCOPE_PREFIX}{write.device_id}-{ticks(now)}", write.parent_scopes
    if stored.iot_edge:
        return stored.device_scope, write.parent_scopes
    return f"{_SCOPE_PREFIX}{write.device_id}", write.parent_scopes


def reset_twin(twin: Twin, wished: InitialTwin, now: datetime) -> Twin:
    """Return the twin with the wished content; the very same twin if it has it already."""
    tags, desired, reported = wished.tags or {}, wished.desired or {}, wished.reported
    if twin.tags != tags or twin.desired.content != desired:
        twin = replace_twin(twin, now, tags=tags, desired=desired)
    if reported is not None and twin.reported.content != reported:
        twin = replace(twin, reported=replace_section(twin.reported, reported, now, versioned=False))
    return twin


def ticks(now: datetime) -> str:
    """Count 100-nanosecond steps since the year 1, as .NET does: 18 digits until the year 3169."""
    return str((now - NEVER) // _TICK * 10)
