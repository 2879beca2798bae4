"""Faults of the fault lab as administrators start, list and look back on them (`/homeport/faults`)."""

from msgspec import UNSET, UnsetType
from msgspec.json import Decoder

from homeport.wire import WireStruct


class FaultRequest(WireStruct, frozen=True, kw_only=True):
    """What is to go wrong. Each kind reads its own members and refuses those of the others."""

    kind: str
    """`drop`, `latency`, `throttle`, `error`, `clock` or `outage`."""
    at: str | UnsetType | None = UNSET
    """`hub` (if left out) or `provisioning`."""
    hubs: list[str] | UnsetType | None = UNSET
    devices: list[str] | UnsetType | None = UNSET
    prefix: str | UnsetType | None = UNSET
    query: str | UnsetType | None = UNSET
    """A condition over twins; the devices that it finds now are meant."""
    start_in_seconds: float | UnsetType | None = UNSET
    duration_seconds: float | UnsetType | None = UNSET
    """Until it is stopped, if left out."""
    probability: float | UnsetType | None = UNSET
    seed: int | UnsetType | None = UNSET
    interval_seconds: float | UnsetType | None = UNSET
    orderly: bool | UnsetType | None = UNSET
    minimum_ms: float | UnsetType | None = UNSET
    maximum_ms: float | UnsetType | None = UNSET
    retry_after_seconds: int | UnsetType | None = UNSET
    status: int | UnsetType | None = UNSET
    shift_seconds: float | UnsetType | None = UNSET
    sides: list[str] | UnsetType | None = UNSET
    """Of an outage: `devices`, `provisioning`, or both (if left out)."""


class Fault(WireStruct, frozen=True, kw_only=True):
    """A fault, and how it is going."""

    id: str
    kind: str
    state: str
    """`waiting`, `active` or `ended`."""
    description: str
    at: str
    hubs: list[str] | UnsetType = UNSET
    devices: list[str] | UnsetType = UNSET
    """At most the first hundred; `deviceCount` says how many they are."""
    device_count: int | UnsetType = UNSET
    prefix: str | UnsetType = UNSET
    query: str | UnsetType = UNSET
    probability: float
    seed: int
    starts_date_time_utc: str
    ends_date_time_utc: str | UnsetType = UNSET
    injected: int
    """How often it had its way."""
    started_by: str


class Injection(WireStruct, frozen=True, kw_only=True):
    """What was done to whom."""

    date_time_utc: str
    fault_id: str | UnsetType = UNSET
    """Absent: a fault injection message that the device itself sent."""
    kind: str
    device_id: str | UnsetType = UNSET
    """Absent: the provisioning service was calling a hub."""
    hub: str | UnsetType = UNSET
    point: str
    """What was going on: `connect`, `request`, `send`, `twin`, `report`, `register`, `poll`, `link`, `session`."""
    transport: str | UnsetType = UNSET
    detail: str


class FaultMessages(WireStruct, frozen=True, kw_only=True):
    """Whether a hub obeys its devices' fault injection messages."""

    hub: str
    enabled: bool


class FaultMessagesChange(WireStruct, frozen=True, kw_only=True):
    enabled: bool


fault_request = Decoder(FaultRequest)
fault_messages_change = Decoder(FaultMessagesChange)
