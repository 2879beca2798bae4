"""The events of one subscription that are read and not yet delivered: which may go now, and how far everything is done.

Events with the same subject go one after the other; others do not wait for one that fails. Pure, and bounded.
"""

from collections import deque
from dataclasses import dataclass
from datetime import datetime

from homeport.dps.model import Recorded

SIZE = 256


@dataclass(slots=True)
class Item:
    """An event on its way."""

    recorded: Recorded
    attempts: int = 0
    not_before: datetime | None = None
    is_out: bool = False


class Window:
    """What lies between the last entry read and the last one that is done with everything before it."""

    def __init__(self, delivered: int, size: int = SIZE) -> None:
        self._size = size
        self._read = delivered
        self._waiting: dict[str, deque[Item]] = {}
        self._open: set[int] = set()

    @property
    def read(self) -> int:
        """Number of the last entry that was looked at."""
        return self._read

    @property
    def room(self) -> int:
        """How many more events fit in."""
        return self._size - len(self._open)

    @property
    def delivered(self) -> int:
        """Everything up to this entry is done."""
        return min(self._open) - 1 if self._open else self._read

    def add(self, recorded: Recorded) -> None:
        """Take in the next entry, which is wanted."""
        self._waiting.setdefault(recorded.subject.lower(), deque()).append(Item(recorded))
        self._open.add(recorded.seq)
        self._read = recorded.seq

    def skip(self, seq: int) -> None:
        """Pass over an entry that is not wanted."""
        self._read = seq

    def take(self, now: datetime, limit: int) -> list[Item]:
        """Return up to `limit` events that may go now, the oldest first; they are out until told otherwise."""
        heads = sorted((queue[0] for queue in self._waiting.values()), key=lambda item: item.recorded.seq)
        ready = [item for item in heads if not item.is_out and (item.not_before is None or item.not_before <= now)]
        for item in ready[:limit]:
            item.is_out = True
        return ready[:limit]

    def done(self, item: Item) -> None:
        """Close an event that was delivered or given up; the next one of its subject may go."""
        key = item.recorded.subject.lower()
        queue = self._waiting[key]
        queue.popleft()
        if not queue:
            del self._waiting[key]
        self._open.discard(item.recorded.seq)

    def later(self, item: Item, not_before: datetime) -> None:
        """Take an event back that could not be delivered; it may go again at that time."""
        item.is_out = False
        item.attempts += 1
        item.not_before = not_before

    def next_time(self) -> datetime | None:
        """Return when the first of those that wait for their time may go; None if none waits."""
        times = [
            queue[0].not_before
            for queue in self._waiting.values()
            if not queue[0].is_out and queue[0].not_before is not None
        ]
        return min(times, default=None)
