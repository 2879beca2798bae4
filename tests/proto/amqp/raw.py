"""Frames of a peer, right or wrong, as bytes."""

from typing import Any

from homeport.proto.amqp import Source, Target
from homeport.proto.amqp import performatives as p
from homeport.proto.amqp.kinds import Composite

NONE = None


def frame(performative: Composite, *values: Any, channel: int = 0, payload: bytes = b"", kind: int = 0) -> bytes:
    body = bytes(p.write_body(performative, values)) + payload
    return (8 + len(body)).to_bytes(4) + bytes([2, kind]) + channel.to_bytes(2) + body


def open_frame(max_frame_size: int = 65536, idle: int | None = None, channel_max: int = 1) -> bytes:
    return frame(p.OPEN, "peer", NONE, max_frame_size, channel_max, idle, (), (), (), (), NONE)


def begin(channel: int = 0, remote: int | None = None, handle_max: int = 255) -> bytes:
    return frame(p.BEGIN, remote, 0, 100, 100, handle_max, (), (), NONE, channel=channel)


def attach(
    name: str = "link",
    handle: int = 0,
    *,
    receives: bool = False,
    snd: int = 2,
    rcv: int = 0,
    count: int | None = 0,
    properties: dict[Any, Any] | None = None,
    channel: int = 0,
) -> bytes:
    source, target = Source(address="a"), Target(address="b")
    values = (name, handle, receives, snd, rcv, source, target, NONE, False, count, 0, (), (), properties)
    return frame(p.ATTACH, *values, channel=channel)


def transfer(
    payload: bytes = b"x",
    *,
    handle: int = 0,
    delivery_id: int | None = 0,
    tag: bytes | None = b"t",
    message_format: int | None = 0,
    settled: bool = False,
    more: bool = False,
    resume: bool = False,
    aborted: bool = False,
) -> bytes:
    values = (handle, delivery_id, tag, message_format, settled, more, NONE, NONE, resume, aborted, NONE)
    return frame(p.TRANSFER, *values, payload=payload)


def flow(
    *,
    next_incoming: int | None = 0,
    window: int = 100,
    handle: int | None = NONE,
    count: int | None = NONE,
    credit: int = 0,
) -> bytes:
    return frame(p.FLOW, next_incoming, window, 0, 100, handle, count, credit, NONE, False, False, NONE)


def disposition(first: int, last: int | None = NONE, *, by_receiver: bool = False, settled: bool = True) -> bytes:
    return frame(p.DISPOSITION, by_receiver, first, last, settled, NONE, NONE)
