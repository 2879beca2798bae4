"""The fault lab: what is to go wrong, for whom and when, decided by a seed, so that it can be repeated.

Both rooms ask it; what a refusal or a cut connection looks like is theirs to know.
"""

from homeport.faults.decisions import Occasion, Point, Refusal, Verdict
from homeport.faults.lab import Connections, FaultLab, Standing
from homeport.faults.model import (
    ClockShift,
    Drop,
    Effect,
    Fault,
    Injection,
    Kind,
    Latency,
    Outage,
    Place,
    ServerFault,
    State,
    Target,
    Throttle,
)

__all__ = [
    "ClockShift",
    "Connections",
    "Drop",
    "Effect",
    "Fault",
    "FaultLab",
    "Injection",
    "Kind",
    "Latency",
    "Occasion",
    "Outage",
    "Place",
    "Point",
    "Refusal",
    "ServerFault",
    "Standing",
    "State",
    "Target",
    "Throttle",
    "Verdict",
]
