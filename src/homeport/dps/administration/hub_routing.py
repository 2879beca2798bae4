"""Where the messages of this server's hubs go: routes, endpoints, enrichments."""

from collections.abc import Sequence
from typing import Protocol

from homeport.dps.listing import read
from homeport.dps.reply import Reply, success
from homeport.errors import Code, HomeportError
from homeport.security.callers import Caller
from homeport.wire import hub_routing as wire


class RoutingAdministration(Protocol):
    """The routing of the hubs that this server serves.

    All raise NOT_FOUND, changes INVALID_REQUEST as well, and CONFLICT for the end of an endpoint that is in use.
    """

    async def routes(self, hub: str) -> Sequence[wire.Route]:
        """Return a hub's routes, the fallback route last."""
        ...

    async def put_route(self, hub: str, name: str, document: wire.RouteWrite, *, by: Caller) -> wire.Route: ...

    async def delete_route(self, hub: str, name: str, *, by: Caller) -> None: ...

    async def test(self, hub: str, document: wire.RouteTest) -> wire.RouteTestResult:
        """Say what routes would do with a message; nothing is sent."""
        ...

    async def enrichments(self, hub: str) -> Sequence[wire.Enrichment]: ...

    async def put_enrichment(
        self, hub: str, key: str, document: wire.EnrichmentWrite, *, by: Caller
    ) -> wire.Enrichment: ...

    async def delete_enrichment(self, hub: str, key: str, *, by: Caller) -> None: ...

    async def endpoints(self, hub: str) -> Sequence[wire.Endpoint]:
        """Return a hub's endpoints but the built-in one, each with how its delivery goes."""
        ...

    async def put_endpoint(self, hub: str, name: str, document: wire.EndpointWrite, *, by: Caller) -> wire.Endpoint: ...

    async def delete_endpoint(self, hub: str, name: str, *, by: Caller) -> None: ...


class RoutesResponder:
    def __init__(self, routing: RoutingAdministration) -> None:
        self._routing = routing

    async def list(self, hub: str, tracking_id: str) -> Reply:
        return success(200, await self._routing.routes(hub), tracking_id)

    async def get(self, hub: str, name: str, tracking_id: str) -> Reply:
        for route in await self._routing.routes(hub):
            if route.name.lower() == name.lower():
                return success(200, route, tracking_id)
        raise _missing("route")

    async def put(self, hub: str, name: str, body: bytes, by: Caller) -> Reply:
        made = await self._routing.put_route(hub, name, read(wire.route, body), by=by)
        return success(200, made, by.tracking_id)

    async def delete(self, hub: str, name: str, by: Caller) -> Reply:
        await self._routing.delete_route(hub, name, by=by)
        return _done(by)

    async def test(self, hub: str, body: bytes, tracking_id: str) -> Reply:
        return success(200, await self._routing.test(hub, read(wire.route_test, body)), tracking_id)


class EndpointsResponder:
    def __init__(self, routing: RoutingAdministration) -> None:
        self._routing = routing

    async def list(self, hub: str, tracking_id: str) -> Reply:
        return success(200, await self._routing.endpoints(hub), tracking_id)

    async def get(self, hub: str, name: str, tracking_id: str) -> Reply:
        for endpoint in await self._routing.endpoints(hub):
            if endpoint.name.lower() == name.lower():
                return success(200, endpoint, tracking_id)
        raise _missing("endpoint")

    async def put(self, hub: str, name: str, body: bytes, by: Caller) -> Reply:
        made = await self._routing.put_endpoint(hub, name, read(wire.endpoint, body), by=by)
        return success(200, made, by.tracking_id)

    async def delete(self, hub: str, name: str, by: Caller) -> Reply:
        await self._routing.delete_endpoint(hub, name, by=by)
        return _done(by)


class EnrichmentsResponder:
    def __init__(self, routing: RoutingAdministration) -> None:
        self._routing = routing

    async def list(self, hub: str, tracking_id: str) -> Reply:
        return success(200, await self._routing.enrichments(hub), tracking_id)

    async def get(self, hub: str, key: str, tracking_id: str) -> Reply:
        for enrichment in await self._routing.enrichments(hub):
            if enrichment.key == key:
                return success(200, enrichment, tracking_id)
        raise _missing("enrichment")

    async def put(self, hub: str, key: str, body: bytes, by: Caller) -> Reply:
        made = await self._routing.put_enrichment(hub, key, read(wire.enrichment, body), by=by)
        return success(200, made, by.tracking_id)

    async def delete(self, hub: str, key: str, by: Caller) -> Reply:
        await self._routing.delete_enrichment(hub, key, by=by)
        return _done(by)


def _done(by: Caller) -> Reply:
    return Reply(status=204, body=b"", tracking_id=by.tracking_id)


def _missing(noun: str) -> HomeportError:
    return HomeportError(Code.NOT_FOUND, f"There is no such {noun}.")
