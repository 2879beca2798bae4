"""Whether a connection holds the TPM it shows, before it says what it wants (contract dps.md 5.2). Pure."""

from datetime import datetime

from homeport.dps.attestation import Findings, Refused, TpmProof, read, refuse_unsigned
from homeport.dps.model import DeviceClaim, PendingChallenge, TpmEvidence


def refuse_without_possession(
    claim: DeviceClaim, evidence: TpmEvidence, challenge: PendingChallenge, *, now: datetime, findings: Findings
) -> Refused | None:
    """Refuse a token that is not for this registration, or that this connection's key did not sign."""
    proof = read(evidence, claim, findings)
    if isinstance(proof, Refused):
        return proof
    if not isinstance(proof, TpmProof) or proof.token is None:
        return findings.refuse("kind of evidence", "the device did not answer its challenge with a token")
    return refuse_unsigned(proof.token, challenge, now=now, findings=findings)
