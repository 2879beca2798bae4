"""Faults as values: what goes wrong, for whom, from when to when. Pure."""

from datetime import datetime
from enum import StrEnum
from typing import assert_never

from msgspec import Struct


class Place(StrEnum):
    """Where a device meets a fault."""

    HUB = "hub"
    PROVISIONING = "provisioning"


class Kind(StrEnum):
    """What goes wrong."""

    DROP = "drop"
    LATENCY = "latency"
    THROTTLE = "throttle"
    ERROR = "error"
    CLOCK = "clock"
    OUTAGE = "outage"
    MESSAGE = "message"
    """A device broke its own connection by a fault injection message (contract hub.md 28)."""


class Drop(Struct, frozen=True, kw_only=True):
    """Connections are cut: once, or again and again; without a word, or in order."""

    interval: float | None = None
    """Seconds between rounds; None: one round."""
    orderly: bool = False


class Latency(Struct, frozen=True, kw_only=True):
    """Answers come later, by this many seconds; each time as many as the seed says."""

    least: float
    most: float


class Throttle(Struct, frozen=True, kw_only=True):
    """Calls are refused with 429. `retry_after` is in whole seconds, for those who are told."""

    retry_after: int = 5


class ServerFault(Struct, frozen=True, kw_only=True):
    """Calls fail as if the server were at fault."""

    status: int = 503
    """500 or 503."""


class ClockShift(Struct, frozen=True, kw_only=True):
    """Proofs are judged by a clock that goes wrong by this many seconds; negative is slow."""

    seconds: float


class Outage(Struct, frozen=True, kw_only=True):
    """Hubs are out: they refuse their devices, or the provisioning service cannot reach them, or both."""

    status: int = 503
    """404, 500 or 503."""
    devices: bool = True
    provisioning: bool = True


Effect = Drop | Latency | Throttle | ServerFault | ClockShift | Outage


class Target(Struct, frozen=True, kw_only=True):
    """Who is meant; None does not narrow. A device's modules are meant with it.

    Names of hubs are in lower case. Registration ids are compared in any letter case, device ids as they are.
    """

    place: Place = Place.HUB
    hubs: frozenset[str] | None = None
    devices: frozenset[str] | None = None
    prefix: str | None = None

    def covers_hub(self, hub: str) -> bool:
        return self.hubs is None or hub.lower() in self.hubs

    def covers_device(self, identity: str) -> bool:
        """Tell whether a device, a module (`d/m`) or a registration id is meant."""
        if self.prefix is not None and not self._starts(identity, self.prefix):
            return False
        if self.devices is None:
            return True
        if identity in self.devices or identity.partition("/")[0] in self.devices:
            return True
        return self.place is Place.PROVISIONING and identity.lower() in {each.lower() for each in self.devices}

    def _starts(self, identity: str, prefix: str) -> bool:
        if self.place is Place.PROVISIONING:
            return identity.lower().startswith(prefix.lower())
        return identity.startswith(prefix)


class State(StrEnum):
    WAITING = "waiting"
    ACTIVE = "active"
    ENDED = "ended"


class Fault(Struct, frozen=True, kw_only=True):
    """One fault as it was started. The same seed and the same sequence of a device's calls give the same decisions."""

    id: str
    effect: Effect
    target: Target
    probability: float
    """That an occasion is taken, from 0 to 1; of a clock shift and of an outage's links, that a device is meant."""
    seed: int
    starts_at: datetime
    ends_at: datetime | None
    """None: until it is stopped."""
    query: str | None = None
    """The condition that the devices were found by when it was started."""
    by: str = ""

    @property
    def kind(self) -> Kind:
        match self.effect:
            case Drop():
                return Kind.DROP
            case Latency():
                return Kind.LATENCY
            case Throttle():
                return Kind.THROTTLE
            case ServerFault():
                return Kind.ERROR
            case ClockShift():
                return Kind.CLOCK
            case Outage():
                return Kind.OUTAGE
            case _:
                assert_never(self.effect)

    def state(self, now: datetime) -> State:
        if self.ends_at is not None and now >= self.ends_at:
            return State.ENDED
        return State.WAITING if now < self.starts_at else State.ACTIVE

    def describe(self) -> str:
        """Say in a few words what goes wrong."""
        match self.effect:
            case Drop(interval=interval, orderly=orderly):
                rounds = "once" if interval is None else f"every {interval:g} s"
                return f"connections {'closed' if orderly else 'cut'} {rounds}"
            case Latency(least=least, most=most):
                span = f"{least * 1000:g}" if least == most else f"{least * 1000:g} to {most * 1000:g}"
                return f"{span} ms late"
            case Throttle(retry_after=retry_after):
                return f"429, retry after {retry_after} s"
            case ServerFault(status=status):
                return f"fails with {status}"
            case ClockShift(seconds=seconds):
                return f"clock {abs(seconds):g} s {'slow' if seconds < 0 else 'fast'}"
            case Outage(status=status, devices=devices, provisioning=provisioning):
                whose = ("devices",) * devices + ("provisioning",) * provisioning
                return f"out ({status}) for {' and '.join(whose)}"
            case _:
                assert_never(self.effect)


class Injection(Struct, frozen=True, kw_only=True):
    """What was done to whom, and when."""

    at: datetime
    fault_id: str
    """Empty for a device's own fault injection message."""
    kind: Kind
    device_id: str
    """The device, module or registration id; empty for a call of the provisioning service to a hub."""
    hub: str | None
    point: str
    transport: str
    detail: str
