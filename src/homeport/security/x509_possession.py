"""Certificate authorities that are uploaded: what can be one, and the proof that its key is the uploader's. Pure."""

import hmac
from datetime import datetime

from homeport.security.explain import quoted
from homeport.security.policies import Random
from homeport.security.sas import CLOCK_SKEW
from homeport.security.x509 import Certificate, CertificateError, parse_certificate
from homeport.security.x509_path import is_issued_by, judge_leaf

_CODE_BYTES = 24


class PossessionError(ValueError):
    """A certificate that cannot be an authority, or proves nothing; the text is a sentence, safe to send back."""


def read_authority(text: str, now: datetime) -> Certificate:
    """Read a CA certificate in any written form that `parse_certificate` takes. Raises PossessionError."""
    try:
        parsed = parse_certificate(text)
    except CertificateError as error:
        raise PossessionError(f"The certificate cannot be taken: {error}.") from None
    if not (parsed.is_ca and parsed.may_sign):
        raise PossessionError(
            f"{parsed.label} is not a CA certificate: it needs CA:TRUE in its basic constraints, and certificate "
            "signing if it says what its key is for."
        )
    if now - CLOCK_SKEW > parsed.info.not_after:
        raise PossessionError(f"{parsed.label} has expired.")
    return parsed


def new_verification_code(random: Random) -> str:
    """Make the common name of the certificate that is to prove possession."""
    return random(_CODE_BYTES).hex().upper()


def check_possession(authority: Certificate, code: str, text: str, now: datetime) -> None:
    """Take a certificate for the verification code, issued by the authority, as proof. Raises PossessionError."""
    try:
        proof = parse_certificate(text)
    except CertificateError as error:
        raise PossessionError(f"The verification certificate cannot be taken: {error}.") from None
    if not hmac.compare_digest((proof.common_name or "").encode(), code.encode()):
        shown = quoted(proof.common_name) if proof.common_name else "none, or several"
        raise PossessionError(
            f"The verification certificate's common name is {shown}; it must be the verification code."
        )
    if proof.issuer_key != authority.subject_key or not is_issued_by(proof, authority):
        raise PossessionError(f"The verification certificate is not issued by {authority.label} with its key.")
    if problem := judge_leaf(proof, now=now):
        raise PossessionError(f"The verification certificate: {problem.explanation}.")
