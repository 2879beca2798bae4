"""What happens at a hub, for those who watch it: messages out of the log, changes out of the bus's hints.

Messages are read when their reader has room for them, so a slow reader holds no memory and loses only what retention
takes. A change is told as what it changed, once: while it waits, further ones of the same kind and device join it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from homeport.bus import Bus, ConnectionChanged, DeviceChanged, Event, TelemetryStored, TwinChanged
from homeport.hub.identifiers import device_of
from homeport.hub.model import StoredTelemetry
from homeport.hub.ports import EventLog

READ = 128
"""Messages of each partition that are held for one reader."""
LOOK_SECONDS = 1.0
"""How long a message may go unnoticed whose hint was lost."""
MAX_CHANGES = 1024
"""Changes that wait for one reader; further ones are counted only."""
MAX_PARTITIONS = 1024


class Place(Struct, frozen=True, kw_only=True):
    """Where a reader is: for each partition the offset it has not seen yet."""

    offsets: Mapping[int, int]

    def __str__(self) -> str:
        return ",".join(f"{partition}:{offset}" for partition, offset in sorted(self.offsets.items()))

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Read what `str` wrote. Raises ValueError."""
        offsets = {}
        for item in text.split(","):
            partition, colon, offset = item.partition(":")
            if not (colon and _is_number(partition) and _is_number(offset)) or int(partition) >= MAX_PARTITIONS:
                raise ValueError("a place is written partition:offset,partition:offset…")
            offsets[int(partition)] = int(offset)
        return cls(offsets=offsets)


Begin = Place | datetime | int
"""Where a reader begins: at a place, at a time, or now, with so many of the last messages first."""


class Seen(Struct, frozen=True, kw_only=True):
    """A message, and where its reader goes on after it; None while the last messages are told: there it began."""

    message: StoredTelemetry
    place: Place | None = None


class Missed(Struct, frozen=True, kw_only=True):
    """So much was gone, or was not kept, before its reader came to it."""

    count: int


class Kind(StrEnum):
    """What can change about a device."""

    CONNECTION = "connection"
    TWIN = "twin"
    DEVICE = "device"


_KINDS: dict[type[Event], Kind] = {
    ConnectionChanged: Kind.CONNECTION,
    TwinChanged: Kind.TWIN,
    DeviceChanged: Kind.DEVICE,
}


class Changed(Struct, frozen=True, kw_only=True):
    """Something about this device, or module, is not as it was."""

    kind: Kind
    device_id: str


class Watch:
    """One reader's view of one hub: all its devices, or one with its modules.

    `gather` must run beside `messages` and `changes`.
    """

    def __init__(
        self, *, hub: str, log: EventLog, bus: Bus, kinds: frozenset[Kind], telemetry: bool, device_id: str | None
    ) -> None:
        self._hub = hub
        self._log = log
        self._bus = bus
        self._device_id = device_id
        self._events = tuple(event for event, kind in _KINDS.items() if kind in kinds)
        if telemetry:
            self._events = (*self._events, TelemetryStored)
        self._offsets: dict[int, int] = {}
        self._held: dict[int, deque[StoredTelemetry]] = {}
        self._lost = 0
        self._hinted: set[int] = set()
        self._stored = asyncio.Event()
        self._waiting: dict[Changed, None] = {}
        self._passed_over = 0
        self._changed = asyncio.Event()

    async def gather(self, listening: asyncio.Event) -> None:
        """Listen to the bus until cancelled; `listening` is set when that has begun."""
        async with self._bus.subscribe(*self._events) as events:
            listening.set()
            async for event in events:
                match event:
                    case TelemetryStored(hub=self._hub, partition=partition, offset=offset):
                        if offset >= self._offsets.get(partition, 0):
                            self._hinted.add(partition)
                            self._stored.set()
                    case (
                        ConnectionChanged(hub=self._hub, device_id=device_id)
                        | TwinChanged(hub=self._hub, device_id=device_id)
                        | DeviceChanged(hub=self._hub, device_id=device_id)
                    ):
                        self.note(Changed(kind=_KINDS[type(event)], device_id=device_id))
                    case _:
                        pass  # another hub's

    def note(self, change: Changed) -> None:
        """Let `changes` tell this, if it is of interest to this reader."""
        if self._device_id not in (None, device_of(change.device_id)):
            return
        if change not in self._waiting and len(self._waiting) >= MAX_CHANGES:
            self._passed_over += 1
        else:
            self._waiting[change] = None
        self._changed.set()

    async def changes(self) -> AsyncIterator[Changed | Missed]:
        """Yield what changed, the oldest first; never ends by itself."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._passed_over:
                count, self._passed_over = self._passed_over, 0
                yield Missed(count=count)
            while self._waiting:
                change = next(iter(self._waiting))
                del self._waiting[change]
                yield change

    async def messages(self, begin: Begin) -> AsyncIterator[Place | Seen | Missed]:
        """Yield the last messages if `begin` asks for some; then the place where this begins, and what follows.

        They come by time, in each partition's order. Never ends by itself.
        """
        await self._begin(begin)
        if isinstance(begin, int) and begin:
            for past in reversed(await self._log.latest(device_id=self._device_id, limit=begin)):
                if past.offset < self._offsets[past.partition]:
                    yield Seen(message=past)
        yield Place(offsets=dict(self._offsets))
        stale = set(self._offsets)
        while True:
            while (message := await self._next(stale)) is not None:
                if self._lost:
                    count, self._lost = self._lost, 0
                    yield Missed(count=count)
                if self._device_id in (None, message.telemetry.device_id):
                    yield Seen(message=message, place=Place(offsets=dict(self._offsets)))
            stale = await self._wait()

    async def _begin(self, begin: Begin) -> None:
        every = range(self._log.partitions)
        for partition in every if self._device_id is None else (self._log.partition_of(self._device_id),):
            self._held[partition] = deque()
            if isinstance(begin, datetime):
                self._offsets[partition] = await self._log.first_enqueued(partition, begin)
                continue
            state = await self._log.state(partition)
            known = begin.offsets.get(partition) if isinstance(begin, Place) else None
            # A place beyond the end is one of another log, which is not to keep its reader waiting for ever.
            self._offsets[partition] = state.end if known is None else min(known, state.end)

    async def _next(self, stale: set[int]) -> StoredTelemetry | None:
        """Return the oldest message that has not been seen; None if every partition has been read to its end."""
        for partition in tuple(stale):
            await self._refill(partition, stale)
        heads = [held[0] for held in self._held.values() if held]
        if not heads:
            return None
        first = min(heads, key=lambda stored: stored.telemetry.enqueued_at)
        held = self._held[first.partition]
        held.popleft()
        if not held:
            stale.add(first.partition)
        self._offsets[first.partition] = first.offset + 1
        return first

    async def _refill(self, partition: int, stale: set[int]) -> None:
        stale.discard(partition)
        if self._held[partition]:
            return
        offset = self._offsets[partition]
        found = await self._log.read(partition, offset=offset, limit=READ)
        if found:
            self._lost += found[0].offset - offset
            self._held[partition].extend(found)

    async def _wait(self) -> set[int]:
        """Return the partitions to look at again."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._stored.wait()
        except TimeoutError:
            return set(self._offsets)
        self._stored.clear()
        hinted, self._hinted = self._hinted, set()
        # Hints also speak of partitions that are not read here: another device's, or another endpoint's.
        return hinted & self._offsets.keys()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 14
