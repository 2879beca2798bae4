"""The fields that queries may name: those of the documents administrators read, and never a key.

A getter reads the model, so a field that is not here cannot be asked for: symmetric keys, TPM key blobs, hub keys,
leases and the query part of a webhook's URL are not.
"""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from homeport.dps.model import (
    CaReferences,
    ClientCertificates,
    Enrollment,
    EnrollmentGroup,
    IndividualEnrollment,
    Registration,
    RegistrationStatus,
    SigningCertificates,
    TpmAttestation,
    TpmGroupAttestation,
    attestation_kind,
)
from homeport.dps.query.documents import payload_of, public_key, shown_certificate
from homeport.dps.query.syntax import Column, Field, Kind, Operand

_KEYS = ("attestation", "symmetricKey")


class EnrolledDevice(Struct, frozen=True, kw_only=True):
    """What a query over individual enrollments looks at: the enrollment, with the registration of its id."""

    enrollment: IndividualEnrollment
    registration: Registration | None


class Schema:
    """The fields of one kind of item."""

    def __init__(self, *, id_field: str, updated_field: str, fields: Sequence[Field]) -> None:
        self.id_field = id_field
        self.updated_field = updated_field
        self.fields = tuple(fields)
        self._by_name = {field.name.lower(): field for field in fields}

    def find(self, path: tuple[str, ...]) -> Operand | None:
        """Find the field that a path names, in any letter case; members inside a document are exact."""
        for length in range(len(path), 0, -1):
            field = self._by_name.get(".".join(path[:length]).lower())
            if field is not None:
                members = path[length:]
                return None if members and field.kind is not Kind.FREE else Operand(field=field, members=members)
        return None

    def advice(self, path: Sequence[str]) -> str:
        """Say what could have been meant by a path that names no field."""
        words = tuple(word.lower() for word in path)
        if words[:2] == tuple(word.lower() for word in _KEYS):
            return "keys cannot be asked for."
        for length in range(len(words) - 1, -1, -1):
            start = "".join(f"{word}." for word in words[:length])
            below = {
                field.name[len(start) :].split(".")[0] for field in self.fields if field.name.lower().startswith(start)
            }
            if below:
                return f"there are {', '.join(sorted(below))}{' below ' + start[:-1] if start else ''}."
        raise AssertionError("a schema has fields")


def _field(name: str, kind: Kind, get: Callable[[Any], object], column: Column | None = None) -> Field:
    return Field(name=name, kind=kind, get=get, column=column)


# ---------------------------------------------------------------- enrollments


def _certificate_fields() -> list[Field]:
    fields = []
    for member, kind in (("clientCertificates", ClientCertificates), ("signingCertificates", SigningCertificates)):
        for place in ("primary", "secondary"):
            read = shown_certificate(kind, place)
            prefix = f"attestation.x509.{member}.{place}.info"
            fields += [
                _field(f"{prefix}.subjectName", Kind.TEXT, read("subject_name")),
                _field(f"{prefix}.issuerName", Kind.TEXT, read("issuer_name")),
                _field(f"{prefix}.sha1Thumbprint", Kind.NAME, read("sha1_thumbprint")),
                _field(f"{prefix}.sha256Thumbprint", Kind.NAME, read("sha256_thumbprint")),
                _field(f"{prefix}.serialNumber", Kind.NAME, read("serial_number")),
                _field(f"{prefix}.notBeforeUtc", Kind.TIME, read("not_before")),
                _field(f"{prefix}.notAfterUtc", Kind.TIME, read("not_after")),
            ]
    return fields


def _references(enrollment: Enrollment) -> CaReferences | None:
    return enrollment.attestation if isinstance(enrollment.attestation, CaReferences) else None


def _webhook(enrollment: Enrollment) -> str | None:
    custom = enrollment.custom_allocation
    return None if custom is None else custom.webhook_url.partition("?")[0]


def _enrollment_fields() -> list[Field]:
    """Return what individual enrollments and groups have in common; `get` takes the enrollment."""
    return [
        _field("attestation.type", Kind.NAME, lambda e: attestation_kind(e.attestation).value, Column.ATTESTATION),
        *_certificate_fields(),
        _field("attestation.x509.caReferences.primary", Kind.NAME, lambda e: (r := _references(e)) and r.primary),
        _field("attestation.x509.caReferences.secondary", Kind.NAME, lambda e: (r := _references(e)) and r.secondary),
        _field("capabilities.iotEdge", Kind.BOOL, lambda e: e.iot_edge),
        _field("iotHubHostName", Kind.NAME, lambda e: e.iot_hub_host_name),
        _field("initialTwin", Kind.FREE, lambda e: e.initial_twin),
        _field("etag", Kind.TEXT, lambda e: e.etag),
        _field(
            "provisioningStatus",
            Kind.NAME,
            lambda e: "enabled" if e.enabled else "disabled",
            Column.PROVISIONING_STATUS,
        ),
        _field(
            "reprovisionPolicy.updateHubAssignment",
            Kind.BOOL,
            lambda e: e.reprovision_policy and e.reprovision_policy.update_hub_assignment,
        ),
        _field(
            "reprovisionPolicy.migrateDeviceData",
            Kind.BOOL,
            lambda e: e.reprovision_policy and e.reprovision_policy.migrate_device_data,
        ),
        _field("createdDateTimeUtc", Kind.TIME, lambda e: e.created_at),
        _field("lastUpdatedDateTimeUtc", Kind.TIME, lambda e: e.updated_at, Column.UPDATED),
        _field("allocationPolicy", Kind.NAME, lambda e: e.allocation_policy),
        _field("iotHubs", Kind.NAMES, lambda e: e.iot_hubs),
        _field("customAllocationDefinition.webhookUrl", Kind.TEXT, _webhook),
        _field(
            "customAllocationDefinition.apiVersion",
            Kind.TEXT,
            lambda e: e.custom_allocation and e.custom_allocation.api_version,
        ),
        _field("namespaceName", Kind.NAME, lambda e: e.namespace_name),
        _field("certificateAuthorityName", Kind.NAME, lambda e: e.certificate_authority_name),
        _field("certificatePolicyName", Kind.NAME, lambda e: e.certificate_policy_name),
    ]


# ---------------------------------------------------------------- registrations


def _registration_fields() -> list[Field]:
    """Return the members of a registration state; `get` takes the registration."""
    return [
        _field("createdDateTimeUtc", Kind.TIME, lambda r: r.created_at),
        _field("lastUpdatedDateTimeUtc", Kind.TIME, lambda r: r.updated_at, Column.UPDATED),
        _field("assignedHub", Kind.NAME, lambda r: r.assignment and r.assignment.hub, Column.HUB),
        _field("deviceId", Kind.TEXT, lambda r: r.assignment and r.assignment.device_id),
        _field("status", Kind.NAME, lambda r: r.status.value, Column.REGISTRATION_STATUS),
        _field("substatus", Kind.NAME, lambda r: r.substatus),
        _field("errorCode", Kind.NUMBER, lambda r: r.failure and int(r.failure.code)),
        _field("errorMessage", Kind.TEXT, lambda r: r.failure and r.failure.message),
        _field("etag", Kind.TEXT, lambda r: r.etag),
        _field("payload", Kind.FREE, payload_of),
    ]


def _of_enrollment(field: Field) -> Field:
    get = field.get
    return Field(name=field.name, kind=field.kind, get=lambda d: get(d.enrollment), column=field.column)


def _of_state(field: Field) -> Field:
    """Join a registration's field in; a device that never registered is `unassigned` and has nothing else."""
    get, is_status = field.get, field.name == "status"
    # Sorting and times go by the enrollment; a registration's own time does not find its enrollment.
    column = field.column if field.column in {Column.REGISTRATION_STATUS, Column.HUB} else None

    def read(device: EnrolledDevice) -> object:
        if device.registration is None:
            return RegistrationStatus.UNASSIGNED.value if is_status else None
        return get(device.registration)

    return Field(name=f"registrationState.{field.name}", kind=field.kind, get=read, column=column)


def _under(prefix: str, field: Field) -> Field:
    return Field(name=f"{prefix}.{field.name}", kind=field.kind, get=field.get, column=field.column)


def _tpm_key(place: str) -> Callable[[EnrolledDevice], object]:
    def read(device: EnrolledDevice) -> object:
        attestation = device.enrollment.attestation
        return public_key(getattr(attestation, place)) if isinstance(attestation, TpmAttestation) else None

    return read


INDIVIDUALS = Schema(
    id_field="registrationId",
    updated_field="lastUpdatedDateTimeUtc",
    fields=[
        _field("registrationId", Kind.NAME, lambda d: d.enrollment.registration_id, Column.ID),
        _field("deviceId", Kind.TEXT, lambda d: d.enrollment.device_id),
        _field("optionalDeviceInformation", Kind.FREE, lambda d: d.enrollment.optional_device_information),
        _field("attestation.tpm.endorsementKey", Kind.TEXT, _tpm_key("endorsement_key")),
        _field("attestation.tpm.storageRootKey", Kind.TEXT, _tpm_key("storage_root_key")),
        *map(_of_enrollment, _enrollment_fields()),
        _field("registrationState.registrationId", Kind.NAME, lambda d: d.enrollment.registration_id, Column.ID),
        *map(_of_state, _registration_fields()),
    ],
)
"""Over `EnrolledDevice`."""


def _group_id(group: EnrollmentGroup) -> str:
    return group.group_id


def _makers(group: EnrollmentGroup) -> tuple[str, ...] | None:
    return group.attestation.ca_references if isinstance(group.attestation, TpmGroupAttestation) else None


def _listed_keys(group: EnrollmentGroup) -> tuple[str, ...] | None:
    listed = group.attestation
    return tuple(each.hex() for each in listed.key_digests) if isinstance(listed, TpmGroupAttestation) else None


GROUPS = Schema(
    id_field="enrollmentGroupId",
    updated_field="lastUpdatedDateTimeUtc",
    fields=[
        _field("enrollmentGroupId", Kind.NAME, _group_id, Column.ID),
        _field("attestation.tpm.endorsementCaReferences", Kind.NAMES, _makers),
        _field("attestation.tpm.endorsementKeyHashes", Kind.NAMES, _listed_keys),
        *_enrollment_fields(),
    ],
)
"""Over `EnrollmentGroup`."""

_OWN = [
    _field("registrationId", Kind.NAME, lambda r: r.registration_id, Column.ID),
    *_registration_fields(),
    _field("enrollmentGroupId", Kind.NAME, lambda r: r.enrollment.group_id, Column.GROUP),
    _field("attestation", Kind.NAME, lambda r: r.attestation.value),
]

REGISTRATIONS = Schema(
    id_field="registrationId",
    updated_field="lastUpdatedDateTimeUtc",
    # Whoever comes from enrollments writes `registrationState.status`: here it is the same.
    fields=[*_OWN, *(_under("registrationState", field) for field in _OWN)],
)
"""Over `Registration`."""
