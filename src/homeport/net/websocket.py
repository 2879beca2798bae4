"""A device's WebSocket as a ByteStream: which paths and subprotocols are taken, and binary frames both ways.

Never here: the protocol inside.
"""

from collections.abc import Collection
from typing import Final
from urllib.parse import unquote

from aiohttp import WSCloseCode, WSMsgType, web

from homeport.net.sites import raw_path
from homeport.net.stream import ConnectionClosedError, Peer
from homeport.values import replace

__all__ = ["WebSocketStream", "choose_subprotocol", "is_device_websocket"]

# C, Node and Python ask for the first, C# for "/", Java for "/mqtt" (contract dps.md 4.6, 5.7), Event Hubs clients and
# the Python service SDK for the last (contract hub.md 1.2); "$" may be escaped.
_PATHS: Final = frozenset({"/$iothub/websocket", "/mqtt", "/", "/$servicebus/websocket"})

_CLOSE_SECONDS: Final = 5.0


def is_device_websocket(request: web.BaseRequest) -> bool:
    """Tell whether this is a WebSocket handshake on one of the devices' paths; the query is ignored."""
    if request.method != "GET" or request.headers.get("Upgrade", "").strip().lower() != "websocket":
        return False
    path = unquote(raw_path(request)).lower()
    return (path.rstrip("/") or "/") in _PATHS


def choose_subprotocol(request: web.BaseRequest, ours: Collection[str]) -> str | None:
    """Return the first subprotocol offered that we speak, in the client's spelling; None if there is none.

    `ours` is in lower case: the C client offers `MQTT`, the others `mqtt`, all of them `AMQPWSB10`.
    """
    offers = ",".join(request.headers.getall("Sec-WebSocket-Protocol", ()))
    for offer in map(str.strip, offers.split(",")):
        if offer.lower() in ours:
            return offer
    return None


class WebSocketStream:
    """An upgraded connection as a ByteStream; messages are only pieces of the stream."""

    def __init__(self, request: web.BaseRequest, socket: "web.WebSocketResponse[bool]", peer: Peer) -> None:
        """Take over a prepared `socket`; `peer` is that of the connection under it."""
        self._request = request
        self._socket = socket
        self._peer = replace(peer, transport="websocket")

    @staticmethod
    async def open(
        request: web.BaseRequest, peer: Peer, subprotocol: str, max_message: int
    ) -> "tuple[WebSocketStream, web.StreamResponse]":
        """Answer the handshake. Raises aiohttp's HTTPBadRequest if it is not a proper one."""
        socket: web.WebSocketResponse[bool] = web.WebSocketResponse(
            protocols=(subprotocol,), compress=False, max_msg_size=max_message, timeout=_CLOSE_SECONDS
        )
        await socket.prepare(request)
        return WebSocketStream(request, socket, peer), socket

    @property
    def peer(self) -> Peer:
        return self._peer

    @property
    def unsent(self) -> int:
        transport = self._request.transport
        return 0 if transport is None else transport.get_write_buffer_size()

    async def read(self) -> bytes:
        while not self._socket.closed:
            message = await self._socket.receive()
            if message.type is WSMsgType.BINARY:
                if message.data:
                    return bytes(message.data)
            elif message.type is WSMsgType.TEXT:
                await self._socket.close(code=WSCloseCode.UNSUPPORTED_DATA, message=b"binary messages only")
            else:
                break
        return b""

    def write(self, data: bytes) -> None:
        # aiohttp sends frames in a coroutine only; this is one whole frame, so it may stand between any two of its.
        transport = self._request.transport
        if transport is not None and not self._socket.closed and data:
            transport.write(_header(len(data)) + data)

    async def drain(self) -> None:
        await self._request.writer.drain()
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionClosedError("the WebSocket has ended")

    async def close(self) -> None:
        await self._socket.close()

    def abort(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()


def _header(size: int) -> bytes:
    """Spell the header of a final, binary, unmasked frame (RFC 6455 section 5.2)."""
    if size < 126:
        return bytes((0x82, size))
    if size < 1 << 16:
        return b"\x82\x7e" + size.to_bytes(2, "big")
    return b"\x82\x7f" + size.to_bytes(8, "big")
