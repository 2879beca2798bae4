"""Frames (2.3) and protocol headers (2.2): how the stream is cut, and what waits to be written on it."""

from struct import Struct
from typing import Any

from homeport.proto import LocalProtocolError
from homeport.proto.amqp.composite_kinds import STATE
from homeport.proto.amqp.composites import Accepted, DeliveryState
from homeport.proto.amqp.encoder import write_items
from homeport.proto.amqp.errors import AmqpProtocolError, Condition
from homeport.proto.amqp.kinds import Composite
from homeport.proto.amqp.performatives import DISPOSITION, write_body
from homeport.proto.amqp.scalars import write_boolean, write_uint

AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"

AMQP_FRAME = 0
SASL_FRAME = 1

HEADER_SIZE = 8
SMALLEST_MAX_FRAME = 512
"""What every peer takes, before and after it has said more (2.4.1)."""

HEARTBEAT = b"\x00\x00\x00\x08\x02\x00\x00\x00"

_HEADER = Struct(">IBBH")
_pack_header = _HEADER.pack
_unpack_header = _HEADER.unpack_from
_MASK = 0xFFFF_FFFF


def read_frame_header(data: bytes, at: int, kind: int, limit: int) -> tuple[int, int, int]:
    """Return size, where the body begins (counted from `at`) and channel of the frame at `at`.

    Needs HEADER_SIZE bytes, and refuses frames of another kind or larger than `limit` before any body is there.
    """
    size, offset, frame_kind, channel = _unpack_header(data, at)
    start = 4 * offset
    if size > limit:
        raise AmqpProtocolError(f"a frame is larger than {limit} bytes", Condition.FRAMING_ERROR)
    if offset < 2 or start > size:
        raise AmqpProtocolError("a frame's body begins outside of it", Condition.FRAMING_ERROR)
    if frame_kind != kind:
        raise AmqpProtocolError("a frame is of another kind than this layer has", Condition.FRAMING_ERROR)
    return size, start, channel


class Outbox:
    """What is to be written. Dispositions at its end are kept open, so that neighbours join them (2.7.6)."""

    __slots__ = ("_joined", "_parts", "max_frame_size", "spoke")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._joined: _Joined | None = None
        self.max_frame_size = SMALLEST_MAX_FRAME
        """Of the peer."""
        self.spoke = False
        """Whether anything was put in since the caller set this to false."""

    def take(self) -> bytes:
        """Return everything, and forget it."""
        if self._joined is not None:
            self._flush()
        data = b"".join(self._parts)
        self._parts.clear()
        return data

    def put(self, *parts: bytes) -> None:
        """Append frames, headers or pieces of them."""
        if self._joined is not None:
            self._flush()
        self._parts += parts
        self.spoke = True

    def frame(
        self,
        channel: int,
        performative: Composite,
        values: tuple[Any, ...],
        kind: int = AMQP_FRAME,
        limit: int | None = None,
    ) -> bytes:
        """Make a frame without payload. Raises LocalProtocolError if it cannot be written or is too large.

        The limit is the peer's if none is given.
        """
        body = write_body(performative, values)
        size = HEADER_SIZE + len(body)
        if size > (limit or self.max_frame_size):
            raise LocalProtocolError(f"{performative.name} is larger than the peer's frames may be")
        return _pack_header(size, 2, kind, channel) + body

    def say(self, channel: int, performative: Composite, *values: Any) -> None:
        """Make a frame and append it."""
        self.put(self.frame(channel, performative, values))

    def transfer(self, channel: int, body: bytes | bytearray, payload: bytes | memoryview) -> bytes:
        """Make a frame with payload, whose size the caller has seen to."""
        return b"".join((_pack_header(HEADER_SIZE + len(body) + len(payload), 2, AMQP_FRAME, channel), body, payload))

    def dispose(self, channel: int, delivery_id: int, said: "Said") -> None:
        """Append a disposition of one delivery, or lengthen the last one by it."""
        joined = self._joined
        if joined is not None:
            same = joined.said is said or joined.said == said
            if same and joined.channel == channel and delivery_id == (joined.last + 1) & _MASK:
                joined.last = delivery_id
                return
            self._flush()
        self._joined = _Joined(channel, delivery_id, said)
        self.spoke = True

    def _flush(self) -> None:
        joined, self._joined = self._joined, None
        assert joined is not None
        self._parts.append(joined.frame())


class Said:
    """What a disposition says of its deliveries. Raises LocalProtocolError for a state that cannot be written."""

    __slots__ = ("by_receiver", "settled", "state")

    def __init__(self, state: DeliveryState | None, *, by_receiver: bool, settled: bool) -> None:
        self.by_receiver = by_receiver
        self.settled = settled
        self.state = _state(state)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Said)
            and self.state == other.state
            and self.settled == other.settled
            and self.by_receiver == other.by_receiver
        )

    __hash__ = None  # type: ignore[assignment]  # never a key


def say_state(state: DeliveryState | None, *, by_receiver: bool, settled: bool) -> Said:
    """Return what to say; the usual words are made once only."""
    if type(state) is Accepted:
        return _ACCEPTANCES[by_receiver, settled]
    return Said(state, by_receiver=by_receiver, settled=settled)


def _state(state: DeliveryState | None) -> bytes:
    if state is None:
        return b"\x40"
    out = bytearray()
    try:
        STATE.write(out, state)
    except (AttributeError, TypeError):
        raise LocalProtocolError("a delivery state has a field of another type") from None
    return bytes(out)


_ACCEPTANCES = {
    (by_receiver, settled): Said(Accepted(), by_receiver=by_receiver, settled=settled)
    for by_receiver in (True, False)
    for settled in (True, False)
}


class _Joined:
    """A disposition that is not written yet."""

    __slots__ = ("channel", "first", "last", "said")

    def __init__(self, channel: int, delivery_id: int, said: Said) -> None:
        self.channel = channel
        self.first = self.last = delivery_id
        self.said = said

    def frame(self) -> bytes:
        items, said = bytearray(), self.said
        write_boolean(items, said.by_receiver)
        write_uint(items, self.first)
        write_uint(items, self.last)
        write_boolean(items, said.settled)
        items += said.state
        items.append(0x40)  # batchable
        body = bytearray(DISPOSITION.descriptor)
        write_items(body, 0xC0, 6, items)
        return _pack_header(HEADER_SIZE + len(body), 2, AMQP_FRAME, self.channel) + body
