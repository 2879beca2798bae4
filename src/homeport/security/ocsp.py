"""The Online Certificate Status Protocol: the question, and an answer that is believed or refused (RFC 6960).

Sending is somebody else's. An answer counts only if the CA itself or a responder it appointed signed it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec import Struct

from homeport.security.explain import server_time
from homeport.security.revocation import Reason, RevocationError, Revoked, verify_signature
from homeport.security.sas import CLOCK_SKEW
from homeport.security.x509 import Certificate, CertificateError, parse_der
from homeport.security.x509_path import is_issued_by

MAX_ANSWER_BYTES = 64 * 1024
NONCE_BYTES = 32
REQUEST_TYPE = "application/ocsp-request"
_MAX_AGE = timedelta(days=1)
"""How old an answer may be that does not say when the next one is due."""
_MAX_CERTIFICATES = 4


class OcspAnswer(Struct, frozen=True, kw_only=True):
    """What a responder said about one certificate."""

    revoked: Revoked | None
    this_update: datetime
    next_update: datetime | None
    """Until when it may be kept; None: not at all."""

    @property
    def label(self) -> str:
        return f"the OCSP answer of {server_time(self.this_update)}"


def build_request(certificate: Certificate, issuer: Certificate, nonce: bytes) -> bytes:
    """Ask about one certificate. The SHA-1 in it only names the issuer; every responder expects it (RFC 5019)."""
    request = (
        ocsp.OCSPRequestBuilder()
        .add_certificate(certificate.parsed, issuer.parsed, hashes.SHA1())  # noqa: S303  # a name, no proof
        .add_extension(x509.OCSPNonce(nonce), critical=False)
        .build()
    )
    return request.public_bytes(serialization.Encoding.DER)


def read_answer(
    data: bytes, certificate: Certificate, issuer: Certificate, *, nonce: bytes, now: datetime
) -> OcspAnswer:
    """Judge an answer to `build_request`. Raises RevocationError unless it says "good" or "revoked", and is genuine.

    Answers without a nonce count too, because many responders sign in advance; their dates must fit then as ever.
    """
    if len(data) > MAX_ANSWER_BYTES:
        raise RevocationError(f"the OCSP answer is larger than {MAX_ANSWER_BYTES} bytes")
    try:
        answer = ocsp.load_der_ocsp_response(data)
        _check_status(answer)
        _check_signature(answer, issuer, now)
        _check_nonce(answer, nonce)
        return _status(answer, certificate, issuer, now)
    except RevocationError:
        raise
    # `cryptography` reads lazily: each property may find a fault of its own.
    except (ValueError, TypeError, OverflowError, UnsupportedAlgorithm) as error:
        raise RevocationError("the OCSP answer is malformed") from error
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType, x509.InvalidVersion) as error:
        raise RevocationError("the OCSP answer is malformed") from error


def _check_status(answer: ocsp.OCSPResponse) -> None:
    if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        status = answer.response_status.name.lower().replace("_", " ")
        raise RevocationError(f"the OCSP responder answered '{status}'")


def _check_signature(answer: ocsp.OCSPResponse, issuer: Certificate, now: datetime) -> None:
    """Let the issuer itself, or a certificate it made for this purpose, have signed (RFC 6960, 4.2.2.2)."""
    problem = "neither the CA nor a responder it appointed signed the OCSP answer"
    for signer in (issuer, *_appointed(answer.certificates, issuer, now)):
        if not _is_named(answer, signer):
            continue
        try:
            verify_signature(
                signer.parsed, answer.signature, answer.tbs_response_bytes, answer.signature_hash_algorithm
            )
        except RevocationError as error:
            problem = f"the OCSP answer is not usable: {error}"
            continue
        return
    raise RevocationError(problem)


def _appointed(certificates: Sequence[x509.Certificate], issuer: Certificate, now: datetime) -> list[Certificate]:
    found = []
    for parsed in certificates[:_MAX_CERTIFICATES]:
        try:
            candidate = parse_der(parsed.public_bytes(serialization.Encoding.DER))
            usage = candidate.parsed.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except (CertificateError, x509.ExtensionNotFound):
            continue
        info = candidate.info
        if (
            ExtendedKeyUsageOID.OCSP_SIGNING in usage
            and info.not_before - CLOCK_SKEW <= now
            and now - CLOCK_SKEW <= info.not_after
            and not candidate.weak_key
            and not candidate.weak_signature
            and candidate.issuer_key == issuer.subject_key
            and is_issued_by(candidate, issuer)
        ):
            found.append(candidate)
    return found


def _is_named(answer: ocsp.OCSPResponse, signer: Certificate) -> bool:
    """Tell whether the answer names this signer, by name or by key."""
    if answer.responder_key_hash is not None:
        digest = x509.SubjectKeyIdentifier.from_public_key(signer.parsed.public_key()).digest
        return answer.responder_key_hash == digest
    return answer.responder_name == signer.parsed.subject


def _check_nonce(answer: ocsp.OCSPResponse, nonce: bytes) -> None:
    try:
        echoed = answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    except x509.ExtensionNotFound:
        return
    if echoed != nonce:
        raise RevocationError("the OCSP answer is for another question: its nonce differs")


def _status(answer: ocsp.OCSPResponse, certificate: Certificate, issuer: Certificate, now: datetime) -> OcspAnswer:
    single = next((one for one in answer.responses if _is_about(one, certificate, issuer)), None)
    if single is None:
        raise RevocationError("the OCSP answer is about another certificate")
    this_update, next_update = single.this_update_utc, single.next_update_utc
    if this_update - CLOCK_SKEW > now:
        raise RevocationError(
            f"the OCSP answer is of {server_time(this_update)}, which is yet to come "
            f"(server's clock: {server_time(now)})"
        )
    if now - CLOCK_SKEW > (next_update or this_update + _MAX_AGE):
        raise RevocationError(f"the OCSP answer is out of date: it is of {server_time(this_update)}")
    match single.certificate_status:
        case ocsp.OCSPCertStatus.GOOD:
            revoked = None
        case ocsp.OCSPCertStatus.REVOKED:
            given = single.revocation_reason
            revoked = Revoked(
                at=single.revocation_time_utc or this_update,
                reason=Reason.UNSPECIFIED if given is None else Reason(given.value),
            )
        case _:
            raise RevocationError("the OCSP responder does not know the certificate")
    return OcspAnswer(revoked=revoked, this_update=this_update, next_update=next_update)


def _is_about(single: ocsp.OCSPSingleResponse, certificate: Certificate, issuer: Certificate) -> bool:
    """Compare serial number, issuer's name and issuer's key, in the digest the responder chose."""
    if single.serial_number != certificate.parsed.serial_number:
        return False
    reference = (
        ocsp.OCSPRequestBuilder().add_certificate(certificate.parsed, issuer.parsed, single.hash_algorithm).build()
    )
    return single.issuer_name_hash == reference.issuer_name_hash and single.issuer_key_hash == reference.issuer_key_hash
