"""What certificate authorities say about certificates they take back: reasons, and whose word counts for whom.

Reading a CRL is `crl`'s, an OCSP answer `ocsp`'s; which certificates are asked about is provisioning's.
"""

import hashlib
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import HashAlgorithm
from cryptography.x509.oid import AuthorityInformationAccessOID
from msgspec import Struct

from homeport.security.x509 import Certificate

MAX_URL_CHARACTERS = 2048
_MAX_URLS = 8
_WEAK_HASHES = frozenset({"md5", "sha1", "sha224"})


class RevocationError(ValueError):
    """A CRL or OCSP answer that cannot be used; the text is safe to log and to show."""


class Reason(StrEnum):
    """Why a certificate was taken back (RFC 5280, 5.3.1)."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    CA_COMPROMISE = "cACompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    CERTIFICATE_HOLD = "certificateHold"
    REMOVE_FROM_CRL = "removeFromCRL"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"
    AA_COMPROMISE = "aACompromise"


class Revoked(Struct, frozen=True, kw_only=True):
    """A certificate that was taken back."""

    at: datetime
    reason: Reason


def authority_key(authority: Certificate) -> str:
    """Return the name under which what an authority says is kept: its subject and its key, in hex.

    A CA certificate that is issued anew, for the same key, is the same authority.
    """
    return _authority_key(authority.der, authority.subject_key)


@lru_cache(maxsize=1024)
def _authority_key(der: bytes, subject_key: str) -> str:
    key = x509.load_der_x509_certificate(der).public_key()
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(subject_key.encode() + spki).hexdigest()


def verify_signature(
    authority: x509.Certificate, signature: bytes, signed: bytes, algorithm: HashAlgorithm | None
) -> None:
    """Check a signature made with a certificate's key. Raises RevocationError, also for weak digests."""
    if algorithm is not None and algorithm.name in _WEAK_HASHES:
        raise RevocationError(f"it is signed with {algorithm.name.upper()}")
    try:
        key = authority.public_key()
        match key:
            case rsa.RSAPublicKey() if algorithm is not None:
                key.verify(signature, signed, padding.PKCS1v15(), algorithm)
            case ec.EllipticCurvePublicKey() if algorithm is not None:
                key.verify(signature, signed, ec.ECDSA(algorithm))
            case ed25519.Ed25519PublicKey():
                key.verify(signature, signed)
            case _:
                raise RevocationError("its signature is of a kind that is not supported")
    except InvalidSignature:
        raise RevocationError("its signature does not hold") from None
    except (UnsupportedAlgorithm, ValueError, TypeError) as error:
        if isinstance(error, RevocationError):
            raise
        raise RevocationError("its signature cannot be checked") from None


def is_http_url(url: str) -> bool:
    """Tell whether this can be fetched: http or https, a host, no user, of a sensible length."""
    if len(url) > MAX_URL_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or 0 < parts.port < 65536
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None and port_is_fine


def distribution_points(certificate: Certificate) -> tuple[str, ...]:
    """Return where a certificate says its issuer's CRL is; only http and https, of complete CRLs."""
    try:
        points = certificate.parsed.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return ()
    urls = [
        name.value
        for point in points
        if point.reasons is None and point.crl_issuer is None
        for name in point.full_name or ()
        if isinstance(name, x509.UniformResourceIdentifier)
    ]
    return tuple(dict.fromkeys(url for url in urls if is_http_url(url)))[:_MAX_URLS]


def ocsp_responders(certificate: Certificate) -> tuple[str, ...]:
    """Return the OCSP responders a certificate names; only http and https."""
    try:
        access = certificate.parsed.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return ()
    urls = [
        description.access_location.value
        for description in access
        if description.access_method == AuthorityInformationAccessOID.OCSP
        and isinstance(description.access_location, x509.UniformResourceIdentifier)
    ]
    return tuple(dict.fromkeys(url for url in urls if is_http_url(url)))[:_MAX_URLS]
