"""An AMQP front-end that echoes."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from homeport.net.amqp_handlers import (
    AmqpConnection,
    AmqpDelivery,
    AmqpHandler,
    AmqpOpening,
    AmqpReceiver,
    AmqpSender,
    LinkTerms,
    SaslExchange,
)
from homeport.net.stream import Peer
from homeport.proto.amqp import Accepted, DeliveryState, Error, SaslInit, parse_plain

OnMessage = Callable[["EchoHandler", AmqpDelivery], Awaitable[None]]
REFUSED = Error(condition="amqp:not-found", description="no such address")


class EchoHandler:
    """Sends every message back on the latest receiving link of the client; addresses with `no/` are refused."""

    def __init__(self, connection: AmqpConnection, identity: object, on_message: OnMessage | None) -> None:
        self.connection = connection
        self.identity = identity
        self.expires_at: datetime | None = None
        self.on_message = on_message
        self.credit = 10
        self.senders: list[AmqpSender] = []
        self.receivers: list[AmqpReceiver] = []
        self.heard: list[bytes] = []
        self.outcomes: list[DeliveryState | None] = []
        self.flows: list[tuple[int, bool]] = []
        self.ended_links: list[tuple[str, Error | None]] = []
        self.on_sender: Callable[[AmqpSender], None] = lambda link: None
        self.ends: list[bool] = []
        self.ended = asyncio.Event()

    async def attach_receiver(self, link: AmqpReceiver) -> LinkTerms | Error:
        if link.address == "fail":
            raise ZeroDivisionError
        if link.address.startswith("no/"):
            return REFUSED
        self.receivers.append(link)
        return LinkTerms(credit=self.credit, properties={"for": link.address})

    async def attach_sender(self, link: AmqpSender) -> LinkTerms | Error:
        if link.address.startswith("no/"):
            return REFUSED
        self.senders.append(link)
        self.on_sender(link)
        return LinkTerms()

    async def message(self, link: AmqpReceiver, delivery: AmqpDelivery) -> None:
        self.heard.append(delivery.data)
        if self.on_message is not None:
            await self.on_message(self, delivery)
            return
        delivery.settle(Accepted())
        if self.senders:
            self.outcomes.append(await self.senders[-1].send(delivery.data))

    def flow(self, link: AmqpSender, *, drain: bool) -> None:
        self.flows.append((link.credit, drain))

    async def detached(self, link: AmqpReceiver | AmqpSender, error: Error | None) -> None:
        self.ended_links.append((link.address, error))

    async def closed(self, *, orderly: bool) -> None:
        self.ends.append(orderly)
        self.ended.set()


class EchoFrontEnd:
    """Owns by a word: the PLAIN user name, the host name of OPEN or the first address begins with `word`.

    Without a word it owns everything. The PLAIN password must be `good`; `fail` fails, and so does the host `fail`.
    CHAT asks for two more words and returns them joined.
    """

    def __init__(self, word: str | None = None, on_message: OnMessage | None = None) -> None:
        self.word = word
        self.on_message = on_message
        self.mechanisms = ("PLAIN", "CHAT", "ANONYMOUS")
        self.handlers: list[EchoHandler] = []
        self.openings: list[AmqpOpening] = []
        self.peers: list[Peer] = []
        self.prepare: Callable[[EchoHandler], None] = lambda handler: None

    def owns(self, opening: AmqpOpening) -> bool | None:
        if self.word is None:
            return True
        said = [each for each in (opening.identity, opening.hostname, opening.address) if each]
        if any(each.startswith(self.word) for each in said):
            return True
        return False if opening.address or opening.identity else None

    async def authenticate(self, init: SaslInit, peer: Peer, exchange: SaslExchange) -> object | None:
        if init.mechanism == "CHAT":
            return [await exchange.challenge(b"first"), await exchange.challenge(b"second")]
        if init.mechanism == "ANONYMOUS":
            return "anybody"
        credentials = parse_plain(init.initial_response)
        if credentials is None:
            return None
        if credentials.password == "fail":
            raise ZeroDivisionError
        return credentials.authentication_id if credentials.password == "good" else None

    async def connect(
        self, opening: AmqpOpening, identity: object | None, peer: Peer, connection: AmqpConnection
    ) -> AmqpHandler | Error:
        self.openings.append(opening)
        self.peers.append(peer)
        if opening.hostname == "fail":
            raise ZeroDivisionError
        if opening.hostname == "refused":
            return Error(condition="amqp:unauthorized-access", description="{}", info={"retry-after": 3})
        handler = EchoHandler(connection, identity, self.on_message)
        self.prepare(handler)
        self.handlers.append(handler)
        return handler
