"""Feedback or file notifications to one AMQP link, and their settlement by its client (contract hub.md 18.3, 18.4)."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from homeport.clock import Clock
from homeport.hub.errors import HubError
from homeport.hub.frontends.amqp.service_messages import write_notices
from homeport.hub.frontends.amqp.unsettled import UnsettledDeliveries
from homeport.hub.message_lock import Settlement
from homeport.hub.notices import Batch, Notices
from homeport.net.amqp_handlers import AmqpSender

N = TypeVar("N")

POLL_SECONDS: Final = 1.0
"""How often is looked for what other connections or processes brought about: one small read while there is credit."""
MAX_UNSETTLED: Final = 16

_log = logging.getLogger(__name__)


class NoticeDeliveries(Generic[N]):
    """Sends what waits, a batch to a message, as the client gives credit."""

    def __init__(
        self,
        notices: Notices[N],
        write: Callable[[Batch[N]], bytes],
        content_type: str,
        link: AmqpSender,
        run: Callable[[Coroutine[Any, Any, None]], None],
        clock: Clock,
    ) -> None:
        """`write` makes the body of a batch; `run` lets work go on beside the connection."""
        self._notices = notices
        self._write = write
        self._content_type = content_type
        self._link = link
        self._start = run
        self._clock = clock
        self._wake = asyncio.Event()
        self._unsettled = UnsettledDeliveries(link, notices.settle, run=run, settled=self._wake.set, lost=self._lost)
        self._over = False

    def start(self) -> None:
        """Deliver from now on."""
        self._start(self._run())

    def look(self) -> None:
        """Learn that there is credit."""
        self._wake.set()

    async def close(self) -> None:
        """Deliver nothing more; settle what has an outcome, and give back the rest. May be called again."""
        self._over = True
        self._wake.set()
        await self._unsettled.close()

    async def _run(self) -> None:
        while not self._over:
            if self._link.credit <= 0 or len(self._unsettled) >= MAX_UNSETTLED:
                self._wake.clear()
                await self._wake.wait()
            elif not await self._deliver():
                await self._clock.sleep(POLL_SECONDS)

    async def _deliver(self) -> bool:
        """Send the next batch; False if there is none."""
        try:
            batch = await self._notices.take(patient=True)
        except Exception:
            _log.exception("hub %s: what services are told could not be read; trying again", self._notices.hub)
            return False
        if batch is None:
            return False
        token = str(batch.token)
        self._unsettled.hold(token)
        if self._over:
            await self._unsettled.settle(token, Settlement.ABANDON)
            return False
        tag = batch.token.bytes_le
        message = write_notices(self._write(batch), self._content_type, hub=self._notices.hub, at=batch.taken_at)
        try:
            self._unsettled.send(token, tag, message)
        except ValueError as fault:
            _log.warning("hub %s: a receiver cannot take what it is told: %s", self._notices.hub, fault)
            await self._unsettled.settle(token, Settlement.ABANDON)
            return False
        return True

    def _lost(self, error: HubError) -> None:
        _log.info("hub %s: a batch was not settled: %s", self._notices.hub, error.message)
