"""TPM 2.0: whether this is the enrolled TPM, and whether it imported the challenge's key (contract dps.md 7.2)."""

import hmac
from datetime import datetime, timedelta

from msgspec import Struct

from homeport.dps.attestation.symmetric_key import refuse_expired
from homeport.dps.attestation.verdict import Attested, Challenge, Findings, Refused, TpmIdentity, Verdict
from homeport.dps.model import (
    AttestationKind,
    DeviceClaim,
    EnrollmentGroup,
    IndividualEnrollment,
    PendingChallenge,
    TpmAttestation,
)
from homeport.errors import Code
from homeport.security.sas import SasToken, verify_signature
from homeport.security.tpm import (
    HMAC_KEY_BYTES,
    MAX_URI_BYTES,
    Random,
    TpmError,
    TpmPublic,
    make_challenge,
    parse_public,
    registration_id_of,
)
from homeport.security.x509 import Certificate
from homeport.values import replace

CHALLENGE_LIFE = timedelta(hours=1)

EK = "endorsement key"
_CHALLENGE = "challenge"


class TpmProof(Struct, frozen=True, kw_only=True):
    """What a TPM device offers, read but not judged."""

    endorsement_key: bytes | None
    storage_root_key: bytes | None
    token: SasToken | None
    chain: tuple[Certificate, ...] = ()
    """The endorsement key's certificate and its issuers."""


class KnownTpm(Struct, frozen=True, kw_only=True):
    """A TPM that an enrollment lets in once it proves that it holds its keys."""

    enrollment: IndividualEnrollment | EnrollmentGroup
    device_id: str
    endorsement_key: bytes
    storage_root_key: bytes | None = None
    """For a device that sends none."""
    path: tuple[Certificate, ...] = ()
    """The certificates of its endorsement key that were judged."""


class IssuedChallenge(Struct, frozen=True, kw_only=True):
    """A key wrapped for a TPM: `blob` goes to the device, `pending` waits for its answer."""

    blob: bytes
    pending: PendingChallenge


def verify(
    enrollment: IndividualEnrollment,
    attestation: TpmAttestation,
    proof: TpmProof,
    claim: DeviceClaim,
    *,
    pending: PendingChallenge | None,
    now: datetime,
    random: Random,
    findings: Findings,
) -> Verdict:
    """Challenge the enrolled TPM when it offers its keys, or judge its answer by the pending challenge."""
    if proof.endorsement_key is not None:
        if refusal := _refuse_other_ek(proof.endorsement_key, attestation, findings):
            return refusal
        findings.passed(EK, "it is the enrolled one")
    tpm = KnownTpm(
        enrollment=enrollment,
        device_id=enrollment.hub_device_id,
        endorsement_key=attestation.endorsement_key,
        storage_root_key=attestation.storage_root_key,
    )
    return prove(tpm, proof, claim, pending=pending, now=now, random=random, findings=findings)


def prove(
    tpm: KnownTpm,
    proof: TpmProof,
    claim: DeviceClaim,
    *,
    pending: PendingChallenge | None,
    now: datetime,
    random: Random,
    findings: Findings,
) -> Verdict:
    """Challenge a TPM whose endorsement key an enrollment lets in, or judge its answer."""
    if proof.token is not None:
        return _judge_answer(tpm, proof.token, pending=pending, now=now, findings=findings)
    if proof.endorsement_key is None:
        return findings.refuse(
            EK,
            "the device offered neither TPM keys nor a token",
            code=Code.INVALID_REQUEST,
            message="A TPM registers with the member 'tpm' in the body.",
        )
    return _challenge(tpm, proof.storage_root_key, claim, now=now, random=random, findings=findings)


def challenge_keys(
    endorsement_key: bytes,
    storage_root_key: bytes,
    claim: DeviceClaim,
    *,
    now: datetime,
    random: Random,
    findings: Findings,
) -> IssuedChallenge | Refused:
    """Challenge a TPM for whatever keys it offers; by whom it is enrolled is asked later (contract dps.md 7.2)."""
    keys = _read_keys(endorsement_key, storage_root_key, findings)
    if isinstance(keys, Refused):
        return keys
    return _issue(keys, claim, now=now, random=random, findings=findings)


def refuse_unsigned(token: SasToken, pending: PendingChallenge, *, now: datetime, findings: Findings) -> Refused | None:
    """Refuse a token that the key of this challenge did not sign, or that has expired."""
    if not verify_signature(token, pending.key):
        return findings.refuse(
            "token signature",
            "the token is not signed with the key of the latest challenge",
            advice="The TPM could not import that key, or the device asked for another challenge in between; "
            "let it register again from the start.",
        )
    findings.passed("token signature", "signed inside the TPM with the key of the challenge")
    return refuse_expired(token, now, findings)


def _refuse_other_ek(offered: bytes, attestation: TpmAttestation, findings: Findings) -> Refused | None:
    if hmac.compare_digest(offered, attestation.endorsement_key):
        return None
    return findings.refuse(
        EK,
        "the TPM's endorsement key differs from the enrolled one: the TPM would register as "
        f"{registration_id_of(offered)} by default, the enrolled key belongs to "
        f"{registration_id_of(attestation.endorsement_key)}",
        advice="Enroll the endorsement key of this TPM, or check that the right device uses this registration id.",
    )


def _challenge(
    tpm: KnownTpm,
    offered_srk: bytes | None,
    claim: DeviceClaim,
    *,
    now: datetime,
    random: Random,
    findings: Findings,
) -> Verdict:
    srk_bytes = offered_srk or tpm.storage_root_key
    if srk_bytes is None:
        return findings.refuse(
            "storage root key",
            "the device sent no storage root key, and none is enrolled",
            code=Code.INVALID_REQUEST,
            message="The member 'tpm.storageRootKey' is missing.",
        )
    keys = _read_keys(tpm.endorsement_key, srk_bytes, findings)
    if isinstance(keys, Refused):
        return keys
    issued = _issue(keys, claim, now=now, random=random, findings=findings)
    return Challenge(
        enrollment=tpm.enrollment,
        blob=issued.blob,
        # The certificates are judged again with the answer, which need not repeat them.
        pending=replace(issued.pending, endorsement_chain=tuple(certificate.der for certificate in tpm.path)),
        checks=tuple(findings.checks),
        path=tpm.path,
    )


def _issue(
    keys: TpmIdentity, claim: DeviceClaim, *, now: datetime, random: Random, findings: Findings
) -> IssuedChallenge:
    key = random(HMAC_KEY_BYTES)
    uri = f"{claim.id_scope}/registrations/{claim.registration_id}".encode()[:MAX_URI_BYTES]
    blob = make_challenge(keys.endorsement_key, keys.storage_root_key, key, uri, random)
    findings.passed(_CHALLENGE, "issued; only the TPM that holds both keys can answer it")
    return IssuedChallenge(
        blob=blob,
        pending=PendingChallenge(
            registration_id=claim.registration_id,
            key=key,
            endorsement_key=keys.endorsement_key.encoded,
            storage_root_key=keys.storage_root_key.encoded,
            expires_at=now + CHALLENGE_LIFE,
        ),
    )


def _judge_answer(
    tpm: KnownTpm,
    token: SasToken,
    *,
    pending: PendingChallenge | None,
    now: datetime,
    findings: Findings,
) -> Verdict:
    if pending is None or pending.endorsement_key != tpm.endorsement_key:
        return findings.refuse(
            _CHALLENGE,
            "no challenge is pending for this TPM: it was never asked for, or is more than "
            f"{int(CHALLENGE_LIFE.total_seconds() // 60)} minutes old, or the enrollment's key has changed since",
            advice="The device must register without a token first, and sign with the key it then imports.",
        )
    if refusal := refuse_unsigned(token, pending, now=now, findings=findings):
        return refusal
    keys = _read_keys(pending.endorsement_key, pending.storage_root_key, findings)
    if isinstance(keys, Refused):
        return keys
    return Attested(
        enrollment=tpm.enrollment,
        kind=AttestationKind.TPM,
        identity=keys,
        device_id=tpm.device_id,
        checks=tuple(findings.checks),
        path=tpm.path,
    )


def _read_keys(ek: bytes, srk: bytes, findings: Findings) -> TpmIdentity | Refused:
    public: list[TpmPublic] = []
    for name, data in ((EK, ek), ("storage root key", srk)):
        try:
            public.append(parse_public(data))
        except TpmError as error:
            return findings.refuse(
                name,
                f"the {name} is unusable: {error}",
                code=Code.INVALID_REQUEST,
                message=f"The TPM's {name} is not an RSA-2048 storage key: {error}.",
            )
    return TpmIdentity(endorsement_key=public[0], storage_root_key=public[1])
