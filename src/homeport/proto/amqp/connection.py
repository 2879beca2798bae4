"""One AMQP 1.0 connection, seen from either side. Streams, authentication and what addresses mean live elsewhere."""

from typing import Any, NoReturn, overload

from homeport.proto import LocalProtocolError
from homeport.proto.amqp.composites import Error
from homeport.proto.amqp.errors import AmqpProtocolError, Condition, IdleTimeoutError
from homeport.proto.amqp.events import (
    Attach,
    Begin,
    Close,
    Closed,
    Command,
    Detach,
    Disposition,
    Drained,
    End,
    Event,
    Flow,
    Open,
    SaslChallenge,
    SaslInit,
    SaslOutcome,
    SaslResponse,
    Transfer,
)
from homeport.proto.amqp.frames import (
    AMQP_FRAME,
    HEADER_SIZE,
    SASL_FRAME,
    SMALLEST_MAX_FRAME,
    Outbox,
    read_frame_header,
)
from homeport.proto.amqp.handshake import Handshake
from homeport.proto.amqp.idle import Idle
from homeport.proto.amqp.limits import DEFAULT_LIMITS, Limits, Usage
from homeport.proto.amqp.link import Link
from homeport.proto.amqp.opening import open_values, opened
from homeport.proto.amqp.performatives import AMQP_BODIES, CLOSE, OPEN, SASL_BODIES, TRANSFER, read_body
from homeport.proto.amqp.session import Session
from homeport.proto.amqp.sessions import Sessions
from homeport.proto.amqp.state import LinkRole, Role, State, Voice, overall


class Connection:
    """The state of one connection; the caller moves the bytes and tells the time.

    The loop around it, in either role: pass what the stream brings to `receive`; answer each event, in order, with
    `send`; while `held`, call `receive(b"")` and answer again; write `outgoing()`; call `tick`; wait for more bytes
    or for the deadline that `tick` named.

    A server hears, in order: SaslInit (unless the client does without SASL), answered by SaslChallenge or
    SaslOutcome; SaslResponse, likewise; Opened, answered by Open; Begun by Begin; Attached by Attach (and Flow, to
    give a sending client credit) or by Detach with an error, to refuse it. A client may say Open, Begin and Attach
    before it hears anything. Nothing is read between SaslInit, SaslResponse, Opened or Begun and its answer, which
    may take its time: what has come since is read once `held` says so.

    Done here and not to be answered: headers, `sasl-mechanisms`, heartbeats, session windows, flows that ask for
    an echo, and the answers to the peer's DETACH, END and CLOSE.

    Faults of the peer. One that ends the connection raises AmqpProtocolError (a RemoteProtocolError) from
    `receive`: events that came before it are returned first, and the fault is raised by the next call of `receive`
    or `tick`. The state is then CLOSED, and `outgoing` ends with CLOSE and its condition where the protocol allows
    one. A fault that ends only a link or a session raises nothing: its DETACH or END is sent, and a Detached or
    Ended with `fault` set is returned.

    The time limit for SASL and OPEN is the caller's: `tick` knows none before the connection is open.
    """

    def __init__(
        self,
        role: Role,
        *,
        container_id: str,
        mechanisms: tuple[str, ...] = (),
        sasl_optional: bool = True,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """Begin a connection in which we play `role` and call ourselves `container_id`.

        A server offers `mechanisms`; without any it refuses SASL. If `sasl_optional`, a client may also begin with
        the bare AMQP header. A client with any `mechanisms` begins with SASL and chooses when it hears
        SaslMechanisms; without, it begins with the bare header and may Open at once.
        """
        if len(container_id.encode()) > _MAX_CONTAINER_ID:
            raise ValueError(f"a container id has at most {_MAX_CONTAINER_ID} bytes")
        self._container_id = container_id
        self._limits = limits
        self._outbox = Outbox()
        self._usage = Usage()
        self._handshake = Handshake(role, self._outbox, mechanisms, sasl_optional=sasl_optional, limits=limits)
        self._voice = self._peer_voice = Voice.START
        self._raise_voices()
        self._fault: AmqpProtocolError | None = None

        self._buffer = bytearray()  # the start of one frame, or all that came while it was our turn
        self._wanted = 0  # bytes the buffer must hold before it is worth another look

        self._sessions = Sessions(self._outbox, limits, self._usage)

        self._idle = Idle(self._outbox, limits.idle_time_out)

    @property
    def state(self) -> State:
        """Where the conversation stands. It may be ahead of the events not yet looked at."""
        return State.CLOSED if self._handshake.refused else overall(self._voice, self._peer_voice)

    @property
    def held(self) -> bool:
        """Whether bytes wait that `receive(b"")` would read now: a client may go on before SASL is decided."""
        return self._wanted == 0 and bool(self._buffer) and not self._our_turn()

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The sessions that are not over, whoever began them, the oldest first."""
        return self._sessions.all

    @property
    def pending_bytes(self) -> int:
        """Bytes of transfers that wait for the peer to open a session window."""
        return self._usage.pending_bytes

    def new_session(self) -> Session:
        """Make a session of ours, to be begun with Begin."""
        return Session(ours=True)

    def new_link(self, session: Session, name: str, role: LinkRole) -> Link:
        """Make a link of ours in which we play `role`, to be attached with Attach."""
        return Link(session, name, role, ours=True)

    def receive(self, data: bytes) -> list[Event]:
        """Take what the stream brought; return what it says, in order.

        Raises AmqpProtocolError as the class describes. What comes after the peer's last word is ignored.
        """
        if self._fault is not None:
            self._break_off(self._fault)
        if self._over():
            return []
        buffer = self._buffer
        if data:
            self._idle.heard = True
        elif not buffer:
            return []
        events: list[Event] = []
        try:
            if buffer:
                buffer += data
                if len(buffer) < self._wanted or self._our_turn():
                    self._check_held()
                    return []
                data = bytes(buffer)
                buffer.clear()
            self._read(data, events)
        except AmqpProtocolError as fault:
            self._fault = fault.with_traceback(None)
            if not events:
                self._break_off(fault)
        return events

    def _our_turn(self) -> bool:
        """Whether the peer has said what we must answer before more may be read."""
        return (
            self._sessions.invited is not None
            or (self._peer_voice is Voice.OPEN and self._voice is Voice.HEADER)
            or self._handshake.our_turn
        )

    def _over(self) -> bool:
        return self._peer_voice is Voice.CLOSED or self._handshake.refused

    def _check_held(self) -> None:
        limit = self._limits.max_frame_size
        if self._sessions.invited is not None:
            limit = max(limit, self._limits.max_partial_bytes)  # other sessions may be busy meanwhile
        if len(self._buffer) > limit:
            raise AmqpProtocolError("the peer says too much before it is answered", Condition.RESOURCE_LIMIT_EXCEEDED)

    def _read(self, data: bytes, events: list[Event]) -> None:
        at, size = 0, len(data)
        handshake, limits = self._handshake, self._limits
        self._wanted = 0
        while at < size:
            if (
                self._voice is not Voice.OPEN
                or self._peer_voice is not Voice.OPEN
                or self._sessions.invited is not None
            ):
                if self._over():
                    return
                if self._our_turn():
                    self._buffer += data[at:]
                    self._check_held()
                    return
            if size - at < HEADER_SIZE:
                if handshake.header_due:
                    handshake.hear_header(data[at:])
                self._wanted = HEADER_SIZE
                break
            if handshake.header_due:
                handshake.hear_header(data[at : at + HEADER_SIZE])
                self._raise_voices()
                at += HEADER_SIZE
                continue
            kind, limit = (
                (AMQP_FRAME, limits.max_frame_size) if handshake.heard else (SASL_FRAME, limits.max_sasl_frame_size)
            )
            length, start, channel = read_frame_header(data, at, kind, limit)
            end = at + length
            if end > size:
                self._wanted = length
                break
            body = data[at + start : end]
            at = end
            if kind == SASL_FRAME:
                performative, values, _ = read_body(SASL_BODIES, body, limits)
                events.append(handshake.hear(performative.code, values))
                self._raise_voices()
            elif body:
                self._hear(channel, body, events)
        if not self._over():
            self._buffer += data[at:]

    def _hear(self, channel_number: int, body: bytes, events: list[Event]) -> None:
        performative, values, at = read_body(AMQP_BODIES, body, self._limits)
        if performative is not TRANSFER and at != len(body):
            raise AmqpProtocolError(f"{performative.name} has a payload", Condition.DECODE_ERROR)
        if (self._peer_voice is Voice.HEADER) is not (performative is OPEN):
            raise AmqpProtocolError("open must be said first, and once", Condition.ILLEGAL_STATE)
        if performative is CLOSE:
            self._hear_close(values[0], events)
        elif self._voice is Voice.CLOSED:
            return  # we have said our last word: only the peer's is awaited
        elif performative is OPEN:
            self._hear_open(values, events)
        else:
            try:
                self._sessions.hear(channel_number, performative, values, body[at:], events)
            except LocalProtocolError as inability:
                # What the peer wants answered, its own limits do not let us answer.
                raise AmqpProtocolError(str(inability), Condition.RESOURCE_LIMIT_EXCEEDED) from None

    def _hear_open(self, values: list[Any], events: list[Event]) -> None:
        _, _, max_frame_size, channel_max, idle, *_ = values
        if max_frame_size < SMALLEST_MAX_FRAME:
            raise AmqpProtocolError("max-frame-size is below 512", Condition.INVALID_FIELD)
        if idle and idle / 1000 < self._limits.min_peer_idle_time_out:
            raise AmqpProtocolError("idle-time-out is too short to be kept", Condition.NOT_ALLOWED)
        self._peer_voice = Voice.OPEN
        self._outbox.max_frame_size = max_frame_size
        self._sessions.peer_channel_max = channel_max
        self._idle.peer_allows(idle / 1000 if idle else None)
        events.append(opened(values))

    def _hear_close(self, error: Error | None, events: list[Event]) -> None:
        self._peer_voice = Voice.CLOSED
        if self._voice is Voice.OPEN:
            self._outbox.say(0, CLOSE, None)
            self._voice = Voice.CLOSED
        self._forget_all()
        events.append(Closed(error=error))

    @overload
    def send(self, command: Transfer) -> int: ...
    @overload
    def send(self, command: Command) -> int | None: ...
    def send(self, command: Command) -> int | None:
        """Queue what `command` says for `outgoing`; return the delivery id of a Transfer, else None.

        Raises LocalProtocolError, with nothing queued, if it may not be said now or cannot be written. But the peer
        can settle deliveries and end links, sessions and the connection at any time, so a command about what is
        over is dropped in silence, except Transfer. A Transfer needs `link.credit`; if the peer's session window is
        shut its frames wait here, which `Limits.max_pending_bytes` bounds: prefer `link.may_send`. What waits when
        we detach its link is not sent.
        """
        kind = type(command)
        if kind is Transfer:
            return self._sessions.transfer(command)  # type: ignore[arg-type]  # mypy knows no types by `kind`
        if self.state is State.CLOSED:
            return None
        if kind is Disposition:
            self._sessions.say(command)  # type: ignore[arg-type]
            return None
        match command:
            case Flow() | Drained() | Attach() | Detach():
                self._sessions.say(command)
            case Begin():
                if self._voice is not Voice.OPEN:
                    raise LocalProtocolError("begin comes after open")
                self._sessions.begin(command)
            case End():
                self._sessions.end(command)
            case Open():
                self._send_open(command)
            case Close():
                if self._voice is not Voice.OPEN:
                    raise LocalProtocolError("close comes after open")
                self._outbox.say(0, CLOSE, command.error)
                self._voice = Voice.CLOSED
                self._forget_all()
            case SaslInit() | SaslChallenge() | SaslResponse() | SaslOutcome():
                self._handshake.send(command)
                self._raise_voices()
        return None

    def _send_open(self, command: Open) -> None:
        if self._voice is not Voice.HEADER:
            raise LocalProtocolError("open is said once, after the headers and SASL")
        self._outbox.say(0, OPEN, *open_values(command, self._container_id, self._limits))
        self._voice = Voice.OPEN
        self._idle.heard = True  # the peer's time begins with our announcement

    def outgoing(self) -> bytes:
        """Return what is to be written now, and forget it."""
        return self._outbox.take()

    def close(self, error: Error | None = None) -> None:
        """End in order, at any time: CLOSE, after OPEN if we have not said it, or nothing where AMQP has no word.

        It never raises. What was outgoing is kept. Only the peer's CLOSE is heard after it.
        """
        self._fault = None
        self._say_last(error)
        if self._peer_voice is not Voice.OPEN:
            self._peer_voice = Voice.CLOSED

    def _say_last(self, error: Error | None) -> None:
        """Say CLOSE if AMQP lets us, after OPEN if we owe that; nothing is said or heard after it."""
        if self._voice is Voice.HEADER and self._peer_voice is not Voice.START:
            self._outbox.say(0, OPEN, *open_values(Open(), self._container_id, self._limits))
            self._voice = Voice.OPEN
        if self._voice is Voice.OPEN:
            try:
                self._outbox.say(0, CLOSE, error)
            except LocalProtocolError:
                self._outbox.say(0, CLOSE, None)
        self._voice = Voice.CLOSED
        self._forget_all()

    def tick(self, now: float) -> float | None:
        """Learn the time; return when to call again at the latest, None for no such time.

        `now` is in seconds of any steady clock, the result is on the same clock. Call it after each `receive` and
        at the time returned: bytes count as heard at the first tick after them. Puts heartbeats into `outgoing` as
        the peer's idle time-out asks. Raises IdleTimeoutError, with CLOSE in `outgoing`, when the peer has been
        silent for twice the idle time-out that we announced; also raises the fault that `receive` has kept back.
        """
        if self._fault is not None:
            self._break_off(self._fault)
        try:
            return self._idle.tick(now, running=self.state is State.OPEN)
        except IdleTimeoutError as fault:
            self._fault = fault.with_traceback(None)
            self._break_off(fault)

    # --- state --------------------------------------------------------------------------------------------------

    def _raise_voices(self) -> None:
        """Note the headers of AMQP proper that the handshake has brought."""
        if self._handshake.said and self._voice is Voice.START:
            self._voice = Voice.HEADER
        if self._handshake.heard and self._peer_voice is Voice.START:
            self._peer_voice = Voice.HEADER

    def _break_off(self, fault: AmqpProtocolError) -> NoReturn:
        if self._voice is not Voice.CLOSED:
            self._say_last(fault.as_error())
        self._peer_voice = Voice.CLOSED
        # A copy: the one we keep must not hold on to the frames, and the bytes in them, that it passes through.
        raise type(fault)(*fault.args) from None

    def _forget_all(self) -> None:
        self._sessions.abandon()
        self._buffer.clear()


_MAX_CONTAINER_ID = 256
"""So that OPEN always fits into the smallest frame."""
