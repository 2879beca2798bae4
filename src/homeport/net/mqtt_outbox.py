"""What goes out to one MQTT client: packets gathered into few writes, and messages within their window.

Never here: what came in, and who decides to close.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Generator
from typing import Any

from homeport.net.stream import ByteStream, ConnectionClosedError
from homeport.proto.mqtt import Connection, LocalProtocolError, Packet, Publish, State

__all__ = ["Outbox"]


class Outbox:
    """The sending half of a conversation. Packets of one turn of the event loop leave in one write."""

    __slots__ = (
        "_ended",
        "_engine",
        "_flush_due",
        "_held",
        "_held_bytes",
        "_loop",
        "_stream",
        "_unacknowledged",
        "_window",
    )

    def __init__(self, stream: ByteStream, engine: Connection, window: int) -> None:
        """Send at most `window` QoS 1 messages ahead of the client's acknowledgements."""
        self._stream = stream
        self._engine = engine
        self._window = window
        self._loop = asyncio.get_running_loop()
        self._flush_due = False
        self._ended = False
        self._held: deque[tuple[Publish, asyncio.Future[bool] | None]] = deque()
        self._held_bytes = 0
        self._unacknowledged: dict[int, asyncio.Future[bool]] = {}

    @property
    def waiting(self) -> int:
        """Bytes that wait for the client, here or in the stream."""
        return self._held_bytes + self._stream.unsent

    def send(self, packet: Packet) -> int | None:
        """Queue a packet and return its id if it awaits an answer; after either side's end it is dropped."""
        if self._ended or self._engine.state is State.CLOSED:
            return None
        packet_id = self._engine.send(packet)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self.flush)
        return packet_id

    def publish(self, message: Publish) -> Awaitable[bool]:
        """Send a message as soon as CONNACK and the window allow; the answer is as for MqttLink.publish."""
        acknowledged: asyncio.Future[bool] | None = None
        if message.qos:
            acknowledged = self._loop.create_future()
            if self._ended:
                acknowledged.set_result(False)
        if not self._ended:
            if self._must_wait(message):
                self._held.append((message, acknowledged))
                self._held_bytes += len(message.payload)
            else:
                self._put(message, acknowledged)
        return acknowledged or _Handed(self)

    def settle(self, packet_id: int) -> None:
        """Learn that the client has acknowledged this one."""
        acknowledged = self._unacknowledged.pop(packet_id, None)
        if acknowledged is not None and not acknowledged.done():
            acknowledged.set_result(True)
        self.release()

    def release(self) -> None:
        """Send what was held back, as far as the window allows; also once the client is accepted."""
        while self._held and not self._full(self._held[0][0]):
            message, acknowledged = self._held.popleft()
            self._held_bytes -= len(message.payload)
            self._put(message, acknowledged)

    def flush(self) -> None:
        """Hand what is queued to the stream."""
        self._flush_due = False
        if data := self._engine.outgoing():
            self._stream.write(data)

    def end(self) -> None:
        """Hand over the last words; whoever waits for the client learns that it will not answer."""
        self.flush()
        self._ended = True
        waiting = [*self._unacknowledged.values(), *(future for _, future in self._held if future is not None)]
        self._unacknowledged.clear()
        self._held.clear()
        self._held_bytes = 0
        for future in waiting:
            if not future.done():
                future.set_result(False)

    async def handed(self) -> bool:
        """Wait until the network takes more; False if the connection ended first."""
        if self._ended:
            return False
        self.flush()
        try:
            await self._stream.drain()
        except ConnectionClosedError:
            return False
        return True

    def _must_wait(self, message: Publish) -> bool:
        if self._engine.state is not State.CONNECTED:
            return True
        return message.qos > 0 and (bool(self._held) or self._full(message))

    def _full(self, message: Publish) -> bool:
        return message.qos > 0 and self._engine.in_flight >= self._window

    def _put(self, message: Publish, acknowledged: asyncio.Future[bool] | None) -> None:
        try:
            packet_id = self.send(message)
        except LocalProtocolError as fault:
            raise ValueError(str(fault)) from fault
        if acknowledged is None:
            return
        if packet_id is None:
            acknowledged.set_result(False)
        else:
            self._unacknowledged[packet_id] = acknowledged


class _Handed:
    """What `publish` returns at QoS 0: costs nothing unless awaited."""

    __slots__ = ("_outbox",)

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def __await__(self) -> Generator[Any, None, bool]:
        return self._outbox.handed().__await__()
