"""A device's record, the operation that is open in it, and what a TPM is remembered by (contract dps.md 3, 9)."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from homeport.dps.model.allocation import Question
from homeport.dps.model.attestation import AttestationKind
from homeport.dps.model.enrollment import EnrollmentRef
from homeport.dps.model.hub import DeviceSpec
from homeport.dps.model.issuing import CertificateRef, Issuance
from homeport.values import hiding


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


class Failure(Struct, frozen=True, kw_only=True):
    """Why an operation failed, as the device and the operator read it."""

    code: int
    message: str


class Assignment(Struct, frozen=True, kw_only=True):
    """The device's home: a hub's host name and the device id there."""

    hub: str
    device_id: str


class Step(StrEnum):
    """How far the open operation has come; each step may be repeated (contract dps.md 9.4)."""

    ASK = "ask"
    """Ask custom allocation for the hub (contract dps.md 9.3)."""
    PROVISION = "provision"
    """Write the identity (and twin) to the target hub."""
    REMOVE_OLD = "removeOld"
    """The target stands: remove the identity from the hub the device left."""
    DONE = "done"


@hiding("spec", "question")
class Operation(Struct, frozen=True, kw_only=True):
    """One run of registering, polled by its id.

    `target` and `spec` are what the decision was; they are kept so that any process can finish what another began.
    Until custom allocation has answered, `question` stands in their place. `spec` and `question` (they hold hub keys)
    are dropped when the operation ends.
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
    spec: DeviceSpec | None = None
    own_twin: bool = False
    """Tags and desired properties of `spec` come from custom allocation, and win over migrated ones."""
    question: Question | None = None
    explanation: str = ""
    """What custom allocation said, or why it said nothing, for the operator."""
    success: Substatus | None = None
    """The substatus to report when the operation succeeds."""
    attempts: int = 0
    retry_at: datetime | None = None
    lease_owner: str | None = None
    lease_until: datetime | None = None
    tracking_id: str = ""
    """The tracking id of the register call that opened the operation."""
    remote_address: str = ""
    """Where that call came from."""
    identity_digest: str = ""
    """Digest of the credential the device proved itself with: calls that proved the same may share the outcome."""
    issuance: Issuance | None = None
    """The certificate that was asked for and signed; every poll of an operation returns the same one."""

    @property
    def moves(self) -> bool:
        """Whether the device gives up another home for its target."""
        return self.leaves is not None and self.leaves != self.target


@hiding("tpm_key_blob")
class Registration(Struct, frozen=True, kw_only=True):
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
    tpm_key_blob: bytes | None = None
    """The hub key, wrapped for the device's TPM; every poll of an operation returns the same one (dps.md 7.6)."""
    certificate: CertificateRef | None = None
    """The issued certificate that the device's hub was last told to accept; None when it uses another credential."""
    operation: Operation
    etag: str = ""
    created_at: datetime
    updated_at: datetime


@hiding("key")
class PendingChallenge(Struct, frozen=True, kw_only=True):
    """What is remembered between the two requests of a TPM (contract dps.md 7.7)."""

    registration_id: str
    key: bytes
    endorsement_key: bytes
    storage_root_key: bytes
    endorsement_chain: tuple[bytes, ...] = ()
    """The certificates of the endorsement key that came with the first request."""
    expires_at: datetime
