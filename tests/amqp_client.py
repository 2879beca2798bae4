"""An AMQP client for tests, on the engine's other role: it says what it is told to, and waits for what it expects."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Self, TypeVar

from homeport.net.stream import Address, ConnectionClosedError, Peer
from homeport.proto.amqp import (
    DEFAULT_LIMITS,
    Attach,
    Attached,
    Begin,
    Begun,
    Close,
    Closed,
    Command,
    Connection,
    Delivery,
    Disposed,
    Event,
    Flow,
    Limits,
    Link,
    LinkRole,
    Message,
    Open,
    Opened,
    Role,
    SaslCode,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    Session,
    Source,
    State,
    Target,
    Transfer,
    decode_message,
    encode_message,
)

T = TypeVar("T", bound=Event)
PATIENCE = 5.0

HERE = Peer(remote=Address("192.0.2.7", 50000), local=Address("127.0.0.1", 5671))


class MemoryStream:
    """One end of a connection without a network (a ByteStream)."""

    def __init__(self, peer: Peer = HERE, piece: int | None = None) -> None:
        """`piece`: what is written arrives in pieces of so many bytes."""
        self.peer = peer
        self._piece = piece
        self.unsent = 0
        self.other: MemoryStream
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self._ended = False

    @classmethod
    def pair(cls, peer: Peer = HERE, piece: int | None = None) -> "tuple[MemoryStream, MemoryStream]":
        one, other = cls(peer, piece), cls(piece=piece)
        one.other, other.other = other, one
        return one, other

    async def read(self) -> bytes:
        if self._ended and self._arrived.empty():
            return b""
        data = await self._arrived.get()
        self._ended = self._ended or not data
        return data

    def write(self, data: bytes) -> None:
        piece = self._piece or len(data) or 1
        for at in range(0, len(data), piece):
            if not self.other._ended:
                self.other._arrived.put_nowait(data[at : at + piece])

    async def drain(self) -> None:
        await asyncio.sleep(0)
        if self._ended:
            raise ConnectionClosedError("the connection has ended")

    def abort(self) -> None:
        self._ended = True
        self.other._arrived.put_nowait(b"")
        self._arrived.put_nowait(b"")

    async def close(self) -> None:
        self.other._arrived.put_nowait(b"")
        self._ended = True
        self._arrived.put_nowait(b"")


class Client:
    """One connection, driven command by command."""

    def __init__(
        self,
        read: Callable[[], Awaitable[bytes]],
        write: Callable[[bytes], Any],
        *,
        mechanisms: tuple[str, ...] = (),
        container_id: str = "client",
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """`mechanisms`: begin with SASL."""
        self.read = read
        self.write = write
        self.engine = Connection(Role.CLIENT, container_id=container_id, mechanisms=mechanisms, limits=limits)
        self.events: list[Event] = []
        self.session: Session

    @classmethod
    def over(cls, stream: MemoryStream, **options: Any) -> Self:
        return cls(stream.read, stream.write, **options)

    @classmethod
    async def dial(cls, address: tuple[str, int], context: ssl.SSLContext, **options: Any) -> Self:
        reader, writer = await asyncio.open_connection(*address, ssl=context, server_hostname="localhost")
        client = cls(lambda: reader.read(65536), writer.write, **options)
        client.writer = writer
        return client

    writer: asyncio.StreamWriter

    def send(self, *commands: Command) -> None:
        for command in commands:
            self.engine.send(command)
        self.flush()

    def flush(self) -> None:
        if data := self.engine.outgoing():
            self.write(data)

    async def hear(self) -> Event | None:
        """Return the next event, None at the end."""
        self.flush()
        while not self.events:
            data = await asyncio.wait_for(self.read(), PATIENCE)
            if not data:
                return None
            self.events += self.engine.receive(data)
            self.engine.tick(asyncio.get_running_loop().time())
            self.flush()
        return self.events.pop(0)

    async def next(self, kind: type[T]) -> T:
        event = await self.hear()
        assert isinstance(event, kind), event
        return event

    async def until(self, kind: type[T]) -> T:
        """Pass over events of other kinds."""
        while not isinstance(event := await self.hear(), kind):
            assert event is not None, f"the server ended before {kind.__name__}"
        return event

    async def at_end(self) -> bool:
        """Wait for the server's end; whatever it says until then, except CLOSE, fails."""
        assert not self.events, self.events
        with suppress(ConnectionError):
            while (event := await self.hear()) is not None:
                if not isinstance(event, Closed):
                    return False
        return True

    async def rest(self) -> bytes:
        """Return the bytes up to the server's end, unread."""
        heard = b""
        with suppress(ConnectionError):
            while data := await self.read():
                heard += data
        return heard

    # --- several steps at once ------------------------------------------------------------------------------------

    async def sasl(self, mechanism: str, initial_response: bytes) -> SaslCode:
        """Choose a mechanism of one step; return the outcome."""
        assert mechanism in (await self.next(SaslMechanisms)).mechanisms
        self.send(SaslInit(mechanism=mechanism, initial_response=initial_response))
        return (await self.next(SaslOutcome)).code

    async def open(self, hostname: str = "localhost") -> Opened:
        self.send(Open(hostname=hostname))
        return await self.next(Opened)

    async def begin(self) -> Session:
        self.session = self.engine.new_session()
        self.send(Begin(session=self.session))
        await self.until(Begun)
        return self.session

    def receiver(self, address: str | None, credit: int = 10, **options: Any) -> Link:
        """Attach a link on which we receive, without waiting."""
        link = self.engine.new_link(self.session, f"receiver-{address}", LinkRole.RECEIVER)
        self.send(Attach(link=link, source=Source(address=address), target=Target(), **options))
        if credit:
            self.send(Flow(link=link, credit=credit))
        return link

    def sender(self, address: str | None, **options: Any) -> Link:
        """Attach a link on which we send, without waiting."""
        link = self.engine.new_link(self.session, f"sender-{address}", LinkRole.SENDER)
        self.send(Attach(link=link, source=Source(), target=Target(address=address), **options))
        return link

    async def attached(self) -> Attached:
        """Wait for the answer to an ATTACH, and for credit if we send on the link."""
        answer = await self.until(Attached)
        while answer.link.role is LinkRole.SENDER and answer.link.open and not answer.link.credit:
            await self.hear()
        return answer

    def message(self, link: Link, message: Message | bytes, **options: Any) -> int:
        data = message if isinstance(message, bytes) else encode_message(message)
        delivery_id = self.engine.send(Transfer(link=link, data=data, **options))
        self.flush()
        return delivery_id

    async def outcome(self) -> Any:
        """Return the state the server gave to a message of ours."""
        return (await self.until(Disposed)).state

    async def received(self) -> Message:
        return decode_message((await self.until(Delivery)).data)

    async def leave(self) -> None:
        """Close in order."""
        if self.engine.state is not State.CLOSED:
            self.send(Close())
            await self.until(Closed)
