"""What judging a device or a service can end in: accepted with a proof, or refused with a reason. Only values."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from homeport.security.x509 import Certificate
from homeport.security.x509_path import Path
from homeport.values import hiding


class Reason(StrEnum):
    """Why a device or service was refused; stable words for logs and tests."""

    NO_PROOF = "no-proof"
    MALFORMED = "malformed"
    WRONG_RESOURCE = "wrong-resource"
    UNKNOWN_DEVICE = "unknown-device"
    DISABLED = "disabled"
    WRONG_MECHANISM = "wrong-mechanism"
    BAD_SIGNATURE = "bad-signature"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    UNKNOWN_POLICY = "unknown-policy"
    MISSING_RIGHT = "missing-right"
    WRONG_THUMBPRINT = "wrong-thumbprint"
    WRONG_COMMON_NAME = "wrong-common-name"
    NO_HUB_CA = "no-hub-ca"
    BAD_CHAIN = "bad-chain"
    REVOKED = "revoked"
    WRONG_CLAIM = "wrong-claim"
    TOO_MANY = "too-many"


class Refused(Struct, frozen=True, kw_only=True):
    """The proof does not hold. `explanation` is for the operator and names no secret; devices are not told."""

    reason: Reason
    explanation: str


@hiding("key")
class DeviceKey(Struct, frozen=True, kw_only=True):
    """The device signed with its own key."""

    key: bytes


class PolicyKey(Struct, frozen=True, kw_only=True):
    """Somebody with DeviceConnect speaks for the device."""

    policy: str


@hiding("certificate")
class ClientCertificate(Struct, frozen=True, kw_only=True):
    """The device owns a certificate whose thumbprint its identity names."""

    certificate: Certificate


@hiding("path")
class CertificatePath(Struct, frozen=True, kw_only=True):
    """The device owns a certificate in its name whose chain ends at a CA certificate of the hub."""

    path: Path


Proof = DeviceKey | PolicyKey | ClientCertificate | CertificatePath


class Accepted(Struct, frozen=True, kw_only=True):
    """The device is who it says it is, until `expires_at` (None: no end).

    That is when the token or the first of the certificates would be refused, the clock tolerance included.
    """

    proof: Proof
    expires_at: datetime | None
