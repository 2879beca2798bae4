"""One session at work: its links, both halves of its traffic, and what begins and ends (2.5, 2.6)."""

from typing import Any

from homeport.proto import LocalProtocolError
from homeport.proto.amqp import events as e
from homeport.proto.amqp import performatives as p
from homeport.proto.amqp.composites import Error
from homeport.proto.amqp.errors import AmqpProtocolError, Condition, Scope
from homeport.proto.amqp.frames import Outbox, say_state
from homeport.proto.amqp.incoming import Incoming, LinkFault
from homeport.proto.amqp.kinds import Composite
from homeport.proto.amqp.limits import Limits, Usage
from homeport.proto.amqp.link import Link
from homeport.proto.amqp.links import Links
from homeport.proto.amqp.outgoing import Outgoing
from homeport.proto.amqp.session import Session
from homeport.proto.amqp.settlement import HALF, MASK
from homeport.proto.amqp.state import LinkRole, Standing, Word, heard, moved

_OUTGOING_WINDOW = 0x7FFF_FFFF
"""We never wait for the peer to ask for more than its incoming window allows."""


class Channel:
    """The machinery behind a Session handle. `number` is our channel, the peer has one of its own."""

    def __init__(self, session: Session, number: int, outbox: Outbox, limits: Limits, usage: Usage) -> None:
        self.session = session
        self.number = number
        self.peer_number: int | None = None
        self._outbox = outbox
        self._limits = limits
        self._usage = usage
        self._incoming = Incoming(limits, usage)
        self._outgoing = Outgoing(session, outbox, limits, usage)
        self.links = Links(session, number, outbox, (self._incoming, self._outgoing), limits, usage)
        self._to_drain: list[Link] = []  # whose transfers still wait for the window

    # --- beginning and ending -----------------------------------------------------------------------------------

    def begin(self, command: e.Begin) -> None:
        """Say BEGIN."""
        session = self.session
        standing = moved(session.standing, Word.WE_BEGIN, "the session")
        self._outbox.say(
            self.number,
            p.BEGIN,
            self.peer_number,
            self._outgoing.next_id,
            self._incoming.window,
            _OUTGOING_WINDOW,
            self._limits.handle_max,
            command.offered_capabilities,
            command.desired_capabilities,
            command.properties,
        )
        session.standing = standing

    def begun(self, peer_number: int, values: list[Any]) -> e.Begun | None:
        """Hear BEGIN."""
        _, next_id, window, _, handle_max, offered, desired, properties = values
        session = self.session
        session.standing = heard(session.standing, Word.PEER_BEGINS)
        self.peer_number = peer_number
        self._incoming.next_id = next_id
        self.links.peer_handle_max = handle_max
        session.window = window
        if session.standing is Standing.ENDING:
            return None
        return e.Begun(
            session=session, offered_capabilities=offered, desired_capabilities=desired, properties=properties
        )

    def end(self, error: Error | None) -> None:
        """Say END, after BEGIN if we owe that."""
        session = self.session
        if session.standing is Standing.INVITED:
            self.begin(e.Begin(session=session))
        standing = moved(session.standing, Word.WE_END, "the session")
        self._outbox.say(self.number, p.END, error)
        session.standing = standing
        self.links.abandon()

    def ended(self, error: Error | None) -> e.Ended | None:
        """Hear END and answer it; the channel is free then. None if the application knows already."""
        session = self.session
        told = session.faulty
        if session.standing is not Standing.ENDING:
            self._outbox.say(self.number, p.END, None)
        session.standing = heard(session.standing, Word.PEER_ENDS)
        self.links.abandon()
        return None if told else e.Ended(session=session, error=error)

    def abandon(self) -> None:
        """Let everything go: the connection is over."""
        self.session.standing = Standing.OVER
        self.links.abandon()

    # --- listening ----------------------------------------------------------------------------------------------

    def hear(self, performative: Composite, values: list[Any], payload: bytes, events: list[e.Event]) -> None:
        """Take a frame other than BEGIN and END. Raises AmqpProtocolError for what ends more than a link."""
        if self.session.standing is Standing.ENDING:
            return
        try:
            if performative is p.TRANSFER:
                self._hear_transfer(values, payload, events)
            elif performative is p.DISPOSITION:
                self._hear_disposition(values, events)
            elif performative is p.FLOW:
                self._hear_flow(values, events)
            elif performative is p.ATTACH:
                self.links.hear_attach(values, events)
            else:
                self.links.hear_detach(values, events)
        except LinkFault as fault:
            error = Error(condition=fault.condition, description=str(fault))
            self.links.detach(e.Detach(link=fault.link, error=error))
            fault.link.faulty = True
            events.append(e.Detached(link=fault.link, error=error, fault=True))

    def _hear_transfer(self, values: list[Any], payload: bytes, events: list[e.Event]) -> None:
        if self._incoming.count():
            self._say_flow()
        link = self.links.at(values[0])
        if link.standing is Standing.ENDING:
            return
        if link.role is not LinkRole.RECEIVER:
            raise LinkFault(link, "a transfer comes from a receiver", Condition.NOT_ALLOWED)
        delivery = self._incoming.transfer(link, values, payload)
        if delivery is not None:
            events.append(delivery)

    def _hear_flow(self, values: list[Any], events: list[e.Event]) -> None:
        next_incoming, window, _, _, handle, count, credit, available, drain, echo, properties = values
        session = self.session
        blocked = not session.may_send
        ahead = (self._outgoing.next_id - (next_incoming or 0)) & MASK
        if ahead >= HALF:
            raise AmqpProtocolError("a flow knows transfers that were not sent", Condition.INVALID_FIELD, Scope.SESSION)
        session.window = max(0, window - ahead)
        self._outgoing.release()
        if self._to_drain and not session.pending:
            waiting, self._to_drain = self._to_drain, []
            for link in waiting:
                self.drained(link)
        if blocked and session.may_send:
            events.append(e.Flowed(session=session))
        if handle is None:
            if echo:
                self._say_flow()
            return
        link = self.links.at(handle)
        if link.standing is Standing.ENDING:
            return
        if link.role is LinkRole.SENDER:
            known = link.initial_delivery_count if count is None else count
            left = (known + (credit or 0) - link.delivery_count) & MASK
            link.credit = left if left < HALF else 0
            link.drain = bool(drain)
        elif count is not None:
            used = (count - link.delivery_count) & MASK
            if used < HALF:
                link.credit = max(0, link.credit - used)
                link.allowance = max(0, link.allowance - used)
                link.delivery_count = count
        events.append(
            e.Flowed(
                session=session,
                link=link,
                credit=link.credit,
                drain=bool(drain),
                available=available,
                properties=properties,
            )
        )
        if echo and link.handle is not None:
            self._say_flow(link)

    def _hear_disposition(self, values: list[Any], events: list[e.Event]) -> None:
        by_receiver, first, last, settled, state, _ = values
        unsettled = (self._outgoing if by_receiver else self._incoming).unsettled
        last = first if last is None else last
        if (last - first) & MASK >= HALF:
            raise AmqpProtocolError("a disposition ends before it begins", Condition.INVALID_FIELD, Scope.SESSION)
        for delivery_id, link, tag in unsettled.between(first, last):
            if settled:
                unsettled.settle(delivery_id)
            events.append(e.Disposed(link=link, delivery_id=delivery_id, tag=tag, state=state, settled=settled is True))

    # --- speaking -----------------------------------------------------------------------------------------------

    def flow(self, command: e.Flow) -> None:
        """Say FLOW for a link."""
        link = command.link
        if link.standing not in {Standing.OPEN, Standing.ASKED}:
            raise LocalProtocolError("the link is not attached")
        if link.role is LinkRole.SENDER:
            self._say_flow(link, available=command.available, echo=command.echo, properties=command.properties)
            return
        credit, drain = link.credit, link.drain
        link.credit, link.drain = command.credit, command.drain
        try:
            self._say_flow(link, available=None, echo=command.echo, properties=command.properties)
        except LocalProtocolError:
            link.credit, link.drain = credit, drain
            raise
        link.allowance = max(link.allowance, link.credit)

    def drained(self, link: Link) -> None:
        """Give the credit of a sending link back, once nothing of it waits for the window."""
        if link.role is not LinkRole.SENDER or link.standing is not Standing.OPEN:
            return
        if self._outgoing.waiting(link):
            self._to_drain.append(link)
            return
        if link.drain and link.credit:
            link.delivery_count = (link.delivery_count + link.credit) & MASK
            link.credit = 0
            self._say_flow(link)

    def _say_flow(
        self,
        link: Link | None = None,
        *,
        available: int | None = None,
        echo: bool = False,
        properties: dict[Any, Any] | None = None,
    ) -> None:
        incoming = self._incoming
        handle = count = credit = drain = None
        if link is not None:
            # What waits here has not been sent, as far as the peer can know.
            handle, credit, drain = link.handle, link.credit + link.queued, link.drain
            count = (link.delivery_count - link.queued) & MASK
            if link.role is LinkRole.RECEIVER and link.peer_handle is None:
                count = None
        self._outbox.say(
            self.number,
            p.FLOW,
            incoming.next_id,
            self._limits.incoming_window,
            self._outgoing.next_id,
            _OUTGOING_WINDOW,
            handle,
            count,
            credit,
            available,
            drain,
            echo,
            properties,
        )
        incoming.window = self._limits.incoming_window

    def transfer(self, command: e.Transfer) -> int:
        """Send one message; return its delivery id."""
        link = command.link
        if link.role is not LinkRole.SENDER or link.standing is not Standing.OPEN:
            raise LocalProtocolError("the link is not open for sending")
        return self._outgoing.transfer(self.number, command)

    def dispose(self, command: e.Disposition) -> None:
        """Say a disposition for deliveries of one link."""
        link, first, last = command.link, command.delivery_id, command.last
        receives = link.role is LinkRole.RECEIVER
        said = say_state(command.state, by_receiver=receives, settled=command.settled)
        unsettled = (self._incoming if receives else self._outgoing).unsettled
        if last is None:
            known = unsettled.get(first)
            ids = [first] if known is not None and known[0] is link else []
        else:
            ids = [delivery_id for delivery_id, owner, _ in unsettled.between(first, last) if owner is link]
        for delivery_id in ids:
            self._outbox.dispose(self.number, delivery_id, said)
            if command.settled:
                unsettled.settle(delivery_id)
