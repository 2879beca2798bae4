"""The bus and the peers of a process among several: NATS core, at most once (the ports: bus.py, peers.py).

Subjects, below a prefix of the Homeport's own: `event.{kind}` to all; `find.{topic}` to all, answered with a node's
name and whether it knows; `ask.{node}.{topic}` to one.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from itertools import count

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error, NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from homeport.bus import (
    ConnectionChanged,
    DesiredChanged,
    DeviceChanged,
    Event,
    HintsLost,
    HubAuthoritiesChanged,
    HubsChanged,
    LocalBus,
    MessageQueued,
    NodesChanged,
    PartitionOwned,
    PassWanted,
    SessionOpened,
    TelemetryStored,
    TwinChanged,
)
from homeport.net.nats_connection import NatsConnection
from homeport.peers import Answering, Knowing, PeerGoneError
from homeport.wire import WireError
from homeport.wire.events import EventCodec

CARRIED: tuple[type[Event], ...] = (
    ConnectionChanged,
    DesiredChanged,
    DeviceChanged,
    HubAuthoritiesChanged,
    HubsChanged,
    MessageQueued,
    NodesChanged,
    PartitionOwned,
    PassWanted,
    SessionOpened,
    TelemetryStored,
    TwinChanged,
)
"""What others hear of. Operations of registering are not among it: who opened one carries it, others need not wake."""
FIND_SECONDS = 1.0
_LOOK_SECONDS = 1.0
"""How often a question that is not answered yet looks whether its node still is there."""

_codec: EventCodec[Event] = EventCodec(CARRIED)
_log = logging.getLogger(__name__)


class NatsBus:
    """Bus: events reach the readers of this process at once, and those of the others by NATS."""

    def __init__(self, connection: NatsConnection, *, prefix: str) -> None:
        self._connection = connection
        self._local = LocalBus()
        self._subjects = {kind: f"{prefix}.event.{kind.__name__}" for kind in CARRIED}
        connection.read(f"{prefix}.event.*", self._take)
        connection.when_lost = self._lost

    async def publish(self, event: Event) -> None:
        await self._local.publish(event)
        subject = self._subjects.get(type(event))
        if subject is not None:
            await self._connection.publish(subject, _codec.encode(event))

    def subscribe(self, *kinds: type[Event]) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        return self._local.subscribe(*kinds)

    async def _take(self, message: Msg) -> None:
        kind = message.subject.rpartition(".")[2]
        try:
            event = _codec.decode(kind, message.data)
        except WireError:
            _log.warning("the bus brought a %s that cannot be read", kind)
            return
        if event is not None:
            await self._local.publish(event)

    async def _lost(self, since: datetime) -> None:
        await self._local.publish(HintsLost(since=since))


class NatsPeers:
    """Peers: one question to all, or to one, and what they answer."""

    def __init__(
        self, connection: NatsConnection, *, prefix: str, node: str, others: Callable[[], Collection[str]]
    ) -> None:
        """`others` names the nodes that serve now, this one not among them."""
        self._connection = connection
        self._prefix = prefix
        self._node = node
        self._others = others
        self._served: dict[str, tuple[Knowing, Answering]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._numbers = count(1)
        self._finding: dict[str, asyncio.Queue[tuple[str, bool]]] = {}
        self._replies = f"{prefix}.reply.{node}"
        connection.read(f"{self._replies}.*", self._heard)
        connection.read(f"{prefix}.find.*", self._asked_all)
        connection.read(f"{prefix}.ask.{node}.*", self._asked)

    @property
    def node(self) -> str:
        return self._node

    def serve(self, topic: str, *, knows: Knowing, answers: Answering) -> None:
        self._served[topic] = (knows, answers)

    async def run(self) -> None:
        """Answer questions until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            await asyncio.Event().wait()

    async def find(self, topic: str, key: str) -> str | None:
        silent = set(self._others())
        if not silent:
            return None
        number = f"{next(self._numbers):x}"
        heard = self._finding[number] = asyncio.Queue()
        try:
            sent = await self._connection.publish(
                f"{self._prefix}.find.{topic}", key.encode(), reply=f"{self._replies}.{number}"
            )
            if not sent:
                return None
            async with asyncio.timeout(FIND_SECONDS):
                while silent:
                    node, knows = await heard.get()
                    if knows:
                        return node
                    silent.discard(node)
        except TimeoutError:
            pass
        finally:
            del self._finding[number]
        return None

    async def ask(self, node: str, topic: str, question: bytes, *, seconds: float) -> bytes:
        client = self._connection.client
        if client is None:
            raise PeerGoneError(node)
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(self._request(client, node, topic, question, seconds))
            known = node in self._others()
            while not asking.done():
                await asyncio.wait((asking,), timeout=_LOOK_SECONDS)
                there = node in self._others()
                if (known and not there) or not client.is_connected:
                    asking.cancel()
                    break
                known = known or there
        if asking.cancelled():
            raise PeerGoneError(node)
        answer = asking.result()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _request(
        self, client: Client, node: str, topic: str, question: bytes, seconds: float
    ) -> bytes | PeerGoneError | TimeoutError:
        """Return what went wrong, so that it does not become a group of exceptions."""
        try:
            answer = await client.request(f"{self._prefix}.ask.{node}.{topic}", question, timeout=seconds)
        except NatsTimeoutError:
            return TimeoutError()
        except (NoRespondersError, Error, OSError):
            return PeerGoneError(node)
        return answer.data

    async def _heard(self, message: Msg) -> None:
        heard = self._finding.get(message.subject.rpartition(".")[2])
        if heard is not None:
            node, _, knows = message.data.decode("ascii", "replace").partition(" ")
            heard.put_nowait((node, knows == "1"))

    async def _asked_all(self, message: Msg) -> None:
        served = self._served.get(message.subject.rpartition(".")[2])
        knows = served is not None and served[0](message.data.decode("utf-8", "replace"))
        await self._connection.publish(message.reply, f"{self._node} {int(knows)}".encode())

    async def _asked(self, message: Msg) -> None:
        served = self._served.get(message.subject.rpartition(".")[2])
        if served is not None and self._tasks is not None:
            # Each in a task of its own: a device may take minutes.
            self._tasks.create_task(self._answer(served[1], message))

    async def _answer(self, answers: Answering, message: Msg) -> None:
        try:
            answer = await answers(message.data)
        except Exception:
            _log.exception("a question of another process could not be answered")
            return
        await self._connection.publish(message.reply, answer)
