"""TPMs nobody enrolled one by one: who certified the endorsement key, or its digest, tells the group.

Homeport's own. The registration id is the endorsement key's digest (contract dps.md 1.3), so no TPM can take the
name of another; the proof is the same challenge as for an enrolled TPM.
"""

import hashlib
from datetime import datetime

from homeport.dps.attestation.tpm import EK, KnownTpm, TpmProof, prove
from homeport.dps.attestation.trust import Trust
from homeport.dps.attestation.verdict import INVALID_CERTIFICATE, Findings, Refused, Verdict
from homeport.dps.attestation.x509 import PATH_ADVICE, describe_path, refuse_unverified
from homeport.dps.model import DeviceClaim, EnrollmentGroup, EnrollmentRef, PendingChallenge
from homeport.errors import Code
from homeport.security.endorsement import as_leaf, endorsement_problem
from homeport.security.explain import quoted
from homeport.security.tpm import Random, TpmError, parse_public, registration_id_of
from homeport.security.x509 import Certificate, CertificateError, parse_chain
from homeport.security.x509_path import AnchorWords, Path, PathProblem, find_anchor
from homeport.values import replace

_MAKERS = AnchorWords(holder="enrollment group of TPMs", anchor="maker")
_CERTIFICATE = "endorsement certificate"
_REGISTRATION_ID_LENGTH = 52


def may_be_of_group(registration_id: str) -> bool:
    """Tell whether this can be the name of a TPM that comes in through a group: Base32 of a SHA-256."""
    return len(registration_id) == _REGISTRATION_ID_LENGTH and registration_id.isalnum()


def verify_groups(
    trust: Trust,
    proof: TpmProof,
    claim: DeviceClaim,
    *,
    pending: PendingChallenge | None,
    now: datetime,
    random: Random,
    findings: Findings,
) -> Verdict:
    """Find the group of a TPM without an enrollment of its own, and let it prove itself."""
    if proof.endorsement_key is None and pending is not None:
        # The IoT Edge client sends its keys with the first request only (contract dps.md 7.2).
        proof = replace(proof, endorsement_key=pending.endorsement_key)
    key = proof.endorsement_key
    if key is None or not trust.has_tpm_groups:
        return _refuse_unknown(claim, "a TPM needs one, or a TPM enrollment group", findings)
    if registration_id_of(key) != claim.registration_id.lower():
        return _refuse_unknown(
            claim, f"in a TPM enrollment group this TPM would have to register as {registration_id_of(key)}", findings
        )
    found = _find_group(trust, proof, key, pending, now, findings)
    if not isinstance(found, tuple):
        return found or _refuse_unknown(
            claim,
            "no TPM enrollment group has the digest of its endorsement key"
            + (", and it sent no endorsement certificate" if trust.makers and not proof.chain else ""),
            findings,
        )
    group, path = found
    findings.passed("registration id", "it is the digest of the endorsement key")
    tpm = KnownTpm(enrollment=group, device_id=claim.registration_id.lower(), endorsement_key=key, path=path)
    return prove(tpm, proof, claim, pending=pending, now=now, random=random, findings=findings)


def _find_group(
    trust: Trust, proof: TpmProof, key: bytes, pending: PendingChallenge | None, now: datetime, findings: Findings
) -> tuple[EnrollmentGroup, tuple[Certificate, ...]] | Refused | None:
    group = trust.by_key_digest.get(hashlib.sha256(key).digest())
    if group is not None:
        findings.enrollment = EnrollmentRef(group_id=group.group_id)
        findings.passed("enrollment group", f"{quoted(group.group_id)} has the digest of this endorsement key")
        return group, ()
    chain = proof.chain or _pending_chain(key, pending)
    if not chain or not trust.makers:
        return None
    path = _judge_chain(chain, key, trust, now, findings)
    if isinstance(path, Refused):
        return path
    signer = trust.makers.of(path.anchor)
    findings.enrollment = EnrollmentRef(group_id=signer.group.group_id)
    if refusal := refuse_unverified(signer, findings):
        return refusal
    findings.passed(
        "enrollment group",
        f"the endorsement certificate leads to {path.anchor.label}, of {quoted(signer.group.group_id)}",
    )
    findings.passed(_CERTIFICATE, describe_path(path))
    return signer.group, path.certificates


def _judge_chain(
    chain: tuple[Certificate, ...], key: bytes, trust: Trust, now: datetime, findings: Findings
) -> Path | Refused:
    try:
        problem = endorsement_problem(chain[0], parse_public(key))
    except TpmError as error:
        return findings.refuse(
            EK,
            f"the {EK} is unusable: {error}",
            code=Code.INVALID_REQUEST,
            message=f"The TPM's {EK} is not an RSA-2048 storage key: {error}.",
        )
    if problem is not None:
        return findings.refuse(
            _CERTIFICATE,
            f"certificate {chain[0].label} is no certificate of this TPM: {problem}",
            message=INVALID_CERTIFICATE,
            advice="The device must send the certificate of the endorsement key that it offers.",
        )
    presented = (as_leaf(chain[0]), *chain[1:])
    result = find_anchor(presented, trust.makers.index, known=trust.known, words=_MAKERS, now=now)
    if isinstance(result, PathProblem):
        return findings.refuse(
            _CERTIFICATE,
            result.explanation,
            message=INVALID_CERTIFICATE,
            advice=PATH_ADVICE[result.fault],
        )
    return result


def _pending_chain(key: bytes, pending: PendingChallenge | None) -> tuple[Certificate, ...]:
    """Return the certificates that came with the first request, if it was this TPM's."""
    if pending is None or pending.endorsement_key != key:
        return ()
    try:
        return parse_chain(pending.endorsement_chain)
    except CertificateError:
        return ()  # judged when the challenge was made, by rules that have changed since


def _refuse_unknown(claim: DeviceClaim, why: str, findings: Findings) -> Refused:
    return findings.refuse(
        "enrollment",
        f"no individual enrollment has the registration id {quoted(claim.registration_id)}; {why}",
        code=Code.ENROLLMENT_NOT_FOUND,
        message="Enrollment not found.",
        advice="Create an individual enrollment with this TPM's endorsement key, or an enrollment group for its maker.",
    )
