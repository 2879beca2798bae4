"""Device-to-cloud messages (contract hub.md 13.4, 21)."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from msgspec import Struct

from homeport.hub.model.event_stream import BUILT_IN

SERVICE_NAMES: Mapping[str, str] = MappingProxyType({
    "mid": "messageId",
    "cid": "correlationId",
    "uid": "userId",
    "to": "to",
    "ct": "contentType",
    "ce": "contentEncoding",
    "exp": "expiryTimeUtc",
    "on": "outputName",
    "schema": "messageSchema",
})  # fmt: skip
"""What services call a message's system properties, by their wire keys (contract hub.md 13.4)."""


class Telemetry(Struct, frozen=True, kw_only=True):
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


class StoredTelemetry(Struct, frozen=True, kw_only=True):
    """A message in the log, with its place there."""

    endpoint: str = BUILT_IN
    """The stream that it is in."""
    partition: int
    offset: int
    """Also the sequence number: positions in a partition start at 0 and have no gaps."""
    telemetry: Telemetry


class Outgoing(Struct, frozen=True, kw_only=True):
    """A message on its way to an endpoint: a stream of the hub's event log, with its number of partitions."""

    endpoint: str
    partitions: int
    message: Telemetry
