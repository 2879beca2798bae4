"""What the peer says (`Event`: Opened, Begun, Attached, …) and what we say (`Command`: Open, Begin, Attach, …).

SASL's frames bear one name in both directions. Links and sessions are named by the handle objects of `link` and
`session`, never by numbers.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from msgspec import Struct

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
from homeport.values import hiding


class SaslCode(IntEnum):
    """How a server ends SASL (5.3.3.6)."""

    OK = 0
    AUTH = 1
    """The credentials were not good."""
    SYS = 2
    SYS_PERM = 3
    SYS_TEMP = 4


class SaslMechanisms(Struct, frozen=True, kw_only=True):
    """The server's offer; an event only, since the engine of a server sends it by itself."""

    mechanisms: tuple[Symbol, ...]


@hiding("initial_response")
class SaslInit(Struct, frozen=True, kw_only=True):
    """The client's choice. A server answers with SaslChallenge or SaslOutcome."""

    mechanism: str
    initial_response: bytes | None = None
    hostname: str | None = None


@hiding("challenge")
class SaslChallenge(Struct, frozen=True, kw_only=True):
    """The server's question; the client answers each with one SaslResponse."""

    challenge: bytes


@hiding("response")
class SaslResponse(Struct, frozen=True, kw_only=True):
    """The client's answer. A server goes on with SaslChallenge or SaslOutcome."""

    response: bytes


@hiding("additional_data")
class SaslOutcome(Struct, frozen=True, kw_only=True):
    """The server's verdict. OK starts AMQP proper, anything else ends the connection."""

    code: SaslCode
    additional_data: bytes | None = None


class Open(Struct, frozen=True, kw_only=True):
    """Begin AMQP. Sizes and the idle time-out are those of the engine's Limits, its container id is said, too."""

    hostname: str | None = None
    outgoing_locales: tuple[Symbol, ...] = ()
    incoming_locales: tuple[Symbol, ...] = ()
    offered_capabilities: tuple[Symbol, ...] = ()
    desired_capabilities: tuple[Symbol, ...] = ()
    properties: dict[Any, Any] | None = None


class Opened(Struct, frozen=True, kw_only=True):
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


class Begin(Struct, frozen=True, kw_only=True):
    """Begin a session made by `Connection.new_session`, or answer the Begun of one that the peer began."""

    session: Session
    offered_capabilities: tuple[Symbol, ...] = ()
    desired_capabilities: tuple[Symbol, ...] = ()
    properties: dict[Any, Any] | None = None


class Begun(Struct, frozen=True, kw_only=True):
    """The peer's BEGIN. If `session.ours` is false it wants a Begin in answer."""

    session: Session
    offered_capabilities: tuple[Symbol, ...] = ()
    desired_capabilities: tuple[Symbol, ...] = ()
    properties: dict[Any, Any] | None = None


class Attach(Struct, frozen=True, kw_only=True):
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


class Attached(Struct, frozen=True, kw_only=True):
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


class Flow(Struct, frozen=True, kw_only=True):
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


class Drained(Struct, frozen=True, kw_only=True):
    """As sender: nothing more to send, so give the credit back that the peer wanted drained."""

    link: Link


class Flowed(Struct, frozen=True, kw_only=True):
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


@hiding("data")
class Transfer(Struct, frozen=True, kw_only=True):
    """Send one whole message (`data` as `encode_message` makes it); it takes one credit and as many frames as needed.

    `tag` of at most 32 bytes names the delivery; None lets the engine choose. `state` is a transaction's.
    """

    link: Link
    data: bytes
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


class Disposition(Struct, frozen=True, kw_only=True):
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


class Disposed(Struct, frozen=True, kw_only=True):
    """The peer's state for one delivery, ours or its own. If it `settled`, the delivery is forgotten."""

    link: Link
    delivery_id: int
    tag: bytes
    state: DeliveryState | None
    settled: bool


class Detach(Struct, frozen=True, kw_only=True):
    """End a link. Its unsettled deliveries are forgotten."""

    link: Link
    error: Error | None = None
    closed: bool = True


class Detached(Struct, frozen=True, kw_only=True):
    """The link is over, and the peer's DETACH answered. `fault` is true if the peer broke a rule: the error is ours."""

    link: Link
    error: Error | None = None
    closed: bool = True
    fault: bool = False


class End(Struct, frozen=True, kw_only=True):
    """End a session with all its links."""

    session: Session
    error: Error | None = None


class Ended(Struct, frozen=True, kw_only=True):
    """The session and all its links are over, and the peer's END answered; no Detached comes for the links.

    `fault` is true if the peer broke a rule: the error is ours.
    """

    session: Session
    error: Error | None = None
    fault: bool = False


class Close(Struct, frozen=True, kw_only=True):
    """End the connection; a server may say it right after Open. Nothing can be sent after it."""

    error: Error | None = None


class Closed(Struct, frozen=True, kw_only=True):
    """The peer's CLOSE, answered. Write what is outgoing and close the stream."""

    error: Error | None = None


Sasl = SaslInit | SaslChallenge | SaslResponse | SaslOutcome

Command = Sasl | Open | Begin | Attach | Flow | Drained | Transfer | Disposition | Detach | End | Close
"""All that can be sent."""

Event = SaslMechanisms | Sasl | Opened | Begun | Attached | Flowed | Delivery | Disposed | Detached | Ended | Closed
"""All that `receive` can return."""
