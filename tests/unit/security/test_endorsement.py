"""Certificates of endorsement keys, those that makers mark as keys for RSA-OAEP among them."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from homeport.security.endorsement import as_leaf, endorsement_problem
from homeport.security.tpm import TpmPublic, parse_public
from homeport.security.x509 import Certificate, CertificateError, parse_der
from homeport.security.x509_path import CertificateIndex, Path, find_anchor
from tests.unit.security.certificates import NOW, Issued, issue, rsa_key

MAKER = issue("Maker")
KEY = rsa_key(number=1)
RSA = bytes.fromhex("06092A864886F70D010101")
OAEP = bytes.fromhex("06092A864886F70D010107")


def public(number: int = 1) -> TpmPublic:
    numbers = rsa_key(number=number).public_key().public_numbers()
    area = bytes.fromhex("0001 000B 000300B2 0000 0006 0080 0043 0010 0800") + numbers.e.to_bytes(4)
    area += (256).to_bytes(2) + numbers.n.to_bytes(256)
    return parse_public(len(area).to_bytes(2) + area)


def marked_for_oaep(certificate: Certificate, maker: Issued) -> Certificate:
    """Change what the key is said to be for, and sign anew; the lengths stay."""
    assert isinstance(maker.key, ec.EllipticCurvePrivateKey)
    parsed = certificate.parsed
    changed = parsed.tbs_certificate_bytes.replace(RSA, OAEP)
    assert changed != parsed.tbs_certificate_bytes
    while True:
        signature = maker.key.sign(changed, ec.ECDSA(hashes.SHA256()))
        if len(signature) == len(parsed.signature):
            der = certificate.der.replace(parsed.tbs_certificate_bytes, changed).replace(parsed.signature, signature)
            return parse_der(der)


PLAIN_CERTIFICATE = issue("TPM", MAKER, key=KEY, ca=None).certificate
OAEP_CERTIFICATE = marked_for_oaep(PLAIN_CERTIFICATE, MAKER)


def test_a_key_for_oaep_is_read() -> None:
    plain, marked = PLAIN_CERTIFICATE, OAEP_CERTIFICATE
    assert marked.weak_key is not None, "else this test shows nothing"
    for certificate in (plain, marked):
        assert endorsement_problem(certificate, public()) is None
        assert endorsement_problem(certificate, public(2)) == "it is not for the endorsement key that the TPM offered"
    anchors = CertificateIndex([MAKER.certificate])
    assert isinstance(find_anchor([as_leaf(marked)], anchors, now=NOW), Path)
    assert not isinstance(find_anchor([marked], anchors, now=NOW), Path)


@pytest.mark.parametrize("at", [*range(11), *range(13, 35), *range(40, 288, 16), 286, 287])
def test_a_key_for_oaep_that_is_damaged(at: int) -> None:
    """Whatever is changed from its kind to its exponent (but for the NULL between), it is not this key any more."""
    data = bytearray(OAEP_CERTIFICATE.der)
    data[OAEP_CERTIFICATE.der.index(OAEP) + at] ^= 0x40
    try:
        damaged = parse_der(bytes(data))
    except CertificateError:
        return
    assert endorsement_problem(damaged, public()) is not None


def test_purposes() -> None:
    def with_purpose(*purposes: ObjectIdentifier) -> Certificate:
        return issue("TPM", MAKER, key=KEY, ca=None, extra=((x509.ExtendedKeyUsage(purposes), False),)).certificate

    purpose = ObjectIdentifier("2.23.133.8.1")
    assert endorsement_problem(with_purpose(purpose), public()) is None
    assert endorsement_problem(with_purpose(ExtendedKeyUsageOID.CLIENT_AUTH, purpose), public()) is None
    assert "extended key usage" in (endorsement_problem(with_purpose(ExtendedKeyUsageOID.CLIENT_AUTH), public()) or "")
    ca = issue("TPM", MAKER, key=KEY).certificate
    assert endorsement_problem(ca, public()) == "it is a CA certificate"
