"""Two kinds of byte stream for MQTT and AMQP: plain TLS, and WebSocket over TLS."""

import contextlib
import secrets
import ssl
from typing import Protocol

from homeport.client._async.backend import TlsStream
from homeport.client.mqtt_topics import WEBSOCKET_PATH
from homeport.client.websocket import (
    Frames,
    WebSocketError,
    binary_frame,
    close_frame,
    read_upgrade,
    upgrade_request,
)


class Stream(Protocol):
    """Bytes both ways. All methods raise OSError; `read` returns nothing at the end of the stream."""

    async def read(self, *, seconds: float) -> bytes: ...

    async def write(self, data: bytes, *, seconds: float) -> None: ...

    async def aclose(self) -> None: ...


class WebSocketStream:
    """A protocol in the binary messages of a WebSocket (contract dps.md 4.6, 5.7)."""

    def __init__(self, stream: TlsStream) -> None:
        """Use `connect`."""
        self._stream = stream
        self._frames = Frames()
        self._early = b""

    @classmethod
    async def connect(
        cls, host: str, port: int, context: ssl.SSLContext, *, protocol: str = "mqtt", seconds: float
    ) -> "WebSocketStream":
        """Open a connection and upgrade it to `protocol` (RFC 6455 subprotocol). `seconds` holds for each step."""
        stream = await TlsStream.connect(host, port, context, seconds=seconds)
        socket = cls(stream)
        try:
            await socket._upgrade(host if port == 443 else f"{host}:{port}", protocol, seconds)  # its own
        except BaseException:
            await stream.aclose()
            raise
        return socket

    async def _upgrade(self, authority: str, protocol: str, seconds: float) -> None:
        nonce = secrets.token_bytes(16)
        await self._stream.write(upgrade_request(authority, WEBSOCKET_PATH, protocol, nonce), seconds=seconds)
        received = b""
        while True:
            data = await self._stream.read(seconds=seconds)
            received += data
            try:
                rest = read_upgrade(received, protocol, nonce)
            except WebSocketError as error:
                raise ConnectionError(str(error)) from error
            if rest is not None:
                self._early = rest
                return
            if not data:
                raise ConnectionError("the server closed the connection instead of upgrading it to WebSocket")

    async def read(self, *, seconds: float) -> bytes:
        """Return what has come in binary messages, empty at the end."""
        while not self._frames.closed:
            data, self._early = self._early or await self._stream.read(seconds=seconds), b""
            if not data:
                return b""
            try:
                payload, answers = self._frames.receive(data, secrets.token_bytes(4))
            except WebSocketError as error:
                raise ConnectionError(str(error)) from error
            if answers:
                await self._stream.write(answers, seconds=seconds)
            if payload:
                return payload
        return b""

    async def write(self, data: bytes, *, seconds: float) -> None:
        """Write one binary message."""
        await self._stream.write(binary_frame(data, secrets.token_bytes(4)), seconds=seconds)

    async def aclose(self) -> None:
        """Say goodbye and let go."""
        with contextlib.suppress(OSError):
            await self._stream.write(close_frame(secrets.token_bytes(4)), seconds=1.0)
        await self._stream.aclose()
