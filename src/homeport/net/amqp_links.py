"""The links of one AMQP connection as front-ends see them: messages in, messages out, credit both ways.

Never here: what came over the stream, and who decides to close.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from homeport.net.amqp_handlers import LinkTerms
from homeport.net.amqp_outlet import Outlet
from homeport.proto.amqp import (
    Attach,
    Attached,
    Delivery,
    DeliveryState,
    Detach,
    Disposed,
    Disposition,
    Drained,
    Error,
    Flow,
    Flowed,
    Link,
    LinkRole,
    LocalProtocolError,
    Message,
    Received,
    ReceiverSettleMode,
    SenderSettleMode,
    Session,
    Source,
    Target,
    Transfer,
    decode_message,
    encode_message,
)

__all__ = ["Incoming", "Links", "Receiver", "Sender"]


class Receiver:
    """A link on which the client sends (an AmqpReceiver)."""

    __slots__ = ("_outlet", "attached", "credit", "handled", "link", "over")

    def __init__(self, attached: Attached, outlet: Outlet) -> None:
        self.attached = attached
        self.link = attached.link
        self.credit = 0
        """How many messages the client may have sent ahead of their handling."""
        self.handled = 0
        """Messages being handled."""
        self.over = False
        """We have ended it."""
        self._outlet = outlet

    @property
    def address(self) -> str:
        return _address(self.attached.target)

    @property
    def session(self) -> Session:
        return self.link.session

    def detach(self, error: Error | None = None) -> None:
        self._outlet.send(Detach(link=self.link, error=error))
        self.over = True

    def top_up(self) -> None:
        """Give credit again when half of it is used; what is being handled counts as used."""
        free = self.credit - self.handled
        if self.link.open and free > 0 and self.link.credit <= free // 2:
            self._outlet.send(Flow(link=self.link, credit=free))


class Sender:
    """A link on which the client receives (an AmqpSender)."""

    __slots__ = ("_deferred", "_ended", "_held", "_on_held", "_outlet", "_unsettled", "attached", "link", "over")

    def __init__(self, attached: Attached, outlet: Outlet, on_held: Callable[[int], None]) -> None:
        """`on_held` is told how many bytes more (or fewer) wait for credit, after each message."""
        self.attached = attached
        self.link = attached.link
        self._outlet = outlet
        self._on_held = on_held
        self._held: deque[tuple[Transfer, asyncio.Future[DeliveryState | None] | None]] = deque()
        self._unsettled: dict[int, asyncio.Future[DeliveryState | None]] = {}
        self._deferred: dict[bytes, int | None] = {}
        """Deliveries that `settle` is to answer, by tag; with their ids once the client has told its outcome."""
        self._ended = False
        self.over = False
        """We have ended it."""

    @property
    def address(self) -> str:
        return _address(self.attached.source)

    @property
    def session(self) -> Session:
        return self.link.session

    @property
    def credit(self) -> int:
        return max(0, self.link.credit - len(self._held)) if self.link.open else 0

    def detach(self, error: Error | None = None) -> None:
        self._outlet.send(Detach(link=self.link, error=error))
        self.over = True
        self.end()

    def send(
        self,
        message: Message | bytes,
        *,
        tag: bytes | None = None,
        settled: bool = False,
        deferred: bool = False,
        message_format: int = 0,
    ) -> Awaitable[DeliveryState | None]:
        try:
            data = message if isinstance(message, bytes) else encode_message(message)
        except LocalProtocolError as fault:
            raise ValueError(str(fault)) from fault
        if tag is not None and not 0 < len(tag) <= _MAX_TAG:
            raise ValueError("a delivery tag has 1 to 32 bytes")
        if 0 < self.attached.max_message_size < len(data):
            raise ValueError("the message is larger than the client takes on this link")
        if self._ended:
            return _NOTHING
        mode = self.attached.snd_settle_mode
        settled = mode is SenderSettleMode.SETTLED or (settled and mode is SenderSettleMode.MIXED)
        transfer = Transfer(link=self.link, data=data, tag=tag, settled=settled, message_format=message_format)
        answer = None if settled else asyncio.get_running_loop().create_future()
        if deferred and tag is not None and answer is not None:
            self._deferred[tag] = None
        if self._held or not self.link.may_send:
            self._held.append((transfer, answer))
            self._on_held(len(data))
        else:
            self._put(transfer, answer)
            self._on_held(0)
        return answer or _NOTHING

    def release(self) -> None:
        """Send what was held back, as far as the client's credit and window allow."""
        while self._held and self.link.may_send:
            transfer, answer = self._held.popleft()
            self._on_held(-len(transfer.data))
            self._put(transfer, answer)

    def give_back(self) -> None:
        """Return the credit that the client wants drained, unless messages still wait for its window."""
        if self.link.open and not self._held:
            self._outlet.send(Drained(link=self.link))

    def settle(self, tag: bytes, state: DeliveryState) -> None:
        delivery_id = self._deferred.pop(tag, None)
        if delivery_id is not None and self.link.open:
            self._outlet.send(Disposition(link=self.link, delivery_id=delivery_id, state=state))

    def disposed(self, event: Disposed) -> None:
        """Learn the client's outcome, and settle if the client has not and nobody is to do it later."""
        if isinstance(event.state, Received) and not event.settled:
            return  # no outcome yet
        answer = self._unsettled.pop(event.delivery_id, None)
        if answer is not None and not answer.done():
            answer.set_result(event.state)
        if event.tag in self._deferred:
            if event.settled:
                del self._deferred[event.tag]
            else:
                self._deferred[event.tag] = event.delivery_id
        elif not event.settled and self.link.open:
            self._outlet.send(Disposition(link=self.link, delivery_id=event.delivery_id, state=event.state))

    def end(self) -> None:
        """Tell those who wait that no outcome will come."""
        self._ended = True
        waiting = [*self._unsettled.values(), *(answer for _, answer in self._held if answer is not None)]
        self._unsettled.clear()
        self._deferred.clear()
        self._on_held(-sum(len(transfer.data) for transfer, _ in self._held))
        self._held.clear()
        for answer in waiting:
            if not answer.done():
                answer.set_result(None)

    def _put(self, transfer: Transfer, answer: "asyncio.Future[DeliveryState | None] | None") -> None:
        delivery_id = self._outlet.send(transfer)
        if answer is None:
            return
        if delivery_id is None:
            answer.set_result(None)
        else:
            self._unsettled[delivery_id] = answer


class Incoming:
    """One message of the client (an AmqpDelivery)."""

    __slots__ = ("_delivery", "_outlet", "settled")

    def __init__(self, delivery: Delivery, outlet: Outlet) -> None:
        self._delivery = delivery
        self._outlet = outlet
        self.settled = delivery.settled

    @property
    def message_format(self) -> int:
        return self._delivery.message_format

    @property
    def data(self) -> bytes:
        return self._delivery.data

    def message(self) -> Message:
        return decode_message(self._delivery.data)

    def settle(self, state: DeliveryState) -> None:
        if self.settled:
            return
        self.settled = True
        if self._delivery.link.open:
            self._outlet.send(
                Disposition(link=self._delivery.link, delivery_id=self._delivery.delivery_id, state=state)
            )


class Links:
    """All links of a connection, by the engine's names for them."""

    def __init__(self, outlet: Outlet, on_more: Callable[[], None]) -> None:
        """`on_more` is called after each message that was sent or held back."""
        self.held_bytes = 0
        """Bytes of messages that wait for the client's credit, on all links."""
        self._outlet = outlet
        self._on_more = on_more
        self._links: dict[Link, Receiver | Sender] = {}

    def get(self, link: Link) -> Receiver | Sender | None:
        return self._links.get(link)

    def make(self, attached: Attached) -> Receiver | Sender:
        """Make the link of an ATTACH that waits for its answer."""
        made: Receiver | Sender
        if attached.link.role is LinkRole.RECEIVER:
            made = Receiver(attached, self._outlet)
        else:
            made = Sender(attached, self._outlet, self._held)
        self._links[attached.link] = made
        return made

    def accept(self, made: Receiver | Sender, terms: LinkTerms) -> None:
        """Answer the ATTACH. Credit goes out with it: Java asks for it no earlier and waits no longer (dps.md 5.3)."""
        attached = made.attached
        self._outlet.send(
            Attach(
                link=made.link,
                # The Event Hubs clients take an absent terminus for a refusal (contract hub.md 14.2).
                source=terms.source or attached.source or Source(),
                target=terms.target or attached.target or Target(),
                snd_settle_mode=attached.snd_settle_mode,
                rcv_settle_mode=ReceiverSettleMode.FIRST,
                max_message_size=terms.max_message_size,
                properties=terms.properties,
                offered_capabilities=terms.offered_capabilities,
            )
        )
        if isinstance(made, Receiver):
            made.credit = terms.credit
            made.top_up()
        else:
            made.release()

    def refuse(self, made: Receiver | Sender, error: Error) -> None:
        """Answer the ATTACH with an error and the end of the link."""
        made.detach(error)
        self._links.pop(made.link, None)

    def flowed(self, event: Flowed) -> list[Sender]:
        """Send what waited; return the links on which the client gave credit."""
        senders = [
            each
            for each in self._links.values()
            if isinstance(each, Sender)
            and (each.link is event.link if event.link is not None else each.session is event.session)
        ]
        for sender in senders:
            sender.release()
        return senders if event.link is not None else []

    def forget(self, link: Link) -> Receiver | Sender | None:
        """Learn that a link is over; return it if it was not us who ended it."""
        gone = self._links.pop(link, None)
        if isinstance(gone, Sender):
            gone.end()
        return None if gone is None or gone.over else gone

    def of_session(self, session: Session) -> list[Link]:
        """Return the links of one session."""
        return [link for link in self._links if link.session is session]

    def attached(self, session: Session) -> list[Attached]:
        """Return what the client said of the links of one session."""
        return [made.attached for made in self._links.values() if made.session is session]

    def end(self) -> None:
        """Learn that the connection is over."""
        for link in tuple(self._links):
            self.forget(link)

    def _held(self, more: int) -> None:
        self.held_bytes += more
        if more >= 0:
            self._on_more()


_MAX_TAG: Final = 32


class _Nothing:
    """What `send` returns where no outcome will come: costs nothing unless awaited."""

    def __await__(self) -> Any:
        return None
        yield


_NOTHING: Final = _Nothing()


def _address(terminus: object) -> str:
    address = getattr(terminus, "address", None)
    return address if isinstance(address, str) else ""
