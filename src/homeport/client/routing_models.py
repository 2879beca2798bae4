"""Where a hub's messages go: routes, endpoints and enrichments, as Homeport tells them under `/homeport/hubs/…`."""

from datetime import datetime
from typing import Any

import msgspec


class _Document(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """Only read, never written."""


class HubRoute(_Document, kw_only=True, frozen=True):
    """Sends the messages of a source that satisfy a condition to endpoints; `$fallback` is always there."""

    name: str
    source: str
    condition: str
    endpoint_names: list[str]
    is_enabled: bool


class HubEnrichment(_Document, kw_only=True, frozen=True):
    """An application property that messages are given on their way to some endpoints."""

    key: str
    value: str
    endpoint_names: list[str]


class HubEndpoint(_Document, kw_only=True, frozen=True):
    """Where routes can send messages, and how that goes. `type` is `eventHub`, `webhook` or `storage`."""

    name: str
    type: str
    partition_count: int
    url: str | None = None
    signed: bool | None = None
    secret: str | None = None
    """Told once, by the call that set it."""
    file_name_format: str | None = None
    batch_frequency_in_seconds: int | None = None
    max_chunk_size_in_bytes: int | None = None
    storage: str | None = None
    container: str | None = None
    waiting: int | None = None
    """Messages that were not carried to a webhook or a storage yet."""
    last_success_date_time_utc: datetime | None = None
    last_failure_date_time_utc: datetime | None = None
    last_failure: str | None = None


class RouteResult(_Document, kw_only=True, frozen=True):
    """What a route says of a message: `true`, `false`, or `undefined`, which is no match."""

    name: str
    result: str


class RouteDelivery(_Document, kw_only=True, frozen=True):
    """An endpoint that a message would arrive at, with its application properties there."""

    endpoint_name: str
    properties: dict[str, str | None]


class RouteTestResult(_Document, kw_only=True, frozen=True):
    """What routes would do with a message."""

    routes: list[RouteResult]
    deliveries: list[RouteDelivery]


class RouteTrial(msgspec.Struct, rename="camel", kw_only=True, frozen=True, omit_defaults=True):
    """A message to try routes with, and whose it is. A `body` that is no string is sent as JSON."""

    routing_source: str = "DeviceMessages"
    body: Any = ""
    app_properties: dict[str, str | None] = msgspec.field(default_factory=dict)
    system_properties: dict[str, str | None] = msgspec.field(default_factory=dict)
    device_id: str | None = None
    """Whose stored twin counts, unless `twin` is given."""
    twin: dict[str, Any] | None = None
    condition: str | None = None
    """To be tried alone, in place of the routes there are."""
