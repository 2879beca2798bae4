"""A provisioning service on a stream, plain or in a WebSocket, that follows a script of answers."""

import base64
import hashlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to one request: status, retry-after, body; status 0 hangs up."""

    status: int
    body: Any = None
    retry_after: int | None = None


class WebSocketEnd:
    """The server's end of a WebSocket over a TLS socket, as recv and sendall."""

    def __init__(self, connection: ssl.SSLSocket, protocol: str) -> None:
        self._connection = connection
        self._buffer = b""
        head = b""
        while b"\r\n\r\n" not in head:
            data = connection.recv(4096)
            if not data:
                raise ConnectionError
            head += data
        text = head.decode()
        self.path = text.split(" ")[1]
        key = re.search(r"Sec-WebSocket-Key: (\S+)", text)
        assert key is not None
        assert f"Sec-WebSocket-Protocol: {protocol}\r\n" in text
        magic = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key[1].encode() + magic).digest()).decode()
        connection.sendall(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n".encode()
        )

    def recv(self, _: int) -> bytes:
        while True:
            opcode, payload = self._frame()
            if opcode == 2:
                return payload
            if opcode == 8:
                return b""

    def _frame(self) -> tuple[int, bytes]:
        first, second = self._exactly(2)
        assert second & 0x80, "a client must mask"
        length = second & 0x7F
        if length == 126:
            length = struct.unpack(">H", self._exactly(2))[0]
        mask = self._exactly(4)
        return first & 0x0F, bytes(byte ^ mask[i % 4] for i, byte in enumerate(self._exactly(length)))

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            data = self._connection.recv(4096)
            if not data:
                raise ConnectionError
            self._buffer += data
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def sendall(self, data: bytes) -> None:
        # A ping before, and the message in two fragments: all of it is legal.
        first, rest = data[:2], data[2:]
        self._connection.sendall(b"\x89\x02hi")
        self._connection.sendall(bytes([0x02, len(first)]) + first)
        self._connection.sendall(b"\x80" + bytes([126]) + struct.pack(">H", len(rest)) + rest)


Stream = ssl.SSLSocket | WebSocketEnd


class ScriptedStreamService:
    """Serves on a free port of `localhost`, one connection after another; replies in order to whatever is asked."""

    protocol: str
    """The WebSocket's subprotocol."""

    def __init__(self, replies: Sequence[Reply], context: ssl.SSLContext, *, websocket: bool = False) -> None:
        self._replies = list(replies)
        self._context = context
        self._websocket = websocket
        self.paths: list[str] = []
        self.common_names: list[str | None] = []
        self.goodbyes = 0
        self.complaints: list[BaseException] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def converse(self, stream: Stream) -> None:
        """Talk with one client to the end."""
        raise NotImplementedError

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=10)
        if kind is None:
            assert self.complaints == []
            assert self._replies == [], "the client stopped before the script's end"

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            plain.settimeout(10)
            try:
                with self._context.wrap_socket(plain, server_side=True) as connection:
                    self._talk(connection)
            except OSError:
                continue
            except Exception as error:
                self.complaints.append(error)

    def _talk(self, connection: ssl.SSLSocket) -> None:
        certificate: Any = connection.getpeercert() or {}
        names = dict(pair[0] for pair in certificate.get("subject", ()))
        self.common_names.append(names.get("commonName"))
        stream: Stream = connection
        if self._websocket:
            stream = WebSocketEnd(connection, self.protocol)
            self.paths.append(stream.path)
        self.converse(stream)
