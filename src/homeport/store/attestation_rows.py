"""How an enrollment's attestation is kept: a tagged union, keys and certificates in base64."""

from typing import assert_never

from msgspec import Struct

from homeport.dps.model import (
    Attestation,
    CaReferences,
    ClientCertificates,
    SigningCertificates,
    SymmetricKeyAttestation,
    TpmAttestation,
    TpmGroupAttestation,
)


class TpmRow(Struct, tag="tpm"):
    endorsement_key: bytes
    storage_root_key: bytes | None


class TpmGroupRow(Struct, tag="tpmGroup"):
    ca_references: tuple[str, ...]
    key_digests: tuple[bytes, ...]


class SymmetricKeyRow(Struct, tag="symmetricKey"):
    primary_key: bytes
    secondary_key: bytes


class ClientCertificatesRow(Struct, tag="clientCertificates"):
    primary: bytes
    secondary: bytes | None


class SigningCertificatesRow(Struct, tag="signingCertificates"):
    primary: bytes
    secondary: bytes | None


class CaReferencesRow(Struct, tag="caReferences"):
    primary: str
    secondary: str | None


AttestationRow = (
    TpmRow | TpmGroupRow | SymmetricKeyRow | ClientCertificatesRow | SigningCertificatesRow | CaReferencesRow
)


def attestation_row(attestation: Attestation) -> AttestationRow:
    match attestation:
        case TpmAttestation(endorsement_key=endorsement, storage_root_key=storage_root):
            return TpmRow(endorsement, storage_root)
        case TpmGroupAttestation(ca_references=names, key_digests=digests):
            return TpmGroupRow(names, digests)
        case SymmetricKeyAttestation(primary_key=primary_key, secondary_key=secondary_key):
            return SymmetricKeyRow(primary_key, secondary_key)
        case ClientCertificates(primary=certificate, secondary=other):
            return ClientCertificatesRow(certificate, other)
        case SigningCertificates(primary=certificate, secondary=other):
            return SigningCertificatesRow(certificate, other)
        case CaReferences(primary=name, secondary=other_name):
            return CaReferencesRow(name, other_name)
        case _:
            assert_never(attestation)


def attestation_of(row: AttestationRow) -> Attestation:
    match row:
        case TpmRow():
            return TpmAttestation(endorsement_key=row.endorsement_key, storage_root_key=row.storage_root_key)
        case TpmGroupRow():
            return TpmGroupAttestation(ca_references=row.ca_references, key_digests=row.key_digests)
        case SymmetricKeyRow():
            return SymmetricKeyAttestation(primary_key=row.primary_key, secondary_key=row.secondary_key)
        case ClientCertificatesRow():
            return ClientCertificates(primary=row.primary, secondary=row.secondary)
        case SigningCertificatesRow():
            return SigningCertificates(primary=row.primary, secondary=row.secondary)
        case CaReferencesRow():
            return CaReferences(primary=row.primary, secondary=row.secondary)
        case _:
            assert_never(row)
