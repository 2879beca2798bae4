"""Builds what an authority signs: device certificates, authorities below it, revocation lists (RFC 5280).

Pure: time, serial numbers and the signing key are arguments; whether something may be issued is decided elsewhere.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from homeport.security.signing_keys import SigningKey, hash_for

SERIAL_PREFIX = b"\x48\x50"
"""The first bytes of every serial number issued here: ours are known without a look into the store."""
SERIAL_RANDOM_BYTES = 17
"""136 bits behind the prefix; RFC 5280 allows 20 bytes in all, and these make 19."""
MAX_COMMON_NAME = 64
ORGANIZATION = NameOID.ORGANIZATION_NAME


class Usage(StrEnum):
    """What a device may do with its certificate."""

    CLIENT_AUTH = "clientAuth"
    SERVER_AUTH = "serverAuth"


_USAGES = {Usage.CLIENT_AUTH: ExtendedKeyUsageOID.CLIENT_AUTH, Usage.SERVER_AUTH: ExtendedKeyUsageOID.SERVER_AUTH}


class RevocationReason(StrEnum):
    """The reasons of RFC 5280, 5.3.1, that end a certificate for good."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"


class LeafContent(Struct, frozen=True, kw_only=True):
    """What a device's certificate says."""

    common_name: str
    organization: str | None = None
    organizational_unit: str | None = None
    dns_names: tuple[str, ...] = ()
    usages: tuple[Usage, ...] = (Usage.CLIENT_AUTH,)
    crl_url: str | None = None
    not_before: datetime
    not_after: datetime


class AuthorityContent(Struct, frozen=True, kw_only=True):
    """What an authority's certificate says."""

    common_name: str
    organization: str | None = None
    path_length: int | None
    not_before: datetime
    not_after: datetime


class RevokedEntry(Struct, frozen=True, kw_only=True):
    """A line of a revocation list."""

    serial_number: int
    revoked_at: datetime
    reason: RevocationReason


def serial_number(random: bytes) -> int:
    """Make a serial number of SERIAL_RANDOM_BYTES random bytes."""
    return int.from_bytes(SERIAL_PREFIX + random)


def is_ours(serial: str) -> bool:
    """Tell whether a serial number (upper-case hex) could be one of ours."""
    return serial.startswith(SERIAL_PREFIX.hex().upper()) and len(serial) == 2 * (
        len(SERIAL_PREFIX) + SERIAL_RANDOM_BYTES
    )


def issue_leaf(
    content: LeafContent,
    *,
    public_key: CertificatePublicKeyTypes,
    serial: int,
    issuer: bytes,
    issuer_key: SigningKey,
) -> bytes:
    """Return a device's certificate, DER. `issuer` is the authority's certificate, DER; blocks while it is signed."""
    authority = x509.load_der_x509_certificate(issuer)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(content.common_name, content.organization, content.organizational_unit))
        .issuer_name(authority.subject)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(content.not_before)
        .not_valid_after(content.not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([_USAGES[usage] for usage in content.usages]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(_authority_key_id(authority), critical=False)
    )
    if content.dns_names:
        names = x509.SubjectAlternativeName([x509.DNSName(name) for name in content.dns_names])
        builder = builder.add_extension(names, critical=False)
    if content.crl_url:
        builder = builder.add_extension(_distribution_points(content.crl_url), critical=False)
    return builder.sign(issuer_key, hash_for(issuer_key)).public_bytes(Encoding.DER)


def issue_authority(
    content: AuthorityContent,
    *,
    public_key: CertificatePublicKeyTypes,
    serial: int,
    issuer: bytes | None,
    issuer_key: SigningKey,
) -> bytes:
    """Return an authority's certificate, DER; `issuer` None makes a root, signed by its own key."""
    subject = _name(content.common_name, content.organization, None)
    authority = None if issuer is None else x509.load_der_x509_certificate(issuer)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if authority is None else authority.subject)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(content.not_before)
        .not_valid_after(content.not_after)
        .add_extension(x509.BasicConstraints(ca=True, path_length=content.path_length), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )
    if authority is not None:
        builder = builder.add_extension(_authority_key_id(authority), critical=False)
    return builder.sign(issuer_key, hash_for(issuer_key)).public_bytes(Encoding.DER)


def issue_revocation_list(
    entries: Sequence[RevokedEntry],
    *,
    number: int,
    this_update: datetime,
    next_update: datetime,
    issuer: bytes,
    issuer_key: SigningKey,
) -> bytes:
    """Return a complete list (RFC 5280, 5), DER."""
    authority = x509.load_der_x509_certificate(issuer)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(this_update)
        .next_update(next_update)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(_authority_key_id(authority), critical=False)
    )
    for entry in entries:
        revoked = (
            x509.RevokedCertificateBuilder()
            .serial_number(entry.serial_number)
            .revocation_date(entry.revoked_at.replace(microsecond=0))
        )
        if entry.reason is not RevocationReason.UNSPECIFIED:
            # RFC 5280, 5.3.1: the reason is left out rather than said to be unspecified.
            revoked = revoked.add_extension(x509.CRLReason(x509.ReasonFlags(entry.reason.value)), critical=False)
        builder = builder.add_revoked_certificate(revoked.build())
    return builder.sign(issuer_key, hash_for(issuer_key)).public_bytes(Encoding.DER)


def _name(common_name: str, organization: str | None, organizational_unit: str | None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organizational_unit:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, organizational_unit))
    if organization:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _distribution_points(url: str) -> x509.CRLDistributionPoints:
    names = [x509.UniformResourceIdentifier(url)]
    return x509.CRLDistributionPoints(
        [x509.DistributionPoint(full_name=names, relative_name=None, reasons=None, crl_issuer=None)]
    )


def _authority_key_id(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Repeat the issuer's own key identifier, which a brought authority may have made in its own way."""
    try:
        own = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        key = authority.public_key()
        return x509.AuthorityKeyIdentifier(x509.SubjectKeyIdentifier.from_public_key(key).digest, None, None)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)


def _key_usage(*, digital_signature: bool = False, signs_certificates: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
