"""What the routes of this server's hubs would do with a message, for administrators who ask. Nothing is sent."""

import msgspec
from msgspec import UnsetType

from homeport.app.hub_collections import hub_named
from homeport.clock import Clock
from homeport.dps.frontends.admin import AdminRequest, Calls
from homeport.dps.listing import read
from homeport.dps.reply import Reply, success
from homeport.errors import Code, HomeportError
from homeport.hub.hubs import Hubs
from homeport.hub.identifiers import is_identity_id
from homeport.hub.model import MessageSource, Route, Twin
from homeport.hub.query import QueryError
from homeport.hub.routing.collection import invalid
from homeport.hub.routing.condition import read_condition
from homeport.hub.routing.settings import FALLBACK, fallback_route
from homeport.hub.routing.trial import sample, try_routes
from homeport.hub.served_hub import ServedHub
from homeport.hub.twin_patch import TwinContentError, new_twin
from homeport.security.policies import DpsRight
from homeport.wire import hub_routing as wire

_SAMPLE_DEVICE = "testDevice"


class RouteTrials:
    """`hubs/{name}/testRoutes`: a part of the hubs' resource."""

    words = frozenset({"testroutes"})

    def __init__(self, hubs: Hubs, clock: Clock) -> None:
        self._hubs = hubs
        self._clock = clock

    def calls(self, request: AdminRequest) -> Calls:
        match request.path:
            case [_, hub, _]:
                return {"POST": (DpsRight.SERVICE_CONFIG_READ, lambda: self._answer(hub, request))}
            case _:
                return {}

    async def _answer(self, hub: str, request: AdminRequest) -> Reply:
        document = read(wire.route_test, request.body)
        return success(200, await self._test(hub_named(self._hubs, hub), document), request.tracking_id)

    async def _test(self, served: ServedHub, document: wire.RouteTest) -> wire.RouteTestResult:
        identity = _SAMPLE_DEVICE if isinstance(document.device_id, UnsetType) else document.device_id
        if not is_identity_id(identity):
            raise invalid("deviceId cannot be the id of a device, nor of a module with its device.")
        source = _read_source(document.routing_source)
        body, system = document.message.body, document.message.system_properties
        if not isinstance(body, str) and not any(name.lower() == "contenttype" for name in system):
            system = {**system, "contentType": "application/json", "contentEncoding": "utf-8"}
        message = sample(
            identity,
            source,
            body.encode(errors="replace") if isinstance(body, str) else msgspec.json.encode(body),
            properties=document.message.app_properties,
            system=system,
            now=self._clock.now(),
        )
        alone = None
        if not isinstance(document.route, UnsetType):
            alone = read_route("route", document.route)
            try:
                read_condition(alone.condition)
            except QueryError as error:
                raise invalid(f"condition: {error.message}") from None
        routing = await served.routing.current.stored()
        twin = await self._twin(served, identity, document)
        trial = try_routes(routing, served.name, source, message, twin, alone)
        return wire.RouteTestResult(
            routes=[
                wire.RouteResult(
                    name=match.route.name, result="undefined" if match.value is None else str(match.value).lower()
                )
                for match in trial.matches
            ],
            deliveries=[
                wire.Delivery(endpoint_name=each.endpoint, properties=dict(each.message.properties))
                for each in trial.deliveries
            ],
        )

    async def _twin(self, served: ServedHub, identity: str, document: wire.RouteTest) -> Twin | None:
        if not isinstance(document.twin, UnsetType):
            given = document.twin
            try:
                return new_twin(
                    identity,
                    self._clock.now(),
                    tags=given.tags,
                    desired=given.properties.desired,
                    reported=given.properties.reported,
                )
            except TwinContentError as error:
                raise invalid(f"twin: {error.message}") from None
        device = await served.registry.find(identity)
        if device is None and not isinstance(document.device_id, UnsetType):
            raise HomeportError(Code.NOT_FOUND, "The hub has no device of that id.")
        return None if device is None else device.twin


def read_route(name: str, document: wire.RouteWrite) -> Route:
    """Read a route; of the fallback route only whether it is on. Raise INVALID_REQUEST."""
    if name.lower() == FALLBACK:
        return fallback_route(enabled=document.is_enabled)
    return Route(
        name=name,
        source=_read_source(document.source),
        condition=document.condition,
        endpoints=document.endpoint_names,
        enabled=document.is_enabled,
    )


def _read_source(text: str) -> MessageSource:
    for source in MessageSource:
        if source.value.lower() == text.lower():
            return source
    raise invalid(f"source is none of {', '.join(source.value for source in MessageSource)}.")
