"""Lowest latency. No latency is measured or configured yet, so all hubs tie, and ties are hashed (dps.md 9.2)."""

from collections.abc import Sequence

from homeport.dps.allocation import hashed
from homeport.dps.allocation.decision import Assign
from homeport.dps.model import LinkedHub


def choose(registration_id: str, hubs: Sequence[LinkedHub]) -> Assign:
    """Choose among equally near hubs; `hubs` is not empty."""
    chosen = hashed.choose(registration_id, hubs)
    return Assign(hub=chosen.hub, reason=f"no latencies are known, so all are equal; {chosen.reason}")
