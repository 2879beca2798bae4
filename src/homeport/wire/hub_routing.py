"""Where a hub's messages go, as administrators see it: `/homeport/hubs/{name}/routes`, `endpoints`, `enrichments`.

The counterpart of `homeport.client.routing_models`. Members have the names that Azure's resources give them.
"""

from typing import Any

from msgspec import UNSET, UnsetType, field
from msgspec.json import Decoder

from homeport.wire import WireStruct


class Route(WireStruct, frozen=True, kw_only=True):
    name: str
    source: str
    condition: str
    endpoint_names: list[str]
    is_enabled: bool


class RouteWrite(WireStruct, frozen=True, kw_only=True):
    """Body of PUT. Of the route `$fallback` only `isEnabled` is read."""

    source: str = "DeviceMessages"
    condition: str = "true"
    endpoint_names: tuple[str, ...] = ()
    is_enabled: bool = True


class Enrichment(WireStruct, frozen=True, kw_only=True):
    key: str
    value: str
    endpoint_names: list[str]


class EnrichmentWrite(WireStruct, frozen=True, kw_only=True):
    """Body of PUT."""

    value: str
    endpoint_names: tuple[str, ...] = ()


class Endpoint(WireStruct, frozen=True, kw_only=True):
    """An endpoint and, of one that is carried to, how that goes; `secret` is told once, in the answer that made it.

    `waiting` counts the messages that were not carried yet.
    """

    name: str
    type: str
    partition_count: int
    url: str | UnsetType = UNSET
    signed: bool | UnsetType = UNSET
    secret: str | UnsetType = UNSET
    file_name_format: str | UnsetType = UNSET
    batch_frequency_in_seconds: int | UnsetType = UNSET
    max_chunk_size_in_bytes: int | UnsetType = UNSET
    storage: str | UnsetType = UNSET
    container: str | UnsetType = UNSET
    waiting: int | UnsetType = UNSET
    last_success_date_time_utc: str | UnsetType = UNSET
    last_failure_date_time_utc: str | UnsetType = UNSET
    last_failure: str | UnsetType = UNSET


class EndpointWrite(WireStruct, frozen=True, kw_only=True):
    """Body of PUT. `type` is `eventHub`, `webhook` or `storage`; each takes its own members.

    `secret` absent keeps the stored one, or makes one for a new webhook; null means none. `connectionString` and
    `caCertificates` absent keep the stored ones; null means the hub's built-in store, and the system's authorities.
    """

    type: str
    partition_count: int | UnsetType = UNSET
    url: str | UnsetType = UNSET
    secret: str | UnsetType | None = UNSET
    ca_certificates: str | UnsetType | None = UNSET
    file_name_format: str | UnsetType = UNSET
    batch_frequency_in_seconds: int | UnsetType = UNSET
    max_chunk_size_in_bytes: int | UnsetType = UNSET
    connection_string: str | UnsetType | None = UNSET
    container: str | UnsetType | None = UNSET


class SampleMessage(WireStruct, frozen=True, kw_only=True):
    """A message to try routes with. A `body` that is a string is taken as text, anything else as JSON."""

    body: Any = ""
    app_properties: dict[str, str | None] = field(default_factory=dict)
    system_properties: dict[str, str | None] = field(default_factory=dict)


class SampleProperties(WireStruct, frozen=True, kw_only=True):
    desired: dict[str, Any] = field(default_factory=dict)
    reported: dict[str, Any] = field(default_factory=dict)


class SampleTwin(WireStruct, frozen=True, kw_only=True):
    tags: dict[str, Any] = field(default_factory=dict)
    properties: SampleProperties = SampleProperties()


class RouteTest(WireStruct, frozen=True, kw_only=True):
    """What to try: a message, the twin of its device or `deviceId` for the stored one, and maybe a route alone."""

    routing_source: str = "DeviceMessages"
    message: SampleMessage = SampleMessage()
    device_id: str | UnsetType = UNSET
    twin: SampleTwin | UnsetType = UNSET
    route: RouteWrite | UnsetType = UNSET


class RouteResult(WireStruct, frozen=True, kw_only=True):
    """What a route says: `true`, `false` or `undefined`, which is no match."""

    name: str
    result: str


class Delivery(WireStruct, frozen=True, kw_only=True):
    """An endpoint that the message would arrive at, with the application properties it would have there."""

    endpoint_name: str
    properties: dict[str, str | None]


class RouteTestResult(WireStruct, frozen=True, kw_only=True):
    routes: list[RouteResult]
    deliveries: list[Delivery]


route = Decoder(RouteWrite)
enrichment = Decoder(EnrichmentWrite)
endpoint = Decoder(EndpointWrite)
route_test = Decoder(RouteTest)
