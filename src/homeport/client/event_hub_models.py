"""What the administration under `/homeport/hubs/{name}/eventHubs` tells of a hub's Event Hubs-compatible endpoints."""

from datetime import datetime

import msgspec


class EventHub(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """An endpoint; the built-in one is `events`."""

    name: str
    event_hub_name: str
    """What Event Hubs clients call it (`EntityPath`)."""
    partition_count: int
    retention_days: int
    max_bytes: int | None = None
    """What it holds at most, bodies and properties; None: time alone decides."""
    created_date_time_utc: datetime


class ConsumerGroup(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """A name under which readers share an endpoint."""

    name: str
    created_date_time_utc: datetime
