"""What authorities sign, as others read it; and which chains may issue."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID
from hypothesis import given
from hypothesis import strategies as st

from homeport.security.signing_keys import SigningKey
from homeport.security.x509 import CertificateError, parse_chain
from homeport.security.x509_authority import judge_authority, read_bundle
from homeport.security.x509_issue import (
    SERIAL_RANDOM_BYTES,
    AuthorityContent,
    LeafContent,
    RevocationReason,
    RevokedEntry,
    is_ours,
    issue_authority,
    issue_leaf,
    issue_revocation_list,
    serial_number,
)
from homeport.values import replace

NOW = datetime(2026, 5, 17, 12, 0, tzinfo=UTC)
LEAF = LeafContent(common_name="dev-1", not_before=NOW, not_after=NOW + timedelta(days=1))
ROOT = AuthorityContent(
    common_name="root", path_length=1, not_before=NOW - timedelta(days=1), not_after=NOW + timedelta(days=100)
)
ROOT_KEY = ec.generate_private_key(ec.SECP384R1())
LINE_KEY = ec.generate_private_key(ec.SECP256R1())
DEVICE_KEY = ec.generate_private_key(ec.SECP256R1())


def authority(
    content: AuthorityContent, key: SigningKey, issuer: bytes | None = None, issuer_key: SigningKey | None = None
) -> bytes:
    return issue_authority(
        content,
        public_key=key.public_key(),
        serial=serial_number(b"\1" * SERIAL_RANDOM_BYTES),
        issuer=issuer,
        issuer_key=issuer_key or key,
    )


ROOT_DER = authority(ROOT, ROOT_KEY)
LINE = replace(ROOT, common_name="line", path_length=0)
LINE_DER = authority(LINE, LINE_KEY, ROOT_DER, ROOT_KEY)


def leaf(content: LeafContent = LEAF) -> x509.Certificate:
    der = issue_leaf(
        content,
        public_key=DEVICE_KEY.public_key(),
        serial=serial_number(b"\2" * SERIAL_RANDOM_BYTES),
        issuer=LINE_DER,
        issuer_key=LINE_KEY,
    )
    return x509.load_der_x509_certificate(der)


def test_a_leaf_is_for_clients_and_leads_to_its_root() -> None:
    certificate = leaf(replace(LEAF, organization="Works", organizational_unit="Line 3", dns_names=("dev-1",)))
    line = x509.load_der_x509_certificate(LINE_DER)
    certificate.verify_directly_issued_by(line)
    line.verify_directly_issued_by(x509.load_der_x509_certificate(ROOT_DER))
    assert certificate.subject.rfc4514_string() == "CN=dev-1,OU=Line 3,O=Works"
    extensions = certificate.extensions
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["dev-1"]
    key_id = line.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == key_id
    with pytest.raises(x509.ExtensionNotFound):
        extensions.get_extension_for_oid(ExtensionOID.CRL_DISTRIBUTION_POINTS)


def test_a_leaf_says_where_the_revocation_list_is() -> None:
    certificate = leaf(replace(LEAF, crl_url="https://pki.example/line.crl"))
    (point,) = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert point.full_name == [x509.UniformResourceIdentifier("https://pki.example/line.crl")]


@given(st.binary(min_size=SERIAL_RANDOM_BYTES, max_size=SERIAL_RANDOM_BYTES))
def test_serial_numbers_are_known_again(random: bytes) -> None:
    number = serial_number(random)
    assert 0 < number < 2**159
    assert is_ours(number.to_bytes(number.bit_length() // 8 + 1).hex().upper())


@given(st.integers(1, 2**159 - 1))
def test_few_others_look_like_ours(number: int) -> None:
    text = number.to_bytes(number.bit_length() // 8 + 1).hex().upper()
    assert is_ours(text) is (len(text) == 38 and text.startswith("4850"))


def test_a_revocation_list() -> None:
    entries = [
        RevokedEntry(serial_number=5, revoked_at=NOW, reason=RevocationReason.KEY_COMPROMISE),
        RevokedEntry(serial_number=7, revoked_at=NOW, reason=RevocationReason.UNSPECIFIED),
    ]
    der = issue_revocation_list(
        entries,
        number=3,
        this_update=NOW,
        next_update=NOW + timedelta(days=7),
        issuer=LINE_DER,
        issuer_key=LINE_KEY,
    )
    crl = x509.load_der_x509_crl(der)
    assert crl.is_signature_valid(LINE_KEY.public_key())
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 3
    assert [entry.serial_number for entry in crl] == [5, 7]
    reasons = [len(entry.extensions) for entry in crl]
    assert reasons == [1, 0], "an unspecified reason is not written"


# ---------------------------------------------------------------- whose chains may issue


def judge(*ders: bytes, now: datetime = NOW) -> None:
    judge_authority(parse_chain(ders), now=now)


def test_a_chain_up_to_its_root_may_issue() -> None:
    judge(LINE_DER, ROOT_DER)
    judge(ROOT_DER)


OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
WEAK_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.mark.parametrize(
    ("chain", "why"),
    [
        ([], "no certificate"),
        ([LINE_DER], "not a root"),
        ([ROOT_DER, LINE_DER], "not issued by"),
        ([LINE_DER, authority(ROOT, OTHER_KEY)], "not issued by"),
        ([leaf().public_bytes(Encoding.DER), LINE_DER, ROOT_DER], "lacks CA:TRUE"),
        ([authority(ROOT, WEAK_KEY)], "an authority's key is one of"),
        ([authority(replace(LINE, common_name="deep"), OTHER_KEY, LINE_DER, LINE_KEY), LINE_DER, ROOT_DER],
         "allows 0 CA certificates below it"),
        ([authority(replace(ROOT, not_after=NOW - timedelta(seconds=1)), ROOT_KEY)], "expired"),
        ([authority(replace(ROOT, not_before=NOW + timedelta(days=1)), ROOT_KEY)], "not valid before"),
    ],
)  # fmt: skip
def test_other_chains_may_not(chain: list[bytes], why: str) -> None:
    with pytest.raises(CertificateError, match=why):
        judge(*chain)


@pytest.mark.parametrize("text", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_text_without_certificates(text: str) -> None:
    with pytest.raises(CertificateError):
        read_bundle(text)
