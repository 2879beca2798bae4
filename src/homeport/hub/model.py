"""The nouns of the hub as values. No serialization, no transport, no SQL (contract hub.md 4, 6, 21)."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

JsonObject = Mapping[str, Any]

NEVER = datetime(1, 1, 1, tzinfo=UTC)
"""A time that has not come yet; `format_time` knows it."""


def format_time(moment: datetime | None) -> str:
    """Write an aware UTC time as every hub document does: seven fraction digits and `Z` (contract hub.md 4.1).

    What has never happened (None, NEVER) is written without a fraction.
    """
    if moment is None or moment == NEVER:
        return "0001-01-01T00:00:00Z"
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "0Z"


class DeviceStatus(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"


class ConnectionState(StrEnum):
    CONNECTED = "Connected"
    DISCONNECTED = "Disconnected"


@dataclass(frozen=True, slots=True, kw_only=True)
class SasAuthentication:
    """The device signs tokens with either key."""

    primary_key: bytes = field(repr=False)
    secondary_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfSignedAuthentication:
    """The device's certificate has one of these thumbprints: 40 or 64 hex digits, as given (hub.md 4.5)."""

    primary_thumbprint: str | None
    secondary_thumbprint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaAuthentication:
    """The device's certificate chains to a CA of the hub and its CN is the device id."""


Authentication = SasAuthentication | SelfSignedAuthentication | CaAuthentication


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceIdentity:
    """The record of a device in a hub's registry (contract hub.md 4.1). Device ids are case-sensitive."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinSection:
    """Desired or reported properties: the content, the time of each change, and the section's version.

    `metadata` mirrors `content` (`$lastUpdated`, for desired also `$lastUpdatedVersion`; contract hub.md 6.1).
    """

    content: JsonObject
    metadata: JsonObject
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """The device's document in a hub; created and deleted with its identity."""

    device_id: str
    version: int = 1
    """Counts changes of tags and desired; the etag is made from it."""
    tags: JsonObject
    desired: TwinSection
    reported: TwinSection
    model_id: str | None = None

    @property
    def etag(self) -> str:
        """The Base64 of the version as eight big-endian bytes (contract hub.md 3.4)."""
        return base64.b64encode(self.version.to_bytes(8)).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """An identity and its twin, which are read and written together."""

    identity: DeviceIdentity
    twin: Twin


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryStatistics:
    total: int
    enabled: int
    disabled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A shared access policy as stored; what its rights mean is security.policies' business."""

    name: str
    primary_key: bytes = field(repr=False)
    secondary_key: bytes = field(repr=False)
    rights: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """One hub this Homeport serves: its name, the host names it answers to, and its policies.

    The first host name is the one that clients are told.
    """

    name: str
    host_names: tuple[str, ...]
    policies: tuple[Policy, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """A device-to-cloud message as it is appended to the event log (contract hub.md 13.4, 21.1).

    `system` holds the system properties by their wire key without `$.` (`mid`, `ct`, `ce` …); `annotations` what
    the hub adds (`iothub-connection-device-id` …). A property that came without a value is None.
    """

    device_id: str
    body: bytes
    system: Mapping[str, str | None]
    properties: Mapping[str, str | None]
    annotations: Mapping[str, str]
    enqueued_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTelemetry:
    """A message in the log, with its place there."""

    partition: int
    offset: int
    """Also the sequence number: positions in a partition start at 0 and have no gaps."""
    telemetry: Telemetry
