"""The processes that serve one database: each says every few seconds that it is alive, and sees who else is.

The lease is in the database, so this works without a bus. Each hub disconnects what nobody holds any more.
"""

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Protocol

from homeport.bus import Bus, HintsLost, NodesChanged
from homeport.clock import Clock
from homeport.hub.model import Beat

BEAT_SECONDS = 2.0
LEASE = timedelta(seconds=6)

_log = logging.getLogger(__name__)


class NodeStore(Protocol):
    """Who is alive."""

    async def beat(self, node: str, *, now: datetime, until: datetime) -> Beat:
        """Renew a node's lease, and forget those whose lease is over, in one transaction."""
        ...

    async def leave(self, node: str) -> None:
        """End a node's lease."""
        ...


class Nodes:
    """This process among the others."""

    def __init__(self, *, node: str, store: NodeStore, bus: Bus, clock: Clock) -> None:
        self._node = node
        self._store = store
        self._bus = bus
        self._clock = clock
        self._others: frozenset[str] = frozenset()
        self._first = False
        self._well = True
        self._look = asyncio.Event()

    @property
    def others(self) -> frozenset[str]:
        """The other nodes that were alive a moment ago."""
        return self._others

    @property
    def is_first(self) -> bool:
        """Whether this process does what only one should; for a few seconds two may think so."""
        return self._first

    async def start(self) -> None:
        """Be counted among the living. Raises DatabaseError."""
        await self._beat(started=True)
        await self._bus.publish(NodesChanged(node=self._node))

    async def run(self) -> None:
        """Stay among the living until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._beat_on())

    async def leave(self) -> None:
        """Say goodbye."""
        try:
            await self._store.leave(self._node)
        except Exception:
            _log.exception("the lease of this process could not be ended; it ends by itself")
        await self._bus.publish(NodesChanged(node=self._node))

    async def _beat_on(self) -> None:
        while True:
            self._look.clear()
            try:
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._look.wait()
            except TimeoutError:
                pass
            try:
                await self._beat()
            except Exception:
                if self._well:
                    self._well = False
                    _log.exception("the database could not be told that this process is alive; trying again")
            else:
                self._well = True

    async def _beat(self, *, started: bool = False) -> None:
        now = self._clock.now()
        beat = await self._store.beat(self._node, now=now, until=now + LEASE)
        self._others = frozenset(beat.alive) - {self._node}
        self._first = min(beat.alive) == self._node
        if beat.is_new and not started:
            _log.warning("this process was taken for dead by another; it writes again which devices it holds")
            await self._bus.publish(NodesChanged(node=self._node))
        for node, seen_at in beat.buried.items():
            _log.warning("process %s has died; its devices are disconnected", node)
            # It may have stored something and died before it told of it.
            await self._bus.publish(HintsLost(since=seen_at))
            await self._bus.publish(NodesChanged(node=node))

    async def _listen(self) -> None:
        async with self._bus.subscribe(NodesChanged) as events:
            async for event in events:
                if isinstance(event, NodesChanged) and event.node != self._node:
                    self._look.set()
