"""OCSP: what is asked, and which answers are believed."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from homeport.security.ocsp import MAX_ANSWER_BYTES, OcspAnswer, build_request, read_answer
from homeport.security.revocation import Reason, RevocationError
from homeport.security.x509 import Certificate
from tests.unit.security.certificates import NOW, YEAR, Issued, issue, rsa_key

DAY = timedelta(days=1)
NONCE = bytes(range(32))
CA = issue("CA", key=rsa_key())
LEAF = CA.leaf()
FOR_OCSP = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False)


def answer(
    *,
    about: Certificate = LEAF,
    issuer: Issued = CA,
    signer: Issued = CA,
    send: tuple[Issued, ...] = (),
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    reason: x509.ReasonFlags | None = None,
    starts: datetime = NOW,
    ends: datetime | None = NOW + DAY,
    nonce: bytes | None = NONCE,
    named: ocsp.OCSPResponderEncoding = ocsp.OCSPResponderEncoding.HASH,
) -> bytes:
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=about.parsed,
            issuer=issuer.certificate.parsed,
            algorithm=hashes.SHA1(),
            cert_status=status,
            this_update=starts,
            next_update=ends,
            revocation_time=NOW - DAY if status is ocsp.OCSPCertStatus.REVOKED else None,
            revocation_reason=reason,
        )
        .responder_id(named, signer.certificate.parsed)
    )
    if send:
        builder = builder.certificates([one.certificate.parsed for one in send])
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.sign(signer.key, hashes.SHA256()).public_bytes(Encoding.DER)


def read(data: bytes, *, now: datetime = NOW) -> OcspAnswer:
    return read_answer(data, LEAF, CA.certificate, nonce=NONCE, now=now)


def refused(data: bytes, **options: Any) -> str:
    with pytest.raises(RevocationError) as error:
        read(data, **options)
    return str(error.value)


def test_the_question_names_certificate_and_nonce() -> None:
    request = ocsp.load_der_ocsp_request(build_request(LEAF, CA.certificate, NONCE))
    assert request.serial_number == LEAF.parsed.serial_number
    assert request.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == NONCE


@pytest.mark.parametrize("named", ocsp.OCSPResponderEncoding)
def test_good_and_revoked(named: ocsp.OCSPResponderEncoding) -> None:
    good = read(answer(named=named))
    assert (good.revoked, good.next_update) == (None, NOW + DAY)
    data = answer(named=named, status=ocsp.OCSPCertStatus.REVOKED, reason=x509.ReasonFlags.key_compromise)
    revoked = read(data).revoked
    assert revoked is not None
    assert (revoked.at, revoked.reason) == (NOW - DAY, Reason.KEY_COMPROMISE)
    bare = read(answer(status=ocsp.OCSPCertStatus.REVOKED)).revoked
    assert bare is not None
    assert bare.reason is Reason.UNSPECIFIED


def test_an_appointed_responder_counts() -> None:
    responder = issue("Responder", CA, ca=False, extra=(FOR_OCSP,))
    assert read(answer(signer=responder, send=(responder,))).revoked is None


@pytest.mark.parametrize(
    "responder",
    [
        issue("Responder", CA, ca=False),
        issue("Responder", issue("Other"), ca=False, extra=(FOR_OCSP,)),
        issue("Responder", issue("CA"), ca=False, extra=(FOR_OCSP,)),
        issue("Responder", CA, ca=False, extra=(FOR_OCSP,), ends=NOW - DAY),
        issue("Responder", CA, ca=False, extra=(FOR_OCSP,), starts=NOW + DAY, ends=NOW + YEAR),
        issue("Responder", CA, ca=False, extra=(FOR_OCSP,), hash=hashes.SHA224()),
        issue("Responder", CA, ca=False, extra=(FOR_OCSP,), key=rsa_key(1024)),
    ],
    ids=["without the purpose", "of another CA", "of a namesake", "expired", "not yet valid", "weak hash", "weak key"],
)
def test_others_do_not(responder: Issued) -> None:
    assert "neither the CA nor a responder" in refused(answer(signer=responder, send=(responder,)))


def test_the_appointed_responder_of_another_authority_does_not() -> None:
    stranger = issue("CA", key=rsa_key(number=9))
    assert "neither the CA nor" in refused(answer(signer=stranger, send=(stranger,)))


def test_a_forged_signature() -> None:
    data = bytearray(answer())
    data[-1] ^= 1
    assert "does not hold" in refused(bytes(data))


def test_it_must_be_the_answer_to_this_question() -> None:
    assert "nonce differs" in refused(answer(nonce=bytes(32)))
    assert "another certificate" in refused(answer(about=CA.leaf()))
    namesake = issue("CA", key=rsa_key(number=9))
    forged = namesake.leaf(serial=LEAF.parsed.serial_number)
    assert "another certificate" in refused(answer(about=forged, issuer=namesake))
    # Many responders sign in advance, and so without a nonce.
    assert read(answer(nonce=None)).revoked is None


def test_dates() -> None:
    assert "out of date" in refused(answer(), now=NOW + 2 * DAY)
    assert "yet to come" in refused(answer(), now=NOW - DAY)
    undated = answer(ends=None)
    assert read(undated).next_update is None
    assert "out of date" in refused(undated, now=NOW + 2 * DAY)


def test_no_answer_is_no_answer() -> None:
    assert "does not know" in refused(answer(status=ocsp.OCSPCertStatus.UNKNOWN))
    later = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    assert "'try later'" in refused(later.public_bytes(Encoding.DER))
    assert "larger" in refused(bytes(MAX_ANSWER_BYTES + 1))


@pytest.mark.parametrize("data", [b"", b"\x30", b"<html>", answer()[:-1], answer() + b"x"])
def test_what_is_none_is_refused(data: bytes) -> None:
    assert "malformed" in refused(data)
