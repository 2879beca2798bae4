"""Administrators' documents about allocation <-> model."""

from typing import TypeVar, assert_never

from msgspec import UNSET, UnsetType

from homeport.dps.allocation import AskCustom, Assign, NoHub
from homeport.dps.allocation_service import Prediction
from homeport.dps.model import (
    AddressRange,
    AllocationPolicy,
    AllocationSettings,
    EnrollmentGroup,
    Region,
    RegionLatency,
)
from homeport.dps.translate_allocation import place_of
from homeport.dps.what_if import Changes, Comparison
from homeport.errors import Code, HomeportError
from homeport.wire import dps_allocation as wire

T = TypeVar("T")


def settings_of(document: wire.Settings) -> AllocationSettings:
    """Read the settings; what they say is checked by the service. Raises HomeportError INVALID_REQUEST."""
    return AllocationSettings(
        default_policy=policy_of(document.default_policy),
        regions=tuple(
            Region(name=each.name, latitude=_given(each.latitude), longitude=_given(each.longitude))
            for each in document.regions
        ),
        addresses=tuple(AddressRange(prefix=each.prefix, region=each.region) for each in document.addresses),
        latencies=tuple(
            RegionLatency(between=each.between, milliseconds=each.milliseconds) for each in document.latencies
        ),
    )


def settings_document(settings: AllocationSettings) -> wire.Settings:
    """Write the settings."""
    return wire.Settings(
        default_policy=settings.default_policy.value,
        regions=[
            wire.Region(name=each.name, latitude=_shown(each.latitude), longitude=_shown(each.longitude))
            for each in settings.regions
        ],
        addresses=[wire.AddressRange(prefix=each.prefix, region=each.region) for each in settings.addresses],
        latencies=[
            wire.RegionLatency(between=each.between, milliseconds=each.milliseconds) for each in settings.latencies
        ],
    )


def explanation_document(prediction: Prediction, registration_id: str) -> wire.Explanation:
    """Write where a device would go, and why."""
    explanation, current = prediction.explanation, prediction.current
    enrollment = prediction.enrollment
    result, hub, reason = _result(prediction)
    return wire.Explanation(
        registration_id=registration_id,
        enrollment_group_id=enrollment.group_id if isinstance(enrollment, EnrollmentGroup) else UNSET,
        allocation_policy=explanation.policy.value,
        is_default_policy=explanation.is_default,
        current_hub=current.hub if current else UNSET,
        candidates=[
            wire.Candidate(
                host_name=each.host_name,
                allocation_weight=each.allocation_weight,
                share=round(each.share, 6),
                score=UNSET if each.score is None else round(each.score, 6),
                milliseconds=UNSET if each.milliseconds is None else round(each.milliseconds, 3),
                latency_source=each.latency_source or UNSET,
            )
            for each in explanation.candidates
        ],
        exclusions=[wire.Exclusion(host_name=each.host_name, reason=each.reason) for each in explanation.exclusions],
        result=result,
        assigned_hub=_shown(hub),
        reason=reason,
    )


def changes_of(document: wire.WhatIfRequest) -> Changes:
    """Read the changes to try. Raises HomeportError INVALID_REQUEST."""
    policy = _given(document.policy)
    return Changes(
        weights=document.weights,
        without=document.without,
        drained=document.drained,
        policy=None if policy is None else policy_of(policy),
    )


def comparison_document(comparison: Comparison) -> wire.Comparison:
    """Write what would move."""
    return wire.Comparison(
        examined=comparison.examined,
        movements=[
            wire.Movement(
                registration_id=each.registration_id,
                enrollment_group_id=_shown(each.group_id),
                from_hub=each.origin,
                to_hub=_shown(each.to),
                reason=each.reason,
            )
            for each in comparison.movements
        ],
        before=dict(comparison.before),
        after=dict(comparison.after),
        asked=comparison.asked,
        orphaned=comparison.orphaned,
    )


def policy_of(text: str) -> AllocationPolicy:
    """Find a policy in any letter case. Raises HomeportError INVALID_REQUEST."""
    for policy in AllocationPolicy:
        if policy.value.lower() == text.lower():
            return policy
    raise HomeportError(
        Code.INVALID_REQUEST, f"The policy is none of {', '.join(policy.value for policy in AllocationPolicy)}."
    )


def _result(prediction: Prediction) -> tuple[str, str | None, str]:
    if not prediction.enrollment.enabled:
        return "none", None, "the enrollment is disabled"
    if prediction.stays and prediction.current is not None:
        return "stay", prediction.current.hub, "its reprovision policy keeps the device where it is; no hub is chosen"
    decision = prediction.explanation.decision
    match decision:
        case Assign():
            return "assign", decision.hub.host_name, decision.reason
        case AskCustom():
            place = place_of(decision.definition.webhook_url)
            return "ask", None, f"{place} would be asked to choose among the candidates"
        case NoHub():
            return "none", None, decision.reason
        case _:
            assert_never(decision)


def _given(value: T | UnsetType | None) -> T | None:
    return None if isinstance(value, UnsetType) else value


def _shown(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value
