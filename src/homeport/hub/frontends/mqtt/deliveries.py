"""Cloud-to-device messages to one MQTT connection, and their settlement by PUBACK (contract hub.md 13.5, 19)."""

import asyncio
import logging
from collections.abc import Awaitable

from homeport.hub.errors import HubError
from homeport.hub.message_bag import MAX_TOPIC_BYTES, write_bag
from homeport.hub.message_lock import Settlement
from homeport.hub.messages import CONNECTION_LOCK, Delivery, Messages
from homeport.net.sites import MqttLink
from homeport.security.explain import quoted

MAX_UNACKNOWLEDGED = 10
"""Messages sent and not acknowledged yet: the order stays, and a device with little memory is not drowned."""

_log = logging.getLogger(__name__)


class Deliveries:
    """Sends what waits in a queue, while the device is subscribed to it."""

    def __init__(self, target: str, topic: str, messages: Messages, link: MqttLink) -> None:
        """`topic` is what the bag is put behind."""
        self._target = target
        self._topic = topic
        self._messages = messages
        self._link = link
        self._qos: int | None = None
        self._wake = asyncio.Event()
        self._room = asyncio.Semaphore(MAX_UNACKNOWLEDGED)
        self._held: dict[str, Awaitable[bool] | None] = {}
        """What is being delivered, by the tokens of the locks, and what its acknowledgement comes by."""
        self._started = False
        self._woken = self._wake.set  # one bound method, so that it can be told from another session's

    def start(self, qos: int) -> None:
        """Deliver at this quality from now on."""
        self._qos = qos
        self._messages.listen(self._target, self._woken)
        self._wake.set()
        if not self._started:
            self._started = True
            self._link.run(self._run())

    def stop(self) -> None:
        """Deliver nothing more; what is on its way may still be acknowledged."""
        self._qos = None
        self._messages.forget(self._target, self._woken)

    async def close(self) -> None:
        """Settle what was acknowledged, and give back the rest: the connection has ended."""
        self.stop()
        for token, sent in tuple(self._held.items()):
            told = isinstance(sent, asyncio.Future) and sent.done() and not sent.cancelled() and sent.result()
            await self._settle(token, Settlement.COMPLETE if told else Settlement.ABANDON)

    async def _run(self) -> None:
        await self._messages.take_over(self._target)
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._qos is not None:
                await self._room.acquire()
                delivery = await self._messages.receive(self._target, life=CONNECTION_LOCK, of_connection=True)
                if delivery is None:
                    self._room.release()
                    break
                sent = self._held[delivery.token] = self._send(delivery, self._qos)
                self._link.run(self._finish(delivery, sent))

    def _send(self, delivery: Delivery, qos: int) -> Awaitable[bool] | None:
        """Send a message in its turn; None if no topic can hold its properties."""
        topic = f"{self._topic}{write_bag(self._target, delivery.message)}"
        if len(topic) > MAX_TOPIC_BYTES:  # ASCII
            return None
        dup = qos > 0 and delivery.queued.delivery_count > 0
        return self._link.publish(topic, delivery.message.body, qos=qos, dup=dup)

    async def _finish(self, delivery: Delivery, sent: Awaitable[bool] | None) -> None:
        try:
            if sent is None:
                _log.warning("a message for %s has more properties than a topic can hold", quoted(self._target))
                await self._settle(delivery.token, Settlement.REJECT)
            elif await sent:
                await self._settle(delivery.token, Settlement.COMPLETE)
            # Else the connection has ended, and `close` sees to the message.
        finally:
            self._room.release()

    async def _settle(self, token: str, settlement: Settlement) -> None:
        try:
            await self._messages.settle(self._target, token, settlement)
        except HubError as error:
            _log.info("a message for %s was not settled: %s", quoted(self._target), error.message)
        self._held.pop(token, None)  # not when it was interrupted: `close` sees to it then
