"""MQTT over WebSocket, with a client that cannot frame or does not want to."""

import base64
import contextlib
import os
import ssl
from typing import Self

import pytest

from homeport.proto.mqtt import Connect, PingReq, PingResp, decode, encode
from tests.hostile.devices import ACCEPTED
from tests.hostile.target import SECONDS, Target, read_answer

PATH = "/$iothub/websocket"
MASK = b"\x01\x02\x03\x04"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MEGABYTE = 1024 * 1024


def handshake(target: Target, path: str = PATH, fields: dict[str, str | None] | None = None) -> bytes:
    """Write an upgrade request; a field of None is left out."""
    wanted: dict[str, str | None] = {
        "Host": target.host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "mqtt",
    }
    wanted |= fields or {}
    lines = "".join(f"{name}: {value}\r\n" for name, value in wanted.items() if value is not None)
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()


def frame(code: int, payload: bytes = b"", *, final: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    """Write a frame (RFC 6455, 5.2), with whatever bits are asked for."""
    first, mask = code | reserved | (0x80 if final else 0), 0x80 if masked else 0
    if len(payload) < 126:
        head = bytes([first, mask | len(payload)])
    elif len(payload) < 1 << 16:
        head = bytes([first, mask | 126]) + len(payload).to_bytes(2)
    else:
        head = bytes([first, mask | 127]) + len(payload).to_bytes(8)
    if not masked:
        return head + payload
    return head + MASK + bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))


class Socket:
    """An upgraded connection."""

    def __init__(self, target: Target, protocol: str = "mqtt") -> None:
        self.connection: ssl.SSLSocket = target.connect()
        self.connection.sendall(handshake(target, fields={"Sec-WebSocket-Protocol": protocol}))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.connection.recv(1)
        assert head.startswith(b"HTTP/1.1 101 "), head

    def send(self, *frames: bytes) -> None:
        with contextlib.suppress(OSError):
            for each in frames:
                self.connection.sendall(each)

    def frame(self) -> tuple[int, bytes] | None:
        """Return the next frame's code and payload, None at the end of the connection. Raises TimeoutError."""
        head = self._exactly(2)
        if head is None:
            return None
        length = head[1] & 0x7F
        if length >= 126:
            extended = self._exactly(2 if length == 126 else 8)
            assert extended is not None
            length = int.from_bytes(extended)
        payload = self._exactly(length)
        assert payload is not None
        return head[0] & 0x0F, payload

    def close_code(self) -> int | None:
        """Return the code with which the server closes; None if it just ends the connection."""
        while (got := self.frame()) is not None:
            if got[0] == CLOSE:
                return int.from_bytes(got[1][:2])
        return None

    def _exactly(self, size: int) -> bytes | None:
        data = b""
        self.connection.settimeout(SECONDS)
        while len(data) < size:
            try:
                received = self.connection.recv(size - len(data))
            except TimeoutError:
                raise
            except OSError:
                received = b""
            if not received:
                return None
            data += received
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def connect(target: Target) -> bytes:
    return encode(Connect(client_id="ws", user_name=f"{target.id_scope}/registrations/ws/api-version=2021-06-01"))


def test_a_byte_a_frame(target: Target) -> None:
    """Messages are only pieces of a stream: this is odd, and allowed."""
    with Socket(target) as socket:
        socket.send(*(frame(BINARY, bytes([byte])) for byte in connect(target) + encode(PingReq())))
        heard = b""
        while len(heard) < 6:
            got = socket.frame()
            assert got is not None
            heard += got[1]
        assert [decode(heard[:4]), decode(heard[4:])] == [ACCEPTED, PingResp()]


@pytest.mark.parametrize("protocols", [None, "", "soap", "AMQPWSB11", "mqttv3.1", "m q t t", ",,,,", "x," * 3000 + "y"])
def test_other_subprotocols(target: Target, protocols: str | None) -> None:
    answer = target.ask_raw(handshake(target, fields={"Sec-WebSocket-Protocol": protocols}))
    target.assert_refused(answer, 400)


@pytest.mark.parametrize(
    "fields",
    [
        {"Sec-WebSocket-Key": None},
        {"Sec-WebSocket-Key": ""},
        {"Sec-WebSocket-Key": "not Base64"},
        {"Sec-WebSocket-Key": base64.b64encode(bytes(4000)).decode()},
        {"Sec-WebSocket-Version": None},
        {"Sec-WebSocket-Version": "12"},
        {"Sec-WebSocket-Version": "9" * 500},
        {"Connection": None},
        {"Connection": "close"},
    ],
    ids=str,
)
def test_handshakes_that_are_none(target: Target, fields: dict[str, str | None]) -> None:
    answer = target.ask_raw(handshake(target, fields=fields))
    assert answer is not None
    target.assert_clear(answer)
    assert answer.status in {400, 426}


def test_extensions_are_not_taken(target: Target) -> None:
    with target.connect() as connection:
        connection.sendall(
            handshake(target, fields={"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits=15"})
        )
        answer = connection.recv(4096).lower()
    assert answer.startswith(b"http/1.1 101 ")
    assert b"extensions" not in answer


@pytest.mark.parametrize("path", ["/elsewhere", "/$iothub/websocket/../../enrollments", "/$iothub", "/enrollments/x"])
def test_other_paths(target: Target, path: str) -> None:
    target.assert_refused(target.ask_raw(handshake(target, path)), 400, 401, 404)


UNDONE = {
    "text": (frame(TEXT, b"hello"), 1003),
    "text that is no UTF-8": (frame(TEXT, b"\xff\xfe"), 1007),
    "not masked": (frame(BINARY, b"hello", masked=False), 1002),
    "reserved bits": (frame(BINARY, b"hello", reserved=0x40), 1002),
    "reserved code": (frame(3, b"hello"), 1002),
    "reserved control code": (frame(0xB, b""), 1002),
    "continuation of nothing": (frame(CONTINUATION, b"hello"), 1002),
    "a message inside a message": (frame(BINARY, b"a", final=False) + frame(BINARY, b"b"), 1002),
    "a ping in pieces": (frame(PING, b"a", final=False), 1002),
    "a ping too long": (frame(PING, bytes(126)), 1002),
    "close with one byte": (frame(CLOSE, b"\x03"), 1002),
    "close with a reserved code": (frame(CLOSE, (1005).to_bytes(2)), 1002),
    "close with a reason that is no UTF-8": (frame(CLOSE, (1000).to_bytes(2) + b"\xff"), 1007),
    "a frame of 2^63 bytes": (b"\x82\xff" + (1 << 63).to_bytes(8) + MASK, 1009),
    "a frame of a gigabyte": (b"\x82\xff" + (1 << 30).to_bytes(8) + MASK + bytes(2 * MEGABYTE), 1009),
    "a message of two megabytes": (frame(BINARY, bytes(2 * MEGABYTE)), 1009),
}


@pytest.mark.parametrize(("data", "code"), UNDONE.values(), ids=UNDONE)
def test_frames_that_are_none(target: Target, data: bytes, code: int) -> None:
    """The code is the RFC's where the server comes to say it; the end of the connection is what counts."""
    with Socket(target) as socket:
        socket.send(frame(BINARY, connect(target)))
        socket.send(data)
        assert socket.close_code() in {code, 1000, 1002, None}


def test_a_message_in_pieces_without_end(target: Target) -> None:
    before = target.resident_mb()
    with Socket(target) as socket:
        socket.connection.settimeout(SECONDS)
        sent = 0
        piece = frame(CONTINUATION, bytes(32 * 1024), final=False)
        with contextlib.suppress(OSError):
            socket.connection.sendall(frame(BINARY, b"", final=False))
            while sent < 64 * MEGABYTE:
                socket.connection.sendall(piece)
                sent += len(piece)
        assert sent < 64 * MEGABYTE
    assert target.resident_mb() - before < 50


def test_empty_pieces_without_end(target: Target) -> None:
    """They add nothing to any size; the connection's patience for a CONNECT is what ends them."""
    before = target.resident_mb()
    with Socket(target) as socket:
        socket.send(frame(BINARY, b"", final=False), frame(CONTINUATION, b"", final=False) * 100_000)
        socket.send(frame(BINARY, b"") * 100_000)
    assert target.resident_mb() - before < 50
    target.register_a_normal_device()


def test_pings_without_end(target: Target) -> None:
    with Socket(target) as socket:
        socket.send(frame(PING, b"p" * 125) * 5000)
        for _ in range(5000):
            assert socket.frame() == (PONG, b"p" * 125)
        socket.send(frame(PONG, b"unasked") * 5000, frame(BINARY, connect(target)))
        assert socket.frame() == (BINARY, encode(ACCEPTED))


def test_words_after_the_goodbye(target: Target) -> None:
    with Socket(target) as socket:
        socket.send(frame(BINARY, connect(target)), frame(CLOSE, (1000).to_bytes(2)), frame(BINARY, encode(PingReq())))
        heard = []
        while (got := socket.frame()) is not None:
            heard.append(got)
    assert (CLOSE, (1000).to_bytes(2)) in heard
    assert (BINARY, encode(PingResp())) not in heard


def test_malformed_mqtt_inside(target: Target) -> None:
    for data in (b"\x00\x00", b"GET / HTTP/1.1\r\n\r\n", b"\x10\xff\xff\xff\x7f", os.urandom(5000)):
        with Socket(target) as socket:
            socket.send(frame(BINARY, data))
            assert socket.close_code() in {1000, 1001, 1002, None}


def test_http_after_a_refused_upgrade(target: Target) -> None:
    """The connection is still HTTP, and in step."""
    with target.connect() as connection:
        connection.sendall(handshake(target, fields={"Sec-WebSocket-Protocol": "soap"}))
        first = read_answer(connection)
        assert first is not None
        assert first.status == 400
        connection.sendall(f"GET /enrollments/x HTTP/1.1\r\nHost: {target.host}\r\n\r\n".encode())
        second = read_answer(connection)
        assert second is None or second.status == 401
