"""Revocation lists: whose word counts, what is refused, and what is found in them."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from homeport.security.crl import MAX_CRL_BYTES, Crl, is_older, read_crl
from homeport.security.revocation import (
    Reason,
    RevocationError,
    authority_key,
    distribution_points,
    is_http_url,
    ocsp_responders,
)
from tests.unit.security.certificates import NOW, Issued, ec_key, issue, name, rsa_key

DAY = timedelta(days=1)
CA = issue("CA")
Entry = tuple[int, datetime, x509.ReasonFlags | None]


def crl(
    authority: Issued = CA,
    *entries: Entry,
    starts: datetime = NOW,
    ends: datetime | None = NOW + DAY,
    number: int | None = 7,
    extra: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    of_entries: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    issuer: str = "CA",
    hash: Any = None,  # noqa: A002  # the word
) -> bytes:
    builder = x509.CertificateRevocationListBuilder().issuer_name(name(issuer)).last_update(starts)
    builder = builder.next_update(ends or NOW + DAY)
    for serial, at, reason in entries:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at)
        if reason is not None:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        for value, critical in of_entries:
            entry = entry.add_extension(value, critical)
        builder = builder.add_revoked_certificate(entry.build())
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    for value, critical in extra:
        builder = builder.add_extension(value, critical)
    return builder.sign(authority.key, hash or hashes.SHA256()).public_bytes(Encoding.DER)


def read(data: bytes, *, now: datetime = NOW, authority: Issued = CA) -> Crl:
    return read_crl(data, authority.certificate, now=now)


def refused(data: bytes, **options: Any) -> str:
    with pytest.raises(RevocationError) as error:
        read(data, **options)
    return str(error.value)


@given(st.dictionaries(st.integers(1, 2**159 - 1), st.sampled_from([*x509.ReasonFlags, None]), max_size=8))
def test_what_is_listed_is_found_and_nothing_else(listed: dict[int, x509.ReasonFlags | None]) -> None:
    found = read(crl(CA, *((serial, NOW - DAY, reason) for serial, reason in listed.items())))
    for serial, reason in listed.items():
        revoked = found.find(serial)
        if reason is x509.ReasonFlags.remove_from_crl:
            assert revoked is None
            continue
        assert revoked is not None
        assert revoked.at == NOW - DAY
        assert revoked.reason == (Reason.UNSPECIFIED if reason is None else reason.value)
    assert found.find(2**159) is None


def test_pem_and_der_are_one() -> None:
    der = crl(CA, (5, NOW, None))
    pem = x509.load_der_x509_crl(der).public_bytes(Encoding.PEM)
    assert read(b"made today\n" + pem) == read(der)
    assert "complete PEM" in refused(pem[:-30])


def test_it_ages() -> None:
    found = read(crl(CA, (5, NOW, None)))
    assert found.is_current(NOW + DAY)
    assert not found.is_current(NOW + 2 * DAY)
    # Out of date, it is still read: what it revokes stays revoked.
    assert read(crl(CA, (5, NOW, None)), now=NOW + 9 * DAY).find(5) is not None
    assert "yet to come" in refused(crl(), now=NOW - DAY)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"number": 6}, {"number": 7}),
        ({"number": None, "starts": NOW - DAY}, {"number": 7}),
        ({"number": 7, "starts": NOW - DAY}, {"number": 7}),
    ],
)
def test_an_old_one_is_known(older: dict[str, Any], newer: dict[str, Any]) -> None:
    first, second = read(crl(**older)), read(crl(**newer))
    assert is_older(first, second)
    assert not is_older(second, first)
    assert not is_older(first, first)


def test_only_the_authority_itself_may_make_it() -> None:
    assert "is not of 'CN=CA'" in refused(crl(issue("Other"), issuer="Other"))
    assert "does not hold" in refused(crl(issue("CA")))
    mute = issue("CA", cert_sign=True)
    assert "does not allow it to sign CRLs" in refused(crl(mute), authority=mute)
    assert "SHA224" in refused(crl(hash=hashes.SHA224()))


@pytest.mark.parametrize("key", [rsa_key(), ec_key()])
def test_a_reissued_authority_is_the_same(key: Any) -> None:
    first, second = issue("CA", key=key), issue("CA", key=key)
    assert authority_key(first.certificate) == authority_key(second.certificate) != authority_key(CA.certificate)
    assert read(crl(first), authority=second).entries == 0


def point(**options: Any) -> x509.IssuingDistributionPoint:
    members: dict[str, Any] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**(members | options))


@pytest.mark.parametrize(
    "extension",
    [
        point(only_contains_user_certs=True),
        point(only_contains_ca_certs=True),
        point(indirect_crl=True),
        point(only_some_reasons=frozenset({x509.ReasonFlags.superseded})),
        x509.DeltaCRLIndicator(3),
        x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"),
    ],
)
def test_a_list_of_which_a_part_is_not_understood_is_refused(extension: x509.ExtensionType) -> None:
    assert refused(crl(extra=((extension, True),)))


def test_a_plain_distribution_point_is_fine() -> None:
    where = point(full_name=[x509.UniformResourceIdentifier("http://ca.example/crl")])
    assert read(crl(extra=((where, True),))).number == 7


def test_an_entry_that_is_not_understood_makes_the_list_useless() -> None:
    other = x509.CertificateIssuer([x509.DirectoryName(name("Other"))])
    assert "critical" in refused(crl(CA, (5, NOW, None), of_entries=((other, True),)))


@pytest.mark.parametrize("data", [b"", b"\x30", b"nonsense", b"\x30\x82\xff\xff" + bytes(20), crl()[:-1], crl() + b"x"])
def test_what_is_none_is_refused(data: bytes) -> None:
    assert "malformed" in refused(data)


def test_size_comes_first() -> None:
    assert "larger" in refused(bytes(MAX_CRL_BYTES + 1))


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("http://ca.example/crl", True),
        ("https://ca.example:8443/crl?x=1", True),
        ("ldap://ca.example/cn=x", False),
        ("file:///etc/passwd", False),
        ("http://user:secret@ca.example/", False),
        ("http:///crl", False),
        ("http://ca.example:0/", False),
        ("http://ca.example:99999/", False),
        ("http://[::1/", False),
        ("http://ca.example/a b", False),
        ("http://ca.example/\r\nX: y", False),
        ("http://ca.example/" + "a" * 2048, False),
    ],
)
def test_which_addresses_are_taken(url: str, good: bool) -> None:
    assert is_http_url(url) is good


def test_what_certificates_say_of_their_authority() -> None:
    def uri(text: str) -> x509.UniformResourceIdentifier:
        return x509.UniformResourceIdentifier(text)

    points = x509.CRLDistributionPoints(
        [
            x509.DistributionPoint([uri("ldap://x/"), uri("http://ca.example/1")], None, None, None),
            x509.DistributionPoint([uri("http://ca.example/1"), uri("http://ca.example/2")], None, None, None),
            x509.DistributionPoint(
                [uri("http://ca.example/some")], None, frozenset({x509.ReasonFlags.superseded}), None
            ),
        ]
    )
    access = x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(AuthorityInformationAccessOID.OCSP, uri("http://ocsp.example/")),
            x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, uri("http://ca.example/ca")),
        ]
    )
    leaf = CA.leaf(extra=((points, False), (access, False)))
    assert distribution_points(leaf) == ("http://ca.example/1", "http://ca.example/2")
    assert ocsp_responders(leaf) == ("http://ocsp.example/",)
    assert distribution_points(CA.leaf()) == ocsp_responders(CA.leaf()) == ()
