"""Certificates of every kind, sound and unsound, made on the spot for the tests of judging them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TypedDict, Unpack

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

from homeport.security.x509 import Certificate, parse_der

NOW = datetime(2024, 6, 1, 12, 0, 0, tzinfo=UTC)
YEAR = timedelta(days=365)

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
Extension = tuple[x509.ExtensionType, bool]


@cache
def rsa_key(bits: int = 2048, number: int = 0) -> rsa.RSAPrivateKey:
    """Return a key that is made once per run; `number` tells keys of one size apart."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def ec_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class Options(TypedDict, total=False):
    """What may differ from an ordinary certificate."""

    subject: x509.Name
    key: PrivateKey
    ca: bool | None
    """True unless said otherwise; None leaves basic constraints out."""
    path_length: int
    starts: datetime
    ends: datetime
    cert_sign: bool
    """Adds a key usage that allows, or does not allow, certificate signing."""
    key_ids: bool
    extra: tuple[Extension, ...]
    serial: int
    hash: hashes.SHA224 | hashes.SHA256
    """What the issuer signs with; SHA-256 unless said otherwise."""


@dataclass(frozen=True)
class Issued:
    """A certificate with its private key, so that it can issue others."""

    certificate: Certificate
    key: PrivateKey

    def ca(self, common_name: str, **options: Unpack[Options]) -> "Issued":
        return issue(common_name, self, **options)

    def leaf(self, common_name: str = "device-001", **options: Unpack[Options]) -> Certificate:
        options["ca"] = None
        return issue(common_name, self, **options).certificate


def issue(common_name: str, issuer: Issued | None = None, **options: Unpack[Options]) -> Issued:
    """Issue a certificate: by `issuer`, or self-signed without one."""
    key = options.get("key") or ec_key()
    signer = issuer.key if issuer else key
    own_name = options.get("subject", name(common_name))
    builder = (
        x509.CertificateBuilder()
        .subject_name(own_name)
        .issuer_name(issuer.certificate.parsed.subject if issuer else own_name)
        .public_key(key.public_key())
        .serial_number(options.get("serial") or x509.random_serial_number())
        .not_valid_before(options.get("starts", NOW - YEAR))
        .not_valid_after(options.get("ends", NOW + YEAR))
    )
    ca = options.get("ca", True)
    if ca is not None:
        constraints = x509.BasicConstraints(ca=ca, path_length=options.get("path_length"))
        builder = builder.add_extension(constraints, critical=True)
    if "cert_sign" in options:
        builder = builder.add_extension(_key_usage(cert_sign=options["cert_sign"]), critical=True)
    if options.get("key_ids", True):
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        ).add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    for value, critical in options.get("extra", ()):
        builder = builder.add_extension(value, critical=critical)
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else options.get("hash", hashes.SHA256())
    parsed = builder.sign(signer, algorithm)
    return Issued(parse_der(parsed.public_bytes(Encoding.DER)), key)


def unknown_extension() -> Extension:
    return x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), True


def _key_usage(*, cert_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=cert_sign,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
