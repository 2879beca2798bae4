"""The nouns of device provisioning as values. No serialization, no transport, no SQL (contract dps.md 3, 8, 9)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

JsonObject = Mapping[str, Any]


# ---------------------------------------------------------------- how an enrollment wants identity proven


@dataclass(frozen=True, slots=True, kw_only=True)
class TpmAttestation:
    """A TPM 2.0, known by its endorsement key; keys are `TPM2B_PUBLIC` bytes (contract dps.md 7.1)."""

    endorsement_key: bytes
    storage_root_key: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SymmetricKeyAttestation:
    """A shared secret: the device's own (individual), or the one device keys are derived from (group)."""

    primary_key: bytes = field(repr=False)
    secondary_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificates:
    """The leaf certificates one device may present, DER (contract dps.md 6.3)."""

    primary: bytes
    secondary: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningCertificates:
    """Root or intermediate certificates that sign the devices of a group, DER."""

    primary: bytes
    secondary: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaReferences:
    """Uploaded CA certificates, by name."""

    primary: str
    secondary: str | None = None


X509Attestation = ClientCertificates | SigningCertificates | CaReferences
Attestation = TpmAttestation | SymmetricKeyAttestation | X509Attestation


class AttestationKind(StrEnum):
    """The wire names of the three mechanisms."""

    TPM = "tpm"
    X509 = "x509"
    SYMMETRIC_KEY = "symmetricKey"


# ---------------------------------------------------------------- enrollments


class ProvisioningStatus(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"


class AllocationPolicy(StrEnum):
    HASHED = "hashed"
    GEO_LATENCY = "geoLatency"
    STATIC = "static"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReprovisionPolicy:
    """What happens when a device registers again (contract dps.md 9.4)."""

    update_hub_assignment: bool = True
    migrate_device_data: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomAllocation:
    """The webhook that chooses the hub."""

    webhook_url: str
    api_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrollment:
    """What individual enrollments and enrollment groups have in common (contract dps.md 8.3).

    Fields that were absent stay None, so that an answer repeats exactly what was written.
    `initial_twin` is the wire document `{tags, properties: {desired}}`.
    """

    attestation: Attestation
    etag: str = ""
    provisioning_status: ProvisioningStatus | None = ProvisioningStatus.ENABLED
    reprovision_policy: ReprovisionPolicy | None = None
    allocation_policy: AllocationPolicy | None = None
    iot_hubs: tuple[str, ...] | None = None
    iot_hub_host_name: str | None = None
    initial_twin: JsonObject | None = None
    iot_edge: bool | None = None
    custom_allocation: CustomAllocation | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def enabled(self) -> bool:
        """Whether devices may register; a status written as null counts as enabled."""
        return self.provisioning_status is not ProvisioningStatus.DISABLED


@dataclass(frozen=True, slots=True, kw_only=True)
class IndividualEnrollment(Enrollment):
    """Permission for one device."""

    registration_id: str
    device_id: str | None = None
    optional_device_information: JsonObject | None = None

    @property
    def hub_device_id(self) -> str:
        """The device's name at its hub."""
        return self.device_id or self.registration_id


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentGroup(Enrollment):
    """Permission for all devices that share a CA or a group key."""

    group_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentRef:
    """Which enrollment a registration came through."""

    group_id: str | None
    """The group, or None for the individual enrollment of the registration id."""


# ---------------------------------------------------------------- what a device says and offers


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceClaim:
    """Who a device says it is, before anything is proven."""

    id_scope: str
    registration_id: str
    api_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SasEvidence:
    """A SAS token as it came."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateEvidence:
    """The TLS client's certificates, DER, leaf first; possession of the leaf's key is proven by the handshake."""

    chain: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TpmEvidence:
    """What a TPM device offers: its public keys, and the token its TPM signed once it was challenged.

    The keys may be missing when the token is there (the IoT Edge client sends them once only).
    """

    endorsement_key: bytes | None
    storage_root_key: bytes | None
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoEvidence:
    """The device offered nothing that could prove who it is."""


Evidence = SasEvidence | CertificateEvidence | TpmEvidence | NoEvidence


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """Where a device's call came from, for its record: one tracking id finds attempt, log line and answer."""

    tracking_id: str
    transport: str
    """`https`, `mqtt`, `mqtt-ws`, `amqp` or `amqp-ws`."""
    remote_address: str
    client_version: str | None = None


# ---------------------------------------------------------------- registrations


class RegistrationStatus(StrEnum):
    UNASSIGNED = "unassigned"
    ASSIGNING = "assigning"
    ASSIGNED = "assigned"
    FAILED = "failed"
    DISABLED = "disabled"


class Substatus(StrEnum):
    INITIAL_ASSIGNMENT = "initialAssignment"
    DEVICE_DATA_MIGRATED = "deviceDataMigrated"
    DEVICE_DATA_RESET = "deviceDataReset"
    REPROVISIONED_TO_INITIAL_ASSIGNMENT = "reprovisionedToInitialAssignment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an operation failed, as the device and the operator read it."""

    code: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The device's home: a hub's host name and the device id there."""

    hub: str
    device_id: str


class Step(StrEnum):
    """How far the open operation has come; each step may be repeated (contract dps.md 9.4)."""

    PROVISION = "provision"
    """Write the identity (and twin) to the target hub."""
    REMOVE_OLD = "removeOld"
    """The target stands: remove the identity from the hub the device left."""
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One run of registering, polled by its id.

    `target` and `spec` are what the decision was; they are kept so that any process can finish what another began.
    `spec` (it holds hub keys) is dropped when the operation ends.
    """

    id: str
    status: RegistrationStatus
    step: Step
    deadline: datetime
    target: Assignment | None = None
    leaves: Assignment | None = None
    """The assignment to give up once `target` stands; None when the device stays or is new."""
    migrate_from: Assignment | None = None
    """Where the twin is copied from before the target is written; None when it is not migrated."""
    spec: "DeviceSpec | None" = field(default=None, repr=False)
    success: Substatus | None = None
    """The substatus to report when the operation succeeds."""
    attempts: int = 0
    retry_at: datetime | None = None
    lease_owner: str | None = None
    lease_until: datetime | None = None
    tracking_id: str = ""
    """The tracking id of the register call that opened the operation."""
    identity_digest: str = ""
    """Digest of the credential the device proved itself with: calls that proved the same may share the outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A device's record in the provisioning service: its assignment, and its latest operation.

    `registration_id` keeps the spelling of the first registration; records are found by its lower-cased form.
    `assignment`, `substatus` and `failure` describe the latest *finished* operation; the assignment of an earlier
    success survives later failures, because the device still lives there.
    """

    registration_id: str
    enrollment: EnrollmentRef
    attestation: AttestationKind
    status: RegistrationStatus
    substatus: Substatus | None = None
    assignment: Assignment | None = None
    failure: Failure | None = None
    payload: bytes | None = None
    """JSON object that custom allocation returned for the device."""
    device_payload: bytes | None = None
    """JSON value the device sent with its latest register call."""
    tpm_key_blob: bytes | None = field(default=None, repr=False)
    """The hub key, wrapped for the device's TPM; every poll of an operation returns the same one (dps.md 7.6)."""
    operation: Operation
    etag: str = ""
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingChallenge:
    """What is remembered between the two requests of a TPM (contract dps.md 7.7)."""

    registration_id: str
    key: bytes = field(repr=False)
    endorsement_key: bytes
    storage_root_key: bytes
    expires_at: datetime


# ---------------------------------------------------------------- hubs


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedHub:
    """A hub the service may use (contract dps.md 8.10).

    `connection_string` is None for a hub that this Homeport serves itself.
    """

    name: str
    host_name: str
    allocation_weight: int = 1
    apply_allocation_policy: bool = True
    connection_string: str | None = field(default=None, repr=False)
    ca_certificates: str | None = None
    """PEM of the authorities trusted for this host, besides the system's; another Homeport's CA stands here."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SasCredential:
    """The device signs tokens with these keys at its hub."""

    primary_key: bytes = field(repr=False)
    secondary_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThumbprintCredential:
    """The device presents a certificate with one of these SHA-256 thumbprints (upper-case hex)."""

    primary: str
    secondary: str


HubCredential = SasCredential | ThumbprintCredential


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinContent:
    """The sections of a twin without metadata. `reported` is None when it must not be written."""

    tags: JsonObject
    desired: JsonObject
    reported: JsonObject | None = None


class TwinWrite(StrEnum):
    """When a device spec's twin is written."""

    IF_CREATED = "ifCreated"
    """Only when the identity is new at the hub; an existing twin is left as it is."""
    ALWAYS = "always"
    """Also over the twin of an existing identity (reset)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """What a device must look like at its hub."""

    device_id: str
    credential: HubCredential
    iot_edge: bool | None
    """None leaves the capability of an existing identity as it is."""
    twin: TwinContent
    twin_write: TwinWrite = TwinWrite.IF_CREATED


@dataclass(frozen=True, slots=True, kw_only=True)
class HubDevice:
    """What is read from a hub before a device moves away."""

    device_id: str
    iot_edge: bool
    twin: TwinContent


# ---------------------------------------------------------------- why: the record of an attempt


class Outcome(StrEnum):
    """How one call of a device ended."""

    ASSIGNED = "assigned"
    ASSIGNING = "assigning"
    FAILED = "failed"
    DISABLED = "disabled"
    CHALLENGED = "challenged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at, in order, and what was found."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The record of one attempt to register: enough to say why it ended as it did, never a secret."""

    tracking_id: str
    registration_id: str
    at: datetime
    transport: str
    remote_address: str
    id_scope: str
    api_version: str
    client_version: str | None
    evidence: str
    """What the device offered, in words: `SAS token`, `certificate chain of 3`, `TPM keys`, `nothing`."""
    enrollment: EnrollmentRef | None
    checks: tuple[Check, ...]
    outcome: Outcome
    code: int | None
    """The error code the device got, None when it was not refused."""
    reason: str
    advice: str
    """What to do about it; empty when there is nothing to do."""
    assigned_hub: str | None = None
    duration_ms: float = 0.0
