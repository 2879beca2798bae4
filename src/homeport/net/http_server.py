"""HTTP/1.1 above our TLS: aiohttp speaks what is not plain, the site's front-ends answer, WebSockets are handed on.

Never here: what a path, a header or a body means to a service.
"""

import asyncio
import logging
from typing import Any, Final
from uuid import uuid4

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.streams import StreamReader
from msgspec import Struct

from homeport.errors import Code
from homeport.net.amqp_server import AmqpServer
from homeport.net.http_request import Request
from homeport.net.listener import Spawn
from homeport.net.mqtt_server import MqttServer
from homeport.net.plain_server import PlainConnection
from homeport.net.sites import Sites, raw_path
from homeport.net.stream import Peer
from homeport.net.tls import TlsConnection
from homeport.net.websocket import WebSocketStream, choose_subprotocol, is_device_websocket

__all__ = ["HttpLimits", "HttpServer"]

_log = logging.getLogger(__name__)

_MQTT: Final = "mqtt"
_AMQP: Final = "amqpwsb10"


class HttpLimits(Struct, frozen=True, kw_only=True):
    """What one client may ask of us; times in seconds, sizes in bytes. The body's size is up to the site."""

    head_seconds: float = 15.0
    """From a request's first byte, or the open connection, to the end of its head."""
    body_seconds: float = 30.0
    idle_seconds: float = 120.0
    """How long a connection is kept for the next request."""
    line_bytes: int = 8190
    field_bytes: int = 8190
    fields: int = 100
    websocket_message_bytes: int = 1024 * 1024


class HttpServer:
    """A Service for a listener: requests go to the front-ends of the site, devices' WebSockets to MQTT and AMQP."""

    def __init__(
        self, sites: Sites, mqtt: MqttServer, limits: HttpLimits | None = None, *, amqp: AmqpServer | None = None
    ) -> None:
        """`mqtt` and `amqp` serve this server's WebSockets only: all are told to finish together."""
        self._sites = sites
        self._inside: dict[str, MqttServer | AmqpServer] = {_MQTT: mqtt}
        if amqp is not None:
            self._inside[_AMQP] = amqp
        self._limits = limits or HttpLimits()
        self._server: web.Server | None = None
        self._plain: set[PlainConnection] = set()

    def protocol(self, spawn: Spawn) -> asyncio.Protocol:
        plain = PlainConnection(
            self._sites,
            spawn,
            self._full,
            self._plain.discard,
            head_seconds=self._limits.head_seconds,
            idle_seconds=self._limits.idle_seconds,
        )
        self._plain.add(plain)
        return plain

    def _full(self, head_seconds: float) -> asyncio.Protocol:
        if self._server is None:
            self._server = web.Server(self._answer, request_factory=self._request)  # type: ignore[arg-type]  # our subclass of request
        return _HttpConnection(self._server, self._limits, head_seconds)

    async def finish(self, grace: float) -> None:
        for plain in tuple(self._plain):
            plain.finish()
        if self._server is None:
            return
        for connection in self._server.connections:
            assert isinstance(connection, _HttpConnection)
            connection.finish()
        # Before aiohttp stops to listen: a WebSocket has a closing handshake.
        async with asyncio.TaskGroup() as group:
            for server in self._inside.values():
                group.create_task(server.finish(grace))
        await self._server.shutdown(grace)

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: "_HttpConnection",
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> Request:
        peer = protocol.peer
        site = self._sites.resolve(peer.server_name, message.headers.get("Host"), peer.local.host)
        request = Request(
            message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=site.max_body
        )
        request.site, request.peer, request.body_seconds = site, peer, self._limits.body_seconds
        return request

    async def _answer(self, request: Request) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, _HttpConnection)
        connection.head_is_here()
        if is_device_websocket(request):
            return await self._upgrade(request, connection)
        response = await self._ask_front_end(request)
        await request.discard_body(response)
        return response

    async def _ask_front_end(self, request: Request) -> web.StreamResponse:
        path = raw_path(request)
        front_end = self._sites.find_http(request.site, request.method, path)
        if front_end is None:
            return _problem(404, Code.NOT_FOUND, "There is nothing at this host and path")
        request.limit_body(self._sites.max_body(front_end))
        try:
            return await front_end.handle(request, request.peer)
        except web.HTTPRequestEntityTooLarge:
            return _problem(413, Code.TOO_LARGE, f"The body is larger than {request.client_max_size} bytes")
        except web.HTTPRequestTimeout:
            return _problem(408, Code.INVALID_REQUEST, "The body did not arrive in time", close=True)
        except (web.HTTPException, ConnectionError):
            raise  # aiohttp's way to answer, and nobody to answer
        except Exception:
            tracking_id = str(uuid4())
            _log.exception("An HTTP front-end failed; tracking id %s", tracking_id)
            return _problem(500, Code.INTERNAL, "Internal error", tracking_id=tracking_id)

    async def _upgrade(self, request: Request, connection: "_HttpConnection") -> web.StreamResponse:
        subprotocol = choose_subprotocol(request, self._inside)
        if subprotocol is None:
            wanted = "mqtt or AMQPWSB10" if _AMQP in self._inside else "mqtt"
            return _problem(400, Code.INVALID_REQUEST, f"A WebSocket here needs the subprotocol {wanted}")
        maximum = self._limits.websocket_message_bytes
        stream, response = await WebSocketStream.open(request, request.peer, subprotocol, maximum)
        connection.upgraded = True
        await self._inside[subprotocol.lower()].serve(stream, request.headers.get("Host"))
        return response


class _HttpConnection(web.RequestHandler):
    """aiohttp's protocol with a time limit for the head of a request, and half-closed clients answered."""

    __slots__ = ("_busy", "_first_head_seconds", "_head_seconds", "_head_timer", "peer", "upgraded")

    peer: Peer

    def __init__(self, server: web.Server, limits: HttpLimits, first_head_seconds: float) -> None:
        """Take over a connection whose first head must be complete in so many seconds."""
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=limits.idle_seconds,
            access_log=None,  # type: ignore[arg-type]  # None is how aiohttp is told to keep no access log
            logger=_log,
            max_line_size=limits.line_bytes,
            max_field_size=limits.field_bytes,
            max_headers=limits.fields,
            lingering_time=0,  # unread bodies are dealt with before the answer, and by the TLS layer's close
            # Content-Encoding describes a message to the hub (contract hub.md 17.1), not the transfer.
            auto_decompress=False,
        )
        self._first_head_seconds = first_head_seconds
        self._head_seconds = limits.head_seconds
        self._head_timer: asyncio.TimerHandle | None = None
        self._busy = False
        self.upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TlsConnection)
        self.peer = transport.peer
        super().connection_made(transport)
        self._await_head(self._first_head_seconds)

    async def start(self) -> None:
        """Serve the connection, unless its client left in the same moment in which it came."""
        if self.transport is not None:
            await super().start()

    def data_received(self, data: bytes) -> None:
        if not self._busy and self._head_timer is None:
            self._await_head(self._head_seconds)
        super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's contract, which aiohttp narrows to None
        super().eof_received()
        if self.upgraded or not self._unanswered():
            return False
        self.close()  # after the answer
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        self._forget_timer()
        super().connection_lost(exc)

    def finish(self) -> None:
        """Close now if idle, else after the present request; an upgraded connection is left to its protocol."""
        if not self._unanswered():
            self.force_close()
        elif not self.upgraded:
            self.close()

    def _unanswered(self) -> bool:
        # aiohttp's queue counts too: a request may have come with the very end of the input.
        return self._busy or bool(self._messages)

    def head_is_here(self) -> None:
        self._busy = True
        self._forget_timer()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._busy = False

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP; anything else is caught before it gets here."""
        if isinstance(exc, ConnectionError):
            raise exc  # the client is gone: nobody to answer, and no fault of ours
        if status >= 500:
            _log.error("HTTP failed", exc_info=exc)
        else:
            _log.debug("Not a request, from %s: %s", self.peer.remote.host, message)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer had begun")
        code = Code.INTERNAL if status >= 500 else Code.INVALID_REQUEST
        problem = "The head of the request is too large" if _is_too_large(exc) else "Not an HTTP request"
        return _problem(status, code, "Internal error" if status >= 500 else problem, close=True)

    def _await_head(self, seconds: float) -> None:
        self._head_timer = self._loop.call_later(seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        self.force_close()

    def _forget_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _is_too_large(exc: BaseException | None) -> bool:
    # aiohttp has a class for a field that is too long, and only words for too many of them.
    return isinstance(exc, LineTooLong) or (isinstance(exc, BadHttpMessage) and "Too many headers" in exc.message)


def _problem(
    status: int, code: Code, message: str, *, tracking_id: str | None = None, close: bool = False
) -> web.Response:
    body: dict[str, Any] = {
        "errorCode": int(code),
        "trackingId": tracking_id or str(uuid4()),
        "message": message,
    }
    response = web.json_response(body, status=status)
    if close:
        response.force_close()
    return response
