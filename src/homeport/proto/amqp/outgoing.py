"""The sending half of a session: messages cut into transfers, credit, and the peer's window (2.5.6, 2.6.7)."""

from collections import deque

from homeport.proto import LocalProtocolError
from homeport.proto.amqp.composites import SenderSettleMode
from homeport.proto.amqp.events import Transfer
from homeport.proto.amqp.frames import HEADER_SIZE, Outbox
from homeport.proto.amqp.limits import Limits, Usage
from homeport.proto.amqp.link import Link
from homeport.proto.amqp.performatives import TRANSFER, write_body
from homeport.proto.amqp.scalars import write_binary, write_uint
from homeport.proto.amqp.session import Session
from homeport.proto.amqp.settlement import MASK, Unsettled

_MAX_TAG = 32

# What follows the tag of a transfer in one frame: message-format 0, settled, more false, five nulls.
_USUAL_ENDS = {False: b"\x43\x42\x42" + b"\x40" * 5, True: b"\x43\x41\x42" + b"\x40" * 5}


def _usual_body(handle: int, delivery_id: int, tag: bytes, settled: bool) -> bytearray:
    """Write the transfer that nearly all are, as `write_body` would."""
    body = bytearray(TRANSFER.descriptor)
    body += b"\xc0\x00\x0b"
    write_uint(body, handle)
    write_uint(body, delivery_id)
    write_binary(body, tag)
    body += _USUAL_ENDS[settled]
    body[4] = len(body) - 5
    return body


class Outgoing:
    """What we send on one session."""

    __slots__ = ("_limits", "_next_delivery_id", "_outbox", "_queue", "_session", "_usage", "next_id", "unsettled")

    def __init__(self, session: Session, outbox: Outbox, limits: Limits, usage: Usage) -> None:
        self._session = session
        self._outbox = outbox
        self._limits = limits
        self._usage = usage
        self._queue: deque[tuple[Link, bytes, bool]] = deque()  # the last tells the first frame of a delivery
        self._next_delivery_id = 0
        self.next_id = 0
        """The id of the transfer frame that comes next."""
        self.unsettled = Unsettled()

    def transfer(self, channel: int, command: Transfer) -> int:
        """Send or queue one message on an open link; return its delivery id."""
        link, data = command.link, command.data
        if link.credit <= 0:
            raise LocalProtocolError("the link has no credit")
        if link.snd_settle_mode != SenderSettleMode.MIXED and command.settled != (
            link.snd_settle_mode == SenderSettleMode.SETTLED
        ):
            raise LocalProtocolError("the link's settle mode says otherwise")
        if link.peer_max_message_size and len(data) > link.peer_max_message_size:
            raise LocalProtocolError("the message is larger than the peer takes on this link")
        if not command.settled and len(self.unsettled) >= self._limits.max_unsettled:
            raise LocalProtocolError("too many deliveries are unsettled")
        delivery_id = self._next_delivery_id
        tag = delivery_id.to_bytes(4) if command.tag is None else command.tag
        if len(tag) > _MAX_TAG:
            raise LocalProtocolError(f"a delivery tag has at most {_MAX_TAG} bytes")
        frames = self._frames(channel, command, delivery_id, tag)
        if len(frames) == 1 and self._session.window > 0 and not self._queue:
            self._count()
            self._outbox.put(frames[0])
        else:
            self._enqueue(link, frames)
        link.credit -= 1
        link.delivery_count = (link.delivery_count + 1) & MASK
        self._next_delivery_id = (delivery_id + 1) & MASK
        if not command.settled:
            self.unsettled.add(delivery_id, link, tag)
        return delivery_id

    def _frames(self, channel: int, command: Transfer, delivery_id: int, tag: bytes) -> list[bytes]:
        handle, data, settled, none = command.link.handle, command.data, command.settled, None
        assert handle is not None
        room = self._outbox.max_frame_size - HEADER_SIZE
        fields = (none, command.state, none, none, none)
        message_format = command.message_format
        if command.state is None and message_format == 0:
            body = _usual_body(handle, delivery_id, tag, settled)
        else:
            body = write_body(TRANSFER, (handle, delivery_id, tag, message_format, settled, False, *fields))
        if len(body) + len(data) <= room:
            return [self._outbox.transfer(channel, body, data)]
        body = write_body(TRANSFER, (handle, delivery_id, tag, message_format, settled, True, *fields))
        # Without id and tag: clients that read by position take a lone id for another delivery (hub.md 14.2).
        later = write_body(TRANSFER, (handle, none, none, none, settled, True, none, none, none, none, none))
        last = write_body(TRANSFER, (handle, none, none, none, settled, False, none, none, none, none, none))
        view = memoryview(data)
        at = room - len(body)
        if at <= 0:
            raise LocalProtocolError("the delivery state is larger than the peer's frames may be")
        frames = [self._outbox.transfer(channel, body, view[:at])]
        step = room - len(later)
        while len(data) - at > step:
            frames.append(self._outbox.transfer(channel, later, view[at : at + step]))
            at += step
        frames.append(self._outbox.transfer(channel, last, view[at:]))
        return frames

    def _enqueue(self, link: Link, frames: list[bytes]) -> None:
        waiting = sum(map(len, frames)) if self._queue else sum(map(len, frames[max(0, self._session.window) :]))
        if self._usage.pending_bytes + waiting > self._limits.max_pending_bytes:
            raise LocalProtocolError("too much waits for the peer's session windows")
        link.queued += 1
        for place, frame in enumerate(frames):
            self._queue.append((link, frame, place == 0))
            self._add_pending(len(frame))
        self.release()

    def release(self) -> None:
        """Send what waits, as far as the window goes."""
        while self._queue and self._session.window > 0:
            link, frame, first = self._queue.popleft()
            if first:
                link.queued -= 1
            self._add_pending(-len(frame))
            self._count()
            self._outbox.put(frame)

    def _count(self) -> None:
        self._session.window -= 1
        self.next_id = (self.next_id + 1) & MASK

    def _add_pending(self, size: int) -> None:
        self._session.pending += size
        self._usage.pending_bytes += size

    def waiting(self, link: Link) -> bool:
        """Whether transfers of this link wait for the window."""
        return any(item[0] is link for item in self._queue)

    def abandon(self) -> None:
        """Drop all deliveries and frames at once: the session is over, its links follow."""
        self.unsettled.clear()
        self._queue.clear()
        self._add_pending(-self._session.pending)

    def forget(self, link: Link) -> None:
        """Drop what belongs to a link that is over."""
        self.unsettled.forget(link)
        if self._queue:
            kept = deque(item for item in self._queue if item[0] is not link)
            for owner, frame, _ in self._queue:
                if owner is link:
                    self._add_pending(-len(frame))
            self._queue = kept
