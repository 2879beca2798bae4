"""The whole of a decision for one device: who took part with which score, who did not and why, what came of it."""

from msgspec import Struct

from homeport.dps.allocation import geo_latency, hashed
from homeport.dps.allocation.choosing import allocate, policy_of
from homeport.dps.allocation.decision import Decision, Exclusion, choice
from homeport.dps.model import AllocationPolicy, Applicant, Enrollment, Fleet


class Candidate(Struct, frozen=True, kw_only=True):
    """A hub that could be chosen. The lowest score wins where the policy scores at all."""

    host_name: str
    allocation_weight: int
    share: float
    """Its part of all candidates' weights, 0 to 1."""
    score: float | None = None
    milliseconds: float | None = None
    latency_source: str = ""


class Explanation(Struct, frozen=True, kw_only=True):
    """A decision and everything it depended on."""

    policy: AllocationPolicy
    is_default: bool
    """The enrollment names no policy, so the service's counts."""
    candidates: tuple[Candidate, ...]
    """Best first."""
    exclusions: tuple[Exclusion, ...]
    decision: Decision


def explain(enrollment: Enrollment, device: Applicant, fleet: Fleet) -> Explanation:
    """Decide as `allocate` does, and show how."""
    policy = policy_of(enrollment, fleet.settings)
    sorted_out = choice(enrollment, fleet, device.lives_on)
    weights = sum(hub.allocation_weight for hub in sorted_out.candidates)
    key = device.registration_id.lower()
    scored = policy in {AllocationPolicy.HASHED, AllocationPolicy.GEO_LATENCY}
    candidates = []
    for hub in sorted_out.candidates:
        near = geo_latency.estimate(device, hub, fleet.settings) if policy is AllocationPolicy.GEO_LATENCY else None
        candidates.append(
            Candidate(
                host_name=hub.host_name,
                allocation_weight=hub.allocation_weight,
                share=hub.allocation_weight / weights,
                score=hashed.arrival(key, hub) if scored else None,
                milliseconds=None if near is None else near.milliseconds,
                latency_source="" if near is None else near.source,
            )
        )
    candidates.sort(
        key=lambda each: (
            round(each.milliseconds) if each.milliseconds is not None else float("inf"),
            each.score if each.score is not None else 0.0,
            each.host_name.lower(),
        )
    )
    return Explanation(
        policy=policy,
        is_default=enrollment.allocation_policy is None,
        candidates=tuple(candidates),
        exclusions=sorted_out.exclusions,
        decision=allocate(enrollment, device, fleet),
    )
