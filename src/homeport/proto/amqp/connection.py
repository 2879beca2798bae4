"""One AMQP 1.0 connection, seen from either side. Streams, authentication and what addresses mean live elsewhere."""

from typing import overload

from homeport.proto.amqp.composites import Error
from homeport.proto.amqp.events import Command, Event, Transfer
from homeport.proto.amqp.limits import DEFAULT_LIMITS, Limits
from homeport.proto.amqp.link import Link
from homeport.proto.amqp.session import Session
from homeport.proto.amqp.state import LinkRole, Role, State


class Connection:
    """The state of one connection; the caller moves the bytes and tells the time.

    The loop around it, in either role: pass what the stream brings to `receive`; answer each event, in order, with
    `send`; while `held`, call `receive(b"")` and answer again; write `outgoing()`; call `tick`; wait for more bytes
    or for the deadline that `tick` named.

    A server hears, in order: SaslInit (unless the client does without SASL), answered by SaslChallenge or
    SaslOutcome; SaslResponse, likewise; Opened, answered by Open; Begun by Begin; Attached by Attach (and Flow, to
    give a sending client credit) or by Detach with an error, to refuse it. A client may say Open, Begin and Attach
    before it hears anything, and the events of a server that is talked to in this way come before it has answered.

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
        raise NotImplementedError

    @property
    def state(self) -> State:
        """Where the conversation stands. It may be ahead of the events not yet looked at."""
        raise NotImplementedError

    @property
    def held(self) -> bool:
        """Whether bytes wait that `receive(b"")` would read now: a client may go on before SASL is decided."""
        raise NotImplementedError

    @property
    def pending_bytes(self) -> int:
        """Bytes of transfers that wait for the peer to open a session window."""
        raise NotImplementedError

    def new_session(self) -> Session:
        """Make a session of ours, to be begun with Begin."""
        raise NotImplementedError

    def new_link(self, session: Session, name: str, role: LinkRole) -> Link:
        """Make a link of ours in which we play `role`, to be attached with Attach."""
        raise NotImplementedError

    def receive(self, data: bytes) -> list[Event]:
        """Take what the stream brought; return what it says, in order.

        Raises AmqpProtocolError as the class describes. What comes after the peer's last word is ignored.
        """
        raise NotImplementedError

    @overload
    def send(self, command: Transfer) -> int: ...
    @overload
    def send(self, command: Command) -> int | None: ...
    def send(self, command: Command) -> int | None:
        """Queue what `command` says for `outgoing`; return the delivery id of a Transfer, else None.

        Raises LocalProtocolError, with nothing queued, if it may not be said now or cannot be written. A peer can
        end links, sessions and the connection at any time, so ask `link.open`, `session.open` or `state` first
        wherever events may have come in between. A Transfer needs `link.credit`; if the peer's session window is
        shut its frames wait here, which `Limits.max_pending_bytes` bounds: prefer `link.may_send`.
        """
        raise NotImplementedError

    def outgoing(self) -> bytes:
        """Return what is to be written now, and forget it."""
        raise NotImplementedError

    def close(self, error: Error | None = None) -> None:
        """End in order, at any time: CLOSE, after OPEN if we have not said it, or nothing where AMQP has no word.

        It never raises. What was outgoing is kept.
        """
        raise NotImplementedError

    def tick(self, now: float) -> float | None:
        """Learn the time; return when to call again at the latest, None for no such time.

        `now` is in seconds of any steady clock, the result is on the same clock. Call it after each `receive` and
        at the time returned: bytes count as heard at the first tick after them. Puts heartbeats into `outgoing` as
        the peer's idle time-out asks. Raises IdleTimeoutError, with CLOSE in `outgoing`, when the peer has been
        silent for twice the idle time-out that we announced; also raises the fault that `receive` has kept back.
        """
        raise NotImplementedError
