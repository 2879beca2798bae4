"""Live telemetry and connection states: relays a hub's stream to a browser as server-sent events, bounded both ways."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import Any, cast

import msgspec
from aiohttp import web

from homeport.client import ClientError, ConnectionChange, MonitorEvent, TelemetryMessage, TransportError
from homeport.portal.context import PORTAL, Portal, StreamHandle, portal, session
from homeport.portal.hub_pages import served_hub
from homeport.portal.rendering import compact, iso, visible
from homeport.portal.sessions import Session

routes = web.RouteTableDef()

REPLAYED = 50
"""Past messages a page starts with."""
MAX_BODY = 8192
"""Characters of a message that are shown."""
MAX_PROPERTIES = 64
MAX_STREAMS = 32
STREAM_LIFE = timedelta(hours=1)
"""Then the browser comes back by itself, and the service is asked again who it belongs to (docs/adr/0010)."""
HEARTBEAT = 15.0
GLANCE = 1.0
"""Seconds between two looks whether browser and session are still there."""
WRITE_SECONDS = 30.0
_QUEUED = 64

_log = logging.getLogger(__name__)


def message_document(message: TelemetryMessage) -> dict[str, Any]:
    """Return a message as pages and scripts show it: texts only, made visible, cut to size."""
    body = compact(message.body, MAX_BODY) if message.body_encoding == "json" else visible(message.body, MAX_BODY)
    return {
        "id": f"{message.partition}:{message.offset}",
        "at": iso(message.enqueued_time),
        "partition": message.partition,
        "offset": message.offset,
        "size": message.size,
        "encoding": message.body_encoding,
        "body": body,
        "system": _texts(message.system_properties),
        "properties": _texts(message.properties),
    }


def _texts(properties: dict[str, str | None]) -> dict[str, str]:
    first = list(properties.items())[:MAX_PROPERTIES]
    return {visible(name, 128): "(no value)" if value is None else visible(value) for name, value in first}


@routes.get("/live/{hub}/{device}")
async def device(request: web.Request) -> web.StreamResponse:
    """Stream one device: `telemetry` and `connection` events."""
    return await _relay(request, request.match_info["device"])


@routes.get("/live/{hub}")
async def hub(request: web.Request) -> web.StreamResponse:
    """Stream the connection changes of a hub's devices."""
    return await _relay(request, None)


async def end_streams(application: web.Application) -> None:
    """End every live stream, so that the portal can stop."""
    for stream in tuple(application[PORTAL].streams):
        stream.end()


async def _relay(request: web.Request, device_id: str | None) -> web.StreamResponse:
    here, signed_in = portal(request), session(request)
    try:
        _, client = await served_hub(request)
    except TransportError as error:
        # Told on the stream: a browser does not come back by itself for what is refused.
        events = _broken(error)
    else:
        if device_id is None:
            events = client.monitor(kinds=["connection"])
        else:
            events = client.monitor(kinds=["connection", "telemetry"], device_id=device_id, replay=REPLAYED)
    if len(here.streams) >= MAX_STREAMS:
        raise web.HTTPTooManyRequests(text="Too many pages watch live. Close some.")
    stream = StreamHandle()
    here.streams.add(stream)
    try:
        async with aclosing(cast("AsyncGenerator[MonitorEvent, None]", events)):
            return await _stream(request, here, signed_in, events, stream)
    finally:
        here.streams.discard(stream)


async def _broken(error: TransportError) -> AsyncIterator[MonitorEvent]:
    nothing: tuple[MonitorEvent, ...] = ()
    for event in nothing:
        yield event
    raise error


async def _stream(
    request: web.Request, here: Portal, signed_in: Session, events: AsyncIterator[MonitorEvent], stream: StreamHandle
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    end = here.clock.now() + STREAM_LIFE
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUED)
    try:
        await response.prepare(request)
        await _write(response, b"retry: 3000\n\n")
        async with asyncio.TaskGroup() as tasks:
            pump = tasks.create_task(_pump(events, queue))
            ending = tasks.create_task(_announce(stream, queue))
            try:
                silence = 0.0
                while request.transport is not None and (now := here.clock.now()) < end:
                    if not here.sessions.is_open(signed_in, now):
                        break
                    try:
                        data = await _next(queue)
                    except TimeoutError:
                        if (silence := silence + GLANCE) < HEARTBEAT:
                            continue
                        data = b": alive\n\n"
                    if data is None:
                        break
                    await _write(response, data)
                    silence = 0.0
            except (ConnectionError, TimeoutError):
                pass  # the browser left, or does not read
            pump.cancel()
            ending.cancel()
    except ConnectionError:
        pass
    return response


async def _pump(events: AsyncIterator[MonitorEvent], queue: asyncio.Queue[bytes | None]) -> None:
    try:
        async for event in events:
            if (data := _event(event)) is not None:
                await queue.put(data)
    except ClientError as error:
        # The browser learns that it sees nothing new, and comes back by itself.
        await queue.put(_data("trouble", {"message": visible(error, 200)}))
    except Exception:
        # The answer has begun: no error page can be made of it any more.
        _log.exception("portal: a live stream failed")
        await queue.put(_data("trouble", {"message": "A fault of the portal; its log has the details."}))
    await queue.put(None)


async def _announce(stream: StreamHandle, queue: asyncio.Queue[bytes | None]) -> None:
    await stream.ended.wait()
    await queue.put(None)


async def _next(queue: asyncio.Queue[bytes | None]) -> bytes | None:
    """Return the next data, None at the end. Raises TimeoutError if there is nothing in a while."""
    async with asyncio.timeout(GLANCE):
        return await queue.get()


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(WRITE_SECONDS):
        await response.write(data)


def _event(event: MonitorEvent) -> bytes | None:
    """Return what pages show; None for what they do not."""
    match event:
        case ConnectionChange():
            document = {
                "device": visible(event.device_id),
                "state": "Connected" if event.connection_state == "Connected" else "Disconnected",
                "active": iso(event.last_activity_time),
            }
            return _data("connection", document)
        case TelemetryMessage():
            return _data("telemetry", message_document(event))
        case _:
            return None


def _data(name: str, document: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: ".encode() + msgspec.json.encode(document) + b"\n\n"
