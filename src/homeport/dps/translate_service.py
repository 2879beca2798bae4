"""Administrators' documents <-> model: enrollments, registration states, attempts, hubs (contract dps.md 8.3, 8.4).

What a document says is checked here, so that whatever becomes a model can be used. Secrets leave only when asked for.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from msgspec import UNSET, Raw, UnsetType

from homeport.dps.hubs import HubStanding
from homeport.dps.identifiers import Random, check_registration_id, is_device_id, new_etag
from homeport.dps.model import (
    AllocationPolicy,
    Attempt,
    CustomAllocation,
    Enrollment,
    EnrollmentGroup,
    IndividualEnrollment,
    ProvisioningStatus,
    Registration,
    RegistrationStatus,
    ReprovisionPolicy,
)
from homeport.dps.model.custom_definition import webhook_problem
from homeport.dps.translate_attestation import attestation_document, group_attestation, individual_attestation
from homeport.dps.translate_issuer import issuer_members, issuer_of
from homeport.errors import Code, HomeportError
from homeport.wire import dps_admin, format_time
from homeport.wire import dps_service as wire
from homeport.wire.versions import NEWEST_VERSION, is_api_version

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")


def individual_of(
    document: wire.IndividualEnrollment,
    *,
    stored: IndividualEnrollment | None,
    now: datetime,
    random: Random,
    api_version: str,
) -> IndividualEnrollment:
    """Read an enrollment; what may be left out on an update comes from the stored one. Raises HomeportError."""
    device_id = _given(document.device_id) or None
    if device_id is not None and not is_device_id(device_id):
        raise _invalid("deviceId is not a device id: 1 to 128 letters, digits and -:.+%_#*?!(),=@;$'")
    return IndividualEnrollment(
        registration_id=(stored.registration_id if stored else check_registration_id(document.registration_id)),
        device_id=device_id,
        optional_device_information=_given(document.optional_device_information),
        attestation=individual_attestation(document.attestation, stored.attestation if stored else None, random),
        **_common(document, stored, now, random, api_version),
    )


def group_of(
    document: wire.EnrollmentGroup,
    *,
    stored: EnrollmentGroup | None,
    now: datetime,
    random: Random,
    api_version: str,
) -> EnrollmentGroup:
    """Read an enrollment group, like `individual_of`."""
    return EnrollmentGroup(
        group_id=(
            stored.group_id if stored else check_registration_id(document.enrollment_group_id, "EnrollmentGroupId")
        ),
        attestation=group_attestation(document.attestation, stored.attestation if stored else None, random),
        **_common(document, stored, now, random, api_version),
    )


def individual_document(
    enrollment: IndividualEnrollment,
    *,
    secrets: bool,
    api_version: str = NEWEST_VERSION,
    state: wire.DeviceRegistrationState | UnsetType = UNSET,
) -> wire.IndividualEnrollment:
    """Write an enrollment; symmetric keys only with `secrets`."""
    return wire.IndividualEnrollment(
        registration_id=enrollment.registration_id,
        device_id=_shown(enrollment.device_id),
        registration_state=state,
        optional_device_information=_shown(_plain(enrollment.optional_device_information)),
        attestation=attestation_document(enrollment.attestation, secrets=secrets),
        **issuer_members(enrollment, api_version),
        **_common_document(enrollment),
    )


def group_document(group: EnrollmentGroup, *, secrets: bool, api_version: str = NEWEST_VERSION) -> wire.EnrollmentGroup:
    """Write an enrollment group; symmetric keys only with `secrets`."""
    return wire.EnrollmentGroup(
        enrollment_group_id=group.group_id,
        attestation=attestation_document(group.attestation, secrets=secrets),
        **issuer_members(group, api_version),
        **_common_document(group),
    )


def state_document(registration: Registration) -> wire.DeviceRegistrationState:
    """Write a registration as administrators see it."""
    return wire.DeviceRegistrationState(**_state_members(registration))


def unassigned_document(registration_id: str) -> wire.DeviceRegistrationState:
    """Write the state of a device that never registered."""
    return wire.DeviceRegistrationState(registration_id=registration_id, status=RegistrationStatus.UNASSIGNED.value)


def registration_document(registration: Registration) -> dps_admin.Registration:
    """Write a registration with the enrollment it came through."""
    return dps_admin.Registration(
        enrollment_group_id=_shown(registration.enrollment.group_id),
        attestation=registration.attestation.value,
        **_state_members(registration),
    )


def attempt_document(attempt: Attempt) -> dps_admin.Attempt:
    """Write the record of why."""
    return dps_admin.Attempt(
        tracking_id=attempt.tracking_id,
        registration_id=attempt.registration_id,
        at=format_time(attempt.at),
        transport=attempt.transport,
        remote_address=attempt.remote_address,
        id_scope=attempt.id_scope,
        api_version=attempt.api_version,
        client_version=_shown(attempt.client_version),
        evidence=attempt.evidence,
        group_id=UNSET if attempt.enrollment is None else _shown(attempt.enrollment.group_id),
        checks=[dps_admin.Check(name=c.name, passed=c.passed, detail=c.detail) for c in attempt.checks],
        outcome=attempt.outcome.value,
        code=_shown(attempt.code),
        reason=attempt.reason,
        advice=attempt.advice,
        assigned_hub=_shown(attempt.assigned_hub),
        duration_ms=attempt.duration_ms,
    )


def hub_document(standing: HubStanding) -> dps_admin.LinkedHub:
    """Write a linked hub without its connection string."""
    hub, health = standing.hub, standing.health
    return dps_admin.LinkedHub(
        name=hub.name,
        host_name=hub.host_name,
        allocation_weight=hub.allocation_weight,
        apply_allocation_policy=hub.apply_allocation_policy,
        draining=hub.draining,
        max_devices=_shown(hub.max_devices),
        region=_shown(hub.region),
        devices=standing.devices,
        health=(
            UNSET
            if health is None
            else dps_admin.HubHealth(
                state=health.state.value,
                detail=health.detail,
                checked_date_time_utc=format_time(health.checked_at),
            )
        ),
        local=hub.connection_string is None,
        created_date_time_utc=format_time(hub.created_at),
    )


# ---------------------------------------------------------------- what individual enrollments and groups share


def _common(
    document: wire.IndividualEnrollment | wire.EnrollmentGroup,
    stored: Enrollment | None,
    now: datetime,
    random: Random,
    api_version: str,
) -> dict[str, Any]:
    policy = _enumeration(AllocationPolicy, _given(document.allocation_policy), "allocationPolicy")
    custom = _custom_allocation(_given(document.custom_allocation_definition))
    if policy is AllocationPolicy.CUSTOM and custom is None:
        raise _invalid("allocationPolicy custom needs a customAllocationDefinition")
    capabilities = _given(document.capabilities)
    reprovision = _given(document.reprovision_policy)
    hubs = _given(document.iot_hubs)
    return {
        "etag": new_etag(random),
        "provisioning_status": _provisioning_status(document.provisioning_status),
        "reprovision_policy": (
            None
            if reprovision is None
            else ReprovisionPolicy(
                update_hub_assignment=reprovision.update_hub_assignment,
                migrate_device_data=reprovision.migrate_device_data,
            )
        ),
        "allocation_policy": policy,
        "iot_hubs": None if hubs is None else tuple(hubs),
        "iot_hub_host_name": _given(document.iot_hub_host_name) or None,
        "initial_twin": _initial_twin(_given(document.initial_twin)),
        "iot_edge": None if capabilities is None else capabilities.iot_edge,
        "custom_allocation": custom,
        **issuer_of(document, stored, api_version),
        "created_at": stored.created_at if stored else now,
        "updated_at": now,
    }


def _common_document(enrollment: Enrollment) -> dict[str, Any]:
    reprovision, custom = enrollment.reprovision_policy, enrollment.custom_allocation
    status = enrollment.provisioning_status
    return {
        "capabilities": UNSET if enrollment.iot_edge is None else wire.DeviceCapabilities(iot_edge=enrollment.iot_edge),
        "iot_hub_host_name": _shown(enrollment.iot_hub_host_name),
        "initial_twin": _shown(_plain(enrollment.initial_twin)),
        "etag": enrollment.etag,
        # The one member whose null is repeated (contract dps.md 8.3).
        "provisioning_status": None if status is None else status.value,
        "reprovision_policy": (
            UNSET
            if reprovision is None
            else wire.ReprovisionPolicy(
                update_hub_assignment=reprovision.update_hub_assignment,
                migrate_device_data=reprovision.migrate_device_data,
            )
        ),
        "created_date_time_utc": format_time(enrollment.created_at),
        "last_updated_date_time_utc": format_time(enrollment.updated_at),
        "allocation_policy": UNSET if enrollment.allocation_policy is None else enrollment.allocation_policy.value,
        "iot_hubs": UNSET if enrollment.iot_hubs is None else list(enrollment.iot_hubs),
        "custom_allocation_definition": (
            UNSET
            if custom is None
            else wire.CustomAllocationDefinition(webhook_url=custom.webhook_url, api_version=custom.api_version)
        ),
    }


def _state_members(registration: Registration) -> dict[str, Any]:
    home, failure = registration.assignment, registration.failure
    return {
        "registration_id": registration.registration_id,
        "created_date_time_utc": format_time(registration.created_at),
        "assigned_hub": UNSET if home is None else home.hub,
        "device_id": UNSET if home is None else home.device_id,
        "status": registration.status.value,
        "substatus": UNSET if registration.substatus is None else registration.substatus.value,
        "error_code": UNSET if failure is None else failure.code,
        "error_message": UNSET if failure is None else failure.message,
        "last_updated_date_time_utc": format_time(registration.updated_at),
        "etag": registration.etag,
        "payload": UNSET if registration.payload is None else Raw(registration.payload),
    }


def _provisioning_status(value: str | UnsetType | None) -> ProvisioningStatus | None:
    if value is UNSET:
        return ProvisioningStatus.ENABLED
    return _enumeration(ProvisioningStatus, _given(value), "provisioningStatus")


def _custom_allocation(document: wire.CustomAllocationDefinition | None) -> CustomAllocation | None:
    if document is None:
        return None
    problem = webhook_problem(document.webhook_url)
    if problem is not None:
        raise _invalid(f"customAllocationDefinition.webhookUrl {problem}")
    if not is_api_version(document.api_version):
        raise _invalid("customAllocationDefinition.apiVersion is not of the form YYYY-MM-DD")
    return CustomAllocation(webhook_url=document.webhook_url, api_version=document.api_version)


def _initial_twin(twin: dict[str, Any] | None) -> dict[str, Any] | None:
    if twin is None:
        return None
    properties = twin.get("properties")
    for value, where in ((twin.get("tags"), "tags"), (properties, "properties")):
        if not isinstance(value, dict | None):
            raise _invalid(f"initialTwin.{where} is not an object")
    if properties is not None and not isinstance(properties.get("desired"), dict | None):
        raise _invalid("initialTwin.properties.desired is not an object")
    return twin


def _enumeration(kind: type[E], text: str | None, member: str) -> E | None:
    """Find a value in any letter case."""
    if text is None:
        return None
    for value in kind:
        if value.value.lower() == text.lower():
            return value
    raise _invalid(f"{member} is none of {', '.join(value.value for value in kind)}")


def _given(value: T | UnsetType | None) -> T | None:
    return None if isinstance(value, UnsetType) else value


def _shown(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value


def _plain(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if value is None else dict(value)


def _invalid(message: str) -> HomeportError:
    return HomeportError(Code.INVALID_REQUEST, f"{message}.")
