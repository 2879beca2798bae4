"""How administrators reach the routing of the hubs that this process serves: documents in, documents out."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar, assert_never

from msgspec import UNSET, UnsetType

from homeport.app.hub_collections import HubCollection
from homeport.app.hub_route_trials import RouteTrials, read_route
from homeport.clock import Clock
from homeport.dps.frontends.admin import HubPart
from homeport.hub.hubs import Hubs
from homeport.hub.model import (
    Endpoint,
    Enrichment,
    EventStreamEndpoint,
    Route,
    StorageEndpoint,
    WebhookEndpoint,
)
from homeport.hub.routing.collection import Collection, invalid
from homeport.hub.served_hub import ServedHub
from homeport.security.callers import Caller
from homeport.security.policies import Random
from homeport.security.webhooks import new_secret
from homeport.values import replace
from homeport.wire import format_time
from homeport.wire import hub_routing as wire

T = TypeVar("T")


def routing_resources(hubs: Hubs, clock: Clock, random: Random) -> Sequence[HubPart]:
    """Return what administrators are offered below a hub's name."""
    return Routes(hubs), RouteTrials(hubs, clock), Endpoints(hubs, random), Enrichments(hubs)


class Routes(HubCollection[Route, wire.Route, wire.RouteWrite]):
    words = frozenset({"routes"})
    decoder = wire.route

    def of(self, served: ServedHub) -> Collection[Route]:
        return served.routing.routes

    async def put(self, served: ServedHub, name: str, document: wire.RouteWrite, *, by: Caller) -> wire.Route:
        made = await served.routing.routes.put(name, lambda _: read_route(name, document), by=by)
        return await self.document(served, made)

    async def document(self, served: ServedHub, setting: Route) -> wire.Route:
        del served
        return wire.Route(
            name=setting.name,
            source=setting.source.value,
            condition=setting.condition,
            endpoint_names=list(setting.endpoints),
            is_enabled=setting.enabled,
        )


class Enrichments(HubCollection[Enrichment, wire.Enrichment, wire.EnrichmentWrite]):
    words = frozenset({"enrichments"})
    decoder = wire.enrichment

    def of(self, served: ServedHub) -> Collection[Enrichment]:
        return served.routing.enrichments

    async def put(self, served: ServedHub, name: str, document: wire.EnrichmentWrite, *, by: Caller) -> wire.Enrichment:
        wanted = Enrichment(key=name, value=document.value, endpoints=document.endpoint_names)
        return await self.document(served, await served.routing.enrichments.put(name, lambda _: wanted, by=by))

    async def document(self, served: ServedHub, setting: Enrichment) -> wire.Enrichment:
        del served
        return wire.Enrichment(key=setting.key, value=setting.value, endpoint_names=list(setting.endpoints))


class Endpoints(HubCollection[Endpoint, wire.Endpoint, wire.EndpointWrite]):
    words = frozenset({"endpoints"})
    decoder = wire.endpoint

    def __init__(self, hubs: Hubs, random: Random) -> None:
        super().__init__(hubs)
        self._random = random

    def of(self, served: ServedHub) -> Collection[Endpoint]:
        return served.routing.endpoints

    async def put(self, served: ServedHub, name: str, document: wire.EndpointWrite, *, by: Caller) -> wire.Endpoint:
        """Make or replace an endpoint; the answer tells a secret that this call set."""
        fresh = new_secret(self._random)
        made = await served.routing.endpoints.put(
            name, lambda stored: _read_endpoint(name, document, stored, fresh), by=by
        )
        told = await self.document(served, made)
        if isinstance(made, WebhookEndpoint) and made.secret in {fresh, document.secret}:
            told = replace(told, secret=made.secret or UNSET)
        return told

    async def document(self, served: ServedHub, setting: Endpoint) -> wire.Endpoint:
        """Say also how delivery goes."""
        match setting:
            case EventStreamEndpoint():
                return wire.Endpoint(name=setting.name, type="eventHub", partition_count=setting.partitions)
            case WebhookEndpoint():
                told = wire.Endpoint(
                    name=setting.name,
                    type="webhook",
                    partition_count=setting.partitions,
                    url=setting.url.partition("?")[0],
                    signed=setting.secret is not None,
                )
            case StorageEndpoint():
                built_in = setting.connection_string is None
                told = wire.Endpoint(
                    name=setting.name,
                    type="storage",
                    partition_count=setting.partitions,
                    file_name_format=setting.file_name_format,
                    batch_frequency_in_seconds=setting.batch_seconds,
                    max_chunk_size_in_bytes=setting.max_chunk_bytes,
                    storage="built-in" if built_in else "account",
                    container=UNSET if built_in or setting.container is None else setting.container,
                )
            case _:
                assert_never(setting)
        standing = await served.routing.deliveries.standing(setting.name)
        return replace(
            told,
            waiting=await served.routing.waiting(setting, standing),
            last_success_date_time_utc=_time(standing.last_success_at),
            last_failure_date_time_utc=_time(standing.last_failure_at),
            last_failure=standing.last_failure or UNSET,
        )


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
            raise invalid("type is none of eventHub, webhook, storage.")


def _kept(given: T | UnsetType, stored: T) -> T:
    return stored if isinstance(given, UnsetType) else given


def _time(time: datetime | None) -> str | UnsetType:
    return UNSET if time is None else format_time(time)
