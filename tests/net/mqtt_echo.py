"""An MQTT front-end that echoes, and a client that plays what the engine allows."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Self, TypeVar

from homeport.net.sites import MqttLink, MqttSession
from homeport.net.stream import Peer
from homeport.proto.mqtt import ConnAck, Connect, Connection, Event, Packet, Publish, ReturnCode, Role

T = TypeVar("T", bound=Event)
OnPublish = Callable[["EchoSession", Publish, Callable[[], None]], Awaitable[None]]


class EchoSession:
    """Sends every message back at the same QoS, on the topic with `/back` at its end, after the PUBACK."""

    def __init__(self, link: MqttLink, connect: Connect, on_publish: OnPublish | None) -> None:
        self.link = link
        self.connect = connect
        self.session_present = False
        self.expires_at: datetime | None = None
        self.on_publish = on_publish
        self.heard: list[Publish] = []
        self.ends: list[bool] = []
        self.ended = asyncio.Event()
        self.subscriptions: list[tuple[str, int]] = []
        self.told_subscribed = 0

    async def publish(self, message: Publish, ack: Callable[[], None]) -> None:
        self.heard.append(message)
        if self.on_publish is not None:
            await self.on_publish(self, message, ack)
            return
        ack()
        _ = self.link.publish(message.topic + "/back", message.payload, qos=message.qos)

    async def subscribe(self, filters: Sequence[tuple[str, int]]) -> Sequence[int]:
        self.subscriptions += filters
        return [0x80 if name.startswith("no/") else min(qos, 1) for name, qos in filters]

    def subscribed(self) -> None:
        self.told_subscribed += 1

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        self.subscriptions = [each for each in self.subscriptions if each[0] not in filters]

    async def closed(self, *, orderly: bool) -> None:
        self.ends.append(orderly)
        self.ended.set()


class EchoFrontEnd:
    """Owns every user name but `nobody`; refuses with a return code where the user name is a number."""

    def __init__(self, on_publish: OnPublish | None = None) -> None:
        self.on_publish = on_publish
        self.sessions: list[EchoSession] = []
        self.peers: list[Peer] = []
        self.prepare: Callable[[EchoSession], None] = lambda session: None

    def owns(self, connect: Connect) -> bool:
        return connect.user_name != "nobody"

    async def connect(self, connect: Connect, peer: Peer, link: MqttLink) -> MqttSession | int:
        self.peers.append(peer)
        if connect.user_name == "fail":
            raise ZeroDivisionError
        if (connect.user_name or "").isdigit():
            return int(connect.user_name or 0)
        session = EchoSession(link, connect, self.on_publish)
        self.prepare(session)
        self.sessions.append(session)
        return session


class Client:
    """One connection, driven packet by packet."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.engine = Connection(Role.CLIENT)
        self.events: list[Event] = []

    @classmethod
    async def dial(cls, address: tuple[str, int], context: ssl.SSLContext) -> Self:
        return cls(*await asyncio.open_connection(*address, ssl=context, server_hostname="localhost"))

    @classmethod
    async def join(
        cls, address: tuple[str, int], context: ssl.SSLContext, keep_alive: int = 60, clean: bool = True
    ) -> Self:
        client = await cls.dial(address, context)
        client.send(Connect(client_id="a", user_name="user", keep_alive=keep_alive, clean_session=clean))
        assert (await client.next(ConnAck)).return_code == ReturnCode.ACCEPTED
        return client

    def send(self, *packets: Packet) -> None:
        for packet in packets:
            self.engine.send(packet)
        self.writer.write(self.engine.outgoing())

    async def next(self, kind: type[T]) -> T:
        while not self.events:
            data = await asyncio.wait_for(self.reader.read(65536), 5)
            assert data, "the server closed"
            self.events += self.engine.receive(data)
        event = self.events.pop(0)
        assert isinstance(event, kind), event
        return event

    async def at_end(self) -> bool:
        """Wait for the server's end; whatever it says until then fails."""
        assert not self.events
        try:
            rest = await asyncio.wait_for(self.reader.read(), 5)
        except ConnectionError:
            rest = b""
        self.writer.close()
        return rest == b""
