"""Which hub is a device assigned to? Values in, a decision out; each policy has its file (contract dps.md 9.1, 9.2)."""

from collections.abc import Sequence
from typing import assert_never

from homeport.dps.allocation import custom, geo_latency, hashed, static
from homeport.dps.allocation.decision import (
    AskWebhook,
    Assign,
    Decision,
    NoHub,
    by_host,
    candidates,
    named_hosts,
)
from homeport.dps.model import AllocationPolicy, Enrollment, LinkedHub

__all__ = ["AskWebhook", "Assign", "Decision", "NoHub", "allocate", "by_host", "named_hosts"]


def allocate(
    enrollment: Enrollment,
    registration_id: str,
    hubs: Sequence[LinkedHub],
    *,
    default: AllocationPolicy = AllocationPolicy.HASHED,
) -> Decision:
    """Choose among the linked hubs by the enrollment's policy, or by the service's default."""
    policy = enrollment.allocation_policy or default
    if policy is AllocationPolicy.STATIC:
        return static.choose(enrollment, hubs)
    found = candidates(enrollment, hubs)
    if isinstance(found, NoHub):
        return found
    match policy:
        case AllocationPolicy.HASHED:
            return hashed.choose(registration_id, found)
        case AllocationPolicy.GEO_LATENCY:
            return geo_latency.choose(registration_id, found)
        case AllocationPolicy.CUSTOM:
            return custom.choose(enrollment, found)
        case _:
            assert_never(policy)
