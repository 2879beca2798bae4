"""The end of one partition, shared by those in this process who read it: what is new is read once, for all of them.

What this process appends comes here without a look at the database; what another one appends is hinted at.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

from homeport.hub.model import StoredTelemetry
from homeport.hub.ports import EventLog

MAX_EVENTS: Final = 2048
MAX_BYTES: Final = 1 << 20
"""What a tail keeps at most; a single event may be larger."""
READ_AT_ONCE: Final = 256
"""Events of one read from the log at most: a few milliseconds of the event loop."""
_FIRST_READ: Final = 64
"""Events of the first read, when their size is not known yet."""


class PartitionTail:
    """One partition's newest events, without a gap, and who waits for more."""

    def __init__(self, log: EventLog, partition: int) -> None:
        self._log = log
        self._partition = partition
        self._recent: deque[StoredTelemetry] = deque()
        self._bytes = 0
        self._older: Sequence[StoredTelemetry] = ()
        """What was read last from the log: readers that catch up side by side read it once."""
        self._end: int | None = None
        """Where nothing was found when it was looked for last, until there is news."""
        self._wakings = 0
        self._at_once = _FIRST_READ
        self._reading = asyncio.Lock()
        self._readers: set[asyncio.Event] = set()
        self.newest: StoredTelemetry | None = None
        """The newest event that this process appended."""

    @property
    def is_read(self) -> bool:
        """Whether anybody listens."""
        return bool(self._readers)

    def listen(self, wake: asyncio.Event) -> None:
        """Set this event whenever there may be something new."""
        self._readers.add(wake)

    def forget(self, wake: asyncio.Event) -> None:
        """Take a listener out."""
        self._readers.discard(wake)
        if not self._readers:
            self._recent.clear()
            self._older = ()
            self._bytes = 0

    def push(self, stored: StoredTelemetry) -> None:
        """Take in an event that this process has appended."""
        self.newest = stored
        recent = self._recent
        if recent and recent[-1].offset + 1 != stored.offset:
            # Another process's events lie between: what comes next is read from the log.
            recent.clear()
            self._bytes = 0
        recent.append(stored)
        self._bytes += len(stored.telemetry.body)
        while len(recent) > MAX_EVENTS or (self._bytes > MAX_BYTES and len(recent) > 1):
            self._bytes -= len(recent.popleft().telemetry.body)
        self.wake()

    def wake(self) -> None:
        """Let all listeners look."""
        self._end = None
        self._wakings += 1
        for wake in self._readers:
            wake.set()

    def at_hand(self, offset: int, limit: int) -> Sequence[StoredTelemetry]:
        """Return up to `limit` events from `offset` on that need no reading; often none."""
        recent = self._recent
        if recent and 0 <= (skip := offset - recent[0].offset) < len(recent):
            return list(islice(recent, skip, skip + limit))
        older = self._older
        if older and older[0].offset <= offset <= older[-1].offset:
            # Without gaps: offsets have none, and only a partition's beginning is ever dropped.
            skip = offset - older[0].offset
            return older[skip : skip + limit]
        return ()

    async def read(self, offset: int, limit: int) -> Sequence[StoredTelemetry]:
        """Return up to `limit` events from `offset` on; later ones if these are dropped, none behind the end."""
        if found := self.at_hand(offset, limit):
            return found
        async with self._reading:
            if found := self.at_hand(offset, limit):
                return found
            if offset == self._end:
                return ()  # another reader has looked since the last news
            before = self._wakings
            found = await self._log.read(self._partition, offset=offset, limit=self._at_once)
            if found:
                self._older = found
                size = sum(len(event.telemetry.body) for event in found) // len(found)
                self._at_once = min(READ_AT_ONCE, max(1, MAX_BYTES // (size + 1)))
            elif before == self._wakings:
                self._end = offset
            return found[:limit]
