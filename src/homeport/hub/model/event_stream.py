"""Event Hubs-compatible endpoints: a hub's event log has one stream for each (contract hub.md 20)."""

from datetime import datetime, timedelta

from msgspec import Struct

BUILT_IN = "events"
"""The endpoint that every hub has; others have names of their own."""
PARTITIONS = 4
RETENTION = timedelta(days=1)


class EventStream(Struct, frozen=True, kw_only=True):
    """An endpoint's settings. `partitions` never changes: it decides where a device's events are."""

    name: str
    partitions: int = PARTITIONS
    retention: timedelta = RETENTION
    max_bytes: int | None = None
    """What the whole stream may hold, bodies and properties; the oldest goes first. None: time alone decides."""
    created_at: datetime


class ConsumerGroup(Struct, frozen=True, kw_only=True):
    """A name under which readers share a stream; the log keeps no position for it (clients keep their own)."""

    name: str
    created_at: datetime


class PartitionState(Struct, frozen=True, kw_only=True):
    """What a partition holds now: the offsets from `begin` up to, not including, `end`."""

    begin: int
    end: int
    last_enqueued_at: datetime | None
    """When the newest event came, also when it is not held any more; None if there never was one."""

    @property
    def is_empty(self) -> bool:
        return self.begin == self.end
