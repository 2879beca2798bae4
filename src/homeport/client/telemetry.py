"""A hub's telemetry as Homeport's own endpoints tell it (`/homeport/telemetry…`; Azure has none)."""

from datetime import datetime
from typing import Any

import msgspec


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


class TelemetryCount(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    count: int
