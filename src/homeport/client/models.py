"""Enrollments and registration states as Python values with the field's names (contract dps.md 8.3).

They are the service's documents: `None` stands for a member that is absent, and is left out when written.
"""

import base64
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, Self, TypeVar

import msgspec

JsonObject = dict[str, Any]
T = TypeVar("T")


class ProvisioningStatus(StrEnum):
    """Whether devices may register."""

    ENABLED = "enabled"
    DISABLED = "disabled"


class AllocationPolicy(StrEnum):
    """How a hub is chosen."""

    HASHED = "hashed"
    GEO_LATENCY = "geoLatency"
    STATIC = "static"
    CUSTOM = "custom"


class _Document(msgspec.Struct, rename="camel", kw_only=True, omit_defaults=True):
    """Every default below is None (or is sent anyway), so leaving defaults out leaves out what is absent."""


class TpmAttestation(_Document, kw_only=True):
    """Base64 of the TPM's public keys, as `TPM2B_PUBLIC`. Groups, which only Homeport has, use the other members."""

    endorsement_key: str = ""
    storage_root_key: str | None = None
    endorsement_ca_references: list[str] | None = None
    """Names of uploaded CA certificates that issue endorsement certificates."""
    endorsement_key_hashes: list[str] | None = None
    """SHA-256 of endorsement keys: hex, or the registration ids made of them."""


class SymmetricKeyAttestation(_Document, kw_only=True):
    """Base64 keys of 16 to 64 bytes. The service generates the ones that are None."""

    primary_key: str | None = None
    secondary_key: str | None = None

    def __repr__(self) -> str:
        return "SymmetricKeyAttestation(…)"


class X509CertificateInfo(_Document, kw_only=True):
    """What the service shows of a certificate."""

    subject_name: str
    sha1_thumbprint: str
    sha256_thumbprint: str
    issuer_name: str
    not_before_utc: datetime
    not_after_utc: datetime
    serial_number: str
    version: int


class X509CertificateWithInfo(_Document, kw_only=True):
    """`certificate` (PEM) is written and never returned; `info` is returned."""

    certificate: str | None = None
    info: X509CertificateInfo | None = None


class X509Certificates(_Document, kw_only=True):
    """Two places, so that a certificate can be rolled; without a secondary the service repeats the primary."""

    primary: X509CertificateWithInfo | None = None
    secondary: X509CertificateWithInfo | None = None


class X509CaReferences(_Document, kw_only=True):
    """Names of certificate authorities that were uploaded to the service and verified."""

    primary: str | None = None
    secondary: str | None = None


class X509Attestation(_Document, kw_only=True):
    """Exactly one member is set."""

    client_certificates: X509Certificates | None = None
    signing_certificates: X509Certificates | None = None
    ca_references: X509CaReferences | None = None


class AttestationMechanism(_Document, kw_only=True):
    """How an enrollment wants identity proven; made with one of the constructors."""

    type: str
    """`tpm`, `x509` or `symmetricKey`."""
    tpm: TpmAttestation | None = None
    x509: X509Attestation | None = None
    symmetric_key: SymmetricKeyAttestation | None = None
    """Left out by the service, except right after writing and by `…_attestation_mechanism`."""

    @classmethod
    def for_tpm(cls, *, endorsement_key: str | bytes, storage_root_key: str | bytes | None = None) -> Self:
        """Trust a TPM 2.0, known by its endorsement key: the bytes of its `TPM2B_PUBLIC`, or their Base64."""
        storage = None if storage_root_key is None else _base64(storage_root_key)
        keys = TpmAttestation(endorsement_key=_base64(endorsement_key), storage_root_key=storage)
        return cls(type="tpm", tpm=keys)

    @classmethod
    def for_tpm_group(cls, *, ca_references: Sequence[str] = (), key_hashes: Sequence[str] = ()) -> Self:
        """Trust TPMs nobody enrolled one by one; only Homeport has such groups.

        `ca_references` are names of uploaded, verified CA certificates of TPM makers, `key_hashes` the SHA-256 of
        endorsement keys as `TPM2B_PUBLIC`, in hex, or the registration ids that devices make of them.
        """
        group = TpmAttestation(
            endorsement_ca_references=list(ca_references) or None, endorsement_key_hashes=list(key_hashes) or None
        )
        return cls(type="tpm", tpm=group)

    @classmethod
    def for_symmetric_key(cls, *, primary_key: str | None = None, secondary_key: str | None = None) -> Self:
        """Share the device's own keys, or the group's, from which device keys are derived; None: generated."""
        keys = SymmetricKeyAttestation(primary_key=primary_key, secondary_key=secondary_key)
        return cls(type="symmetricKey", symmetric_key=keys)

    @classmethod
    def for_x509_client(cls, primary: str, secondary: str | None = None) -> Self:
        """Trust an individual device's own certificate, as PEM text."""
        return cls(type="x509", x509=X509Attestation(client_certificates=_certificates(primary, secondary)))

    @classmethod
    def for_x509_signing(cls, primary: str, secondary: str | None = None) -> Self:
        """Trust a root or intermediate certificate that signs the devices of a group, as PEM text."""
        return cls(type="x509", x509=X509Attestation(signing_certificates=_certificates(primary, secondary)))

    @classmethod
    def for_x509_ca_references(cls, primary: str, secondary: str | None = None) -> Self:
        """Trust uploaded certificate authorities, by name."""
        references = X509CaReferences(primary=primary, secondary=secondary)
        return cls(type="x509", x509=X509Attestation(ca_references=references))


def _base64(key: str | bytes) -> str:
    return key if isinstance(key, str) else base64.b64encode(key).decode("ascii")


def _certificates(primary: str, secondary: str | None) -> X509Certificates:
    return X509Certificates(
        primary=X509CertificateWithInfo(certificate=primary),
        secondary=None if secondary is None else X509CertificateWithInfo(certificate=secondary),
    )


class DeviceCapabilities(msgspec.Struct, rename="camel", kw_only=True):
    """What the device may be."""

    iot_edge: bool = False


class ReprovisionPolicy(msgspec.Struct, rename="camel", kw_only=True):
    """What happens when the device registers again (contract dps.md 9.4)."""

    update_hub_assignment: bool = True
    migrate_device_data: bool = True


class CustomAllocationDefinition(_Document, kw_only=True):
    """The webhook that chooses the hub."""

    webhook_url: str
    api_version: str


class InitialTwinProperties(_Document, kw_only=True):
    desired: JsonObject | None = None


class InitialTwin(_Document, kw_only=True):
    """The twin a device starts with."""

    tags: JsonObject | None = None
    properties: InitialTwinProperties | None = None

    @classmethod
    def of(cls, *, tags: JsonObject | None = None, desired: JsonObject | None = None) -> Self:
        """Make it of its two sections."""
        return cls(tags=tags, properties=None if desired is None else InitialTwinProperties(desired=desired))


class RegistrationState(_Document, kw_only=True):
    """A device's registration as administrators see it (`DeviceRegistrationState`)."""

    registration_id: str | None = None
    created_date_time_utc: datetime | None = None
    assigned_hub: str | None = None
    device_id: str | None = None
    status: str | None = None
    """`unassigned`, `assigning`, `assigned`, `failed` or `disabled`."""
    substatus: str | None = None
    error_code: int | None = None
    error_message: str | None = None
    last_updated_date_time_utc: datetime | None = None
    etag: str | None = None
    payload: Any = None


class Enrollment(_Document, kw_only=True):
    """What individual enrollments and enrollment groups have in common."""

    attestation: AttestationMechanism
    capabilities: DeviceCapabilities | None = None
    iot_hub_host_name: str | None = None
    initial_twin: InitialTwin | None = None
    etag: str | None = None
    """Set by the service; a written enrollment that carries one replaces exactly that version."""
    provisioning_status: str | None = None
    """A `ProvisioningStatus`; None counts as enabled."""
    reprovision_policy: ReprovisionPolicy | None = None
    created_date_time_utc: datetime | None = None
    last_updated_date_time_utc: datetime | None = None
    allocation_policy: str | None = None
    """An `AllocationPolicy`; None is the service's default."""
    iot_hubs: list[str] | None = None
    """Host names of linked hubs; None or empty means all."""
    custom_allocation_definition: CustomAllocationDefinition | None = None
    namespace_name: str | None = None
    certificate_authority_name: str | None = None
    certificate_policy_name: str | None = None
    """These three say who issues certificates; services of api-version 2026-11-01 and later know them."""


class IndividualEnrollment(Enrollment, kw_only=True):
    """Permission for one device."""

    registration_id: str
    device_id: str | None = None
    """Its name in the hub; None is the registration id."""
    registration_state: RegistrationState | None = None
    """Only when a single enrollment was asked for."""
    optional_device_information: JsonObject | None = None


class EnrollmentGroup(Enrollment, kw_only=True):
    """Permission for all devices that share a CA or a group key."""

    enrollment_group_id: str


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Some items of a listing."""

    items: Sequence[T]
    continuation: str | None
    """What to ask the next page with; None on the last one."""


class BulkMode(StrEnum):
    """What a bulk request does with its items."""

    CREATE = "create"
    UPDATE = "update"
    UPDATE_IF_MATCH_ETAG = "updateIfMatchETag"
    DELETE = "delete"


class BulkError(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Why an item failed."""

    registration_id: str | None = None
    enrollment_group_id: str | None = None
    error_code: int | None = None
    error_status: str | None = None


class BulkResult(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """What became of a bulk request."""

    is_successful: bool
    errors: Sequence[BulkError] = ()
