"""How administrators reach the routing of the hubs that this process serves: documents in, documents out."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar, assert_never

import msgspec
from msgspec import UNSET, UnsetType

from homeport.clock import Clock
from homeport.dps.administration import EndpointsResponder, EnrichmentsResponder, RoutesResponder
from homeport.dps.frontends.admin import (
    EndpointsResource,
    EnrichmentsResource,
    HubPart,
    RoutesResource,
    RouteTestResource,
)
from homeport.errors import Code, HomeportError
from homeport.hub.hubs import Hubs
from homeport.hub.identifiers import is_identity_id
from homeport.hub.model import (
    Endpoint,
    Enrichment,
    EventStreamEndpoint,
    MessageSource,
    Route,
    StorageEndpoint,
    Twin,
    WebhookEndpoint,
)
from homeport.hub.query import QueryError
from homeport.hub.routing.condition import read_condition
from homeport.hub.routing.settings import FALLBACK, fallback_route
from homeport.hub.routing.trial import sample, try_routes
from homeport.hub.served_hub import ServedHub
from homeport.hub.twin_patch import TwinContentError, new_twin
from homeport.security.callers import Caller
from homeport.security.policies import Random
from homeport.security.webhooks import new_secret
from homeport.wire import format_time
from homeport.wire import hub_routing as wire

_SAMPLE_DEVICE = "testDevice"

T = TypeVar("T")


def routing_resources(hubs: Hubs, clock: Clock, random: Random) -> Sequence[HubPart]:
    """Return what administrators are offered below a hub's name."""
    routing = LocalRouting(hubs, clock, random)
    routes = RoutesResponder(routing)
    return (
        RoutesResource(routes),
        RouteTestResource(routes),
        EndpointsResource(EndpointsResponder(routing)),
        EnrichmentsResource(EnrichmentsResponder(routing)),
    )


class LocalRouting:
    """The routing of hubs in this process (a RoutingAdministration)."""

    def __init__(self, hubs: Hubs, clock: Clock, random: Random) -> None:
        self._hubs = hubs
        self._clock = clock
        self._random = random

    # ------------------------------------------------------------ routes

    async def routes(self, hub: str) -> Sequence[wire.Route]:
        routing = await self._hub(hub).routing.settings.get()
        return [_route(each) for each in (*routing.routes, fallback_route(enabled=routing.fallback))]

    async def put_route(self, hub: str, name: str, document: wire.RouteWrite, *, by: Caller) -> wire.Route:
        settings = self._hub(hub).routing.settings
        if name.lower() == FALLBACK:
            await settings.put_fallback(enabled=document.is_enabled, by=by)
        else:
            await settings.put_route(_read_route(name, document), by=by)
        return next(each for each in await self.routes(hub) if each.name.lower() == name.lower())

    async def delete_route(self, hub: str, name: str, *, by: Caller) -> None:
        await self._hub(hub).routing.settings.delete_route(name, by=by)

    async def test(self, hub: str, document: wire.RouteTest) -> wire.RouteTestResult:
        served = self._hub(hub)
        identity = _SAMPLE_DEVICE if isinstance(document.device_id, UnsetType) else document.device_id
        if not is_identity_id(identity):
            raise _invalid("deviceId cannot be the id of a device, nor of a module with its device.")
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
            alone = _read_route("route", document.route)
            try:
                read_condition(alone.condition)
            except QueryError as error:
                raise _invalid(f"condition: {error.message}") from None
        routing = await served.routing.settings.get()
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
                raise _invalid(f"twin: {error.message}") from None
        device = await served.registry.find(identity)
        if device is None and not isinstance(document.device_id, UnsetType):
            raise HomeportError(Code.NOT_FOUND, "The hub has no device of that id.")
        return None if device is None else device.twin

    # ------------------------------------------------------------ enrichments

    async def enrichments(self, hub: str) -> Sequence[wire.Enrichment]:
        routing = await self._hub(hub).routing.settings.get()
        return [
            wire.Enrichment(key=each.key, value=each.value, endpoint_names=list(each.endpoints))
            for each in routing.enrichments
        ]

    async def put_enrichment(
        self, hub: str, key: str, document: wire.EnrichmentWrite, *, by: Caller
    ) -> wire.Enrichment:
        enrichment = Enrichment(key=key, value=document.value, endpoints=document.endpoint_names)
        await self._hub(hub).routing.settings.put_enrichment(enrichment, by=by)
        return next(each for each in await self.enrichments(hub) if each.key == key)

    async def delete_enrichment(self, hub: str, key: str, *, by: Caller) -> None:
        await self._hub(hub).routing.settings.delete_enrichment(key, by=by)

    # ------------------------------------------------------------ endpoints

    async def endpoints(self, hub: str) -> Sequence[wire.Endpoint]:
        served = self._hub(hub)
        routing = await served.routing.settings.get()
        return [await self._endpoint(served, each) for each in routing.endpoints]

    async def put_endpoint(self, hub: str, name: str, document: wire.EndpointWrite, *, by: Caller) -> wire.Endpoint:
        """Make or replace an endpoint; the answer tells a secret that this call set."""
        served = self._hub(hub)
        fresh = new_secret(self._random)
        made = await served.routing.settings.put_endpoint(
            name, lambda stored: _read_endpoint(name, document, stored, fresh), by=by
        )
        secret = None
        if isinstance(made, WebhookEndpoint) and made.secret in {fresh, document.secret}:
            secret = made.secret
        return await self._endpoint(served, made, secret)

    async def delete_endpoint(self, hub: str, name: str, *, by: Caller) -> None:
        await self._hub(hub).routing.settings.delete_endpoint(name, by=by)

    async def _endpoint(self, served: ServedHub, endpoint: Endpoint, secret: str | None = None) -> wire.Endpoint:
        match endpoint:
            case EventStreamEndpoint():
                return wire.Endpoint(name=endpoint.name, type="eventHub", partition_count=endpoint.partitions)
            case WebhookEndpoint():
                told = wire.Endpoint(
                    name=endpoint.name,
                    type="webhook",
                    partition_count=endpoint.partitions,
                    url=endpoint.url.partition("?")[0],
                    signed=endpoint.secret is not None,
                    secret=secret or UNSET,
                )
            case StorageEndpoint():
                built_in = endpoint.connection_string is None
                told = wire.Endpoint(
                    name=endpoint.name,
                    type="storage",
                    partition_count=endpoint.partitions,
                    file_name_format=endpoint.file_name_format,
                    batch_frequency_in_seconds=endpoint.batch_seconds,
                    max_chunk_size_in_bytes=endpoint.max_chunk_bytes,
                    storage="built-in" if built_in else "account",
                    container=UNSET if built_in or endpoint.container is None else endpoint.container,
                )
            case _:
                assert_never(endpoint)
        standing = await served.routing.deliveries.standing(endpoint.name)
        return msgspec.structs.replace(
            told,
            waiting=await served.routing.waiting(endpoint, standing),
            last_success_date_time_utc=_time(standing.last_success_at),
            last_failure_date_time_utc=_time(standing.last_failure_at),
            last_failure=standing.last_failure or UNSET,
        )

    def _hub(self, name: str) -> ServedHub:
        for served in self._hubs:
            if served.name.lower() == name.lower():
                return served
        raise HomeportError(Code.NOT_FOUND, "This server has no hub of that name.")


def _route(route: Route) -> wire.Route:
    return wire.Route(
        name=route.name,
        source=route.source.value,
        condition=route.condition,
        endpoint_names=list(route.endpoints),
        is_enabled=route.enabled,
    )


def _read_route(name: str, document: wire.RouteWrite) -> Route:
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
    raise _invalid(f"source is none of {', '.join(source.value for source in MessageSource)}.")


def _read_endpoint(name: str, document: wire.EndpointWrite, stored: Endpoint | None, fresh: str) -> Endpoint:
    """Read an endpoint; `fresh` is the secret that a new webhook gets."""
    known = name if stored is None else stored.name
    partitions = document.partition_count
    if isinstance(partitions, UnsetType):
        partitions = EventStreamEndpoint(name=known).partitions if stored is None else stored.partitions
    match document.type.lower():
        case "eventhub":
            return EventStreamEndpoint(name=known, partitions=partitions)
        case "webhook":
            old = stored if isinstance(stored, WebhookEndpoint) else None
            secret = document.secret
            if isinstance(secret, UnsetType):
                secret = fresh if old is None else old.secret
            return WebhookEndpoint(
                name=known,
                partitions=partitions,
                url=_kept(document.url, old.url if old else ""),
                secret=secret,
                ca_certificates=_kept(document.ca_certificates, old.ca_certificates if old else None) or None,
            )
        case "storage":
            before = stored if isinstance(stored, StorageEndpoint) else StorageEndpoint(name=known)
            return StorageEndpoint(
                name=known,
                partitions=partitions,
                file_name_format=_kept(document.file_name_format, before.file_name_format),
                batch_seconds=_kept(document.batch_frequency_in_seconds, before.batch_seconds),
                max_chunk_bytes=_kept(document.max_chunk_size_in_bytes, before.max_chunk_bytes),
                connection_string=_kept(document.connection_string, before.connection_string) or None,
                container=_kept(document.container, before.container) or None,
            )
        case _:
            raise _invalid("type is none of eventHub, webhook, storage.")


def _kept(given: T | UnsetType, stored: T) -> T:
    return stored if isinstance(given, UnsetType) else given


def _time(time: datetime | None) -> str | UnsetType:
    return UNSET if time is None else format_time(time)


def _invalid(message: str) -> HomeportError:
    return HomeportError(Code.INVALID_REQUEST, message)
