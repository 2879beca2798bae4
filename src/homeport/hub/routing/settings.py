"""What may be said of routes, endpoints and enrichments. Refusals are HomeportError."""

import re
from collections.abc import Awaitable, Callable

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
from homeport.hub.routing.collection import Collection, invalid
from homeport.hub.routing.condition import read_condition, twin_path
from homeport.hub.routing.current import CurrentRouting
from homeport.hub.routing.ports import RoutingChange
from homeport.hub.routing.router import HUB_NAME
from homeport.security.callers import Caller
from homeport.security.webhooks import SECRET_PREFIX, is_callable, is_secret
from homeport.security.x509 import CertificateError, check_authorities
from homeport.values import replace

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


class Routes(Collection[Route]):
    """A hub's routes, the fallback route last. That one can only be switched."""

    noun = "route"
    most = 100

    async def put(self, name: str, build: Callable[[Route | None], Route], *, by: Caller) -> Route:
        if name.lower() != FALLBACK:
            return await super().put(name, build, by=by)

        def decide(routing: Routing) -> RoutingChange:
            before = fallback_route(enabled=routing.fallback)
            after = fallback_route(enabled=build(before).enabled)
            return self._told(replace(routing, fallback=after.enabled), routing.routes, before, after)

        return self._existing(await self._current.change(decide, by), FALLBACK)

    def _all(self, routing: Routing) -> tuple[Route, ...]:
        return (*routing.routes, fallback_route(enabled=routing.fallback))

    async def _check(self, setting: Route) -> None:
        if not _ROUTE_NAME.fullmatch(setting.name):
            raise invalid("A route's name is 1 to 64 letters, digits or any of - _ .")
        try:
            read_condition(setting.condition)
        except QueryError as error:
            raise invalid(f"condition: {error.message}") from None

    def _fitted(self, routing: Routing, setting: Route, before: Route | None) -> Route:
        name = setting.name if before is None else before.name
        return replace(setting, name=name, endpoints=_known(routing, setting.endpoints))

    def _check_end(self, routing: Routing, setting: Route) -> None:
        del routing
        if setting.name == FALLBACK:
            raise invalid("The fallback route can be switched off, not deleted.")


class Enrichments(Collection[Enrichment]):
    """What a hub's messages are given on their way, under its key."""

    noun = "enrichment"
    key = "key"
    most = 10

    def _is_same(self, one: str, other: str) -> bool:
        return one == other

    async def _check(self, setting: Enrichment) -> None:
        if not _KEY.fullmatch(setting.key):
            raise invalid("An enrichment's key is 1 to 128 letters, digits or any of - _ .")
        value = setting.value
        if not value or len(value) > _MAX_VALUE or not value.isprintable():
            raise invalid(f"An enrichment's value is a text of 1 to {_MAX_VALUE} printable characters.")
        if value.startswith("$") and value.lower() != HUB_NAME:
            try:
                twin_path(value)
            except QueryError:
                raise invalid(
                    f"A value that begins with $ is {HUB_NAME}, or a path below $twin.tags, $twin.properties.desired "
                    "or $twin.properties.reported."
                ) from None

    def _fitted(self, routing: Routing, setting: Enrichment, before: Enrichment | None) -> Enrichment:
        del before
        return replace(setting, endpoints=_known(routing, setting.endpoints))


class Endpoints(Collection[Endpoint]):
    """A hub's endpoints but the built-in one. Kind and number of partitions stay; what waits in one goes with it."""

    noun = "endpoint"
    most = 10
    besides = " besides the built-in one"

    def __init__(
        self,
        current: CurrentRouting,
        *,
        event_hub_name: Callable[[], str],
        check_storage: Callable[[StorageEndpoint], Awaitable[None]],
    ) -> None:
        """No endpoint may have the name that `event_hub_name` returns."""
        super().__init__(current)
        self._event_hub_name = event_hub_name
        self._check_storage = check_storage

    async def _check(self, setting: Endpoint) -> None:
        name = setting.name
        taken = name.lower() in _RESERVED or name.lower() == self._event_hub_name().lower()
        if taken or not _ENDPOINT_NAME.fullmatch(name):
            raise invalid(
                "An endpoint's name has 1 to 50 letters, digits, dots, hyphens and underscores, and is neither the "
                f"hub's name nor one of {', '.join(sorted(_RESERVED))}."
            )
        if isinstance(setting, StorageEndpoint):
            await self._check_storage(setting)

    def _fitted(self, routing: Routing, setting: Endpoint, before: Endpoint | None) -> Endpoint:
        del routing
        if before is not None and (type(before), before.partitions) != (type(setting), setting.partitions):
            raise invalid("The type of an endpoint, and its number of partitions, cannot be changed.")
        if not 1 <= setting.partitions <= MAX_PARTITIONS:
            raise invalid(f"An endpoint has 1 to {MAX_PARTITIONS} partitions.")
        match setting:
            case WebhookEndpoint():
                _check_webhook(setting)
            case StorageEndpoint():
                _check_storage(setting)
            case EventStreamEndpoint():
                pass
        return setting

    def _check_end(self, routing: Routing, setting: Endpoint) -> None:
        referring = [f"route {each.name}" for each in routing.routes if setting.name in each.endpoints]
        referring += [f"enrichment {each.key}" for each in routing.enrichments if setting.name in each.endpoints]
        if referring:
            raise HomeportError(Code.CONFLICT, f"The endpoint is in use: {', '.join(referring[:5])}.")


def fallback_route(*, enabled: bool) -> Route:
    """Return the fallback route as a route."""
    return Route(name=FALLBACK, source=MessageSource.DEVICE_MESSAGES, endpoints=(BUILT_IN,), enabled=enabled)


def _check_webhook(endpoint: WebhookEndpoint) -> None:
    if not is_callable(endpoint.url):
        raise invalid("url is not an https address, nor an http one on the loopback.")
    if endpoint.secret is not None and not is_secret(endpoint.secret):
        raise invalid(f"secret is not '{SECRET_PREFIX}' followed by the Base64 of 24 to 64 bytes.")
    if endpoint.ca_certificates is not None:
        try:
            check_authorities(endpoint.ca_certificates)
        except CertificateError as error:
            raise invalid(f"caCertificates: {error}.") from None


def _check_storage(endpoint: StorageEndpoint) -> None:
    form = endpoint.file_name_format
    if not _FORMAT.fullmatch(form) or any(form.count(token) != 1 for token in _TOKENS) or "//" in f"/{form}/":
        raise invalid(f"fileNameFormat has {' '.join(_TOKENS)} once each, between letters, digits and any of / - _ .")
    if any(set(part) <= {"."} for part in form.split("/")):
        raise invalid("fileNameFormat has a part of dots only.")
    if not 1 <= endpoint.batch_seconds <= LONGEST_BATCH:
        raise invalid(f"batchFrequencyInSeconds is not between 1 and {LONGEST_BATCH}.")
    if endpoint.max_chunk_bytes not in CHUNK_BYTES:
        raise invalid(f"maxChunkSizeInBytes is not between {CHUNK_BYTES[0]} and {CHUNK_BYTES[-1]}.")


def _known(routing: Routing, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the endpoints' names as they are spelt, each once. Raise INVALID_REQUEST for one that is not there."""
    found: dict[str, None] = {}
    for name in names:
        endpoint = routing.endpoint(name)
        if endpoint is None and name.lower() != BUILT_IN:
            raise invalid(f"There is no endpoint {name[:64]}.")
        found[BUILT_IN if endpoint is None else endpoint.name] = None
    if not found:
        raise invalid("endpointNames is empty.")
    return tuple(found)
