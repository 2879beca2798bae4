"""What an AMQP front-end offers to the loop, and what the loop offers to it: Protocols only.

Frames, channels, handles, windows and heartbeats stay in the loop; addresses and messages are the front-end's.
"""

from collections.abc import Awaitable, Coroutine, Sequence
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct

from homeport.net.stream import Peer
from homeport.proto.amqp import (
    Attached,
    DeliveryState,
    Error,
    Message,
    SaslCode,
    SaslInit,
    Session,
    Source,
    Symbol,
    Target,
)

__all__ = [
    "AmqpConnection",
    "AmqpDelivery",
    "AmqpFrontEnd",
    "AmqpHandler",
    "AmqpOpening",
    "AmqpReceiver",
    "AmqpSender",
    "LinkTerms",
    "SaslExchange",
    "SaslRefusal",
]


class AmqpOpening(Struct, frozen=True, kw_only=True):
    """What a client has said so far, by which front-ends tell whether it is theirs. None: not said, or not yet."""

    mechanism: str | None = None
    """The SASL mechanism; None for a client that opens AMQP without SASL."""
    identity: str | None = None
    """The user name of SASL PLAIN."""
    hostname: str | None = None
    """The `hostname` of OPEN, as it came."""
    address: str | None = None
    """The address of the first link that was attached, as it came."""


class SaslRefusal(Struct, frozen=True, kw_only=True):
    """Why SASL ends badly; the data is for clients that look at it, most do not."""

    code: SaslCode = SaslCode.AUTH
    additional_data: bytes | None = None


class SaslExchange(Protocol):
    """Questions to a client in the course of its SASL mechanism."""

    async def challenge(self, data: bytes) -> bytes:
        """Send a challenge and return the response. Raises ConnectionClosedError if the client leaves instead."""
        ...


class AmqpConnection(Protocol):
    """What a handler may do to its connection. Only for use on the event loop."""

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run this alongside the connection, for example delivery on a sending link.

        It is cancelled when the connection ends. An exception in it is logged and ends the connection.
        """
        ...

    async def room(self) -> None:
        """Wait until no more than a quarter of what may wait for the client does so: for who sends much.

        Raises ConnectionClosedError when the connection has ended.
        """
        ...

    def close(self, error: Error | None = None) -> None:
        """End the connection soon, without waiting: what was sent is flushed, CLOSE follows, then the socket closes.

        The handler's `closed(orderly=False)` follows. Calling it again does nothing.
        """
        ...

    def abort(self) -> None:
        """End the connection now and without a word, as if the network had failed; otherwise as `close`."""
        ...

    def end_session(self, session: Session, error: Error | None = None) -> "Sequence[AmqpReceiver | AmqpSender]":
        """End a session with all its links, without waiting; nothing for one that is over.

        Returns the links that ended with it: the handler's `detached` does not follow.
        """
        ...


class _AmqpLink(Protocol):
    @property
    def attached(self) -> Attached:
        """The client's ATTACH: name, termini, properties, settle modes."""
        ...

    @property
    def address(self) -> str:
        """The address at our end of the link, as it came; empty if there is none."""
        ...

    @property
    def session(self) -> Session:
        """The session that it belongs to: link names are unique only there. Compare by identity."""
        ...

    def detach(self, error: Error | None = None) -> None:
        """End the link, without waiting; the handler's `detached` does not follow."""
        ...


class AmqpReceiver(_AmqpLink, Protocol):
    """A link on which the client sends and we receive. Credit is topped up by the loop."""


class AmqpSender(_AmqpLink, Protocol):
    """A link on which we send and the client receives."""

    @property
    def credit(self) -> int:
        """How many more messages the client takes now; those that wait for credit already are taken off."""
        ...

    def send(
        self,
        message: Message | bytes,
        *,
        tag: bytes | None = None,
        settled: bool = False,
        deferred: bool = False,
        message_format: int = 0,
    ) -> Awaitable[DeliveryState | None]:
        """Send a message, or queue it behind those that wait for credit. Bytes are an encoded message.

        `settled` is a wish: a client that has attached the link as settled, or as unsettled, is obeyed.
        The awaitable may be ignored. It yields the client's outcome; None for what was sent settled, and when the
        link ended first. It never raises. A client that does not read loses its connection when what waits exceeds
        a limit. Raises ValueError for what AMQP cannot spell, and for what is larger than the client takes.

        A client that tells its outcome without settling is answered with the same outcome at once; with `deferred`,
        which needs a tag that no other delivery has, it is answered by `settle`.
        """
        ...

    def settle(self, tag: bytes, state: DeliveryState) -> None:
        """Answer the client's outcome of a deferred delivery; nothing for one that needs no answer."""
        ...


class AmqpDelivery(Protocol):
    """A message of the client. Settle it once; what comes after the first time does nothing."""

    @property
    def settled(self) -> bool:
        """Whether it needs no outcome: sent settled, or given one already."""
        ...

    @property
    def message_format(self) -> int: ...

    @property
    def data(self) -> bytes:
        """The message as it came."""
        ...

    def message(self) -> Message:
        """Take the message apart. Raises RemoteProtocolError if it is none."""
        ...

    def settle(self, state: DeliveryState) -> None:
        """Tell the outcome; it leaves before whatever is sent on any link afterwards."""
        ...


class LinkTerms(Struct, frozen=True, kw_only=True):
    """How a link is accepted. Termini that are None are those of the client, echoed."""

    credit: int = 100
    """On a receiving link: messages the client may send ahead of their handling."""
    max_message_size: int = 0
    """On a receiving link, in bytes; 0: as the loop's limits have it."""
    source: Source | None = None
    target: Target | None = None
    properties: dict[Any, Any] | None = None
    offered_capabilities: tuple[Symbol, ...] = ()


class AmqpHandler(Protocol):
    """One accepted AMQP connection, as its front-end sees it; the loop makes the calls."""

    @property
    def expires_at(self) -> datetime | None:
        """When the loop is to close the connection (token expiry), or None; read again at every wake-up."""
        ...

    async def attach_receiver(self, link: AmqpReceiver) -> LinkTerms | Error:
        """Accept or refuse a link on which the client wants to send.

        Nothing else is read from the client meanwhile. An exception is logged and refuses the link with
        amqp:internal-error.
        """
        ...

    async def attach_sender(self, link: AmqpSender) -> LinkTerms | Error:
        """Accept or refuse a link on which the client wants to receive; otherwise as `attach_receiver`.

        What is sent on it before this returns goes out after the answer.
        """
        ...

    async def message(self, link: AmqpReceiver, delivery: AmqpDelivery) -> None:
        """Take one message. Returning without an outcome accepts it.

        Calls begin in order of receipt and may overlap up to a bound; a handler that must finish one before the next
        takes an asyncio.Lock first. RemoteProtocolError closes the connection; any other exception is logged and
        rejects the message with amqp:internal-error.
        """
        ...

    def flow(self, link: AmqpSender, *, drain: bool) -> None:
        """Learn that the client gave credit on a link; with `drain` it takes back what is not used in this call."""
        ...

    async def detached(self, link: AmqpReceiver | AmqpSender, error: Error | None) -> None:
        """Learn that the client, or its breach of AMQP's rules, ended a link, or the link's session."""
        ...

    async def closed(self, *, orderly: bool) -> None:
        """Learn that the connection has ended; called exactly once, after every other call has ended.

        No `detached` was called for links that were open. Work given to `AmqpConnection.run` has been cancelled;
        calls of `message` had some seconds to come to their end. `orderly`: the client said CLOSE.
        """
        ...


class AmqpFrontEnd(Protocol):
    """Answers the AMQP connections of one address space."""

    @property
    def mechanisms(self) -> Sequence[str]:
        """The SASL mechanisms it takes, best first; a client may also come without SASL."""
        ...

    def owns(self, opening: AmqpOpening) -> bool | None:
        """Tell whether this client belongs to the front-end; pure and quick.

        None: it depends on what the client says next (the host name of OPEN, the address of its first link). Asked
        after each of SASL's first frame, OPEN and the first ATTACH, until one of a site's front-ends says True or
        only one is left that does not say False. Own a claim whether or not it is true; nothing is authenticated
        here.
        """
        ...

    async def authenticate(self, init: SaslInit, peer: Peer, exchange: SaslExchange) -> object | None:
        """Judge the client by a SASL mechanism: who it is, or a SaslRefusal; None is a refusal without words.

        The loop keeps the answer for `connect` and does not look into it. After an exception, which is logged, the
        client gets outcome 2.
        """
        ...

    async def connect(
        self, opening: AmqpOpening, identity: object | None, peer: Peer, connection: AmqpConnection
    ) -> AmqpHandler | Error:
        """Accept with a handler, or refuse with an error, which the client reads in OPEN's properties and in CLOSE.

        `identity` is what this front-end's `authenticate` has said; None without SASL. The connection may be kept.
        After an exception, which is logged, the client gets amqp:internal-error.
        """
        ...
