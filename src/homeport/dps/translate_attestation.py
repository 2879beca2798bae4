"""Attestation mechanisms: documents <-> model, every key and certificate read before it is kept (dps.md 6.3, 8.4)."""

import base64
import re
from contextlib import suppress
from functools import lru_cache
from typing import assert_never

from msgspec import UNSET, UnsetType

from homeport.dps.identifiers import Random
from homeport.dps.model import (
    Attestation,
    AttestationKind,
    CaReferences,
    ClientCertificates,
    SigningCertificates,
    SymmetricKeyAttestation,
    TpmAttestation,
    TpmGroupAttestation,
)
from homeport.errors import Code, HomeportError
from homeport.security.sas import SasError, decode_key, encode_key
from homeport.security.tpm import MAX_PUBLIC_BYTES, TpmError, parse_public
from homeport.security.x509 import CertificateError, CertificateInfo, parse_certificate, parse_der
from homeport.wire import dps_service as wire
from homeport.wire import format_seconds

GENERATED_KEY_BYTES = 64
MAX_TPM_REFERENCES = 50
MAX_TPM_DIGESTS = 1000
_DIGEST_BYTES = 32
_HEX_DIGITS = 64
_CA_NAME = re.compile(r"[A-Za-z0-9\-._]{1,128}")


def individual_attestation(
    document: wire.AttestationMechanism, stored: Attestation | None, random: Random
) -> Attestation:
    """Read how one device proves itself. Raises HomeportError INVALID_REQUEST."""
    match _kind(document):
        case AttestationKind.TPM:
            return _tpm(document.tpm)
        case AttestationKind.SYMMETRIC_KEY:
            return _symmetric_key(document.symmetric_key, stored, random)
        case AttestationKind.X509:
            x509 = _x509(document)
            if isinstance(x509.ca_references, wire.CaReferences):
                return _references(x509.ca_references)
            if isinstance(x509.client_certificates, wire.Certificates):
                kept = stored if isinstance(stored, ClientCertificates) else None
                primary, secondary = _slots(x509.client_certificates, kept, "clientCertificates")
                return ClientCertificates(primary=primary, secondary=secondary)
            raise _invalid("an individual enrollment takes clientCertificates or caReferences")


def group_attestation(document: wire.AttestationMechanism, stored: Attestation | None, random: Random) -> Attestation:
    """Read what all devices of a group share. Raises HomeportError INVALID_REQUEST."""
    match _kind(document):
        case AttestationKind.TPM:
            return _tpm_group(document.tpm, stored)
        case AttestationKind.SYMMETRIC_KEY:
            return _symmetric_key(document.symmetric_key, stored, random)
        case AttestationKind.X509:
            x509 = _x509(document)
            if isinstance(x509.ca_references, wire.CaReferences):
                return _references(x509.ca_references)
            if isinstance(x509.signing_certificates, wire.Certificates):
                kept = stored if isinstance(stored, SigningCertificates) else None
                primary, secondary = _slots(x509.signing_certificates, kept, "signingCertificates")
                for der in (primary, secondary):
                    if der is not None and not parse_der(der).is_ca:
                        raise _invalid("a signing certificate must be a CA certificate (basic constraints CA:TRUE)")
                return SigningCertificates(primary=primary, secondary=secondary)
            raise _invalid("an enrollment group takes signingCertificates or caReferences")


def attestation_document(attestation: Attestation, *, secrets: bool) -> wire.AttestationMechanism:
    """Write a mechanism: symmetric keys only with `secrets`, of certificates only what they say (dps.md 8.4)."""
    match attestation:
        case TpmAttestation():
            srk = attestation.storage_root_key
            keys = wire.TpmMechanism(
                endorsement_key=_base64(attestation.endorsement_key),
                storage_root_key=UNSET if srk is None else _base64(srk),
            )
            return wire.AttestationMechanism(type=AttestationKind.TPM.value, tpm=keys)
        case TpmGroupAttestation():
            group = wire.TpmMechanism(
                # Clients that know of TPMs in individual enrollments only expect the member.
                endorsement_key="",
                endorsement_ca_references=list(attestation.ca_references) or UNSET,
                endorsement_key_hashes=[digest.hex().upper() for digest in attestation.key_digests] or UNSET,
            )
            return wire.AttestationMechanism(type=AttestationKind.TPM.value, tpm=group)
        case SymmetricKeyAttestation():
            pair = wire.SymmetricKeyMechanism(
                primary_key=encode_key(attestation.primary_key), secondary_key=encode_key(attestation.secondary_key)
            )
            return wire.AttestationMechanism(
                type=AttestationKind.SYMMETRIC_KEY.value, symmetric_key=pair if secrets else UNSET
            )
        case ClientCertificates():
            x509 = wire.X509Mechanism(client_certificates=_certificates(attestation))
        case SigningCertificates():
            x509 = wire.X509Mechanism(signing_certificates=_certificates(attestation))
        case CaReferences():
            secondary = attestation.secondary
            x509 = wire.X509Mechanism(
                ca_references=wire.CaReferences(
                    primary=attestation.primary, secondary=UNSET if secondary is None else secondary
                )
            )
        case _:
            assert_never(attestation)
    return wire.AttestationMechanism(type=AttestationKind.X509.value, x509=x509)


# ---------------------------------------------------------------- reading


def _kind(document: wire.AttestationMechanism) -> AttestationKind:
    kind = next((kind for kind in AttestationKind if kind.value.lower() == document.type.lower()), None)
    if kind is None:
        raise _invalid(f"attestation.type is none of {', '.join(kind.value for kind in AttestationKind)}")
    members = {
        AttestationKind.TPM: document.tpm,
        AttestationKind.X509: document.x509,
        AttestationKind.SYMMETRIC_KEY: document.symmetric_key,
    }
    extra = [other.value for other, value in members.items() if other is not kind and _present(value)]
    if extra:
        raise _invalid(f"attestation of type {kind.value} must not have the member {extra[0]}")
    return kind


def _x509(document: wire.AttestationMechanism) -> wire.X509Mechanism:
    x509 = document.x509
    if not isinstance(x509, wire.X509Mechanism):
        raise _invalid("attestation of type x509 needs the member x509")
    members = (x509.client_certificates, x509.signing_certificates, x509.ca_references)
    if sum(_present(member) for member in members) != 1:
        raise _invalid("x509 takes exactly one of clientCertificates, signingCertificates and caReferences")
    return x509


def _tpm(document: wire.TpmMechanism | UnsetType | None) -> TpmAttestation:
    if not isinstance(document, wire.TpmMechanism):
        raise _invalid("attestation of type tpm needs the member tpm")
    srk = document.storage_root_key
    if not document.endorsement_key:
        raise _invalid("tpm.endorsementKey is required in an individual enrollment")
    return TpmAttestation(
        endorsement_key=_tpm_key(document.endorsement_key, "endorsementKey"),
        storage_root_key=_tpm_key(srk, "storageRootKey") if isinstance(srk, str) and srk else None,
    )


def _tpm_group(document: wire.TpmMechanism | UnsetType | None, stored: Attestation | None) -> TpmGroupAttestation:
    """Read whose TPMs a group lets in. A client that does not know these members, and leaves them out, keeps them."""
    if not isinstance(document, wire.TpmMechanism):
        raise _invalid("attestation of type tpm needs the member tpm")
    if document.endorsement_key:
        raise _invalid("a group has no endorsementKey, but endorsementCaReferences or endorsementKeyHashes")
    names, hashes = document.endorsement_ca_references, document.endorsement_key_hashes
    if not isinstance(names, list) and not isinstance(hashes, list) and isinstance(stored, TpmGroupAttestation):
        return stored
    references = tuple(dict.fromkeys(names)) if isinstance(names, list) else ()
    digests = tuple(dict.fromkeys(map(_digest, hashes))) if isinstance(hashes, list) else ()
    if not references and not digests:
        raise _invalid("a TPM enrollment group needs endorsementCaReferences or endorsementKeyHashes")
    if len(references) > MAX_TPM_REFERENCES or len(digests) > MAX_TPM_DIGESTS:
        raise _invalid(
            f"a TPM enrollment group takes at most {MAX_TPM_REFERENCES} endorsementCaReferences and "
            f"{MAX_TPM_DIGESTS} endorsementKeyHashes"
        )
    if any(_CA_NAME.fullmatch(name) is None for name in references):
        raise _invalid("endorsementCaReferences are names of letters, digits, '-', '.' and '_'")
    return TpmGroupAttestation(ca_references=references, key_digests=digests)


def _digest(text: str) -> bytes:
    """Read a SHA-256 in hex, or as the registration id that the SDKs make of it."""
    with suppress(ValueError):
        digest = bytes.fromhex(text) if len(text) == _HEX_DIGITS else base64.b32decode(text.upper() + "====")
        if len(digest) == _DIGEST_BYTES:
            return digest
    raise _invalid("endorsementKeyHashes are SHA-256 digests: 64 hex digits, or 52 characters of Base32")


def _tpm_key(text: str, member: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True) if len(text) <= 2 * MAX_PUBLIC_BYTES else b""
        parse_public(key)
    except TpmError as error:
        raise _invalid(f"tpm.{member}: {error}") from None
    except ValueError:
        raise _invalid(f"tpm.{member} is not valid Base64") from None
    return key


def _symmetric_key(
    document: wire.SymmetricKeyMechanism | UnsetType | None, stored: Attestation | None, random: Random
) -> SymmetricKeyAttestation:
    """Take the given keys; keep the stored ones, or make new ones, in place of those that are left out."""
    given = document if isinstance(document, wire.SymmetricKeyMechanism) else wire.SymmetricKeyMechanism()
    kept = stored if isinstance(stored, SymmetricKeyAttestation) else None
    primary, secondary = _key(given.primary_key, "primaryKey"), _key(given.secondary_key, "secondaryKey")
    return SymmetricKeyAttestation(
        primary_key=primary or (kept.primary_key if kept else random(GENERATED_KEY_BYTES)),
        secondary_key=secondary or (kept.secondary_key if kept else random(GENERATED_KEY_BYTES)),
    )


def _key(text: str | UnsetType | None, member: str) -> bytes | None:
    if not isinstance(text, str) or not text:
        return None
    try:
        return decode_key(text)
    except SasError as error:
        raise _invalid(f"symmetricKey.{member}: {error}") from None


def _references(document: wire.CaReferences) -> CaReferences:
    primary = document.primary if isinstance(document.primary, str) else ""
    secondary = document.secondary if isinstance(document.secondary, str) else None
    for name in (primary, secondary):
        if name is not None and _CA_NAME.fullmatch(name) is None:
            raise _invalid("caReferences are names of letters, digits, '-', '.' and '_'; primary is required")
    return CaReferences(primary=primary, secondary=secondary)


def _slots(
    document: wire.Certificates, kept: ClientCertificates | SigningCertificates | None, member: str
) -> tuple[bytes, bytes | None]:
    """Read both places. A place that only repeats what the service shows of its certificate keeps that certificate."""
    primary = _slot(document.primary, kept.primary if kept else None, f"{member}.primary")
    if primary is None:
        raise _invalid(f"{member}.primary is required")
    return primary, _slot(document.secondary, kept.secondary if kept else None, f"{member}.secondary")


def _slot(document: wire.CertificateWithInfo | UnsetType | None, kept: bytes | None, where: str) -> bytes | None:
    if not isinstance(document, wire.CertificateWithInfo):
        return None
    if isinstance(document.certificate, str) and document.certificate:
        try:
            return parse_certificate(document.certificate).der
        except CertificateError as error:
            raise _invalid(f"{where}: {error}") from None
    if not isinstance(document.info, wire.CertificateInfo):
        raise _invalid(f"{where} has no certificate")
    # Without one of its own, `secondary` was shown as a copy of `primary`: it stays empty.
    return kept


# ---------------------------------------------------------------- writing


def _certificates(attestation: ClientCertificates | SigningCertificates) -> wire.Certificates:
    """Show a single certificate in both places, as the hosted service does."""
    return wire.Certificates(
        primary=wire.CertificateWithInfo(info=certificate_info(attestation.primary)),
        secondary=wire.CertificateWithInfo(info=certificate_info(attestation.secondary or attestation.primary)),
    )


@lru_cache(maxsize=1024)
def certificate_info(der: bytes) -> wire.CertificateInfo:
    """Write what a certificate says, in place of the certificate (contract dps.md 6.3)."""
    info: CertificateInfo = parse_der(der).info
    return wire.CertificateInfo(
        subject_name=info.subject_name,
        sha1_thumbprint=info.sha1_thumbprint,
        sha256_thumbprint=info.sha256_thumbprint,
        issuer_name=info.issuer_name,
        not_before_utc=format_seconds(info.not_before),
        not_after_utc=format_seconds(info.not_after),
        serial_number=info.serial_number,
        version=info.version,
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _present(value: object) -> bool:
    return value is not UNSET and value is not None


def _invalid(message: str) -> HomeportError:
    return HomeportError(Code.INVALID_REQUEST, f"{message}.")
