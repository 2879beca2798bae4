"""Where a hub's messages go: routes, endpoints, enrichments (contract hub.md 21.2, 23)."""

from enum import StrEnum

from msgspec import Struct

from homeport.hub.model.event_stream import PARTITIONS
from homeport.values import hiding


class MessageSource(StrEnum):
    """What a route takes messages from, as Azure's route documents spell it."""

    DEVICE_MESSAGES = "DeviceMessages"
    TWIN_CHANGES = "TwinChangeEvents"
    DEVICE_LIFECYCLE = "DeviceLifecycleEvents"
    CONNECTION_STATE = "DeviceConnectionStateEvents"
    JOB_LIFECYCLE = "DeviceJobLifecycleEvents"
    DIGITAL_TWIN_CHANGES = "DigitalTwinChangeEvents"

    @property
    def annotation(self) -> str:
        """What `iothub-message-source` says of such a message (contract hub.md 21)."""
        return "Telemetry" if self is MessageSource.DEVICE_MESSAGES else self.value[0].lower() + self.value[1:]


class Route(Struct, frozen=True, kw_only=True):
    """Sends the messages of a source that satisfy a condition to an endpoint, or to several."""

    name: str
    source: MessageSource
    condition: str = "true"
    endpoints: tuple[str, ...]
    enabled: bool = True


class Enrichment(Struct, frozen=True, kw_only=True):
    """An application property that messages are given on their way to some endpoints."""

    key: str
    value: str
    """A text, `$iothubname`, or a path into the device's twin: `$twin.tags.…`, `$twin.properties.desired.…`."""
    endpoints: tuple[str, ...]


class EventStreamEndpoint(Struct, frozen=True, kw_only=True):
    """A stream of the event log, read through the Event Hubs-compatible endpoint under its name."""

    name: str
    partitions: int = PARTITIONS


@hiding("secret")
class WebhookEndpoint(Struct, frozen=True, kw_only=True):
    """An address that is sent each message, in the order of its device."""

    name: str
    partitions: int = PARTITIONS
    url: str
    """https, or http on the loopback."""
    secret: str | None = None
    """Signs each request (Standard Webhooks); None: they are not signed."""
    ca_certificates: str | None = None
    """PEM of the authorities trusted for this address, in place of the system's."""


@hiding("connection_string")
class StorageEndpoint(Struct, frozen=True, kw_only=True):
    """Blobs of JSON lines, one for each batch of a partition."""

    name: str
    partitions: int = PARTITIONS
    file_name_format: str = "{iothub}/{partition}/{YYYY}/{MM}/{DD}/{HH}/{mm}"
    batch_seconds: int = 300
    max_chunk_bytes: int = 16 * 1024 * 1024
    connection_string: str | None = None
    """Of a storage account; None: the hub's built-in store."""
    container: str | None = None


Endpoint = EventStreamEndpoint | WebhookEndpoint | StorageEndpoint


class Routing(Struct, frozen=True, kw_only=True):
    """All that says where a hub's messages go. `fallback`: what no route takes goes to the built-in endpoint."""

    routes: tuple[Route, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    enrichments: tuple[Enrichment, ...] = ()
    fallback: bool = True
    built_in_partitions: int = PARTITIONS

    def endpoint(self, name: str) -> Endpoint | None:
        """Return the endpoint of this name, in any letter case; the built-in one is not among them."""
        return next((each for each in self.endpoints if each.name.lower() == name.lower()), None)
