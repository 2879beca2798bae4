"""The MQTT loop: moves bytes between a stream and the protocol engine, and lets a front-end answer.

Never here: what topics, user names or passwords mean.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from msgspec import Struct

from homeport.clock import Clock
from homeport.net.conversations import ConversationServer
from homeport.net.mqtt_outbox import Outbox
from homeport.net.patience import Patience
from homeport.net.sites import MqttSession, Sites, UnacknowledgedError
from homeport.net.stream import ByteStream, ConnectionClosedError, Peer
from homeport.proto.mqtt import (
    DEFAULT_MAX_CONNECT_SIZE,
    DEFAULT_MAX_PACKET_SIZE,
    ConnAck,
    Connect,
    Connection,
    Disconnect,
    Event,
    PubAck,
    Publish,
    RemoteProtocolError,
    ReturnCode,
    Role,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    UnsupportedProtocol,
)

__all__ = ["MqttLimits", "MqttServer"]

_log = logging.getLogger(__name__)


class MqttLimits(Struct, frozen=True, kw_only=True):
    """What one client may ask of us; times in seconds, sizes in bytes."""

    connect_seconds: float = 30.0
    """From the open stream to the whole CONNECT."""
    silence_seconds: float = 1767.0
    """The longest wait for a client, whatever its keep-alive says (contract hub.md 13.11)."""
    packet_bytes: int = DEFAULT_MAX_PACKET_SIZE
    connect_bytes: int = DEFAULT_MAX_CONNECT_SIZE
    handled_at_once: int = 64
    """Messages of one client being handled; while so many are, its stream is not read."""
    window: int = 100
    """QoS 1 messages on their way to the client without its acknowledgement."""
    waiting_bytes: int = 4 * 1024 * 1024
    """What may wait for a client that does not read."""
    finish_seconds: float = 10.0
    """How long messages already received may still be handled after the end of the connection."""


class MqttServer(ConversationServer):
    """Speaks MQTT 3.1.1 on any stream."""

    def __init__(self, sites: Sites, clock: Clock, limits: MqttLimits | None = None) -> None:
        allowed = limits or MqttLimits()
        super().__init__(lambda stream, host: _Conversation(stream, host, sites, clock, allowed))


class _Conversation:
    """One client's connection from its first byte to the last; the MqttLink of its session."""

    def __init__(self, stream: ByteStream, host: str | None, sites: Sites, clock: Clock, limits: MqttLimits) -> None:
        self._stream = stream
        self._host = host
        self._sites = sites
        self._clock = clock
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._engine = Connection(
            Role.SERVER,
            max_packet_size=limits.packet_bytes,
            max_connect_size=limits.connect_bytes,
            max_silence=limits.silence_seconds,
        )
        self._outbox = Outbox(stream, self._engine, limits.window)
        self._connect_by: float | None = self._loop.time() + limits.connect_seconds
        self._group = asyncio.TaskGroup()
        self._session: MqttSession | None = None
        self._orderly = False

        self._closing = False  # somebody wants the end, perhaps while we wait for the client
        self._ended = False
        self._patience = Patience()  # around the wait for the client

        self._handlers: set[asyncio.Task[None]] = set()
        self._handler_done = asyncio.Event()
        self._work: set[asyncio.Task[None]] = set()
        self._acks: deque[_Ack] = deque()  # PUBACKs owed, in order of receipt

    # --- the loop -----------------------------------------------------------------------------------------------

    async def hold(self) -> None:
        """Talk until the end, then clean up; always calls the session's `closed`, even when cancelled."""
        try:
            async with self._group:
                try:
                    await self._converse()
                except RemoteProtocolError as fault:
                    _log.info("MQTT client %s closed: %s", self._stream.peer.remote.host, fault)
                except ConnectionClosedError:
                    pass
                except Exception:
                    _log.exception("An MQTT front-end failed; its connection is closed")
                finally:
                    self._end()
                self._group.create_task(self._guard(self._stream.close()))
                await self._wind_up()
                await self._tell_closed()
        finally:
            await self._tell_closed()

    async def _converse(self) -> None:
        while not self._closing:
            self._patience.begin(self._deadline())
            try:
                await self._stream.drain()
                data = await self._stream.read()
            except asyncio.CancelledError:
                if not self._patience.was_over():
                    raise
                continue  # the reason shows when the deadlines are looked at again
            finally:
                self._patience.end()
            if not data:
                return
            for event in self._engine.receive(data):
                if not await self._answer(event):
                    return
            self._outbox.flush()

    def _deadline(self) -> float | None:
        """Tell when to stop waiting for the client. Closes what is overdue; raises the engine's faults."""
        now = self._loop.time()
        due = self._engine.tick(now)
        if self._connect_by is not None:
            if now >= self._connect_by:
                raise RemoteProtocolError("no CONNECT came in time")
            due = _earlier(due, self._connect_by)
        if self._session is not None and (expiry := self._session.expires_at) is not None:
            left = (expiry - self._clock.now()).total_seconds()
            if left <= 0:
                _log.info("MQTT client %s closed: its time is over", self._stream.peer.remote.host)
                self._closing = True
            due = _earlier(due, now + left)
        return now if self._closing else due

    async def _answer(self, event: Event) -> bool:
        """Deal with one packet; False when it was the last."""
        if self._closing:
            return False
        match event:
            case Publish():
                if event.qos == 2:
                    raise RemoteProtocolError("QoS 2 is not served")
                await self._handle(event)
            case PubAck():
                self._outbox.settle(event.packet_id)
            case Connect():
                return await self._accept(event)
            case UnsupportedProtocol():
                self._engine.send(ConnAck(return_code=ReturnCode.UNACCEPTABLE_PROTOCOL_LEVEL))
                return False
            case Subscribe():
                assert self._session is not None
                assert event.packet_id is not None
                filters = [(each.topic_filter, each.qos) for each in event.subscriptions]
                granted = await self._session.subscribe(filters)
                if len(granted) != len(filters):
                    raise ValueError("A session must answer each filter")
                self._outbox.send(SubAck(packet_id=event.packet_id, return_codes=tuple(granted)))
                self._session.subscribed()
            case Unsubscribe():
                assert self._session is not None
                assert event.packet_id is not None
                await self._session.unsubscribe(event.topic_filters)
                self._outbox.send(UnsubAck(packet_id=event.packet_id))
            case Disconnect():
                self._orderly = True
                return False
            case _:
                # The engine lets a client say nothing else.
                raise RemoteProtocolError(f"{event.type.name} is not a client's to say")
        return True

    async def _accept(self, connect: Connect) -> bool:
        self._connect_by = None
        peer = self._stream.peer
        site = self._sites.resolve(peer.server_name, self._host, peer.local.host)
        front_end = self._sites.find_mqtt(site, connect)
        if front_end is None:
            _log.info("MQTT client %s refused: nobody here owns its user name", peer.remote.host)
            return self._refuse(ReturnCode.NOT_AUTHORIZED)
        try:
            answer = await front_end.connect(connect, peer, self)
            if isinstance(answer, int):
                return self._refuse(ReturnCode(answer))
        except Exception:
            _log.exception("An MQTT front-end failed to connect a client")
            return self._refuse(ReturnCode.SERVER_UNAVAILABLE)
        self._session = answer
        if self._closing:  # displaced before it was there
            return False
        present = answer.session_present and not connect.clean_session
        self._outbox.send(ConnAck(session_present=present))
        self._outbox.release()
        return True

    def _refuse(self, code: ReturnCode) -> bool:
        if code is ReturnCode.ACCEPTED:
            raise ValueError("To accept a client, answer with a session")
        self._outbox.send(ConnAck(return_code=code))
        return False

    # --- messages from the client -------------------------------------------------------------------------------

    async def _handle(self, message: Publish) -> None:
        while len(self._handlers) >= self._limits.handled_at_once and not self._closing:
            self._handler_done.clear()
            self._outbox.flush()
            await self._handler_done.wait()
        if self._closing:
            return
        ack, withhold = _nothing, _nothing
        if message.packet_id is not None:
            owed = _Ack(message.packet_id)
            self._acks.append(owed)
            ack, withhold = partial(self._acknowledge, owed), partial(self._withhold, owed)
        task = self._group.create_task(self._call(message, ack, withhold))
        self._handlers.add(task)
        task.add_done_callback(self._handled)

    async def _call(self, message: Publish, ack: Callable[[], None], withhold: Callable[[], None]) -> None:
        assert self._session is not None
        try:
            await self._session.publish(message, ack)
        except UnacknowledgedError:
            withhold()
        except RemoteProtocolError as fault:
            _log.info("MQTT client %s closed: %s", self._stream.peer.remote.host, fault)
            self.close()
        except Exception:
            _log.exception("An MQTT front-end failed on a message; its connection is closed")
            self.close()
        else:
            ack()

    def _handled(self, task: asyncio.Task[None]) -> None:
        self._handlers.discard(task)
        self._handler_done.set()

    def _acknowledge(self, ack: "_Ack") -> None:
        ack.due = True
        acks = self._acks
        while acks and acks[0].due:
            first = acks.popleft()
            if not first.withheld:
                self._outbox.send(PubAck(packet_id=first.packet_id))

    def _withhold(self, ack: "_Ack") -> None:
        """Let those that come after it go out."""
        ack.withheld = True
        self._acknowledge(ack)

    # --- the MqttLink -------------------------------------------------------------------------------------------

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, dup: bool = False, retain: bool = False
    ) -> Awaitable[bool]:
        if qos not in (0, 1):
            raise ValueError("MQTT messages are sent with QoS 0 or 1")
        answer = self._outbox.publish(Publish(topic=topic, payload=payload, qos=qos, dup=dup, retain=retain))
        if self._outbox.waiting > self._limits.waiting_bytes and not self._closing:
            _log.info("MQTT client %s closed: it does not read", self._stream.peer.remote.host)
            self.close()
        return answer

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        if self._ended:
            work.close()
            return
        task = self._group.create_task(self._guard(work))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    @property
    def peer(self) -> Peer:
        """The other end."""
        return self._stream.peer

    def close(self) -> None:
        self._closing = True
        self._handler_done.set()
        self._patience.ring()

    def abort(self) -> None:
        self._stream.abort()
        self.close()

    def drain(self) -> None:
        """MQTT 3.1.1 has no word for it: the connection ends."""
        self.close()

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            _log.exception("Work beside an MQTT connection failed; the connection is closed")
            self.close()

    # --- the end ------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        self._closing = self._ended = True
        self._patience.close()
        self._outbox.end()
        self._engine.close()
        for task in self._work:
            task.cancel()

    async def _wind_up(self) -> None:
        """Let messages already received come to their end, for a while."""
        tasks = self._handlers | self._work
        if tasks:
            await asyncio.wait(tasks, timeout=self._limits.finish_seconds)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _tell_closed(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        try:
            await session.closed(orderly=self._orderly)
        except Exception:
            _log.exception("An MQTT front-end failed to close its session")


class _Ack:
    """A PUBACK we owe, and whether it may go out."""

    __slots__ = ("due", "packet_id", "withheld")

    def __init__(self, packet_id: int) -> None:
        self.packet_id = packet_id
        self.due = False
        self.withheld = False


def _earlier(one: float | None, other: float) -> float:
    return other if one is None or other < one else one


def _nothing() -> None:
    pass
