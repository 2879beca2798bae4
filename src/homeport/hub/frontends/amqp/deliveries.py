"""Cloud-to-device messages to one AMQP link, and their settlement by its client (contract hub.md 16.4, 19)."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from homeport.hub.errors import HubError
from homeport.hub.frontends.amqp.device_messages import write_cloud_message
from homeport.hub.frontends.amqp.unsettled import UnsettledDeliveries
from homeport.hub.message_lock import Settlement
from homeport.hub.messages import MAX_QUEUED, Delivery, Messages
from homeport.net.amqp_handlers import AmqpSender
from homeport.security.explain import quoted

MAX_UNSETTLED: Final = 2 * MAX_QUEUED
"""Deliveries without an outcome, those included whose locks are over."""

_log = logging.getLogger(__name__)


class Deliveries:
    """Sends what waits in a queue, as the client gives credit."""

    def __init__(
        self, target: str, messages: Messages, link: AmqpSender, run: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        """`run` lets work go on beside the connection."""
        self._target = target
        self._messages = messages
        self._link = link
        self._start = run
        self._wake = asyncio.Event()
        self._unsettled = UnsettledDeliveries(
            link, partial(messages.settle, target), run=run, settled=self._wake.set, lost=self._lost
        )
        self._over = False
        self._woken = self._wake.set  # one bound method, so that it can be told from another link's

    def start(self) -> None:
        """Deliver from now on."""
        self._messages.listen(self._target, self._woken)
        self._wake.set()
        self._start(self._run())

    def look(self) -> None:
        """Learn that there is credit."""
        self._wake.set()

    def stop(self) -> None:
        """Deliver nothing more: the link has ended. What was delivered is given back by `close`."""
        self._over = True
        self._unsettled.stop()
        self._messages.forget(self._target, self._woken)
        self._wake.set()

    async def close(self) -> None:
        """Settle what has an outcome, and give back the rest; may be called again after it was interrupted."""
        self.stop()
        await self._unsettled.close()

    async def _run(self) -> None:
        await self._messages.take_over(self._target)
        while self._goes_on():
            await self._wake.wait()
            self._wake.clear()
            while self._goes_on() and self._link.credit > 0 and len(self._unsettled) < MAX_UNSETTLED:
                delivery = await self._messages.receive(self._target, life=None, of_connection=True)
                if delivery is None:
                    break
                self._unsettled.hold(delivery.token)
                if self._goes_on():
                    await self._send(delivery)
                else:
                    await self.close()

    def _goes_on(self) -> bool:
        return not self._over

    async def _send(self, delivery: Delivery) -> None:
        tag, message = write_cloud_message(self._target, delivery)
        try:
            self._unsettled.send(delivery.token, tag, message)
        except ValueError as fault:
            _log.warning("a message for %s cannot be sent over AMQP: %s", quoted(self._target), fault)
            await self._unsettled.settle(delivery.token, Settlement.REJECT)

    def _lost(self, error: HubError) -> None:
        _log.info("a message for %s was not settled: %s", quoted(self._target), error.message)
