"""Devices that are connected to other processes, or were to one that died (contract hub.md 13.10).

An identity's row names the process that connected it last: that one keeps it. Hints make that quick; a look at the rows
now and then makes it certain, whatever hints got lost.
"""

import asyncio
import logging

from homeport.bus import Bus, HintsLost, NodesChanged, SessionOpened
from homeport.clock import Clock
from homeport.hub.ports import DeviceStore
from homeport.hub.sessions import Sessions
from homeport.hub.telling import Telling
from homeport.peers import Peers

LOOK_DELAY = 10.0
"""Seconds between looks at who is connected to another process by now."""

_log = logging.getLogger(__name__)


class SessionsElsewhere:
    """Keeps the sessions of one hub in this process in step with those in other processes."""

    def __init__(
        self,
        *,
        hub: str,
        sessions: Sessions,
        store: DeviceStore,
        telling: Telling,
        bus: Bus,
        peers: Peers,
        clock: Clock,
    ) -> None:
        self._hub = hub
        self._sessions = sessions
        self._store = store
        self._telling = telling
        self._bus = bus
        self._node = peers.node
        self._clock = clock

    async def run(self) -> None:
        """Do so until cancelled; alone, there is nothing to do."""
        if not self._node:
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._look_again())

    async def count(self) -> int:
        """Return how many devices are connected, to whichever process; modules not counted."""
        return await self._store.count_connected() if self._node else self._sessions.devices

    async def _listen(self) -> None:
        async with self._bus.subscribe(SessionOpened, NodesChanged, HintsLost) as events:
            async for event in events:
                match event:
                    case SessionOpened(hub=self._hub) if event.node != self._node:
                        self._yield(event)
                    case NodesChanged(node=self._node):
                        self._sessions.restate()  # others took this process for dead
                    case HintsLost():
                        await self._sessions.review_all()
                        await self._look()

    def _yield(self, opened: SessionOpened) -> None:
        """End the session of a device that connected to another process."""
        session = self._sessions.current(opened.device_id)
        # Both may be just open; what clocks that differ get wrong here, the row puts right.
        if session is not None and (
            opened.at >= session.connected_at or not self._sessions.is_pending(opened.device_id)
        ):
            self._sessions.displace(session)

    async def _look_again(self) -> None:
        while True:
            await self._look()
            await self._clock.sleep(LOOK_DELAY)

    async def _look(self) -> None:
        """End the sessions of devices that others hold by now, and disconnect those of processes that died."""
        # Those whose rows are written: what comes while the rows are read does not count.
        settled = {
            session.device_id: session for session in self._sessions if not self._sessions.is_pending(session.device_id)
        }
        try:
            told = await self._store.disconnect_orphans(now=self._clock.now(), tell=self._sessions.tell)
            self._telling.stored(told)
            gone = await self._store.elsewhere(self._node) if settled else ()
        except Exception:
            _log.exception("hub %s: could not look who is connected elsewhere; trying again", self._hub)
            return
        for device_id in gone:
            session = settled.get(device_id)
            if session is not None and self._sessions.current(device_id) is session:
                self._sessions.displace(session)
