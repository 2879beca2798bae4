# Made by scripts/unasync.py: change its twin in _async instead.
"""Where a hub's messages go: routes, endpoints and enrichments of the hubs that a Homeport serves itself."""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from homeport.client._sync.http import segment
from homeport.client._sync.service_client import ServiceClient
from homeport.client.answers import decode
from homeport.client.routing_models import HubEndpoint, HubEnrichment, HubRoute, RouteTestResult, RouteTrial

FALLBACK = "$fallback"

T = TypeVar("T")


class RoutingCalls(ServiceClient):
    """Every method raises ProvisioningServiceError or TransportError; `hub` is the name of a hub."""

    def hub_routes(self, hub: str) -> list[HubRoute]:
        """Return a hub's routes, the fallback route last."""
        return self._get(_path(hub, "routes"), list[HubRoute])

    def put_hub_route(
        self,
        hub: str,
        name: str,
        *,
        endpoints: Sequence[str],
        source: str = "DeviceMessages",
        condition: str = "true",
        enabled: bool = True,
    ) -> HubRoute:
        """Make or replace a route. BadRequestError for a condition or an endpoint that cannot be meant."""
        document = {
            "source": source,
            "condition": condition,
            "endpointNames": list(endpoints),
            "isEnabled": enabled,
        }
        return self._put(_path(hub, "routes", name), document, HubRoute)

    def set_hub_fallback(self, hub: str, *, enabled: bool) -> HubRoute:
        """Say whether what no route takes goes to the built-in endpoint."""
        return self._put(_path(hub, "routes", FALLBACK), {"isEnabled": enabled}, HubRoute)

    def delete_hub_route(self, hub: str, name: str) -> None:
        """Remove a route. NotFoundError."""
        self._session.send("DELETE", _path(hub, "routes", name), repeatable=True)

    def test_hub_routes(self, hub: str, trial: RouteTrial) -> RouteTestResult:
        """Say what routes would do with a message; nothing is sent."""
        document: dict[str, Any] = {
            "routingSource": trial.routing_source,
            "message": {
                "body": trial.body,
                "appProperties": trial.app_properties,
                "systemProperties": trial.system_properties,
            },
        }
        if trial.device_id is not None:
            document["deviceId"] = trial.device_id
        if trial.twin is not None:
            document["twin"] = trial.twin
        if trial.condition is not None:
            route = {"source": trial.routing_source, "condition": trial.condition, "endpointNames": ["events"]}
            document["route"] = route
        response = self._session.send(
            "POST", _path(hub, "testRoutes"), body=msgspec.json.encode(document), repeatable=True
        )
        return decode(response.content, RouteTestResult)

    def hub_endpoints(self, hub: str) -> list[HubEndpoint]:
        """Return a hub's endpoints but the built-in one, with how delivery goes."""
        return self._get(_path(hub, "endpoints"), list[HubEndpoint])

    def put_hub_event_hub(self, hub: str, name: str, *, partitions: int | None = None) -> HubEndpoint:
        """Make an endpoint that is read like an event hub."""
        document: dict[str, Any] = {"type": "eventHub"}
        if partitions is not None:
            document["partitionCount"] = partitions
        return self._put(_path(hub, "endpoints", name), document, HubEndpoint)

    def put_hub_webhook(
        self,
        hub: str,
        name: str,
        url: str,
        *,
        secret: str | None = None,
        signed: bool = True,
        ca_certificates: str | None = None,
    ) -> HubEndpoint:
        """Make or replace a webhook (https, or http on the loopback).

        `secret` None lets the service make one for a new webhook and keep that of an old one; `signed` False sends
        requests without a signature. The answer tells a secret that was set.
        """
        document: dict[str, Any] = {"type": "webhook", "url": url}
        if secret is not None or not signed:
            document["secret"] = secret if signed else None
        if ca_certificates is not None:
            document["caCertificates"] = ca_certificates
        return self._put(_path(hub, "endpoints", name), document, HubEndpoint)

    def put_hub_storage(
        self,
        hub: str,
        name: str,
        *,
        connection_string: str | None = None,
        container: str | None = None,
        file_name_format: str | None = None,
        batch_seconds: int | None = None,
        max_chunk_bytes: int | None = None,
    ) -> HubEndpoint:
        """Make or replace a storage: blobs of JSON lines, in the hub's own store or in a container of an account."""
        wanted = {
            "connectionString": connection_string,
            "container": container,
            "fileNameFormat": file_name_format,
            "batchFrequencyInSeconds": batch_seconds,
            "maxChunkSizeInBytes": max_chunk_bytes,
        }
        document = {member: value for member, value in wanted.items() if value is not None}
        return self._put(_path(hub, "endpoints", name), {"type": "storage", **document}, HubEndpoint)

    def delete_hub_endpoint(self, hub: str, name: str) -> None:
        """Remove an endpoint and what waits in it. NotFoundError; ConflictError while routes refer to it."""
        self._session.send("DELETE", _path(hub, "endpoints", name), repeatable=True)

    def hub_enrichments(self, hub: str) -> list[HubEnrichment]:
        """Return what messages are given on their way."""
        return self._get(_path(hub, "enrichments"), list[HubEnrichment])

    def put_hub_enrichment(self, hub: str, key: str, value: str, *, endpoints: Sequence[str]) -> HubEnrichment:
        """Give messages a property: a text, `$iothubname`, or a path into the device's twin (`$twin.tags.…`)."""
        document = {"value": value, "endpointNames": list(endpoints)}
        return self._put(_path(hub, "enrichments", key), document, HubEnrichment)

    def delete_hub_enrichment(self, hub: str, key: str) -> None:
        """Remove an enrichment. NotFoundError."""
        self._session.send("DELETE", _path(hub, "enrichments", key), repeatable=True)

    def _put(self, path: str, document: dict[str, Any], kind: type[T]) -> T:
        response = self._session.send("PUT", path, body=msgspec.json.encode(document), repeatable=True)
        return decode(response.content, kind)


def _path(hub: str, *names: str) -> str:
    return "/".join(["/homeport/hubs", segment(hub), *map(segment, names)])
