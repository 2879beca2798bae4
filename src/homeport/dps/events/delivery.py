"""Delivers events to webhooks: at least once, in order for each subject, from the journal, which is the outbox.

One process at a time works for a subscription, under a lease. What it had sent and not yet noted when it died is
sent once more by the next.
"""

import asyncio
import logging

from homeport.dps.events.worker import Signal, Tools, Worker
from homeport.dps.model import Subscription

log = logging.getLogger(__name__)


class EventDelivery:
    """One per process. `poll`, in seconds, is how soon another process's entries are noticed."""

    def __init__(self, tools: Tools, *, poll: float = 1.0) -> None:
        self._tools = tools
        self._poll = poll
        self._signal = Signal()
        self._served: set[str] = set()

    def wake(self) -> None:
        """Look at once whether there is something to do."""
        self._signal.give()

    async def run(self) -> None:
        """Deliver until cancelled."""
        stop_listening = self._tools.journal.on_growth(self.wake)
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    given = self._signal.next()
                    await self._look(tasks)
                    await self._signal.wait(given, self._poll)
        finally:
            stop_listening()

    async def _look(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to work for the subscriptions that nobody works for."""
        tools = self._tools
        try:
            await tools.journal.catch_up()
            for subscription in await tools.subscriptions.all():
                if not subscription.enabled or subscription.name in self._served:
                    continue
                begin = await tools.subscriptions.claim(
                    subscription.name, owner=tools.owner, now=tools.clock.now(), lease=tools.lease
                )
                if begin is not None:
                    self._served.add(subscription.name)
                    tasks.create_task(self._serve(subscription, begin))
        except Exception:
            log.exception("could not look for events to deliver")

    async def _serve(self, subscription: Subscription, begin: int) -> None:
        try:
            await Worker(self._tools, subscription, begin, self._signal, poll=self._poll).run()
        except Exception:
            log.exception("delivery to %s stopped; it goes on when its lease ends", subscription.name)
        finally:
            self._served.discard(subscription.name)
