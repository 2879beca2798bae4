"""Faults of the fault lab as the administration under `/homeport/` tells them."""

from collections.abc import Sequence
from datetime import datetime

import msgspec


class Fault(msgspec.Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """A fault, and how it is going. The same seed and the same calls of a device give the same decisions."""

    id: str
    kind: str
    """`drop`, `latency`, `throttle`, `error`, `clock` or `outage`."""
    state: str
    """`waiting`, `active` or `ended`."""
    description: str
    at: str
    """`hub` or `provisioning`."""
    hubs: Sequence[str] | None = None
    """None: all."""
    devices: Sequence[str] | None = None
    """At most the first hundred; None: all."""
    device_count: int | None = None
    prefix: str | None = None
    query: str | None = None
    probability: float
    seed: int
    starts_date_time_utc: datetime
    ends_date_time_utc: datetime | None = None
    """None: until it is stopped."""
    injected: int
    """How often it had its way."""
    started_by: str


class FaultInjection(msgspec.Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """What was done to whom, and when."""

    date_time_utc: datetime
    fault_id: str | None = None
    """None: a fault injection message that the device itself sent."""
    kind: str
    device_id: str | None = None
    """None: the provisioning service was calling a hub."""
    hub: str | None = None
    point: str
    """What was going on: `connect`, `request`, `send`, `twin`, `report`, `register`, `poll`, `link`, `session`."""
    transport: str | None = None
    detail: str


class FaultMessages(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Whether a hub obeys its devices' fault injection messages."""

    hub: str
    enabled: bool
