"""The sessions of one connection: channels, BEGIN and END from either side (2.5), and the way to each session."""

from typing import Any, Final

from homeport.proto import LocalProtocolError
from homeport.proto.amqp.channel import Channel
from homeport.proto.amqp.composites import Error
from homeport.proto.amqp.errors import AmqpProtocolError, Condition, Scope
from homeport.proto.amqp.events import Attach, Begin, Detach, Disposition, Drained, End, Ended, Event, Flow, Transfer
from homeport.proto.amqp.frames import Outbox
from homeport.proto.amqp.kinds import Composite
from homeport.proto.amqp.limits import Limits, Usage
from homeport.proto.amqp.numbers import Numbers
from homeport.proto.amqp.performatives import BEGIN, DETACH, DISPOSITION, END, FLOW
from homeport.proto.amqp.session import Session
from homeport.proto.amqp.state import ENDED, Standing

_AFTERTHOUGHTS: Final = frozenset({FLOW, DISPOSITION, DETACH})
"""What a peer may say of a session that it has ended: nothing is lost by not hearing it."""


class Sessions:
    """All sessions that are not over."""

    def __init__(self, outbox: Outbox, limits: Limits, usage: Usage) -> None:
        self._outbox = outbox
        self._limits = limits
        self._usage = usage
        self._numbers = Numbers("sessions")
        self._channels: dict[Session, Channel] = {}
        self._by_number: dict[int, Channel] = {}
        self._by_peer_number: dict[int, Channel] = {}
        self._left: set[int] = set()
        """The peer's channels whose sessions it has ended, until it begins others there."""
        self.peer_channel_max = 0xFFFF
        self.invited: Session | None = None
        """A session of the peer that awaits our BEGIN; nothing more is read before."""

    @property
    def all(self) -> tuple[Session, ...]:
        """Those that are not over, in the order of their beginning."""
        return tuple(self._channels)

    # --- listening ----------------------------------------------------------------------------------------------

    def hear(
        self, number: int, performative: Composite, values: list[Any], payload: bytes, events: list[Event]
    ) -> None:
        """Take a frame other than OPEN and CLOSE. Raises AmqpProtocolError for what ends the connection."""
        if performative is BEGIN:
            self._hear_begin(number, values, events)
            return
        channel = self._by_peer_number.get(number)
        if channel is None:
            if number in self._left and performative in _AFTERTHOUGHTS:
                return  # rhea: it settles what was on its way to it when it said END
            raise AmqpProtocolError("a frame comes on a channel without session", Condition.NOT_ALLOWED)
        if performative is END:
            self._hear_end(channel, values[0], events)
            return
        try:
            channel.hear(performative, values, payload, events)
        except AmqpProtocolError as fault:
            if fault.scope is not Scope.SESSION:
                raise
            error = fault.as_error()
            channel.end(error)
            channel.session.faulty = True
            events.append(Ended(session=channel.session, error=error, fault=True))

    def _hear_begin(self, number: int, values: list[Any], events: list[Event]) -> None:
        ours = values[0]
        if number > self._limits.channel_max:
            raise AmqpProtocolError("a channel is above the highest that we allow", Condition.FRAMING_ERROR)
        if number in self._by_peer_number:
            raise AmqpProtocolError("a session begins on a channel that has one", Condition.NOT_ALLOWED)
        if ours is None:
            session = self.invited = Session(ours=False)
            channel = self._new_channel(session)
        else:
            known = self._by_number.get(ours)
            if known is None or known.peer_number is not None:
                raise AmqpProtocolError("a session is answered that was not begun", Condition.NOT_ALLOWED)
            channel = known
        self._by_peer_number[number] = channel
        self._left.discard(number)
        event = channel.begun(number, values)
        if event is not None:
            events.append(event)

    def _hear_end(self, channel: Channel, error: Error | None, events: list[Event]) -> None:
        event = channel.ended(error)
        if channel.peer_number is not None:
            del self._by_peer_number[channel.peer_number]
            self._left.add(channel.peer_number)
        del self._by_number[channel.number]
        del self._channels[channel.session]
        self._numbers.give(channel.number)
        if event is not None:
            events.append(event)

    # --- speaking -----------------------------------------------------------------------------------------------

    def transfer(self, command: Transfer) -> int:
        """Send one message; return its delivery id."""
        return self._channel(command.link.session).transfer(command)

    def say(self, command: Disposition | Flow | Drained | Attach | Detach) -> None:
        """Say what concerns one link; nothing if it is over."""
        link = command.link
        if link.standing in ENDED or link.session.standing in ENDED:
            return
        channel = self._channel(link.session)
        match command:
            case Disposition():
                channel.dispose(command)
            case Flow():
                channel.flow(command)
            case Drained():
                channel.drained(link)
            case Attach():
                channel.links.attach(command)
            case Detach():
                channel.links.detach(command)

    def begin(self, command: Begin) -> None:
        """Begin a session of ours, or answer the peer's; nothing if it is over."""
        session = command.session
        if session.standing in ENDED:
            return
        if session.standing is not Standing.NEW:
            self._channel(session).begin(command)
            self.invited = None
            return
        channel = self._new_channel(session)
        try:
            channel.begin(command)
        except LocalProtocolError:
            del self._channels[session], self._by_number[channel.number]
            self._numbers.give(channel.number)
            raise

    def end(self, command: End) -> None:
        """End a session; nothing if it is over."""
        session = command.session
        if session.standing in ENDED:
            return
        self._channel(session).end(command.error)
        if self.invited is session:
            self.invited = None

    def abandon(self) -> None:
        """Let all sessions go: the connection is over."""
        for channel in self._channels.values():
            channel.abandon()
        self._channels.clear()
        self._by_number.clear()
        self._by_peer_number.clear()
        self.invited = None

    def _channel(self, session: Session) -> Channel:
        channel = self._channels.get(session)
        if channel is None:
            raise LocalProtocolError("the session is not begun or over")
        return channel

    def _new_channel(self, session: Session) -> Channel:
        number = self._numbers.peek(min(self._limits.channel_max, self.peer_channel_max))
        self._numbers.take()
        channel = Channel(session, number, self._outbox, self._limits, self._usage)
        self._channels[session] = self._by_number[number] = channel
        return channel
