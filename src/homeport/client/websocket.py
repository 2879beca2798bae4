"""WebSocket (RFC 6455) for a client that exchanges binary messages, as bytes in and out. No I/O."""

import base64
import hashlib
from dataclasses import dataclass
from typing import Final

_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MAX_HEAD: Final = 16384
_MAX_PAYLOAD: Final = 1 << 20

_CONTINUATION: Final = 0x0
_BINARY: Final = 0x2
_CLOSE: Final = 0x8
_PING: Final = 0x9
_PONG: Final = 0xA


class WebSocketError(ValueError):
    """The server does not speak WebSocket as it should."""


def upgrade_request(authority: str, path: str, subprotocol: str, nonce: bytes) -> bytes:
    """Write the request that asks for a WebSocket (RFC 6455, 4.1); `nonce` is 16 random bytes."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {authority}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {_key(nonce)}",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Protocol: {subprotocol}",
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def read_upgrade(received: bytes, subprotocol: str, nonce: bytes) -> bytes | None:
    """Judge the answer; return the bytes that came after it, None if it is not complete.

    Raises WebSocketError if the server refused.
    """
    head, end, rest = received.partition(b"\r\n\r\n")
    if not end:
        if len(received) > _MAX_HEAD:
            raise WebSocketError("the answer to the WebSocket upgrade does not end")
        return None
    status, *lines = head.decode("latin-1").split("\r\n")
    fields = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    if status.split(" ")[1:2] != ["101"]:
        raise WebSocketError(f"the server refused the WebSocket: {status[:80]!r}")
    accept = base64.b64encode(hashlib.sha1(_key(nonce).encode() + _MAGIC).digest()).decode()  # noqa: S324  # the RFC's
    if fields.get("sec-websocket-accept") != accept:
        raise WebSocketError("the server's answer is for another WebSocket upgrade")
    if fields.get("sec-websocket-protocol", "").lower() != subprotocol.lower():
        raise WebSocketError(f"the server does not offer {subprotocol} over WebSocket")
    return rest


def binary_frame(payload: bytes, mask: bytes) -> bytes:
    """Write a binary message; `mask` is 4 random bytes."""
    return _frame(_BINARY, payload, mask)


def close_frame(mask: bytes) -> bytes:
    """Write the goodbye (code 1000)."""
    return _frame(_CLOSE, (1000).to_bytes(2), mask)


@dataclass(slots=True)
class Frames:
    """Reads the server's frames."""

    buffer: bytes = b""
    closed: bool = False
    """The server has said goodbye."""

    def receive(self, data: bytes, mask: bytes) -> tuple[bytes, bytes]:
        """Return the payload that has come and what is to be answered; `mask` is 4 random bytes.

        Raises WebSocketError.
        """
        self.buffer += data
        payload, answers = bytearray(), bytearray()
        while not self.closed and (frame := self._next()) is not None:
            code, content = frame
            if code in {_BINARY, _CONTINUATION}:
                payload += content
            elif code == _PING:
                answers += _frame(_PONG, content, mask)
            elif code == _CLOSE:
                self.closed = True
            elif code != _PONG:
                raise WebSocketError("the server sent something that is not a binary message")
        return bytes(payload), bytes(answers)

    def _next(self) -> tuple[int, bytes] | None:
        data = self.buffer
        if len(data) < 2:
            return None
        if data[0] & 0x70 or data[1] & 0x80:
            raise WebSocketError("the server sent a frame that is masked or extended")
        length, start = data[1] & 0x7F, 2
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(data) < start:
                return None
            length = int.from_bytes(data[2:start])
        if length > _MAX_PAYLOAD:
            raise WebSocketError("the server sent a frame that is too large")
        if len(data) < start + length:
            return None
        self.buffer = data[start + length :]
        return data[0] & 0x0F, data[start : start + length]


def _key(nonce: bytes) -> str:
    return base64.b64encode(nonce).decode("ascii")


def _frame(code: int, payload: bytes, mask: bytes) -> bytes:
    """Write one whole, masked frame (RFC 6455, 5.2)."""
    length = len(payload)
    if length < 126:
        head = bytes([0x80 | code, 0x80 | length])
    elif length < 1 << 16:
        head = bytes([0x80 | code, 0x80 | 126]) + length.to_bytes(2)
    else:
        head = bytes([0x80 | code, 0x80 | 127]) + length.to_bytes(8)
    repeated = (mask * (length // 4 + 1))[:length]
    masked = (int.from_bytes(payload) ^ int.from_bytes(repeated)).to_bytes(length)
    return head + mask + masked
