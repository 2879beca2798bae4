"""The stream of what happens at a hub: server-sent events (WHATWG HTML, 9.2) of one watch, to one reader."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, assert_never

import msgspec
from aiohttp import web

from homeport.clock import Clock
from homeport.hub.errors import HubError
from homeport.hub.frontends.live_documents import (
    TwinPlace,
    connection_document,
    identity_document,
    telemetry_document,
    twin_document,
    twin_place,
)
from homeport.hub.model import Device, DeviceIdentity
from homeport.hub.watching import Begin, Changed, Kind, Missed, Place, Seen, Watch

STREAM_LIFE = timedelta(hours=1)
"""A stream proves itself once, so it ends like a token does; its reader comes back with a new one and `after`."""
HEARTBEAT_SECONDS = 15.0
"""How soon a reader that left without a word is noticed."""
GLANCE_SECONDS = 1.0
"""How soon one that closed its connection is."""
WRITE_SECONDS = 30.0
SECOND_LOOK_SECONDS = 0.5
"""A device that provisioning makes is announced before its transaction ends: it counts as deleted only after this."""

_QUEUED = 16
_MAX_TWINS = 4096
"""Twins of which a stream remembers what it told last; of others only the last change is known."""

_MAX_DOUBTFUL = 1024

_Doubtful = asyncio.Queue[tuple[float, str]]


class MonitorStream:
    """Tells one reader what a watch sees, as it is when it is told."""

    def __init__(
        self,
        watch: Watch,
        *,
        identity: Callable[[str], Awaitable[DeviceIdentity]],
        twin: Callable[[str], Awaitable[Device]],
        clock: Clock,
        heartbeat: float,
    ) -> None:
        """`identity` and `twin` are the `get` of registry and twins; the reader hears something each `heartbeat`."""
        self._watch = watch
        self._identity = identity
        self._twin = twin
        self._clock = clock
        self._heartbeat = heartbeat

    async def answer(self, request: web.BaseRequest, begin: Begin | None) -> web.StreamResponse:
        """Answer until the reader leaves or the stream's life is over; no messages are told without `begin`."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        try:
            await response.prepare(request)
            if request.method == "GET":
                await self._follow(request, response, begin)
        except (ConnectionError, TimeoutError):
            # The reader left, or reads too slowly to be worth waiting for; where it was is in the last id it has.
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _follow(self, request: web.BaseRequest, response: web.StreamResponse, begin: Begin | None) -> None:
        """Write events until the reader leaves or the stream's life is over. Raises ConnectionError, TimeoutError."""
        end = self._clock.now() + STREAM_LIFE
        queue: asyncio.Queue[bytes] = asyncio.Queue(_QUEUED)
        listening = asyncio.Event()
        failure: BaseException | None = None
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._watch.gather(listening))]
            await listening.wait()
            doubtful = _Doubtful(_MAX_DOUBTFUL)
            running.append(tasks.create_task(_pump(self._changes(doubtful), queue)))
            running.append(tasks.create_task(_pump(self._second_looks(doubtful), queue)))
            if begin is not None:
                running.append(tasks.create_task(_pump(_messages(self._watch, begin), queue)))
            try:
                await _write(response, b": open\n\n")
                silence = 0.0
                while self._clock.now() < end and request.transport is not None:
                    data = await _next(queue, min(GLANCE_SECONDS, self._heartbeat))
                    if data is None and (silence := silence + GLANCE_SECONDS) >= self._heartbeat:
                        data = b": alive\n\n"
                    if data is not None:
                        await _write(response, data)
                        silence = 0.0
            except (ConnectionError, TimeoutError) as error:
                failure = error
            for task in running:
                task.cancel()
        if failure is not None:
            raise failure

    async def _changes(self, doubtful: _Doubtful) -> AsyncIterator[bytes]:
        told: OrderedDict[str, TwinPlace] = OrderedDict()
        async for change in self._watch.changes():
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

    async def _second_looks(self, doubtful: _Doubtful) -> AsyncIterator[bytes]:
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
        return _sse(kind.value, None, msgspec.json.encode(at | document))


async def _messages(watch: Watch, begin: Begin) -> AsyncIterator[bytes]:
    async for seen in watch.messages(begin):
        match seen:
            case Place():
                # Whoever hears nothing more before the connection breaks comes back to here.
                yield _sse("place", str(seen), b"{}")
            case Missed():
                yield _missed(seen, "telemetry")
            case Seen():
                place = None if seen.place is None else str(seen.place)
                yield _sse("telemetry", place, msgspec.json.encode(telemetry_document(seen.message)))


def _missed(missed: Missed, what: str) -> bytes:
    return _sse("missed", None, msgspec.json.encode({"count": missed.count, "what": what}))


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


def _sse(name: str, identifier: str | None, data: bytes) -> bytes:
    """Write a server-sent event; the data is one line."""
    head = f"event: {name}\n" if identifier is None else f"event: {name}\nid: {identifier}\n"
    return head.encode() + b"data: " + data + b"\n\n"


async def _write(response: web.StreamResponse, data: bytes) -> None:
    """Write to a reader that reads. Raises ConnectionError, TimeoutError."""
    async with asyncio.timeout(WRITE_SECONDS):
        await response.write(data)
