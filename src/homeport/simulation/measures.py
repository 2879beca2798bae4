"""What a simulation has seen: how long each step took, what went wrong and how often. Pure."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from msgspec import Struct

PERCENTILES = (50, 90, 99)

_VARYING = re.compile(r"\b[0-9a-f]{8,}(-[0-9a-f]{4,})*\b|\b\d{4}-\d\d-\d\d[T ][\d:.]+Z?")


class Step(StrEnum):
    """What a device does that is worth measuring."""

    REGISTER = "register"
    CONNECT = "connect"
    READ_TWIN = "read twin"
    REPORT = "report twin"
    SEND = "send message"
    STAY = "stay connected"
    COMMAND = "command"


class Spread(Struct, frozen=True, kw_only=True):
    """How long one step took, in seconds."""

    count: int
    p50: float
    p90: float
    p99: float
    longest: float


def spread(times: Sequence[float]) -> Spread:
    """Return the percentiles (nearest rank) of times, of which there must be one."""
    ordered = sorted(times)
    p50, p90, p99 = (ordered[max(0, -(-len(ordered) * percent // 100) - 1)] for percent in PERCENTILES)
    return Spread(count=len(ordered), p50=p50, p90=p90, p99=p99, longest=ordered[-1])


@dataclass(slots=True)
class Measures:
    """Counts of one run; devices add to it."""

    times: dict[Step, list[float]] = field(default_factory=lambda: defaultdict(list))
    faults: Counter[tuple[Step, str]] = field(default_factory=Counter)
    """By step and reason, also those that a device got over."""
    registered: int = 0
    connected: int = 0
    """Now."""
    losses: int = 0
    """Connections that ended and were not meant to."""
    reconnections: int = 0
    methods: int = 0
    """Answered by devices."""
    desired: int = 0
    """Changes of desired properties that devices heard of."""
    failed: dict[str, str] = field(default_factory=dict)
    """Devices that did not do what they were to do, and why."""
    finished: int = 0
    by_transport: Counter[str] = field(default_factory=Counter)
    by_attestation: Counter[str] = field(default_factory=Counter)
    hubs: Counter[str] = field(default_factory=Counter)

    def took(self, step: Step, seconds: float) -> None:
        """Note that a step succeeded."""
        self.times[step].append(seconds)

    def fault(self, step: Step, error: BaseException) -> str:
        """Note that a step failed; return the reason, without what differs from one device to the next."""
        reason = reason_of(error)
        self.faults[step, reason] += 1
        return reason

    def spreads(self) -> dict[Step, Spread]:
        """Return the steps that were done, in their usual order."""
        return {step: spread(self.times[step]) for step in Step if self.times.get(step)}


def reason_of(error: BaseException) -> str:
    """Say what went wrong in one line, the same for all devices it happens to."""
    text = " ".join(str(error).split()) or type(error).__name__
    return _VARYING.sub("…", text)[:200]


def report_document(measures: Measures, *, devices: int, seconds: float, seed: int, profile: str) -> dict[str, Any]:
    """Return the whole report as JSON; times are milliseconds."""
    return {
        "profile": profile,
        "seed": seed,
        "devices": devices,
        "seconds": round(seconds, 3),
        "registered": measures.registered,
        "failedDevices": dict(sorted(measures.failed.items())),
        "connectionsLost": measures.losses,
        "reconnections": measures.reconnections,
        "methodsAnswered": measures.methods,
        "desiredChanges": measures.desired,
        "attestations": dict(measures.by_attestation),
        "transports": dict(measures.by_transport),
        "hubs": dict(measures.hubs),
        "steps": {
            step.value: {
                "count": each.count,
                "p50": _ms(each.p50),
                "p90": _ms(each.p90),
                "p99": _ms(each.p99),
                "longest": _ms(each.longest),
            }
            for step, each in measures.spreads().items()
        },
        "faults": [
            {"step": step.value, "reason": reason, "count": count}
            for (step, reason), count in measures.faults.most_common()
        ],
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
