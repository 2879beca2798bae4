"""Device identities and how devices prove themselves (contract hub.md 4)."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from homeport.hub.model.documents import NEVER
from homeport.values import hiding


class DeviceStatus(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"


class ConnectionState(StrEnum):
    CONNECTED = "Connected"
    DISCONNECTED = "Disconnected"


@hiding("primary_key", "secondary_key")
class SasAuthentication(Struct, frozen=True, kw_only=True):
    """The device signs tokens with either key."""

    primary_key: bytes
    secondary_key: bytes


class SelfSignedAuthentication(Struct, frozen=True, kw_only=True):
    """The device's certificate has one of these thumbprints: 40 or 64 hex digits, as given (hub.md 4.5)."""

    primary_thumbprint: str | None
    secondary_thumbprint: str | None


class CaAuthentication(Struct, frozen=True, kw_only=True):
    """The device's certificate chains to a CA of the hub and its CN is the device id."""


class NoAuthentication(Struct, frozen=True, kw_only=True):
    """Nobody connects as this: a module that the hub made for an Edge device, until that device gives it keys."""


Authentication = NoAuthentication | SasAuthentication | SelfSignedAuthentication | CaAuthentication


class DeviceIdentity(Struct, frozen=True, kw_only=True):
    """The record of a device, or of a module on one, in a hub's registry (contract hub.md 4.1, 4.2).

    `device_id` is the identity's id as in `hub.identifiers`, case-sensitive. A module's status is its device's.
    """

    device_id: str
    generation_id: str
    etag: str
    authentication: Authentication
    status: DeviceStatus = DeviceStatus.ENABLED
    status_reason: str | None = None
    status_updated_at: datetime = NEVER
    connection_state: ConnectionState = ConnectionState.DISCONNECTED
    connection_state_updated_at: datetime = NEVER
    last_activity_at: datetime = NEVER
    iot_edge: bool = False
    device_scope: str | None = None
    parent_scopes: tuple[str, ...] = ()
    managed_by: str | None = None
    """Who looks after a module; `iotEdge` for those the hub makes."""


class RegistryStatistics(Struct, frozen=True, kw_only=True):
    total: int
    enabled: int
    disabled: int
