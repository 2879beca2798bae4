"""The receiving half of a session: its window, and messages put together from transfers (2.5.6, 2.6.14)."""

from typing import Any

from homeport.proto.amqp.errors import AmqpProtocolError, Condition, Scope
from homeport.proto.amqp.events import Delivery
from homeport.proto.amqp.limits import Limits, Usage
from homeport.proto.amqp.link import Link, Partial
from homeport.proto.amqp.settlement import MASK, Unsettled

_MAX_TAG = 32


class LinkFault(Exception):  # noqa: N818  # a fault of the peer is not yet an error of ours
    """The peer broke a rule that ends this link only."""

    def __init__(self, link: Link, message: str, condition: str) -> None:
        super().__init__(message)
        self.link = link
        self.condition = condition


class Incoming:
    """What the peer has sent on one session."""

    __slots__ = ("_limits", "_usage", "next_id", "unsettled", "window")

    def __init__(self, limits: Limits, usage: Usage) -> None:
        self._limits = limits
        self._usage = usage
        self.next_id: int | None = None
        """The transfer id that comes next; None before the peer's BEGIN."""
        self.window = limits.incoming_window
        self.unsettled = Unsettled()

    def count(self) -> bool:
        """Count one transfer frame; tell whether it is time to open the window again."""
        if self.window <= 0:
            raise AmqpProtocolError(
                "a transfer exceeds the session's window", Condition.WINDOW_VIOLATION, Scope.SESSION
            )
        assert self.next_id is not None
        self.window -= 1
        self.next_id = (self.next_id + 1) & MASK
        return self.window <= self._limits.incoming_window // 2

    def transfer(self, link: Link, values: list[Any], payload: bytes) -> Delivery | None:
        """Take one transfer frame of an open link; return the message that it completes."""
        _, delivery_id, tag, message_format, settled, more, _, state, resume, aborted, _ = values
        partial = link.partial
        if partial is None:
            if delivery_id is None or tag is None:
                raise LinkFault(link, "the first transfer of a delivery has no id or no tag", Condition.INVALID_FIELD)
            if len(tag) > _MAX_TAG:
                raise LinkFault(link, f"a delivery tag is longer than {_MAX_TAG} bytes", Condition.INVALID_FIELD)
            if resume:
                raise LinkFault(link, "deliveries are not resumed", Condition.NOT_IMPLEMENTED)
            if link.allowance <= 0:
                raise LinkFault(link, "a transfer exceeds the link's credit", Condition.TRANSFER_LIMIT_EXCEEDED)
            if delivery_id in self.unsettled:
                raise LinkFault(link, "a delivery id is used twice", Condition.INVALID_FIELD)
            link.allowance -= 1
            link.credit = max(0, link.credit - 1)
            link.delivery_count = (link.delivery_count + 1) & MASK
            if more or aborted:
                if not aborted:
                    partial = link.partial = Partial(delivery_id, tag, message_format or 0)
                    partial.settled = bool(settled)
                    partial.state = state
                    self._append(link, partial, payload)
                return None
            if len(payload) > link.max_message_size:
                raise _too_large(link)
            return self._complete(link, delivery_id, tag, payload, settled is True, message_format or 0, state)

        if (
            (delivery_id is not None and delivery_id != partial.delivery_id)
            or (tag is not None and tag != partial.tag)
            or (message_format is not None and message_format != partial.message_format)
        ):
            raise LinkFault(link, "a delivery begins inside another", Condition.NOT_ALLOWED)
        if aborted:
            self._drop(link, partial)
            return None
        partial.settled = partial.settled or bool(settled)
        if state is not None:
            partial.state = state
        self._append(link, partial, payload)
        if more:
            return None
        self._drop(link, partial)
        return self._complete(
            link,
            partial.delivery_id,
            partial.tag,
            bytes(partial.data),
            partial.settled,
            partial.message_format,
            partial.state,
        )

    def _complete(
        self, link: Link, delivery_id: int, tag: bytes, data: bytes, settled: bool, message_format: int, state: Any
    ) -> Delivery:
        if not settled:
            if len(self.unsettled) >= self._limits.max_unsettled:
                raise LinkFault(link, "too many deliveries are unsettled", Condition.RESOURCE_LIMIT_EXCEEDED)
            self.unsettled.add(delivery_id, link, tag)
        return Delivery(
            link=link,
            delivery_id=delivery_id,
            tag=tag,
            data=data,
            settled=settled,
            message_format=message_format,
            state=state,
        )

    def _append(self, link: Link, partial: Partial, payload: bytes) -> None:
        if len(partial.data) + len(payload) > link.max_message_size:
            raise _too_large(link)
        if self._usage.partial_bytes + len(payload) > self._limits.max_partial_bytes:
            raise LinkFault(link, "too much of unfinished messages", Condition.RESOURCE_LIMIT_EXCEEDED)
        partial.data += payload
        self._usage.partial_bytes += len(payload)

    def _drop(self, link: Link, partial: Partial) -> None:
        link.partial = None
        self._usage.partial_bytes -= len(partial.data)

    def forget(self, link: Link) -> None:
        """Drop what belongs to a link that is over."""
        if link.partial is not None:
            self._drop(link, link.partial)
        self.unsettled.forget(link)

    def abandon(self) -> None:
        """Drop all deliveries at once: the session is over, its links follow."""
        self.unsettled.clear()


def _too_large(link: Link) -> LinkFault:
    return LinkFault(link, f"a message is larger than {link.max_message_size} bytes", Condition.MESSAGE_SIZE_EXCEEDED)
