"""Live events for administrators (`/homeport/events`): the journal as server-sent events (WHATWG HTML, section 9.2).

A stream reads from the journal, so a reader that left and comes back with Last-Event-ID misses nothing, and a slow
one holds no memory here.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

import msgspec
from aiohttp import web

from homeport.clock import Clock
from homeport.dps.events import cloud_event
from homeport.dps.frontends.authorization import Authorization
from homeport.dps.frontends.http import Target, respond, split_path
from homeport.dps.identifiers import Random, new_guid
from homeport.dps.journal import Journal
from homeport.dps.model import TYPE_PREFIX, Filter
from homeport.dps.reply import failure
from homeport.errors import Code, HomeportError
from homeport.net.stream import Peer
from homeport.security.policies import DpsRight

MAX_STREAMS = 64
"""Open at the same time; the next one is throttled."""
STREAM_LIFE = timedelta(hours=1)
"""A stream proves itself once, so it ends like a token does; its reader comes back with a new one."""
HEARTBEAT_SECONDS = 15.0
GLANCE_SECONDS = 1.0
"""How soon another process's events, or a reader that closed its connection, are noticed."""
WRITE_SECONDS = 30.0
"""How long a reader may not read before it is dropped."""
_READ = 128
_NUMBER = 18
_MAX_REPLAYED = 10_000
_RETRY_AFTER = 10


class EventsFrontEnd:
    """Answers `/homeport/events`, to callers with RegistrationStatusRead and EnrollmentRead."""

    def __init__(
        self,
        journal: Journal,
        authorization: Authorization,
        *,
        source: str,
        clock: Clock,
        random: Random,
        heartbeat: float = HEARTBEAT_SECONDS,
        max_streams: int = MAX_STREAMS,
    ) -> None:
        self._journal = journal
        self._authorization = authorization
        self._source = source
        self._clock = clock
        self._random = random
        self._heartbeat = heartbeat
        self._max_streams = max_streams
        self._streams = 0

    def owns(self, method: str, path: str) -> bool:
        del method
        return [segment.lower() for segment in split_path(path)] == ["homeport", "events"]

    async def handle(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        tracking_id = new_guid(self._random)
        try:
            await self._admit(request, peer, tracking_id)
            parameters = Target.of(request.raw_path).parameters
            begin, wanted = await self._begin(request, parameters), _filter(parameters)
        except HomeportError as error:
            return respond(failure(error, tracking_id, self._clock), request)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        self._streams += 1
        try:
            await response.prepare(request)
            if request.method == "GET":
                await self._follow(request, response, begin, wanted)
        except (ConnectionError, TimeoutError):
            # The reader left, or reads too slowly; where it was is in the last id it has.
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._streams -= 1
        return response

    async def _admit(self, request: web.BaseRequest, peer: Peer, tracking_id: str) -> None:
        asked = await self._authorization.ask(request, peer, tracking_id)
        if request.method not in {"GET", "HEAD"}:
            raise HomeportError(Code.METHOD_NOT_ALLOWED, "Only GET is offered here.")
        asked.demand(DpsRight.REGISTRATION_STATUS_READ)
        asked.demand(DpsRight.ENROLLMENT_READ)
        if self._streams >= self._max_streams:
            raise HomeportError(
                Code.THROTTLED, f"{self._max_streams} live streams are open already.", retry_after=_RETRY_AFTER
            )

    async def _begin(self, request: web.BaseRequest, parameters: Mapping[str, str]) -> int:
        """Return behind which entry the stream begins: Last-Event-ID, `after`, `replay`, or now."""
        after = request.headers.get("Last-Event-ID", "").strip() or parameters.get("after", "")
        if after:
            return _number(after, "Last-Event-ID or after")
        last = (await self._journal.head()).head.seq
        replay = parameters.get("replay", "")
        return max(0, last - min(_number(replay, "replay"), _MAX_REPLAYED)) if replay else last

    async def _follow(self, request: web.BaseRequest, response: web.StreamResponse, begin: int, wanted: Filter) -> None:
        """Write events until the reader leaves or the stream's life is over. Raises ConnectionError, TimeoutError."""
        end = self._clock.now() + STREAM_LIFE
        loop = asyncio.get_running_loop()
        grown = asyncio.Event()
        stop_listening = self._journal.on_growth(grown.set)
        try:
            await _write(response, b": open\n\n")
            spoken, seq = loop.time(), begin
            while self._clock.now() < end and request.transport is not None and not request.transport.is_closing():
                grown.clear()
                entries = await self._journal.read(after=seq, limit=_READ)
                chosen = [recorded for recorded in entries if wanted.wants(recorded)]
                seq = entries[-1].seq if entries else seq
                if chosen:
                    told = [(each.kind, each.seq, cloud_event(each, self._source)) for each in chosen]
                    await _write(response, b"".join(_event(*each) for each in told))
                    spoken = loop.time()
                elif loop.time() - spoken >= self._heartbeat:
                    # With the place reached, so that events that were passed over are not read again.
                    await _write(response, f"id: {seq}\n: alive\n\n".encode())
                    spoken = loop.time()
                if len(entries) < _READ:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(min(GLANCE_SECONDS, self._heartbeat)):
                            await grown.wait()
                    await self._journal.catch_up()
            await _write(response, b'event: end\ndata: {"reason":"the stream is an hour old"}\n\n')
        finally:
            stop_listening()


def _filter(parameters: Mapping[str, str]) -> Filter:
    types = [text for text in parameters.get("types", "").split(",") if text]
    named = tuple(text if text.startswith((TYPE_PREFIX, "*")) else TYPE_PREFIX + text for text in types)
    return Filter(types=named, subject_prefix=parameters.get("subject", ""))


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _NUMBER):
        raise HomeportError(Code.INVALID_REQUEST, f"{name} is not a whole number from 0 up.")
    return int(text)


def _event(kind: str, seq: int, event: Mapping[str, object]) -> bytes:
    return f"id: {seq}\nevent: {TYPE_PREFIX}{kind}\ndata: ".encode() + msgspec.json.encode(event) + b"\n\n"


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(WRITE_SECONDS):
        await response.write(data)
