"""What the peer says (`Event`: Opened, Begun, Attached, …) and what we say (`Command`: Open, Begin, Attach, …).

SASL's frames bear one name in both directions. Links and sessions are named by the handle objects of `link` and
`session`, never by numbers.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from homeport.proto.amqp.composites import (
    DeliveryState,
    Error,
    ReceiverSettleMode,
    SenderSettleMode,
    Source,
    Target,
)
from homeport.proto.amqp.link import Link
from homeport.proto.amqp.session import Session
from homeport.proto.amqp.types import Described, Symbol


class SaslCode(IntEnum):
    """How a server ends SASL (5.3.3.6)."""

    OK = 0
    AUTH = 1
    """The credentials were not good."""
    SYS = 2
    SYS_PERM = 3
    SYS_TEMP = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SaslMechanisms:
    """The server's offer; an event only, since the engine of a server sends it by itself."""

    mechanisms: tuple[Symbol, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SaslInit:
    """The client's choice. A server answers with SaslChallenge or SaslOutcome."""

    mechanism: str
    initial_response: bytes | None = field(default=None, repr=False)
    hostname: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SaslChallenge:
    """The server's question; the client answers each with one SaslResponse."""

    challenge: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SaslResponse:
    """The client's answer. A server goes on with SaslChallenge or SaslOutcome."""

    response: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SaslOutcome:
    """The server's verdict. OK starts AMQP proper, anything else ends the connection."""

    code: SaslCode
    additional_data: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Begin AMQP. Sizes and the idle time-out are those of the engine's Limits, its container id is said, too."""

    hostname: str | None = None
    outgoing_locales: tuple[Symbol, ...] = ()
    incoming_locales: tuple[Symbol, ...] = ()
    offered_capabilities: tuple[Symbol, ...] = ()
    desired_capabilities: tuple[Symbol, ...] = ()
    properties: dict[Any, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The peer's OPEN. A server that has not spoken yet answers with Open, or refuses with Open and Close.

    `idle_time_out` is in seconds, None for none.
    """

    container_id: str
    hostname: str | None = None
    max_frame_size: int = 0xFFFF_FFFF
    channel_max: int = 0xFFFF
    idle_time_out: float | None = None
    outgoing_locales: tuple[Symbol, ...] = ()
    incoming_locales: tuple[Symbol, ...] = ()
    offered_capabilities: tuple[Symbol, ...] = ()
    desired_capabilities: tuple[Symbol, ...] = ()
    properties: dict[Any, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Begin a session made by `Connection.new_session`, or answer the Begun of one that the peer began."""

    session: Session
    offered_capabilities: tuple[Symbol, ...] = ()
    desired_capabilities: tuple[Symbol, ...] = ()
    properties: dict[Any, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The peer's BEGIN. If `session.ours` is false it wants a Begin in answer."""

    session: Session
    offered_capabilities: tuple[Symbol, ...] = ()
    desired_capabilities: tuple[Symbol, ...] = ()
    properties: dict[Any, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """Attach a link made by `Connection.new_link`, or answer the Attached of one that the peer attached.

    To refuse the peer's link, send Detach with an error alone: the engine says the ATTACH with null termini that
    must stand before it. `max_message_size` 0 means the engine's limit when we receive, none when we send.
    """

    link: Link
    source: Source | None = None
    target: Target | Described | None = None
    snd_settle_mode: SenderSettleMode = SenderSettleMode.MIXED
    rcv_settle_mode: ReceiverSettleMode = ReceiverSettleMode.FIRST
    initial_delivery_count: int = 0
    max_message_size: int = 0
    offered_capabilities: tuple[Symbol, ...] = ()
    desired_capabilities: tuple[Symbol, ...] = ()
    properties: dict[Any, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """The peer's ATTACH. If `link.ours` is false it wants an Attach in answer, or a Detach.

    `link.role` is the part that *we* play. In answer to ours, null termini announce a refusal: a Detached follows.
    `target` is Described for what is no target of the core standard (a transaction coordinator).
    `max_message_size` 0 means none named.
    """

    link: Link
    source: Source | None = None
    target: Target | Described | None = None
    snd_settle_mode: SenderSettleMode = SenderSettleMode.MIXED
    rcv_settle_mode: ReceiverSettleMode = ReceiverSettleMode.FIRST
    initial_delivery_count: int | None = None
    max_message_size: int = 0
    offered_capabilities: tuple[Symbol, ...] = ()
    desired_capabilities: tuple[Symbol, ...] = ()
    properties: dict[Any, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """As receiver: let `credit` more deliveries come from now on (it replaces what is left of earlier credit).

    With `drain` the sender uses the credit up at once or gives it back. As sender: report `available` messages.
    `echo` asks for the peer's flow in return.
    """

    link: Link
    credit: int = 0
    drain: bool = False
    available: int | None = None
    echo: bool = False
    properties: dict[Any, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """As sender: nothing more to send, so give the credit back that the peer wanted drained."""

    link: Link


@dataclass(frozen=True, slots=True, kw_only=True)
class Flowed:
    """The peer's FLOW. For our sending links: look at `link.credit` and `link.may_send` and send what waits.

    If `link` is None only the session's window moved; any of its sending links may go on. With `drain`, send what
    there is and then Drained. For a receiving link, `credit` is what the sender has left: 0 after a drain.
    """

    session: Session
    link: Link | None = None
    credit: int = 0
    drain: bool = False
    available: int | None = None
    properties: dict[Any, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Send one whole message (`data` as `encode_message` makes it); it takes one credit and as many frames as needed.

    `tag` of at most 32 bytes names the delivery; None lets the engine choose. `state` is a transaction's.
    """

    link: Link
    data: bytes = field(repr=False)
    tag: bytes | None = None
    settled: bool = False
    message_format: int = 0
    state: DeliveryState | None = None


@dataclass(slots=True, kw_only=True)
class Delivery:
    """A whole message of the peer (`data` is for `decode_message`). Unsettled ones want a Disposition."""

    link: Link
    delivery_id: int
    tag: bytes
    data: bytes = field(repr=False)
    settled: bool = False
    message_format: int = 0
    state: DeliveryState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disposition:
    """Tell the state of one delivery of this link, either way: as receiver the outcome, as sender to settle.

    `last` extends it to all unsettled deliveries of the link from `delivery_id` to `last`. What is settled is
    forgotten, and what was settled already is left alone. Dispositions of neighbouring deliveries that say the same
    are joined in one frame.
    """

    link: Link
    delivery_id: int
    state: DeliveryState | None = None
    settled: bool = True
    last: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disposed:
    """The peer's state for one delivery, ours or its own. If it `settled`, the delivery is forgotten."""

    link: Link
    delivery_id: int
    tag: bytes
    state: DeliveryState | None
    settled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Detach:
    """End a link. Its unsettled deliveries are forgotten."""

    link: Link
    error: Error | None = None
    closed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Detached:
    """The link is over, and the peer's DETACH answered. `fault` is true if the peer broke a rule: the error is ours."""

    link: Link
    error: Error | None = None
    closed: bool = True
    fault: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """End a session with all its links."""

    session: Session
    error: Error | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The session and all its links are over, and the peer's END answered; no Detached comes for the links.

    `fault` is true if the peer broke a rule: the error is ours.
    """

    session: Session
    error: Error | None = None
    fault: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """End the connection; a server may say it right after Open. Nothing can be sent after it."""

    error: Error | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The peer's CLOSE, answered. Write what is outgoing and close the stream."""

    error: Error | None = None


Sasl = SaslInit | SaslChallenge | SaslResponse | SaslOutcome

Command = Sasl | Open | Begin | Attach | Flow | Drained | Transfer | Disposition | Detach | End | Close
"""All that can be sent."""

Event = SaslMechanisms | Sasl | Opened | Begun | Attached | Flowed | Delivery | Disposed | Detached | Ended | Closed
"""All that `receive` can return."""
