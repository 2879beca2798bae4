"""Cloud-to-device messages to one AMQP link, and their settlement by its client (contract hub.md 16.4, 19)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from homeport.hub.errors import HubError
from homeport.hub.frontends.amqp.device_messages import write_cloud_message
from homeport.hub.frontends.amqp.errors import link_error
from homeport.hub.message_lock import Settlement
from homeport.hub.messages import MAX_QUEUED, Delivery, Messages
from homeport.net.amqp_handlers import AmqpSender
from homeport.proto.amqp import ACCEPTED, Accepted, DeliveryState, Rejected, SenderSettleMode
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
        self._held: dict[str, Awaitable[DeliveryState | None] | None] = {}
        """What is being delivered, by the tokens of the locks, and what its outcome comes by."""
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
        self._messages.forget(self._target, self._woken)
        self._wake.set()

    async def close(self) -> None:
        """Settle what has an outcome, and give back the rest; may be called again after it was interrupted."""
        self.stop()
        for token, sent in tuple(self._held.items()):
            told = sent.result() if isinstance(sent, asyncio.Future) and sent.done() and not sent.cancelled() else None
            await self._settle(token, _settlement(told))

    async def _run(self) -> None:
        await self._messages.take_over(self._target)
        while self._goes_on():
            await self._wake.wait()
            self._wake.clear()
            while self._goes_on() and self._link.credit > 0 and len(self._held) < MAX_UNSETTLED:
                delivery = await self._messages.receive(self._target, life=None, of_connection=True)
                if delivery is None:
                    break
                self._held[delivery.token] = None
                if self._goes_on():
                    await self._send(delivery)
                else:
                    await self.close()

    def _goes_on(self) -> bool:
        return not self._over

    async def _send(self, delivery: Delivery) -> None:
        tag, message = write_cloud_message(self._target, delivery)
        try:
            sent = self._link.send(message, tag=tag, deferred=True)
        except ValueError as fault:
            _log.warning("a message for %s cannot be sent over AMQP: %s", quoted(self._target), fault)
            await self._settle(delivery.token, Settlement.REJECT)
        else:
            self._held[delivery.token] = sent
            self._start(self._finish(delivery.token, tag, sent))

    async def _finish(self, token: str, tag: bytes, sent: Awaitable[DeliveryState | None]) -> None:
        state = await sent
        if state is None and self._link.attached.snd_settle_mode is SenderSettleMode.SETTLED:
            state = ACCEPTED  # the client wants no part in it
        elif self._over:
            return  # `close` settles it, or gives it back
        lost = await self._settle(token, _settlement(state))
        self._link.settle(tag, state or ACCEPTED if lost is None else Rejected(error=link_error(lost)))
        self._wake.set()

    async def _settle(self, token: str, settlement: Settlement) -> HubError | None:
        lost: HubError | None = None
        try:
            await self._messages.settle(self._target, token, settlement)
        except HubError as error:
            _log.info("a message for %s was not settled: %s", quoted(self._target), error.message)
            lost = error
        self._held.pop(token, None)  # not when it was interrupted: `close` sees to it then
        return lost


def _settlement(state: DeliveryState | None) -> Settlement:
    """Released and modified give a message back, and so does settling without a word."""
    match state:
        case Accepted():
            return Settlement.COMPLETE
        case Rejected():
            return Settlement.REJECT
        case _:
            return Settlement.ABANDON
