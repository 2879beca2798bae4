"""How registrations and their operations are kept: ids, etag, deadline and lease in columns, the rest here."""

from datetime import datetime

from msgspec import Struct

from homeport.dps.model import (
    Assignment,
    AttestationKind,
    CertificateRef,
    DeviceSpec,
    EnrollmentRef,
    Failure,
    Issuance,
    Operation,
    Registration,
    RegistrationStatus,
    Step,
    Substatus,
    TwinContent,
    TwinWrite,
)
from homeport.store.database import Row, Value
from homeport.store.question_rows import (
    QuestionRow,
    SasRow,
    ThumbprintRow,
    credential_of,
    credential_row,
    question_of,
    question_row,
)
from homeport.store.rows import Codec, from_micros, key_of, to_micros


class SpecRow(Struct, kw_only=True):
    device_id: str
    credential: SasRow | ThumbprintRow
    iot_edge: bool | None
    twin: TwinContent
    twin_write: TwinWrite


class OperationRow(Struct, kw_only=True, omit_defaults=True):
    status: RegistrationStatus
    step: Step
    target: Assignment | None = None
    leaves: Assignment | None = None
    migrate_from: Assignment | None = None
    spec: SpecRow | None = None
    success: Substatus | None = None
    own_twin: bool = False
    question: QuestionRow | None = None
    explanation: str = ""
    attempts: int = 0
    tracking_id: str = ""
    remote_address: str = ""
    identity_digest: str = ""
    issuance: Issuance | None = None


class RegistrationRow(Struct, kw_only=True, omit_defaults=True):
    group_id: str | None = None
    attestation: AttestationKind
    status: RegistrationStatus
    substatus: Substatus | None = None
    assignment: Assignment | None = None
    failure: Failure | None = None
    payload: bytes | None = None
    device_payload: bytes | None = None
    tpm_key_blob: bytes | None = None
    certificate: CertificateRef | None = None
    operation: OperationRow
    created_at: datetime
    updated_at: datetime


_codec = Codec(RegistrationRow)

COLUMNS = "id, etag, operation_id, deadline, retry_at, lease_owner, lease_until, data"
"""The columns `registration_of` expects, in its order."""


def is_open(operation: Operation) -> bool:
    """Whether somebody must still work on the operation: a step is left, and it has not failed."""
    ended = operation.status in (RegistrationStatus.FAILED, RegistrationStatus.DISABLED)
    return operation.step is not Step.DONE and not ended


def home_key(registration: Registration) -> str | None:
    """Return where the device counts as living: the hub it is on its way to, else the one it is assigned to."""
    operation = registration.operation
    home = (operation.target if is_open(operation) else None) or registration.assignment
    return None if home is None else key_of(home.hub)


def registration_values(registration: Registration) -> dict[str, Value]:
    """Return every column of a registration's row by name."""
    operation = registration.operation
    group_id = registration.enrollment.group_id
    return {
        "id_key": key_of(registration.registration_id),
        "id": registration.registration_id,
        "group_key": None if group_id is None else key_of(group_id),
        "home_key": home_key(registration),
        "etag": registration.etag,
        "operation_id": operation.id,
        "is_open": int(is_open(operation)),
        "deadline": to_micros(operation.deadline),
        "retry_at": to_micros(operation.retry_at),
        "lease_owner": operation.lease_owner,
        "lease_until": to_micros(operation.lease_until),
        "status": registration.status.value,
        "hub_key": "" if registration.assignment is None else key_of(registration.assignment.hub),
        "updated_at": to_micros(registration.updated_at),
        "data": _codec.encode(_row(registration)),
    }


def registration_of(columns: Row) -> Registration:
    registration_id, etag, operation_id, deadline, retry_at, lease_owner, lease_until, data = columns
    row = _codec.decode(data)
    operation = row.operation
    return Registration(
        registration_id=registration_id,
        enrollment=EnrollmentRef(group_id=row.group_id),
        attestation=row.attestation,
        status=row.status,
        substatus=row.substatus,
        assignment=row.assignment,
        failure=row.failure,
        payload=row.payload,
        device_payload=row.device_payload,
        tpm_key_blob=row.tpm_key_blob,
        certificate=row.certificate,
        operation=Operation(
            id=operation_id,
            status=operation.status,
            step=operation.step,
            deadline=from_micros(deadline),
            target=operation.target,
            leaves=operation.leaves,
            migrate_from=operation.migrate_from,
            spec=None if operation.spec is None else _spec(operation.spec),
            success=operation.success,
            own_twin=operation.own_twin,
            question=None if operation.question is None else question_of(operation.question),
            explanation=operation.explanation,
            attempts=operation.attempts,
            retry_at=from_micros(retry_at),
            lease_owner=lease_owner,
            lease_until=from_micros(lease_until),
            tracking_id=operation.tracking_id,
            remote_address=operation.remote_address,
            identity_digest=operation.identity_digest,
            issuance=operation.issuance,
        ),
        etag=etag,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _row(registration: Registration) -> RegistrationRow:
    operation = registration.operation
    return RegistrationRow(
        group_id=registration.enrollment.group_id,
        attestation=registration.attestation,
        status=registration.status,
        substatus=registration.substatus,
        assignment=registration.assignment,
        failure=registration.failure,
        payload=registration.payload,
        device_payload=registration.device_payload,
        tpm_key_blob=registration.tpm_key_blob,
        certificate=registration.certificate,
        operation=OperationRow(
            status=operation.status,
            step=operation.step,
            target=operation.target,
            leaves=operation.leaves,
            migrate_from=operation.migrate_from,
            spec=None if operation.spec is None else _spec_row(operation.spec),
            success=operation.success,
            own_twin=operation.own_twin,
            question=None if operation.question is None else question_row(operation.question),
            explanation=operation.explanation,
            attempts=operation.attempts,
            tracking_id=operation.tracking_id,
            remote_address=operation.remote_address,
            identity_digest=operation.identity_digest,
            issuance=operation.issuance,
        ),
        created_at=registration.created_at,
        updated_at=registration.updated_at,
    )


def _spec_row(spec: DeviceSpec) -> SpecRow:
    return SpecRow(
        device_id=spec.device_id,
        credential=credential_row(spec.credential),
        iot_edge=spec.iot_edge,
        twin=spec.twin,
        twin_write=spec.twin_write,
    )


def _spec(row: SpecRow) -> DeviceSpec:
    return DeviceSpec(
        device_id=row.device_id,
        credential=credential_of(row.credential),
        iot_edge=row.iot_edge,
        twin=row.twin,
        twin_write=row.twin_write,
    )
