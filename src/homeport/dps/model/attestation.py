"""How an enrollment wants identity proven: TPM, symmetric key or X.509 (contract dps.md 6.3, 7.1)."""

from enum import StrEnum
from typing import assert_never

from msgspec import Struct

from homeport.values import hiding


class TpmAttestation(Struct, frozen=True, kw_only=True):
    """A TPM 2.0, known by its endorsement key; keys are `TPM2B_PUBLIC` bytes (contract dps.md 7.1)."""

    endorsement_key: bytes
    storage_root_key: bytes | None = None


class TpmGroupAttestation(Struct, frozen=True, kw_only=True):
    """TPMs nobody enrolled one by one: known by who certified their endorsement key, or by the key's digest.

    Homeport's own; Azure has TPMs in individual enrollments only.
    """

    ca_references: tuple[str, ...] = ()
    """Uploaded certificates of manufacturers, roots or intermediates, by name."""
    key_digests: tuple[bytes, ...] = ()
    """SHA-256 of endorsement keys as `TPM2B_PUBLIC`: what the SDKs' registration ids are made of (dps.md 1.3)."""


@hiding("primary_key", "secondary_key")
class SymmetricKeyAttestation(Struct, frozen=True, kw_only=True):
    """A shared secret: the device's own (individual), or the one device keys are derived from (group)."""

    primary_key: bytes
    secondary_key: bytes


class ClientCertificates(Struct, frozen=True, kw_only=True):
    """The leaf certificates one device may present, DER (contract dps.md 6.3)."""

    primary: bytes
    secondary: bytes | None = None


class SigningCertificates(Struct, frozen=True, kw_only=True):
    """Root or intermediate certificates that sign the devices of a group, DER."""

    primary: bytes
    secondary: bytes | None = None


class CaReferences(Struct, frozen=True, kw_only=True):
    """Uploaded CA certificates, by name."""

    primary: str
    secondary: str | None = None


X509Attestation = ClientCertificates | SigningCertificates | CaReferences
Attestation = TpmAttestation | TpmGroupAttestation | SymmetricKeyAttestation | X509Attestation


class AttestationKind(StrEnum):
    """The wire names of the three mechanisms."""

    TPM = "tpm"
    X509 = "x509"
    SYMMETRIC_KEY = "symmetricKey"


def attestation_kind(attestation: Attestation) -> AttestationKind:
    """Name the mechanism."""
    match attestation:
        case TpmAttestation() | TpmGroupAttestation():
            return AttestationKind.TPM
        case SymmetricKeyAttestation():
            return AttestationKind.SYMMETRIC_KEY
        case ClientCertificates() | SigningCertificates() | CaReferences():
            return AttestationKind.X509
        case _:
            assert_never(attestation)
