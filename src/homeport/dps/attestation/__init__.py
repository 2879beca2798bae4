"""Is this device genuine? Values in, a verdict out; each mechanism has its file. Nothing here waits or remembers.

Two steps: `read` takes the evidence apart and refuses what no enrollment could accept, before anything is looked up;
`verify` judges it by the enrollments, the individual one first, and the first that matches decides (dps.md 6.4).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

from msgspec import Struct

from homeport.dps.attestation import symmetric_key, tpm, tpm_group, x509
from homeport.dps.attestation.tpm import IssuedChallenge, TpmProof, challenge_keys, refuse_unsigned
from homeport.dps.attestation.tpm_group import may_be_of_group
from homeport.dps.attestation.trust import Trust
from homeport.dps.attestation.verdict import (
    CA_NOT_FOUND,
    INVALID_CERTIFICATE,
    UNAUTHORIZED,
    Attested,
    Challenge,
    Findings,
    Identity,
    Refused,
    TpmIdentity,
    Verdict,
)
from homeport.dps.model import (
    AttestationKind,
    CaReferences,
    CertificateEvidence,
    ClientCertificates,
    DeviceClaim,
    EnrollmentGroup,
    EnrollmentRef,
    Evidence,
    IndividualEnrollment,
    NoEvidence,
    PendingChallenge,
    SasEvidence,
    SigningCertificates,
    SymmetricKeyAttestation,
    TpmAttestation,
    TpmEvidence,
    attestation_kind,
)
from homeport.security.explain import quoted
from homeport.security.sas import SasError, SasToken, is_for_registration, parse_token
from homeport.security.tpm import Random
from homeport.security.x509 import Certificate, CertificateError, parse_chain

__all__ = [
    "CA_NOT_FOUND",
    "INVALID_CERTIFICATE",
    "UNAUTHORIZED",
    "Attested",
    "ChainProof",
    "Challenge",
    "Findings",
    "Identity",
    "IssuedChallenge",
    "Proof",
    "Refused",
    "TokenProof",
    "TpmIdentity",
    "TpmProof",
    "Trust",
    "Verdict",
    "challenge_keys",
    "describe",
    "may_be_of_group",
    "read",
    "refuse_unsigned",
    "verify",
]


class TokenProof(Struct, frozen=True, kw_only=True):
    """A token that is written correctly and is for this registration."""

    token: SasToken


class ChainProof(Struct, frozen=True, kw_only=True):
    """Certificates that can be read; the leaf names this registration."""

    chain: tuple[Certificate, ...]


class NoProof(Struct, frozen=True, kw_only=True):
    """Nothing was offered."""


Proof = TokenProof | ChainProof | TpmProof | NoProof


def describe(evidence: Evidence) -> str:
    """Say in words what was offered, for the record of the attempt."""
    match evidence:
        case SasEvidence():
            return "SAS token"
        case CertificateEvidence():
            count = len(evidence.chain)
            return "certificate" if count == 1 else f"certificate chain of {count}"
        case TpmEvidence():
            keys = "TPM keys" if evidence.endorsement_key is not None else "no TPM keys"
            certified = ", endorsement certificate" if evidence.endorsement_chain else ""
            return keys + certified if evidence.token is None else f"{keys}{certified}, SAS token"
        case NoEvidence():
            return "nothing"
        case _:
            assert_never(evidence)


def read(evidence: Evidence, claim: DeviceClaim, findings: Findings) -> Proof | Refused:
    """Take the evidence apart. A refusal here depends on nothing that is stored."""
    match evidence:
        case SasEvidence():
            token = _read_token(evidence.token, claim, findings)
            return token if isinstance(token, Refused) else TokenProof(token=token)
        case CertificateEvidence():
            return _read_chain(evidence.chain, claim, findings)
        case TpmEvidence():
            signed = None if evidence.token is None else _read_token(evidence.token, claim, findings)
            if isinstance(signed, Refused):
                return signed
            try:
                chain = parse_chain(evidence.endorsement_chain)
            except CertificateError as error:
                return findings.refuse(
                    "endorsement certificate",
                    str(error),
                    message=INVALID_CERTIFICATE,
                    advice="Check what the device read as the certificate of its endorsement key.",
                )
            return TpmProof(
                endorsement_key=evidence.endorsement_key,
                storage_root_key=evidence.storage_root_key,
                token=signed,
                chain=chain,
            )
        case NoEvidence():
            return NoProof()
        case _:
            assert_never(evidence)


def verify(
    proof: Proof,
    claim: DeviceClaim,
    *,
    individual: IndividualEnrollment | None,
    trust: Trust,
    pending: PendingChallenge | None,
    now: datetime,
    random: Random,
    findings: Findings,
) -> Verdict:
    """Judge a proof.

    With an individual enrollment, `trust` may be empty, unless that refers to CA certificates: else it only helps
    to explain a refusal. Without one, `pending` is the challenge of a TPM that may come in through a group.
    """
    if individual is None:
        return _verify_by_groups(proof, claim, trust, pending=pending, now=now, random=random, findings=findings)
    findings.enrollment = EnrollmentRef(group_id=None)
    findings.passed(
        "enrollment",
        f"an individual enrollment exists for {quoted(individual.registration_id)}"
        + ("" if individual.enabled else ", and is disabled"),
    )
    attestation = individual.attestation
    match attestation, proof:
        case SymmetricKeyAttestation(), TokenProof():
            return symmetric_key.verify_individual(
                individual, attestation, proof.token, claim, groups=trust.groups, now=now, findings=findings
            )
        case ((ClientCertificates() | SigningCertificates() | CaReferences()), ChainProof()):
            return x509.verify_individual(individual, attestation, proof.chain, trust, now=now, findings=findings)
        case TpmAttestation(), TpmProof() | TokenProof():
            return tpm.verify(
                individual,
                attestation,
                _tpm_proof(proof),
                claim,
                pending=pending,
                now=now,
                random=random,
                findings=findings,
            )
        case _:
            return _refuse_kind(individual, proof, findings)


def kind_of(enrollment: IndividualEnrollment | EnrollmentGroup) -> AttestationKind:
    """Name the mechanism an enrollment wants."""
    return attestation_kind(enrollment.attestation)


def _verify_by_groups(
    proof: Proof,
    claim: DeviceClaim,
    trust: Trust,
    *,
    pending: PendingChallenge | None,
    now: datetime,
    random: Random,
    findings: Findings,
) -> Verdict:
    match proof:
        case TokenProof() if pending is None:
            return symmetric_key.verify_groups(trust.groups, proof.token, claim, now=now, findings=findings)
        case ChainProof():
            return x509.verify_groups(trust, proof.chain, claim, now=now, findings=findings)
        case TpmProof() | TokenProof():
            return tpm_group.verify_groups(
                trust, _tpm_proof(proof), claim, pending=pending, now=now, random=random, findings=findings
            )
        case NoProof():
            return _refuse_nothing(findings)
        case _:
            assert_never(proof)


def _tpm_proof(proof: TpmProof | TokenProof) -> TpmProof:
    """Take a token alone for a TPM's: the IoT Edge client sends its keys with the first request only (dps.md 7.2)."""
    if isinstance(proof, TpmProof):
        return proof
    return TpmProof(endorsement_key=None, storage_root_key=None, token=proof.token)


_WANTED = {
    AttestationKind.TPM: "a TPM",
    AttestationKind.X509: "a certificate",
    AttestationKind.SYMMETRIC_KEY: "a SAS token signed with a symmetric key",
}


def _refuse_kind(individual: IndividualEnrollment, proof: Proof, findings: Findings) -> Refused:
    match proof:
        case TokenProof():
            offered = "a SAS token"
        case ChainProof():
            offered = "a certificate"
        case TpmProof():
            offered = "TPM keys"
        case NoProof():
            return _refuse_nothing(findings)
        case _:
            assert_never(proof)
    if not individual.enabled:
        # Made to shut out one device of a group, whose own credential need not be at hand (contract dps.md 9.5).
        return findings.refuse(
            "provisioning status",
            f"an individual enrollment shuts out {quoted(individual.registration_id)}: it is disabled",
            advice="Enable or delete the individual enrollment if the device may come in again.",
        )
    return findings.refuse(
        "kind of evidence",
        f"the enrollment wants {_WANTED[kind_of(individual)]}, but the device offered {offered}",
        advice="Change the enrollment's attestation, or the device's credential, so that they agree.",
    )


def _refuse_nothing(findings: Findings) -> Refused:
    return findings.refuse(
        "kind of evidence",
        "the device offered nothing: no SAS token, no client certificate, no TPM keys",
        advice="Configure the device with its credential; for a certificate, check that its TLS client sends it.",
    )


def _read_token(text: str, claim: DeviceClaim, findings: Findings) -> SasToken | Refused:
    try:
        token = parse_token(text)
    except SasError as error:
        return findings.refuse("token form", str(error), advice="Check how the device writes its SAS token.")
    if not is_for_registration(token, claim.id_scope, claim.registration_id):
        wanted = f"{claim.id_scope}/registrations/{claim.registration_id}"
        return findings.refuse(
            "token resource",
            f"the token is for {quoted(token.resource)}, but the device asks for {quoted(wanted)}",
            advice="Sign the token for the id scope and registration id that the device uses.",
        )
    findings.passed("token resource", f"the token is for {quoted(token.resource)}")
    return token


def _read_chain(ders: Sequence[bytes], claim: DeviceClaim, findings: Findings) -> Proof | Refused:
    if not ders:
        return NoProof()
    try:
        chain = parse_chain(ders)
    except CertificateError as error:
        return findings.refuse(
            "certificate form", str(error), message=INVALID_CERTIFICATE, advice="Issue the certificate again."
        )
    return x509.refuse_other_name(chain[0], claim, findings) or ChainProof(chain=chain)
