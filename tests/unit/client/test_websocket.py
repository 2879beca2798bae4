"""WebSocket frames: the RFC's examples, any cut of the stream, and hostile servers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.client.websocket import (
    Frames,
    WebSocketError,
    binary_frame,
    close_frame,
    read_upgrade,
    upgrade_request,
)

MASK = bytes.fromhex("37fa213d")
# RFC 6455, 1.3: the nonce of the example, and the answer it gets.
NONCE = b"the sample nonce"
ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: MQTT\r\n\r\n"
)


def server_frame(code: int, payload: bytes) -> bytes:
    if len(payload) < 126:
        return bytes([code, len(payload)]) + payload
    if len(payload) < 1 << 16:
        return bytes([code, 126]) + len(payload).to_bytes(2) + payload
    return bytes([code, 127]) + len(payload).to_bytes(8) + payload


def test_masking_is_that_of_the_rfc() -> None:
    # RFC 6455, 5.7: "Hello", there as text.
    assert binary_frame(b"Hello", MASK) == b"\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
    assert close_frame(MASK)[:2] == b"\x88\x82"


@pytest.mark.parametrize(("length", "head"), [(0, b"\x82\x80"), (126, b"\x82\xfe\x00\x7e"), (65536, b"\x82\xff")])
def test_lengths(length: int, head: bytes) -> None:
    frame = binary_frame(bytes(length), MASK)
    assert frame.startswith(head)
    assert len(frame) in {length + 6, length + 8, length + 14}


def test_the_upgrade() -> None:
    request = upgrade_request("host:8443", "/$iothub/websocket", "mqtt", NONCE).decode()
    assert "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" in request
    assert request.startswith("GET /$iothub/websocket HTTP/1.1\r\nHost: host:8443\r\n")
    assert read_upgrade(ACCEPTED + b"rest", "mqtt", NONCE) == b"rest"
    assert all(read_upgrade(ACCEPTED[:end], "mqtt", NONCE) is None for end in range(len(ACCEPTED)))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 403 Forbidden\r\n\r\n",
        b"\r\n\r\n",
        ACCEPTED.replace(b"s3pP", b"xxxx"),
        ACCEPTED.replace(b"MQTT", b"AMQPWSB10"),
        b"x" * 20_000,
    ],
)
def test_a_refused_upgrade(answer: bytes) -> None:
    with pytest.raises(WebSocketError):
        read_upgrade(answer, "mqtt", NONCE)


@given(payloads=st.lists(st.binary(max_size=300), max_size=5), size=st.integers(1, 50))
def test_any_cut_of_the_stream(payloads: list[bytes], size: int) -> None:
    stream = b"".join(server_frame(0x82, payload) + server_frame(0x89, b"?") for payload in payloads)
    frames, heard, said = Frames(), b"", b""
    for start in range(0, len(stream), size):
        payload, answers = frames.receive(stream[start : start + size], MASK)
        heard += payload
        said += answers
    assert heard == b"".join(payloads)
    assert said == (b"\x8a\x81" + MASK + bytes([ord("?") ^ MASK[0]])) * len(payloads)


def test_large_and_fragmented_messages() -> None:
    frames = Frames()
    payload, _ = frames.receive(server_frame(0x02, b"a" * 70_000) + server_frame(0x80, b"b"), MASK)
    assert payload == b"a" * 70_000 + b"b"


def test_goodbye() -> None:
    frames = Frames()
    assert frames.receive(server_frame(0x82, b"x") + server_frame(0x88, b"") + b"ignored", MASK) == (b"x", b"")
    assert frames.closed


@pytest.mark.parametrize(
    "data",
    [b"\x81\x01x", b"\x82\x81", b"\xc2\x01x", b"\x83\x00", b"\x82\x7f" + (1 << 40).to_bytes(8)],
    ids=["text", "masked", "reserved bit", "unknown", "too large"],
)
def test_hostile_frames(data: bytes) -> None:
    with pytest.raises(WebSocketError):
        Frames().receive(data, MASK)
