"""The administrator's questions about routing: make, change, remove, try out. Refusals are HomeportError."""

import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

from homeport.clock import Clock
from homeport.errors import Code, HomeportError
from homeport.hub.model import (
    BUILT_IN,
    Endpoint,
    Enrichment,
    EventStreamEndpoint,
    MessageSource,
    Route,
    Routing,
    StorageEndpoint,
    WebhookEndpoint,
)
from homeport.hub.query import QueryError
from homeport.hub.routing.condition import read_condition, twin_path
from homeport.hub.routing.current import CurrentRouting
from homeport.hub.routing.ports import RoutingChange, RoutingStore, Setting
from homeport.hub.routing.router import HUB_NAME
from homeport.security.callers import Caller
from homeport.security.webhooks import SECRET_PREFIX, is_callable, is_secret
from homeport.security.x509 import CertificateError, check_authorities
from homeport.values import replace

MAX_ROUTES = 100
MAX_ENDPOINTS = 10
MAX_ENRICHMENTS = 10
MAX_PARTITIONS = 32
FALLBACK = "$fallback"
"""The route that is always there, as Azure names it: what no other takes goes to the built-in endpoint."""
LONGEST_BATCH = 720
CHUNK_BYTES = range(1 << 20, (100 << 20) + 1)

_ROUTE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ENDPOINT_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,48}[A-Za-z0-9])?")
_RESERVED = frozenset({BUILT_IN, "messages", "devices", "fallback"})
_KEY = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_MAX_VALUE = 1024
_TOKENS = ("{iothub}", "{partition}", "{YYYY}", "{MM}", "{DD}", "{HH}", "{mm}")
_FORMAT = re.compile(r"(?:[A-Za-z0-9_./-]|\{(?:iothub|partition|YYYY|MM|DD|HH|mm)\}){1,256}")

T = TypeVar("T")


class RoutingSettings:
    """Answers administrators about one hub."""

    def __init__(
        self,
        *,
        hub: str,
        event_hub_name: Callable[[], str],
        store: RoutingStore,
        current: CurrentRouting,
        check_storage: Callable[[StorageEndpoint], Awaitable[None]],
        clock: Clock,
    ) -> None:
        """No endpoint may have the name that `event_hub_name` returns."""
        self._hub = hub
        self._event_hub_name = event_hub_name
        self._store = store
        self._current = current
        self._check_storage = check_storage
        self._clock = clock

    async def get(self) -> Routing:
        """Return all of it."""
        return await self._store.get()

    async def put_route(self, route: Route, *, by: Caller) -> None:
        """Make or replace a route. Raise INVALID_REQUEST."""
        if not _ROUTE_NAME.fullmatch(route.name):
            raise _invalid("A route's name is 1 to 64 letters, digits or any of - _ .")
        _check_condition(route.condition)

        def decide(routing: Routing) -> RoutingChange:
            named = replace(route, endpoints=_known(routing, route.endpoints))
            before = _named(routing.routes, route.name)
            routes = _put(routing.routes, before, replace(named, name=before.name) if before else named)
            if len(routes) > MAX_ROUTES:
                raise _invalid(f"A hub has at most {MAX_ROUTES} routes.")
            return _change(replace(routing, routes=routes), "routes", route.name, before, named)

        await self._change(decide, by)

    async def put_fallback(self, *, enabled: bool, by: Caller) -> None:
        """Switch the fallback route on or off."""

        def decide(routing: Routing) -> RoutingChange:
            before = fallback_route(enabled=routing.fallback)
            after = fallback_route(enabled=enabled)
            return _change(replace(routing, fallback=enabled), "routes", FALLBACK, before, after)

        await self._change(decide, by)

    async def delete_route(self, name: str, *, by: Caller) -> None:
        """Raise NOT_FOUND, or INVALID_REQUEST for the fallback route."""
        if name.lower() == FALLBACK:
            raise _invalid("The fallback route can be switched off, not deleted.")

        def decide(routing: Routing) -> RoutingChange:
            before = _named(routing.routes, name)
            if before is None:
                raise _missing("route")
            left = tuple(each for each in routing.routes if each is not before)
            return _change(replace(routing, routes=left), "routes", name, before, None)

        await self._change(decide, by)

    async def put_enrichment(self, enrichment: Enrichment, *, by: Caller) -> None:
        """Make or replace an enrichment. Raise INVALID_REQUEST."""
        if not _KEY.fullmatch(enrichment.key):
            raise _invalid("An enrichment's key is 1 to 128 letters, digits or any of - _ .")
        _check_value(enrichment.value)

        def decide(routing: Routing) -> RoutingChange:
            named = replace(enrichment, endpoints=_known(routing, enrichment.endpoints))
            before = next((each for each in routing.enrichments if each.key == enrichment.key), None)
            enrichments = _put(routing.enrichments, before, named)
            if len(enrichments) > MAX_ENRICHMENTS:
                raise _invalid(f"A hub has at most {MAX_ENRICHMENTS} enrichments.")
            return _change(replace(routing, enrichments=enrichments), "enrichments", named.key, before, named)

        await self._change(decide, by)

    async def delete_enrichment(self, key: str, *, by: Caller) -> None:
        """Raise NOT_FOUND."""

        def decide(routing: Routing) -> RoutingChange:
            before = next((each for each in routing.enrichments if each.key == key), None)
            if before is None:
                raise _missing("enrichment")
            left = tuple(each for each in routing.enrichments if each is not before)
            return _change(replace(routing, enrichments=left), "enrichments", key, before, None)

        await self._change(decide, by)

    async def put_endpoint(self, name: str, build: Callable[[Endpoint | None], Endpoint], *, by: Caller) -> Endpoint:
        """Make or replace an endpoint; `build` makes it of the stored one. Raise INVALID_REQUEST.

        Its kind and its number of partitions stay.
        """
        if (
            not _ENDPOINT_NAME.fullmatch(name)
            or name.lower() in _RESERVED
            or name.lower() == self._event_hub_name().lower()
        ):
            raise _invalid(
                "An endpoint's name has 1 to 50 letters, digits, dots, hyphens and underscores, and is neither the "
                f"hub's name nor one of {', '.join(sorted(_RESERVED))}."
            )
        wanted = build((await self._store.get()).endpoint(name))
        if isinstance(wanted, StorageEndpoint):
            await self._check_storage(wanted)

        def decide(routing: Routing) -> RoutingChange:
            before = routing.endpoint(name)
            endpoint = build(before)
            _check_endpoint(endpoint, before)
            endpoints = _put(routing.endpoints, before, endpoint)
            if len(endpoints) > MAX_ENDPOINTS:
                raise _invalid(f"A hub has at most {MAX_ENDPOINTS} endpoints besides the built-in one.")
            return _change(replace(routing, endpoints=endpoints), "endpoints", endpoint.name, before, endpoint)

        stored = await self._change(decide, by)
        made = stored.endpoint(name)
        assert made is not None, "it was stored a moment ago"
        return made

    async def delete_endpoint(self, name: str, *, by: Caller) -> None:
        """Remove an endpoint and what waits in it. Raise NOT_FOUND, or CONFLICT while something refers to it."""

        def decide(routing: Routing) -> RoutingChange:
            before = routing.endpoint(name)
            if before is None:
                raise _missing("endpoint")
            referring = [f"route {each.name}" for each in routing.routes if before.name in each.endpoints]
            referring += [f"enrichment {each.key}" for each in routing.enrichments if before.name in each.endpoints]
            if referring:
                raise HomeportError(Code.CONFLICT, f"The endpoint is in use: {', '.join(referring[:5])}.")
            left = tuple(each for each in routing.endpoints if each is not before)
            return _change(replace(routing, endpoints=left), "endpoints", name, before, None)

        await self._change(decide, by)

    async def _change(self, decide: Callable[[Routing], RoutingChange], by: Caller) -> Routing:
        stored = await self._store.change(decide, now=self._clock.now(), by=by)
        await self._current.refresh()
        return stored


def fallback_route(*, enabled: bool) -> Route:
    """Return the fallback route as a route."""
    return Route(name=FALLBACK, source=MessageSource.DEVICE_MESSAGES, endpoints=(BUILT_IN,), enabled=enabled)


def _check_condition(text: str) -> None:
    try:
        read_condition(text)
    except QueryError as error:
        raise _invalid(f"condition: {error.message}") from None


def _check_value(value: str) -> None:
    if not value or len(value) > _MAX_VALUE or not value.isprintable():
        raise _invalid(f"An enrichment's value is a text of 1 to {_MAX_VALUE} printable characters.")
    if value.startswith("$") and value.lower() != HUB_NAME:
        try:
            twin_path(value)
        except QueryError:
            raise _invalid(
                f"A value that begins with $ is {HUB_NAME}, or a path below $twin.tags, $twin.properties.desired "
                "or $twin.properties.reported."
            ) from None


def _check_endpoint(endpoint: Endpoint, before: Endpoint | None) -> None:
    if before is not None and (type(before), before.partitions) != (type(endpoint), endpoint.partitions):
        raise _invalid("The type of an endpoint, and its number of partitions, cannot be changed.")
    if not 1 <= endpoint.partitions <= MAX_PARTITIONS:
        raise _invalid(f"An endpoint has 1 to {MAX_PARTITIONS} partitions.")
    match endpoint:
        case WebhookEndpoint():
            _check_webhook(endpoint)
        case StorageEndpoint():
            _check_storage(endpoint)
        case EventStreamEndpoint():
            pass


def _check_webhook(endpoint: WebhookEndpoint) -> None:
    if not is_callable(endpoint.url):
        raise _invalid("url is not an https address, nor an http one on the loopback.")
    if endpoint.secret is not None and not is_secret(endpoint.secret):
        raise _invalid(f"secret is not '{SECRET_PREFIX}' followed by the Base64 of 24 to 64 bytes.")
    if endpoint.ca_certificates is not None:
        try:
            check_authorities(endpoint.ca_certificates)
        except CertificateError as error:
            raise _invalid(f"caCertificates: {error}.") from None


def _check_storage(endpoint: StorageEndpoint) -> None:
    form = endpoint.file_name_format
    if not _FORMAT.fullmatch(form) or any(form.count(token) != 1 for token in _TOKENS) or "//" in f"/{form}/":
        raise _invalid(f"fileNameFormat has {' '.join(_TOKENS)} once each, between letters, digits and any of / - _ .")
    if any(set(part) <= {"."} for part in form.split("/")):
        raise _invalid("fileNameFormat has a part of dots only.")
    if not 1 <= endpoint.batch_seconds <= LONGEST_BATCH:
        raise _invalid(f"batchFrequencyInSeconds is not between 1 and {LONGEST_BATCH}.")
    if endpoint.max_chunk_bytes not in CHUNK_BYTES:
        raise _invalid(f"maxChunkSizeInBytes is not between {CHUNK_BYTES[0]} and {CHUNK_BYTES[-1]}.")


def _known(routing: Routing, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the endpoints' names as they are spelt, each once. Raise INVALID_REQUEST for one that is not there."""
    found: dict[str, None] = {}
    for name in names:
        endpoint = routing.endpoint(name)
        if endpoint is None and name.lower() != BUILT_IN:
            raise _invalid(f"There is no endpoint {name[:64]}.")
        found[BUILT_IN if endpoint is None else endpoint.name] = None
    if not found:
        raise _invalid("endpointNames is empty.")
    return tuple(found)


def _named(routes: tuple[Route, ...], name: str) -> Route | None:
    return next((each for each in routes if each.name.lower() == name.lower()), None)


def _put(known: tuple[T, ...], before: T | None, after: T) -> tuple[T, ...]:
    if before is None:
        return (*known, after)
    return tuple(after if each is before else each for each in known)


def _missing(noun: str) -> HomeportError:
    return HomeportError(Code.NOT_FOUND, f"There is no such {noun}.")


def _change(
    routing: Routing, collection: str, name: str, before: Setting | None, after: Setting | None
) -> RoutingChange:
    return RoutingChange(routing=routing, collection=collection, name=name, before=before, after=after)


def _invalid(message: str) -> HomeportError:
    return HomeportError(Code.INVALID_REQUEST, message)
