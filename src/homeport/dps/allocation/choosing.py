"""Which hub is a device assigned to? One policy of four decides, each in its file (contract dps.md 9.1, 9.2)."""

from typing import assert_never

from homeport.dps.allocation import custom, geo_latency, hashed, static
from homeport.dps.allocation.decision import Decision, choice, nothing_left
from homeport.dps.model import AllocationPolicy, AllocationSettings, Applicant, Enrollment, Fleet


def policy_of(enrollment: Enrollment, settings: AllocationSettings) -> AllocationPolicy:
    """Return the enrollment's policy, or the service's default."""
    return enrollment.allocation_policy or settings.default_policy


def allocate(enrollment: Enrollment, device: Applicant, fleet: Fleet) -> Decision:
    """Choose among the linked hubs by the enrollment's policy, or by the service's default."""
    policy = policy_of(enrollment, fleet.settings)
    if policy is AllocationPolicy.STATIC:
        return static.choose(enrollment, fleet, device.lives_on)
    if policy is AllocationPolicy.CUSTOM and enrollment.custom_allocation is None:
        return custom.choose(enrollment, ())
    sorted_out = choice(enrollment, fleet, device.lives_on)
    found = sorted_out.candidates
    if not found:
        return nothing_left(enrollment, fleet, sorted_out.exclusions)
    match policy:
        case AllocationPolicy.HASHED:
            return hashed.choose(device.registration_id, found)
        case AllocationPolicy.GEO_LATENCY:
            return geo_latency.choose(device, found, fleet.settings)
        case AllocationPolicy.CUSTOM:
            return custom.choose(enrollment, found)
        case _:
            assert_never(policy)
