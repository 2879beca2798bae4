"""How device identities and twins are kept: what is searched, counted or touched in columns, the rest here."""

from datetime import datetime
from typing import Any, assert_never

from msgspec import Struct

from homeport.hub.model import (
    Authentication,
    CaAuthentication,
    ConnectionState,
    Device,
    DeviceIdentity,
    DeviceStatus,
    NoAuthentication,
    SasAuthentication,
    SelfSignedAuthentication,
    Twin,
    TwinSection,
)
from homeport.store.database import Row, Value
from homeport.store.rows import Codec, from_micros, to_micros


class SasRow(Struct, tag="sas"):
    primary_key: bytes
    secondary_key: bytes


class SelfSignedRow(Struct, tag="selfSigned"):
    primary_thumbprint: str | None
    secondary_thumbprint: str | None


class CaRow(Struct, tag="ca"):
    pass


class NoneRow(Struct, tag="none"):
    pass


AuthenticationRow = NoneRow | SasRow | SelfSignedRow | CaRow


class IdentityRow(Struct, kw_only=True, omit_defaults=True):
    generation_id: str
    authentication: AuthenticationRow
    status_reason: str | None = None
    status_updated_at: datetime
    iot_edge: bool = False
    device_scope: str | None = None
    parent_scopes: tuple[str, ...] = ()
    managed_by: str | None = None


class TwinRow(Struct, kw_only=True, omit_defaults=True):
    tags: dict[str, Any]
    desired: TwinSection
    model_id: str | None = None
    configurations: dict[str, str] = {}


_identity_codec = Codec(IdentityRow)
_twin_codec = Codec(TwinRow)
_reported_codec = Codec(TwinSection)

IDENTITY_COLUMNS = "device_id, etag, status, connection_state, connection_state_at, last_activity_at, identity"
"""The columns `identity_of` expects, in its order."""

DEVICE_COLUMNS = f"{IDENTITY_COLUMNS}, twin_version, twin, reported"
"""The columns `device_of` expects, in its order."""


def identity_values(identity: DeviceIdentity) -> dict[str, Value]:
    """Return the columns of an identity by name, but not what `touch` writes."""
    row = IdentityRow(
        generation_id=identity.generation_id,
        authentication=_authentication_row(identity.authentication),
        status_reason=identity.status_reason,
        status_updated_at=identity.status_updated_at,
        iot_edge=identity.iot_edge,
        device_scope=identity.device_scope,
        parent_scopes=identity.parent_scopes,
        managed_by=identity.managed_by,
    )
    return {
        "device_id": identity.device_id,
        "etag": identity.etag,
        "status": identity.status.value,
        "identity": _identity_codec.encode(row),
    }


def activity_values(identity: DeviceIdentity) -> dict[str, Value]:
    """Return the columns that `touch` writes later, as a new identity has them."""
    return {
        "connection_state": identity.connection_state.value,
        "connection_state_at": to_micros(identity.connection_state_updated_at),
        "last_activity_at": to_micros(identity.last_activity_at),
    }


def service_side_values(twin: Twin) -> dict[str, Value]:
    """Return the columns of a twin's tags, desired properties, version and model id."""
    row = TwinRow(
        tags=dict(twin.tags), desired=twin.desired, model_id=twin.model_id, configurations=dict(twin.configurations)
    )
    return {"twin_version": twin.version, "twin": _twin_codec.encode(row)}


def reported_values(twin: Twin) -> dict[str, Value]:
    return {"reported_version": twin.reported.version, "reported": _reported_codec.encode(twin.reported)}


def identity_of(columns: Row) -> DeviceIdentity:
    device_id, etag, status, state, state_at, activity_at, data = columns[:7]
    row = _identity_codec.decode(data)
    return DeviceIdentity(
        device_id=device_id,
        generation_id=row.generation_id,
        etag=etag,
        authentication=_authentication(row.authentication),
        status=DeviceStatus(status),
        status_reason=row.status_reason,
        status_updated_at=row.status_updated_at,
        connection_state=ConnectionState(state),
        connection_state_updated_at=from_micros(state_at),
        last_activity_at=from_micros(activity_at),
        iot_edge=row.iot_edge,
        device_scope=row.device_scope,
        parent_scopes=row.parent_scopes,
        managed_by=row.managed_by,
    )


def device_of(columns: Row) -> Device:
    identity = identity_of(columns)
    version, twin, reported = columns[7:]
    row = _twin_codec.decode(twin)
    return Device(
        identity=identity,
        twin=Twin(
            device_id=identity.device_id,
            version=version,
            tags=row.tags,
            desired=row.desired,
            reported=_reported_codec.decode(reported),
            model_id=row.model_id,
            configurations=row.configurations,
        ),
    )


def _authentication_row(authentication: Authentication) -> AuthenticationRow:
    match authentication:
        case SasAuthentication(primary_key=primary_key, secondary_key=secondary_key):
            return SasRow(primary_key, secondary_key)
        case SelfSignedAuthentication(primary_thumbprint=primary, secondary_thumbprint=secondary):
            return SelfSignedRow(primary, secondary)
        case CaAuthentication():
            return CaRow()
        case NoAuthentication():
            return NoneRow()
        case _:
            assert_never(authentication)


def _authentication(row: AuthenticationRow) -> Authentication:
    match row:
        case SasRow():
            return SasAuthentication(primary_key=row.primary_key, secondary_key=row.secondary_key)
        case SelfSignedRow():
            return SelfSignedAuthentication(
                primary_thumbprint=row.primary_thumbprint, secondary_thumbprint=row.secondary_thumbprint
            )
        case CaRow():
            return CaAuthentication()
        case NoneRow():
            return NoAuthentication()
        case _:
            assert_never(row)
