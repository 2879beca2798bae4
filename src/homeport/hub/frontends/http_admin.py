"""What an administrator watches: a hub's telemetry, newest first, counted, and live (`/homeport/telemetry…`).

Our own endpoints, beside the contract's. They read the log and the bus; nothing is written here.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, cast
from urllib.parse import parse_qs

import msgspec
from aiohttp import web

from homeport.bus import Bus, ConnectionChanged
from homeport.clock import Clock
from homeport.hub.authentication import Audience, Refused, authorize_service
from homeport.hub.errors import HubCode, HubError
from homeport.hub.frontends.live_documents import connection_document, telemetry_document
from homeport.hub.identifiers import is_part
from homeport.hub.model import DeviceIdentity, StoredTelemetry
from homeport.hub.telemetry import TelemetryStream
from homeport.net.sites import raw_path
from homeport.net.stream import Peer
from homeport.security.policies import HubRight
from homeport.wire.hub_service import ErrorBody

PREFIX = "/homeport/telemetry"
MAX_LISTED = 1000
MAX_REPLAYED = 256
MAX_STREAMS = 64
"""Live streams of one hub at the same time; the next one is throttled."""
STREAM_LIFE = timedelta(hours=1)
"""A stream proves itself once, so it ends like a token does; its reader comes back with a new one."""
HEARTBEAT_SECONDS = 15.0
"""How soon a reader that left without a word is noticed."""
GLANCE_SECONDS = 1.0
"""How soon one that closed its connection is."""
WRITE_SECONDS = 30.0

_KINDS = frozenset({"telemetry", "connection"})
_QUEUED = 64
_log = logging.getLogger(__name__)

Event = tuple[str, str | None, bytes]
"""Name, id and data of a server-sent event; the data is one line."""


class TelemetryFrontEnd:
    """Answers `/homeport/telemetry`, `…/count` and `…/stream` for one hub, to policies with ServiceConnect."""

    def __init__(
        self,
        *,
        hub: str,
        audience: Callable[[], Audience],
        telemetry: TelemetryStream,
        identity: Callable[[str], Awaitable[DeviceIdentity]],
        bus: Bus,
        clock: Clock,
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        """Read what this hub has; `identity` is the registry's `get`, `audience` the hub's names and policies now."""
        self._hub = hub
        self._audience = audience
        self._telemetry = telemetry
        self._identity = identity
        self._bus = bus
        self._clock = clock
        self._heartbeat = heartbeat
        self._streams = 0

    def owns(self, method: str, path: str) -> bool:
        del method
        return path == PREFIX or path.startswith(PREFIX + "/")

    async def handle(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        del peer
        try:
            self._authorize(request)
            return await self._answer(request)
        except HubError as error:
            return refusal(error)

    def _authorize(self, request: web.BaseRequest) -> None:
        verdict = authorize_service(
            self._audience(),
            request.headers.get("Authorization"),
            [part for part in raw_path(request).split("/") if part],
            {HubRight.SERVICE_CONNECT},
            self._clock.now(),
        )
        if isinstance(verdict, Refused):
            _log.info("hub %s: telemetry was refused: %s", self._hub, verdict.explanation)
            raise HubError(HubCode.UNAUTHORIZED_ACCESS, "The token does not permit to read this hub's telemetry.")

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = raw_path(request).rstrip("/")
        if path not in {PREFIX, f"{PREFIX}/count", f"{PREFIX}/stream"}:
            raise HubError(HubCode.OPERATION_NOT_FOUND, "There is no such address.")
        if request.method not in {"GET", "HEAD"}:
            raise HubError(HubCode.METHOD_NOT_ALLOWED, "Only GET is offered here.")
        query = Query(request.raw_path.partition("?")[2])
        if path == PREFIX:
            return await self._latest(query.device_id, query.number("limit", default=100, largest=MAX_LISTED))
        if path == f"{PREFIX}/stream":
            return await self._stream(request, query)
        if query.device_id is None:
            raise HubError(HubCode.ARGUMENT_INVALID, "deviceId is missing.")
        return _json({"deviceId": query.device_id, "count": await self._telemetry.log.count(query.device_id)})

    async def _latest(self, device_id: str | None, limit: int) -> web.Response:
        messages = await self._telemetry.log.latest(device_id=device_id, limit=limit)
        return _json([telemetry_document(message) for message in messages])

    # ------------------------------------------------------------ live

    async def _stream(self, request: web.BaseRequest, query: "Query") -> web.StreamResponse:
        kinds = query.words("events", _KINDS)
        replay = query.number("replay", default=0, largest=MAX_REPLAYED, smallest=0)
        first = None if query.device_id is None else await self._identity(query.device_id)
        if self._streams >= MAX_STREAMS:
            raise HubError(HubCode.THROTTLED, f"{MAX_STREAMS} live streams are open already.")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        self._streams += 1
        try:
            await response.prepare(request)
            if request.method == "GET":
                await self._follow(request, response, query.device_id, kinds, replay, first)
        except (ConnectionError, TimeoutError):
            pass  # the reader left, or reads too slowly to be worth waiting for
        finally:
            self._streams -= 1
        return response

    async def _follow(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        device_id: str | None,
        kinds: frozenset[str],
        replay: int,
        first: DeviceIdentity | None,
    ) -> None:
        """Write events until the reader leaves or the stream's life is over. Raises ConnectionError, TimeoutError."""
        end = self._clock.now() + STREAM_LIFE
        queue: asyncio.Queue[Event] = asyncio.Queue(_QUEUED)
        async with AsyncExitStack() as stack:
            sources: list[AsyncIterator[Event]] = []
            if "connection" in kinds:
                events = await stack.enter_async_context(self._bus.subscribe(ConnectionChanged))
                sources.append(self._connections(cast("AsyncIterator[ConnectionChanged]", events), device_id))
            if "telemetry" in kinds:
                live = await stack.enter_async_context(self._telemetry.live(device_id))
                # Listening has begun: what is replayed now and what comes later leave no gap between them.
                past = await self._telemetry.log.latest(device_id=device_id, limit=replay) if replay else ()
                sources.append(_messages(tuple(reversed(past)), live))
            await write_within(response, b": open\n\n")
            if first is not None and "connection" in kinds:
                await write_within(response, sse(*_connection(first)))
            failure: BaseException | None = None
            async with asyncio.TaskGroup() as tasks:
                pumps = [tasks.create_task(_pump(source, queue)) for source in sources]
                try:
                    silence = 0.0
                    while self._clock.now() < end and request.transport is not None:
                        if (event := await _next(queue, min(GLANCE_SECONDS, self._heartbeat))) is not None:
                            await write_within(response, event)
                            silence = 0.0
                        elif (silence := silence + GLANCE_SECONDS) >= self._heartbeat:
                            await write_within(response, b": alive\n\n")
                            silence = 0.0
                except (ConnectionError, TimeoutError) as error:
                    failure = error
                for pump in pumps:
                    pump.cancel()
            if failure is not None:
                raise failure

    async def _connections(
        self, events: AsyncIterator[ConnectionChanged], device_id: str | None
    ) -> AsyncIterator[Event]:
        async for event in events:
            if event.hub != self._hub or device_id not in (None, event.device_id):
                continue
            try:
                identity = await self._identity(event.device_id)
            except HubError:
                continue  # deleted meanwhile
            yield _connection(identity)


class Query:
    """The query string; refuses what it cannot read."""

    def __init__(self, text: str) -> None:
        """Read it as it was sent: device ids may hold `%` and `+`, so it must be decoded once, and only once."""
        try:
            fields = parse_qs(text, max_num_fields=32)
        except ValueError:
            raise HubError(HubCode.ARGUMENT_INVALID, "The query string has too many parameters.") from None
        self._values = {name.lower(): values[-1] for name, values in fields.items()}

    @property
    def device_id(self) -> str | None:
        device_id = self._values.get("deviceid")
        if device_id is not None and not is_part(device_id):
            raise HubError(HubCode.ARGUMENT_INVALID, "deviceId cannot be the id of a device.")
        return device_id

    def number(self, name: str, *, default: int, largest: int, smallest: int = 1) -> int:
        text = self._values.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal() and len(text) < 9 and smallest <= int(text) <= largest):
            raise HubError(HubCode.ARGUMENT_INVALID, f"{name} is not a number from {smallest} to {largest}.")
        return int(text)

    def text(self, name: str) -> str | None:
        """Return a parameter as it is; None without it."""
        return self._values.get(name.lower())

    def words(self, name: str, known: AbstractSet[str]) -> frozenset[str]:
        """Return the words of a list with commas; all that are known, if there is none."""
        words = frozenset(self._values.get(name, ",".join(known)).split(","))
        if not words <= known:
            raise HubError(HubCode.ARGUMENT_INVALID, f"{name} is a list of {' and '.join(sorted(known))}.")
        return words


async def _messages(past: tuple[StoredTelemetry, ...], live: AsyncIterator[StoredTelemetry]) -> AsyncIterator[Event]:
    seen = {message.partition: message.offset for message in past}
    for message in past:
        yield _telemetry(message)
    async for message in live:
        if message.offset > seen.get(message.partition, -1):
            yield _telemetry(message)


def _telemetry(message: StoredTelemetry) -> Event:
    return "telemetry", f"{message.partition}:{message.offset}", msgspec.json.encode(telemetry_document(message))


def _connection(identity: DeviceIdentity) -> Event:
    return "connection", None, msgspec.json.encode(connection_document(identity))


async def _pump(source: AsyncIterator[Event], queue: asyncio.Queue[Event]) -> None:
    async for event in source:
        await queue.put(event)


async def _next(queue: asyncio.Queue[Event], seconds: float) -> bytes | None:
    """Return the next event, None if there is none in that time."""
    try:
        async with asyncio.timeout(seconds):
            return sse(*await queue.get())
    except TimeoutError:
        return None


def sse(name: str, identifier: str | None, data: bytes) -> bytes:
    """Write a server-sent event; the data is one line."""
    head = f"event: {name}\n" if identifier is None else f"event: {name}\nid: {identifier}\n"
    return head.encode() + b"data: " + data + b"\n\n"


async def write_within(response: web.StreamResponse, data: bytes) -> None:
    """Write to a reader that reads. Raises ConnectionError, TimeoutError."""
    async with asyncio.timeout(WRITE_SECONDS):
        await response.write(data)


def _json(document: Any) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(document),
        headers={"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store"},
    )


def refusal(error: HubError) -> web.Response:
    """Return the hub's error body (contract hub.md 22.1)."""
    tracking_id = secrets.token_hex(16)
    body = ErrorBody(
        message=f"ErrorCode:{error.code.wire_name};{error.message}",
        exception_message=f"Tracking ID:{tracking_id}",
    )
    headers: Mapping[str, str] = {
        "Content-Type": "application/json; charset=utf-8",
        "iothub-errorcode": error.code.wire_name,
    }
    if error.code is HubCode.METHOD_NOT_ALLOWED:
        headers = {**headers, "Allow": "GET, HEAD"}
    return web.Response(status=error.code.status, body=msgspec.json.encode(body), headers=headers)
