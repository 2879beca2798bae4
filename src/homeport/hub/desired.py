"""Telling devices what changed in their desired properties, in order, wherever they are connected (hub.md 13.6).

Changes made by this process come in order. Those of others may overtake each other or get lost: what comes early waits
for what is missing, and if that does not come the device is told its whole content.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from homeport.bus import Bus, DesiredChanged, HintsLost
from homeport.clock import Clock
from homeport.hub.model import JsonObject, TwinSection, format_time
from homeport.hub.ports import DeviceStore
from homeport.peers import Peers

DesiredListener = Callable[[JsonObject, int], None]
"""Takes a changed part of the desired properties (nulls where something was removed) and the new version."""
OVERTAKEN_SECONDS = 0.5
"""How long a change waits for the one before it."""
MAX_EARLY = 64

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Follower:
    listener: DesiredListener
    told: int | None = None
    """The last version it was told; None before the first."""
    early: dict[int, JsonObject] = field(default_factory=dict)

    def tell(self, change: JsonObject, version: int) -> None:
        self.told = version
        self.listener(change, version)


class DesiredChanges:
    """Who listens to the desired properties of one hub's twins, here, and how those elsewhere hear of changes."""

    def __init__(self, *, hub: str, store: DeviceStore, bus: Bus, peers: Peers, clock: Clock) -> None:
        self._hub = hub
        self._store = store
        self._bus = bus
        self._shared = bool(peers.node)
        self._clock = clock
        self._followers: dict[str, _Follower] = {}
        self._gaps: set[str] = set()
        self._gap = asyncio.Event()

    def listen(self, device_id: str, listener: DesiredListener) -> None:
        """Call this when the desired properties of the device change, in place of an earlier listener."""
        known = self._followers.get(device_id)
        if known is None or known.listener is not listener:
            self._followers[device_id] = _Follower(listener)

    def forget(self, device_id: str, listener: DesiredListener) -> None:
        """Stop calling this listener; another one of the same device stays."""
        known = self._followers.get(device_id)
        if known is not None and known.listener is listener:
            del self._followers[device_id]

    async def announce(self, device_id: str, change: JsonObject, version: int) -> None:
        """Tell the device of a change that was stored."""
        if not self._shared:
            follower = self._followers.get(device_id)
            if follower is not None:
                follower.tell(change, version)
            return
        self._take(device_id, change, version)
        if device_id not in self._followers:
            await self._bus.publish(
                DesiredChanged(hub=self._hub, device_id=device_id, version=version, change=dict(change))
            )

    async def run(self) -> None:
        """Listen to other processes until cancelled; alone, there is nothing to listen to."""
        if not self._shared:
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._fill_gaps())

    def _take(self, device_id: str, change: JsonObject, version: int) -> None:
        follower = self._followers.get(device_id)
        if follower is None or (follower.told is not None and version <= follower.told):
            return
        if follower.told is not None and version > follower.told + 1:
            if len(follower.early) < MAX_EARLY:
                follower.early[version] = change
            self._gaps.add(device_id)
            self._gap.set()
            return
        follower.tell(change, version)
        while (following := follower.early.pop((follower.told or 0) + 1, None)) is not None:
            follower.tell(following, (follower.told or 0) + 1)

    async def _listen(self) -> None:
        async with self._bus.subscribe(DesiredChanged, HintsLost) as events:
            async for event in events:
                if isinstance(event, DesiredChanged) and event.hub == self._hub:
                    self._take(event.device_id, event.change, event.version)
                elif isinstance(event, HintsLost):
                    for device_id in tuple(self._followers):
                        await self._catch_up(device_id, since=event.since)

    async def _fill_gaps(self) -> None:
        while True:
            await self._gap.wait()
            await self._clock.sleep(OVERTAKEN_SECONDS)
            self._gap.clear()
            gaps, self._gaps = self._gaps, set()
            for device_id in gaps:
                follower = self._followers.get(device_id)
                if follower is not None and follower.early:
                    await self._catch_up(device_id, since=None)

    async def _catch_up(self, device_id: str, *, since: datetime | None) -> None:
        """Tell the whole content if there is a version that was not told.

        To one that was told nothing yet, if it changed after `since`.
        """
        try:
            device = await self._store.get(device_id)
        except Exception:
            _log.exception("hub %s: twin of %r could not be read; it is told of the next change", self._hub, device_id)
            return
        follower = self._followers.get(device_id)
        if device is None or follower is None:
            return
        desired = device.twin.desired
        missed = _changed_after(desired, since) if follower.told is None else desired.version > follower.told
        if missed:
            follower.tell(desired.content, desired.version)
        follower.early = {
            version: change for version, change in follower.early.items() if version > (follower.told or 0)
        }


def _changed_after(section: TwinSection, since: datetime | None) -> bool:
    # Times of one form, so text compares as time does.
    return since is None or str(section.metadata.get("$lastUpdated", "")) >= format_time(since)
