"""What those who watch a hub are told as it happens (`/homeport/monitor`): server-sent events (WHATWG HTML, 9.2).

Our own endpoint, beside the contract's. It reads the log, the registry and twins; nothing is written here.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, assert_never

import msgspec
from aiohttp import web

from homeport.bus import Bus
from homeport.clock import Clock
from homeport.hub.authentication import Audience, Refused, authorize_service
from homeport.hub.errors import HubCode, HubError
from homeport.hub.frontends.http_admin import Query, refusal, sse, write_within
from homeport.hub.frontends.live_documents import (
    TwinPlace,
    connection_document,
    identity_document,
    telemetry_document,
    twin_document,
    twin_place,
)
from homeport.hub.model import Device, DeviceIdentity
from homeport.hub.telemetry import TelemetryStream
from homeport.hub.watching import Changed, Kind, Missed, Place, Seen, Watch
from homeport.net.sites import raw_path
from homeport.net.stream import Peer
from homeport.security.policies import HubRight
from homeport.wire import parse_time

PATH = "/homeport/monitor"
MAX_STREAMS = 64
"""Open at one hub at the same time; the next one is throttled."""
STREAM_LIFE = timedelta(hours=1)
"""A stream proves itself once, so it ends like a token does; its reader comes back with a new one and `after`."""
HEARTBEAT_SECONDS = 15.0
GLANCE_SECONDS = 1.0
"""How soon a reader that closed its connection is noticed."""
SECOND_LOOK_SECONDS = 0.5
"""A device that provisioning makes is announced before its transaction ends: it counts as deleted only after this."""
TELEMETRY = "telemetry"

_QUEUED = 16
_MAX_TWINS = 4096
"""Twins of which a stream remembers what it told last; of others only the last change is known."""

_MAX_DOUBTFUL = 1024

_Doubtful = asyncio.Queue[tuple[float, str]]

_log = logging.getLogger(__name__)


class MonitorFrontEnd:
    """Answers `/homeport/monitor` for one hub, to policies with ServiceConnect."""

    def __init__(
        self,
        *,
        hub: str,
        audience: Callable[[], Audience],
        telemetry: TelemetryStream,
        identity: Callable[[str], Awaitable[DeviceIdentity]],
        twin: Callable[[str], Awaitable[Device]],
        bus: Bus,
        clock: Clock,
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        """Read what this hub has; `identity` and `twin` are the `get` of registry and twins."""
        self._hub = hub
        self._audience = audience
        self._telemetry = telemetry
        self._identity = identity
        self._twin = twin
        self._bus = bus
        self._clock = clock
        self._heartbeat = heartbeat
        self._streams = 0

    def owns(self, method: str, path: str) -> bool:
        del method
        return path.rstrip("/") == PATH

    async def handle(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        del peer
        try:
            self._admit(request)
            query = Query(request.raw_path.partition("?")[2])
            kinds = query.words("events", {TELEMETRY, *Kind})
            begin = _begin(query)
            device_id = query.device_id
            if device_id is not None:
                await self._identity(device_id)
        except HubError as error:
            return refusal(error)
        watch = Watch(
            hub=self._hub,
            log=self._telemetry.log,
            bus=self._bus,
            kinds=frozenset(Kind(kind) for kind in kinds - {TELEMETRY}),
            telemetry=TELEMETRY in kinds,
            device_id=device_id,
        )
        return await self._answer(request, watch, begin, telemetry=TELEMETRY in kinds)

    def _admit(self, request: web.BaseRequest) -> None:
        verdict = authorize_service(
            self._audience(),
            request.headers.get("Authorization"),
            [part for part in raw_path(request).split("/") if part],
            {HubRight.SERVICE_CONNECT},
            self._clock.now(),
        )
        if isinstance(verdict, Refused):
            _log.info("hub %s: monitoring was refused: %s", self._hub, verdict.explanation)
            raise HubError(HubCode.UNAUTHORIZED_ACCESS, "The token does not permit to watch this hub.")
        if request.method not in {"GET", "HEAD"}:
            raise HubError(HubCode.METHOD_NOT_ALLOWED, "Only GET is offered here.")
        if self._streams >= MAX_STREAMS:
            raise HubError(HubCode.THROTTLED, f"{MAX_STREAMS} live streams are open already.")

    async def _answer(
        self, request: web.BaseRequest, watch: Watch, begin: Place | datetime | None, *, telemetry: bool
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        self._streams += 1
        try:
            await response.prepare(request)
            if request.method == "GET":
                await self._follow(request, response, watch, begin, telemetry=telemetry)
        except (ConnectionError, TimeoutError):
            # The reader left, or reads too slowly to be worth waiting for; where it was is in the last id it has.
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._streams -= 1
        return response

    async def _follow(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        watch: Watch,
        begin: Place | datetime | None,
        *,
        telemetry: bool,
    ) -> None:
        """Write events until the reader leaves or the stream's life is over. Raises ConnectionError, TimeoutError."""
        end = self._clock.now() + STREAM_LIFE
        queue: asyncio.Queue[bytes] = asyncio.Queue(_QUEUED)
        listening = asyncio.Event()
        failure: BaseException | None = None
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(watch.gather(listening))]
            await listening.wait()
            doubtful = _Doubtful(_MAX_DOUBTFUL)
            running.append(tasks.create_task(_pump(self._changes(watch, doubtful), queue)))
            running.append(tasks.create_task(_pump(self._second_looks(doubtful), queue)))
            if telemetry:
                running.append(tasks.create_task(_pump(_messages(watch, begin), queue)))
            try:
                await write_within(response, b": open\n\n")
                silence = 0.0
                while self._clock.now() < end and request.transport is not None:
                    data = await _next(queue, min(GLANCE_SECONDS, self._heartbeat))
                    if data is None and (silence := silence + GLANCE_SECONDS) >= self._heartbeat:
                        data = b": alive\n\n"
                    if data is not None:
                        await write_within(response, data)
                        silence = 0.0
            except (ConnectionError, TimeoutError) as error:
                failure = error
            for task in running:
                task.cancel()
        if failure is not None:
            raise failure

    async def _changes(self, watch: Watch, doubtful: "_Doubtful") -> AsyncIterator[bytes]:
        told: OrderedDict[str, TwinPlace] = OrderedDict()
        async for change in watch.changes():
            if isinstance(change, Missed):
                yield _missed(change, "changes")
                continue
            try:
                data = await self._change(change, told)
            except HubError:
                # Gone, which is told as a change of the device; or made so lately that it is not to be seen yet.
                if change.kind is Kind.DEVICE:
                    due = asyncio.get_running_loop().time() + SECOND_LOOK_SECONDS
                    await doubtful.put((due, change.device_id))
                continue
            yield data

    async def _second_looks(self, doubtful: "_Doubtful") -> AsyncIterator[bytes]:
        """Yield what became of identities that were not there when the bus spoke of them."""
        while True:
            due, device_id = await doubtful.get()
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            try:
                identity = await self._identity(device_id)
            except HubError:
                identity = None
            yield self._event(Kind.DEVICE, identity_document(device_id, identity))

    async def _change(self, change: Changed, told: OrderedDict[str, TwinPlace]) -> bytes:
        device_id = change.device_id
        match change.kind:
            case Kind.CONNECTION:
                document = connection_document(await self._identity(device_id))
            case Kind.TWIN:
                device = await self._twin(device_id)
                document = twin_document(device, told.pop(device_id, None))
                told[device_id] = twin_place(device)
                if len(told) > _MAX_TWINS:
                    told.popitem(last=False)
            case Kind.DEVICE:
                document = identity_document(device_id, await self._identity(device_id))
            case _:
                assert_never(change.kind)
        return self._event(change.kind, document)

    def _event(self, kind: Kind, document: dict[str, Any]) -> bytes:
        at = {"time": self._clock.now().isoformat()}
        return sse(kind.value, None, msgspec.json.encode(at | document))


def _begin(query: Query) -> Place | datetime | None:
    since, after = query.text("since"), query.text("after")
    try:
        if after is not None:
            return Place.parse(after)
        return None if since is None else parse_time(since)
    except ValueError:
        raise HubError(
            HubCode.ARGUMENT_INVALID, "since is a time like 2026-01-31T12:00:00Z, after the id of an event."
        ) from None


async def _messages(watch: Watch, begin: Place | datetime | None) -> AsyncIterator[bytes]:
    async for seen in watch.messages(begin):
        match seen:
            case Place():
                # Whoever hears nothing more before the connection breaks comes back to here.
                yield sse("place", str(seen), b"{}")
            case Missed():
                yield _missed(seen, TELEMETRY)
            case Seen():
                yield sse(TELEMETRY, str(seen.place), msgspec.json.encode(telemetry_document(seen.message)))


def _missed(missed: Missed, what: str) -> bytes:
    return sse("missed", None, msgspec.json.encode({"count": missed.count, "what": what}))


async def _pump(source: AsyncIterator[bytes], queue: asyncio.Queue[bytes]) -> None:
    async for data in source:
        await queue.put(data)


async def _next(queue: asyncio.Queue[bytes], seconds: float) -> bytes | None:
    """Return the next event, None if there is none in that time."""
    try:
        async with asyncio.timeout(seconds):
            return await queue.get()
    except TimeoutError:
        return None
