"""How enrollments and groups are kept: id and etag in columns, the rest here."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from homeport.dps.model import (
    AllocationPolicy,
    CustomAllocation,
    Enrollment,
    EnrollmentGroup,
    IndividualEnrollment,
    ProvisioningStatus,
    ReprovisionPolicy,
)
from homeport.store.attestation_rows import AttestationRow, attestation_of, attestation_row
from homeport.store.rows import Codec


class EnrollmentRow(Struct, kw_only=True, omit_defaults=True):
    """Both kinds share one shape; what is None is left out."""

    attestation: AttestationRow
    provisioning_status: ProvisioningStatus | None = None
    reprovision_policy: ReprovisionPolicy | None = None
    allocation_policy: AllocationPolicy | None = None
    iot_hubs: tuple[str, ...] | None = None
    iot_hub_host_name: str | None = None
    initial_twin: dict[str, Any] | None = None
    iot_edge: bool | None = None
    custom_allocation: CustomAllocation | None = None
    namespace_name: str | None = None
    certificate_authority_name: str | None = None
    certificate_policy_name: str | None = None
    created_at: datetime
    updated_at: datetime
    device_id: str | None = None
    optional_device_information: dict[str, Any] | None = None


_codec = Codec(EnrollmentRow)


def encode_enrollment(enrollment: Enrollment) -> str:
    row = EnrollmentRow(
        attestation=attestation_row(enrollment.attestation),
        provisioning_status=enrollment.provisioning_status,
        reprovision_policy=enrollment.reprovision_policy,
        allocation_policy=enrollment.allocation_policy,
        iot_hubs=enrollment.iot_hubs,
        iot_hub_host_name=enrollment.iot_hub_host_name,
        initial_twin=None if enrollment.initial_twin is None else dict(enrollment.initial_twin),
        iot_edge=enrollment.iot_edge,
        custom_allocation=enrollment.custom_allocation,
        namespace_name=enrollment.namespace_name,
        certificate_authority_name=enrollment.certificate_authority_name,
        certificate_policy_name=enrollment.certificate_policy_name,
        created_at=enrollment.created_at,
        updated_at=enrollment.updated_at,
    )
    if isinstance(enrollment, IndividualEnrollment):
        row.device_id = enrollment.device_id
        information = enrollment.optional_device_information
        row.optional_device_information = None if information is None else dict(information)
    return _codec.encode(row)


def individual_of(registration_id: str, etag: str, data: str) -> IndividualEnrollment:
    row = _codec.decode(data)
    return IndividualEnrollment(
        registration_id=registration_id,
        device_id=row.device_id,
        optional_device_information=row.optional_device_information,
        **_common(row, etag),
    )


def group_of(group_id: str, etag: str, data: str) -> EnrollmentGroup:
    return EnrollmentGroup(group_id=group_id, **_common(_codec.decode(data), etag))


def _common(row: EnrollmentRow, etag: str) -> dict[str, Any]:
    return {
        "attestation": attestation_of(row.attestation),
        "etag": etag,
        "provisioning_status": row.provisioning_status,
        "reprovision_policy": row.reprovision_policy,
        "allocation_policy": row.allocation_policy,
        "iot_hubs": row.iot_hubs,
        "iot_hub_host_name": row.iot_hub_host_name,
        "initial_twin": row.initial_twin,
        "iot_edge": row.iot_edge,
        "custom_allocation": row.custom_allocation,
        "namespace_name": row.namespace_name,
        "certificate_authority_name": row.certificate_authority_name,
        "certificate_policy_name": row.certificate_policy_name,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }
