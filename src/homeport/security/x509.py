"""Certificates: limits, parsing, thumbprints, and what an enrollment shows of them (contract dps.md 6).

Judging a chain is `x509_path`'s; making certificates happens elsewhere.
"""

import binascii
import hashlib
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtensionOID, NameOID
from msgspec import Struct

from homeport.security.explain import quoted
from homeport.security.x509_name import dotnet_text, name_key
from homeport.values import equal_by, hiding

MAX_CERTIFICATE_BYTES = 16 * 1024
MAX_CHAIN_LENGTH = 10
MAX_TEXT_CHARACTERS = 64 * 1024
"""Longest written form of a certificate; PEM files may carry comments and further certificates."""
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
_MAX_RSA_EXPONENT_BITS = 64
_REMEMBERED_ISSUERS = 256
_MAX_REMEMBERED_BYTES = 3 * 1024
"""Enough for any sensible CA. Read, a certificate takes up to fifty times its size: anyone may present some, so
together they must stay within some 40 MB."""

_PEM_BEGIN = "-----BEGIN CERTIFICATE-----"
_PEM_END = "-----END CERTIFICATE-----"
_CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})
_WEAK_HASHES = frozenset({"md5", "sha1", "sha224"})

# Extensions whose meaning `x509_path` honours or which limit nothing it decides; another critical one makes a
# certificate unusable (RFC 5280, 4.2). Name constraints are not among them: a CA that relies on them is
# refused rather than believed without them.
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.CERTIFICATE_POLICIES,
    }
)


class CertificateError(ValueError):
    """Bytes or text that are not a usable certificate; the text is safe to log and to send back."""


class CertificateInfo(Struct, frozen=True, kw_only=True):
    """What an enrollment shows of a certificate in place of the certificate (contract dps.md 6.3)."""

    subject_name: str
    issuer_name: str
    sha1_thumbprint: str
    sha256_thumbprint: str
    not_before: datetime
    not_after: datetime
    serial_number: str
    version: int


@equal_by("der")
@hiding("der", "parsed", "subject_key", "issuer_key", "key_id", "issuer_key_id")
class Certificate(Struct, frozen=True, kw_only=True, eq=False):
    """A certificate read completely, so that judging it can no longer fail. Equal when the DER is equal."""

    der: bytes
    parsed: x509.Certificate
    info: CertificateInfo
    common_name: str | None
    """The subject's CN; None when it has none, or several. A device's registration id."""
    subject_key: str
    """`name_key` of the subject; `issuer_key` of whatever it issues is equal to it."""
    issuer_key: str
    key_id: bytes | None
    """Subject key identifier."""
    issuer_key_id: bytes | None
    """Authority key identifier."""
    is_ca: bool
    """Basic constraints say CA."""
    path_length: int | None
    may_sign: bool
    """Key usage allows certificate signing, or says nothing."""
    weak_key: str | None
    """What makes its key unacceptable; None when all is well."""
    weak_signature: str | None
    """What makes its issuer's signature unacceptable; of no interest where the certificate itself is trusted."""
    unknown_critical: tuple[str, ...]
    """Critical extensions that are not understood here, as dotted numbers."""

    @property
    def label(self) -> str:
        """The subject for an explanation: quoted, shortened, printable."""
        return quoted(self.info.subject_name)

    @property
    def is_self_issued(self) -> bool:
        return self.subject_key == self.issuer_key


def parse_certificate(data: str | bytes) -> Certificate:
    """Read the certificate of an enrollment in any of its written forms, and refuse what could never be used.

    The forms are PEM, the Base64 of DER, and the Base64 of PEM (contract dps.md 6.3); of several certificates
    the first counts, as in .NET. Raises CertificateError, also for a weak key or unknown critical extensions.
    """
    certificate = parse_der(_der_of(data))
    if certificate.weak_key:
        raise CertificateError(f"certificate {certificate.label} is not acceptable: {certificate.weak_key}")
    if certificate.unknown_critical:
        raise CertificateError(
            f"certificate {certificate.label} has critical extensions that are not supported: "
            + ", ".join(certificate.unknown_critical)
        )
    return certificate


def check_authorities(text: str) -> None:
    """Refuse a text that holds no PEM certificates, or unreadable ones. Raises CertificateError; nothing is judged."""
    try:
        x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:  # UnicodeEncodeError is one, too
        raise CertificateError("the text holds no certificates in PEM, or unreadable ones") from error


def parse_chain(ders: Sequence[bytes]) -> tuple[Certificate, ...]:
    """Read the certificates of a TLS client, leaf first. Raises CertificateError; judging comes later."""
    if len(ders) > MAX_CHAIN_LENGTH:
        raise CertificateError(f"chain is longer than {MAX_CHAIN_LENGTH} certificates")
    for der in ders:
        _check_size(der)
    return (*map(parse_der, ders[:1]), *map(_parse_issuer, ders[1:]))


def parse_der(der: bytes) -> Certificate:
    """Read one certificate. Weak keys and unknown extensions are noted, not refused. Raises CertificateError."""
    _check_size(der)
    try:
        return _read(x509.load_der_x509_certificate(der), der)
    except CertificateError:
        raise
    # `cryptography` reads lazily: each property may find a fault of its own (ParseError is a ValueError).
    except (ValueError, TypeError, OverflowError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise CertificateError("certificate is malformed") from error
    except (x509.UnsupportedGeneralNameType, x509.InvalidVersion) as error:
        raise CertificateError("certificate is malformed or of a version other than 1 to 3") from error


def _parse_issuer(der: bytes) -> Certificate:
    """Read a certificate above the leaf: the devices of a group all present the same ones."""
    return _remembered(der) if len(der) <= _MAX_REMEMBERED_BYTES else parse_der(der)


# What cannot be read raises, and so is not remembered.
_remembered = lru_cache(maxsize=_REMEMBERED_ISSUERS)(parse_der)


def matches_thumbprint(certificate: Certificate, thumbprint: str) -> bool:
    """Tell whether this is the certificate's SHA-1 or SHA-256 thumbprint, in either case (contract hub.md 2.5)."""
    wanted = thumbprint.upper()
    return wanted in {certificate.info.sha256_thumbprint, certificate.info.sha1_thumbprint}


def _check_size(der: bytes) -> None:
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise CertificateError(f"certificate is larger than {MAX_CERTIFICATE_BYTES} bytes")


def _der_of(data: str | bytes) -> bytes:
    if len(data) > MAX_TEXT_CHARACTERS:
        raise CertificateError(f"certificate text is longer than {MAX_TEXT_CHARACTERS} characters")
    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
        if "-----" in text:
            return _der_of_pem(text)
        decoded = _base64(text)
        return _der_of_pem(decoded.decode()) if b"-----" in decoded[:MAX_TEXT_CHARACTERS] else decoded
    except UnicodeDecodeError:
        raise CertificateError("certificate is neither PEM nor Base64") from None


def _der_of_pem(text: str) -> bytes:
    if "PRIVATE KEY-----" in text:
        raise CertificateError("the text holds a private key; send the certificate alone")
    _, begin, rest = text.partition(_PEM_BEGIN)
    body, end, _ = rest.partition(_PEM_END)
    if not (begin and end):
        raise CertificateError("the text holds no complete PEM certificate")
    return _base64(body)


def _base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError:
        raise CertificateError("certificate is not valid Base64") from None


def _read(parsed: x509.Certificate, der: bytes) -> Certificate:
    subject, issuer = parsed.subject, parsed.issuer
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    extensions = {extension.oid: extension for extension in parsed.extensions}
    values = {oid: extension.value for oid, extension in extensions.items()}
    constraints = values.get(ExtensionOID.BASIC_CONSTRAINTS)
    usage = values.get(ExtensionOID.KEY_USAGE)
    key_id = values.get(ExtensionOID.SUBJECT_KEY_IDENTIFIER)
    issuer_key_id = values.get(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    return Certificate(
        der=der,
        parsed=parsed,
        info=CertificateInfo(
            subject_name=dotnet_text(subject),
            issuer_name=dotnet_text(issuer),
            sha1_thumbprint=hashlib.sha1(der, usedforsecurity=False).hexdigest().upper(),
            sha256_thumbprint=hashlib.sha256(der).hexdigest().upper(),
            not_before=parsed.not_valid_before_utc,
            not_after=parsed.not_valid_after_utc,
            serial_number=_serial_number(parsed.serial_number),
            version=parsed.version.value + 1,
        ),
        common_name=str(names[0].value) if len(names) == 1 else None,
        subject_key=name_key(subject),
        issuer_key=name_key(issuer),
        key_id=key_id.digest if isinstance(key_id, x509.SubjectKeyIdentifier) else None,
        issuer_key_id=(
            issuer_key_id.key_identifier if isinstance(issuer_key_id, x509.AuthorityKeyIdentifier) else None
        ),
        is_ca=isinstance(constraints, x509.BasicConstraints) and constraints.ca,
        path_length=constraints.path_length if isinstance(constraints, x509.BasicConstraints) else None,
        may_sign=usage.key_cert_sign if isinstance(usage, x509.KeyUsage) else True,
        weak_key=_weak_key(parsed),
        weak_signature=_weak_signature(parsed),
        unknown_critical=tuple(
            oid.dotted_string for oid, extension in extensions.items() if extension.critical and oid not in _UNDERSTOOD
        ),
    )


def _serial_number(number: int) -> str:
    """Write the DER integer's bytes, as .NET does: a first digit of 8 to F gets a zero byte before it."""
    if number <= 0:
        raise CertificateError("certificate's serial number is not positive")
    return number.to_bytes(number.bit_length() // 8 + 1).hex().upper()


def _weak_key(parsed: x509.Certificate) -> str | None:
    try:
        key = parsed.public_key()
    except UnsupportedAlgorithm:
        return "its public key is of a kind that is not supported"
    match key:
        case rsa.RSAPublicKey():
            if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
                return f"RSA keys must have {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, this one has {key.key_size}"
            if key.public_numbers().e.bit_length() > _MAX_RSA_EXPONENT_BITS:
                return "its RSA exponent is too large"
        case ec.EllipticCurvePublicKey():
            if key.curve.name not in _CURVES:
                return f"elliptic curve {quoted(key.curve.name)} is not P-256, P-384 or P-521"
        case ed25519.Ed25519PublicKey():
            pass
        case _:
            return "its public key is neither RSA, elliptic curve nor Ed25519"
    return None


def _weak_signature(parsed: x509.Certificate) -> str | None:
    try:
        algorithm = parsed.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return "its signature algorithm is not supported"
    if algorithm is not None and algorithm.name in _WEAK_HASHES:
        return f"it is signed with {algorithm.name.upper()}"
    return None
