"""A hub's telemetry as Homeport's own endpoints tell it (`/homeport/telemetry…`; Azure has none), and its live events.

Reads lines and documents; nothing is sent from here.
"""

from datetime import datetime
from typing import Any

import msgspec

from homeport.client.answers import decode

HEARTBEATS_MISSED = 45.0
"""Seconds without a line after which a live stream counts as dead; the hub says something every 15."""


class TelemetryMessage(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """A device-to-cloud message in the hub's log."""

    device_id: str
    partition: int
    offset: int
    enqueued_time: datetime
    size: int
    """Bytes of the body as it came."""
    body_encoding: str
    """`json`: `body` is the JSON value; `text`: it is the text; `base64`: the Base64 of the bytes."""
    body: Any
    system_properties: dict[str, str | None] = {}
    properties: dict[str, str | None] = {}
    annotations: dict[str, str] = {}


class ConnectionChange(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """A device connected or left; the first event of a device's stream says how it is now."""

    device_id: str
    connection_state: str
    connection_state_updated_time: datetime | None = None
    last_activity_time: datetime | None = None
    time: datetime | None = None
    """When the hub told of it; `telemetry_stream` does not say."""


class TelemetryCount(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    count: int


HubEvent = TelemetryMessage | ConnectionChange
_KINDS: dict[str, type[TelemetryMessage] | type[ConnectionChange]] = {
    "telemetry": TelemetryMessage,
    "connection": ConnectionChange,
}


class EventReader:
    """Puts lines of a `text/event-stream` together (WHATWG HTML, section 9.2)."""

    def __init__(self) -> None:
        self._name = ""
        self._data: list[str] = []

    def feed(self, line: str) -> HubEvent | None:
        """Take one line without its end; return the event that it completes. Raises UnexpectedAnswerError.

        Comments, and events of a newer server, are passed over.
        """
        if not line:
            name, data = self._name, self._data
            self._name, self._data = "", []
            kind = _KINDS.get(name)
            return None if kind is None or not data else decode("\n".join(data).encode(), kind)
        field, _, value = line.partition(":")
        if field == "event":
            self._name = value.removeprefix(" ")
        elif field == "data":
            self._data.append(value.removeprefix(" "))
        return None
