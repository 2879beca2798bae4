"""What a hub tells those who watch it (`/homeport/monitor`; Azure has none)."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from homeport.client.answers import decode
from homeport.client.event_stream import Message
from homeport.client.telemetry import TelemetryMessage

MonitorKind = Literal["telemetry", "connection", "twin", "device"]


class ConnectionChange(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """A device connected or left."""

    time: datetime
    device_id: str
    connection_state: str
    connection_state_updated_time: datetime | None = None
    last_activity_time: datetime | None = None


class TwinChange(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """What is new in a twin: the properties that changed, whole from the first level on.

    A section that did not change is None. Removed properties leave no trace; the versions show that something changed.
    """

    time: datetime
    device_id: str
    module_id: str | None = None
    version: int
    desired_version: int
    reported_version: int
    desired: dict[str, Any] | None = None
    reported: dict[str, Any] | None = None
    tags: dict[str, Any] | None = None


class DeviceChange(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """An identity was created, changed or deleted; `status` is `enabled`, `disabled` or `deleted`."""

    time: datetime
    device_id: str
    module_id: str | None = None
    status: str
    status_reason: str | None = None


class Missed(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """So many messages were not kept long enough, or so many changes were too many for this reader."""

    count: int
    what: str
    """`telemetry` or `changes`."""


MonitorEvent = TelemetryMessage | ConnectionChange | TwinChange | DeviceChange | Missed

_KINDS: dict[str, Any] = {
    "telemetry": TelemetryMessage,
    "connection": ConnectionChange,
    "twin": TwinChange,
    "device": DeviceChange,
    "missed": Missed,
}


def monitor_event(message: Message) -> MonitorEvent | None:
    """Read an event of the stream; None for those of a newer server. Raises UnexpectedAnswerError."""
    kind = _KINDS.get(message.name)
    if kind is None:
        return None
    event: MonitorEvent = decode(message.data.encode(), kind)
    return event
