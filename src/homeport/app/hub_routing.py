"""Makes the parts of a hub's routing from what the process has, among them what carries messages out of it."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from homeport.app.hub_files import account_storage
from homeport.blobs import BuiltInStorage
from homeport.clock import Clock
from homeport.dps.events import Webhook, WebhookError
from homeport.errors import Code, HomeportError
from homeport.hub.errors import HubError
from homeport.hub.file_ports import BlobStorage, FileParts
from homeport.hub.model import FileUploadSettings, StorageEndpoint, WebhookEndpoint
from homeport.hub.routing import RoutingParts
from homeport.hub.routing.couriers import DeliveryError, Posted
from homeport.hublinks.event_webhook import HttpWebhook
from homeport.net.http_client import HttpClient
from homeport.store import Stores

JSON_LINES = "application/json; charset=utf-8"


@asynccontextmanager
async def routing_parts(
    stores: Stores, files: Callable[[str], FileParts], http: HttpClient, clock: Clock
) -> AsyncIterator[Callable[[str], RoutingParts]]:
    """Yield what makes the parts for a hub by its name; `files` is where its own storage is from.

    The connections to webhooks are closed at the end.
    """
    webhook = HttpWebhook()

    def parts(hub: str) -> RoutingParts:
        return RoutingParts(
            store=stores.routing(hub),
            deliveries=stores.deliveries(hub),
            couriers=NetworkCouriers(hub, files(hub), webhook, http, clock),
        )

    try:
        yield parts
    finally:
        await webhook.close()


class NetworkCouriers:
    """Couriers over HTTP and to the hub's own store."""

    def __init__(self, hub: str, files: FileParts, webhook: Webhook, http: HttpClient, clock: Clock) -> None:
        self._hub = hub
        self._files = files
        self._webhook = webhook
        self._http = http
        self._clock = clock

    async def post(self, endpoint: WebhookEndpoint, headers: Mapping[str, str], body: bytes) -> Posted:
        try:
            answer = await self._webhook.call(
                "POST", endpoint.url, headers=headers, body=body, ca_certificates=endpoint.ca_certificates
            )
        except WebhookError as error:
            raise DeliveryError(str(error)) from error
        return Posted(status=answer.status, headers=answer.headers)

    async def store(self, endpoint: StorageEndpoint, name: str, content: bytes) -> None:
        try:
            await self._storage(endpoint).put(name, content, JSON_LINES)
        except HubError as error:
            raise DeliveryError(error.message) from error

    async def check(self, endpoint: StorageEndpoint) -> None:
        try:
            self._storage(endpoint)
        except HubError as error:
            raise HomeportError(Code.INVALID_REQUEST, error.message) from None

    def _storage(self, endpoint: StorageEndpoint) -> BlobStorage:
        if endpoint.connection_string is None:
            settings = FileUploadSettings(built_in_key=b"")
            return BuiltInStorage(self._hub, settings, self._files.container)
        return account_storage(endpoint.connection_string, endpoint.container or "", self._http, self._clock)
