"""What judging a device's evidence can end in, and the record of the checks on the way there."""

from dataclasses import dataclass, field

from msgspec import Struct

from homeport.dps.model import (
    AttestationKind,
    Check,
    EnrollmentGroup,
    EnrollmentRef,
    IndividualEnrollment,
    PendingChallenge,
    SasCredential,
    ThumbprintCredential,
)
from homeport.errors import Code
from homeport.security.tpm import TpmPublic
from homeport.security.x509 import Certificate

UNAUTHORIZED = "Unauthorized"
INVALID_CERTIFICATE = "Invalid certificate."
CA_NOT_FOUND = "CA certificate not found."


class TpmIdentity(Struct, frozen=True, kw_only=True):
    """The TPM that proved itself; the hub key is made later and wrapped for these keys."""

    endorsement_key: TpmPublic
    storage_root_key: TpmPublic


Identity = SasCredential | ThumbprintCredential | TpmIdentity
"""What a genuine device will use at its hub: keys or a certificate it has already, or a TPM to hold a new key."""


class Attested(Struct, frozen=True, kw_only=True):
    """The device is who it says, under this enrollment. Whether the enrollment is enabled is the engine's question."""

    enrollment: IndividualEnrollment | EnrollmentGroup
    kind: AttestationKind
    identity: Identity
    device_id: str
    """The device's name at its hub (contract dps.md 1.4)."""
    checks: tuple[Check, ...]
    path: tuple[Certificate, ...] = ()
    """The certificates it was judged by, leaf first, whose revocation may have to be asked about."""


class Challenge(Struct, frozen=True, kw_only=True):
    """The TPM must prove that it holds its keys: `blob` goes to the device, `pending` waits for its answer."""

    enrollment: IndividualEnrollment | EnrollmentGroup
    blob: bytes
    pending: PendingChallenge
    checks: tuple[Check, ...]
    path: tuple[Certificate, ...] = ()
    """As in `Attested`."""


class Refused(Struct, frozen=True, kw_only=True):
    """The proof does not hold. `message` is for the device; `reason` and `advice` are for the operator."""

    code: Code
    message: str
    reason: str
    advice: str
    enrollment: EnrollmentRef | None
    checks: tuple[Check, ...]


Verdict = Attested | Challenge | Refused


@dataclass(slots=True)
class Findings:
    """The checks of one call, in the order they were made."""

    checks: list[Check] = field(default_factory=list)
    enrollment: EnrollmentRef | None = None
    """The enrollment that decides, once it is known."""

    def passed(self, name: str, detail: str) -> None:
        self.checks.append(Check(name=name, passed=True, detail=detail))

    def failed(self, name: str, detail: str) -> None:
        self.checks.append(Check(name=name, passed=False, detail=detail))

    def refuse(
        self,
        name: str,
        reason: str,
        *,
        advice: str = "",
        code: Code = Code.UNAUTHORIZED,
        message: str = UNAUTHORIZED,
    ) -> Refused:
        """End with the check that failed; its detail is the reason."""
        self.failed(name, reason)
        return Refused(
            code=code,
            message=message,
            reason=reason,
            advice=advice,
            enrollment=self.enrollment,
            checks=tuple(self.checks),
        )
