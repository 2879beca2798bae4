"""Certificates: the written forms, the limits, and what is shown of them."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509 as lib
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

from homeport.security.x509 import (
    MAX_CERTIFICATE_BYTES,
    CertificateError,
    matches_thumbprint,
    parse_certificate,
    parse_chain,
    parse_der,
)
from homeport.security.x509_name import dotnet_text, name_key
from tests.unit.security.certificates import NOW, ec_key, issue, name, rsa_key, unknown_extension

ROOT = issue("Root")
PEM = ROOT.certificate.parsed.public_bytes(Encoding.PEM)
DER = ROOT.certificate.der


# ---------------------------------------------------------------- written forms


@pytest.mark.parametrize(
    "data",
    [
        PEM,
        PEM.decode(),
        PEM.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbfsubject=CN = Root\n" + PEM,
        PEM + issue("Other").certificate.parsed.public_bytes(Encoding.PEM),
        base64.b64encode(DER),
        base64.b64encode(DER).decode(),
        base64.encodebytes(DER),
        base64.b64encode(PEM),
        base64.encodebytes(PEM).decode(),
    ],
)
def test_every_written_form_is_read(data: str | bytes) -> None:
    assert parse_certificate(data).der == DER


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "malformed"),
        ("certificate", "Base64"),
        (b"\xff\xfe", "neither"),
        (DER, "neither|Base64"),
        ("AAAA", "malformed"),
        (PEM[:-30], "no complete"),
        ("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----", "Base64"),
        (PEM.decode() + "-----BEGIN EC PRIVATE KEY-----", "private key"),
        (base64.b64encode(PEM + b"-----BEGIN PRIVATE KEY-----"), "private key"),
        (base64.b64encode(DER + b"\x00"), "malformed"),
        (base64.b64encode(DER[:-1]), "malformed"),
        ("A" * 70_000, "longer than"),
        (base64.b64encode(bytes(MAX_CERTIFICATE_BYTES + 1)), "larger than"),
    ],
)
def test_what_is_not_a_certificate_is_refused(data: str | bytes, reason: str) -> None:
    with pytest.raises(CertificateError, match=reason):
        parse_certificate(data)


def test_an_enrollment_refuses_what_could_never_be_used() -> None:
    weak = issue("Weak", key=rsa_key(1024)).certificate
    with pytest.raises(CertificateError, match="'CN=Weak' is not acceptable: RSA keys must have 2048 to 8192 bits"):
        parse_certificate(base64.b64encode(weak.der))
    strange = issue("Strange", extra=(unknown_extension(),)).certificate
    with pytest.raises(CertificateError, match=r"'CN=Strange' .* 1\.3\.6\.1\.4\.1\.99999\.1"):
        parse_certificate(base64.b64encode(strange.der))


def test_a_chain_is_limited_before_it_is_parsed() -> None:
    assert parse_chain([DER] * 10) == (ROOT.certificate,) * 10
    with pytest.raises(CertificateError, match="longer than 10"):
        parse_chain([b"junk"] * 11)
    with pytest.raises(CertificateError, match="larger than"):
        parse_chain([b"junk", bytes(MAX_CERTIFICATE_BYTES + 1)])
    with pytest.raises(CertificateError, match="malformed"):
        parse_chain([DER, b"junk"])


def test_issuers_are_read_once_and_leaves_every_time() -> None:
    leaf = ROOT.leaf().der
    first, again = parse_chain([leaf, DER]), parse_chain([bytes(bytearray(leaf)), bytes(bytearray(DER))])
    assert first == again
    assert first[1] is again[1]
    assert first[0] is not again[0]


def test_a_large_issuer_is_read_but_not_kept() -> None:
    padding = lib.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.2"), bytes(4096))
    large = issue("Large", extra=((padding, False),)).certificate
    first, again = parse_chain([DER, large.der])[1], parse_chain([DER, large.der])[1]
    assert first == again == large
    assert first is not again


def test_what_is_no_certificate_stays_none() -> None:
    for _ in range(2):
        with pytest.raises(CertificateError, match="malformed"):
            parse_chain([DER, DER[:-1]])


# ---------------------------------------------------------------- what is shown


def test_info_has_the_form_of_the_contract() -> None:
    subject = lib.Name(
        [
            lib.NameAttribute(NameOID.COUNTRY_NAME, "SE"),
            lib.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
            lib.NameAttribute(NameOID.COMMON_NAME, "device-001"),
        ]
    )
    certificate = issue(
        "CN unused",
        ROOT,
        subject=subject,
        serial=0x3DE5133CD675F204229FDF9F87FACD69C6DA3A66,
        starts=datetime(2023, 5, 19, 23, 10, 35, tzinfo=UTC),
        ends=datetime(2023, 5, 20, 23, 10, 35, tzinfo=UTC),
    ).certificate
    info = certificate.info
    assert info.subject_name == "CN=device-001, O=Example, C=SE"
    assert info.issuer_name == "CN=Root"
    assert info.serial_number == "3DE5133CD675F204229FDF9F87FACD69C6DA3A66"
    assert info.version == 3
    assert info.not_before == datetime(2023, 5, 19, 23, 10, 35, tzinfo=UTC)
    assert info.not_after - info.not_before == timedelta(days=1)
    fingerprint = certificate.parsed.fingerprint
    assert info.sha1_thumbprint == fingerprint(hashes.SHA1()).hex().upper()
    assert info.sha256_thumbprint == fingerprint(hashes.SHA256()).hex().upper()
    assert certificate.common_name == "device-001"


@pytest.mark.parametrize(("serial", "text"), [(1, "01"), (0x7F, "7F"), (0x80, "0080"), (0xABC, "0ABC")])
def test_serial_numbers_are_whole_bytes_of_the_der_integer(serial: int, text: str) -> None:
    assert issue("S", serial=serial).certificate.info.serial_number == text


def test_thumbprints_match_in_either_length_and_case() -> None:
    info = ROOT.certificate.info
    for thumbprint in (info.sha1_thumbprint, info.sha256_thumbprint, info.sha256_thumbprint.lower()):
        assert matches_thumbprint(ROOT.certificate, thumbprint)
    assert not matches_thumbprint(ROOT.certificate, info.sha256_thumbprint[:-1])
    assert not matches_thumbprint(ROOT.certificate, "")


def test_names_are_written_as_dotnet_does() -> None:
    attribute = lib.NameAttribute
    name_with_all = lib.Name(
        [
            lib.RelativeDistinguishedName([attribute(NameOID.STATE_OR_PROVINCE_NAME, "Skåne")]),
            lib.RelativeDistinguishedName([attribute(ObjectIdentifier("1.2.3.4"), "odd")]),
            lib.RelativeDistinguishedName([attribute(NameOID.ORGANIZATION_NAME, 'Say "hi", Ltd')]),
            lib.RelativeDistinguishedName([attribute(NameOID.EMAIL_ADDRESS, " a@example.com")]),
            lib.RelativeDistinguishedName([attribute(NameOID.COMMON_NAME, "x"), attribute(NameOID.SERIAL_NUMBER, "7")]),
        ]
    )
    text = dotnet_text(name_with_all)
    assert text.startswith(("CN=x + SERIALNUMBER=7, ", "SERIALNUMBER=7 + CN=x, "))
    assert text.endswith(', E=" a@example.com", O="Say ""hi"", Ltd", OID.1.2.3.4=odd, S=Skåne')
    assert dotnet_text(lib.Name([])) == ""


def test_the_key_of_a_name_ignores_the_string_type_only() -> None:
    def named(value: str, kind: lib.name._ASN1Type) -> str:
        return name_key(lib.Name([lib.NameAttribute(NameOID.COMMON_NAME, value, _type=kind)]))

    printable, utf8 = lib.name._ASN1Type.PrintableString, lib.name._ASN1Type.UTF8String
    assert named("Root", printable) == named("Root", utf8)
    assert named("Root", utf8) != named("root", utf8)
    assert name_key(name("a")) != name_key(lib.Name([*name("a"), *name("a")]))


def test_common_name_must_be_single() -> None:
    twice = lib.Name([*name("a"), *name("b")])
    assert issue("CN unused", subject=twice).certificate.common_name is None
    assert issue("CN unused", subject=lib.Name([])).certificate.common_name is None


def test_labels_are_printable_and_short() -> None:
    label = issue("CN unused", subject=name("\x1b[31m\n\u202e\u00e9" + "x" * 50)).certificate.label
    assert label.isascii()
    assert label.isprintable()
    units = lib.Name([lib.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "u" * 60)] * 30)
    assert len(issue("CN unused", subject=units).certificate.label) < 130


# ---------------------------------------------------------------- keys and signatures


@pytest.mark.parametrize(
    "key",
    [
        rsa_key(2048),
        rsa_key(4096),
        ec_key(),
        ec_key(ec.SECP384R1()),
        ec_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=lambda key: type(key).__name__,
)
def test_sound_keys(key: ed25519.Ed25519PrivateKey) -> None:
    certificate = issue("Sound", key=key).certificate
    assert (certificate.weak_key, certificate.weak_signature) == (None, None)


@pytest.mark.parametrize(
    ("key", "what"),
    [
        (rsa_key(1024), "1024"),
        (ec_key(ec.SECP192R1()), "secp192r1"),
        (ec_key(ec.SECP256K1()), "secp256k1"),
        (dsa.generate_private_key(2048), "neither RSA"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_weak_keys_are_noted(key: ec.EllipticCurvePrivateKey, what: str) -> None:
    assert what in (issue("Weak", key=key).certificate.weak_key or "")


def test_weak_signatures_are_noted() -> None:
    # The library refuses to make one, so the algorithm identifiers of a sound one are rewritten.
    sha256, sha1 = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    der = issue("Weak", key=rsa_key()).certificate.der
    assert der.count(sha256) == 2
    assert parse_der(der.replace(sha256, sha1)).weak_signature == "it is signed with SHA1"


def test_dates_are_aware() -> None:
    assert ROOT.certificate.info.not_after - NOW == timedelta(days=365)
