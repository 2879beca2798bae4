"""Whether a certificate with its chain can be an issuing authority's: read from PEM and judged at a time."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from homeport.security.explain import server_time
from homeport.security.signing_keys import AUTHORITY_ALGORITHMS, algorithm_of
from homeport.security.x509 import (
    MAX_CHAIN_LENGTH,
    MAX_TEXT_CHARACTERS,
    Certificate,
    CertificateError,
    parse_chain,
)
from homeport.security.x509_path import is_issued_by


def read_bundle(text: str) -> tuple[Certificate, ...]:
    """Read PEM certificates, the authority's first, then its issuers up to the root. Raises CertificateError."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise CertificateError(f"the certificates' text is longer than {MAX_TEXT_CHARACTERS} characters")
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise CertificateError("the text holds no certificates in PEM, or unreadable ones") from error
    return parse_chain([certificate.public_bytes(Encoding.DER) for certificate in found])


def judge_authority(chain: Sequence[Certificate], *, now: datetime) -> None:
    """Raise CertificateError unless the first certificate may issue to devices, by a whole path to a root.

    Each must be a CA that may sign, be valid at `now`, have an acceptable key and signature, be signed by the next
    one, and be allowed its place by the path lengths above it; the last must be signed by itself.
    """
    if not chain:
        raise CertificateError("there is no certificate")
    if len(chain) >= MAX_CHAIN_LENGTH:
        raise CertificateError(f"the chain, with a device's certificate, is longer than {MAX_CHAIN_LENGTH}")
    if algorithm_of(chain[0].parsed.public_key()) not in AUTHORITY_ALGORITHMS:
        raise CertificateError(
            f"certificate {chain[0].label}: an authority's key is one of {', '.join(AUTHORITY_ALGORITHMS)}"
        )
    for depth, certificate in enumerate(chain):
        _judge_one(certificate, chain[:depth], now)
    for certificate, issuer in pairwise(chain):
        if certificate.weak_signature:
            raise CertificateError(f"certificate {certificate.label} is too weak: {certificate.weak_signature}")
        if not is_issued_by(certificate, issuer):
            raise CertificateError(f"certificate {certificate.label} was not issued by {issuer.label}, the next one")
    root = chain[-1]
    if not root.is_self_issued or not is_issued_by(root, root):
        raise CertificateError(
            f"certificate {root.label} is not a root: give the chain up to the certificate that is signed by itself"
        )


def end_of(chain: Sequence[Certificate]) -> datetime:
    """Return when the first certificate of the chain expires: nothing below it may live longer."""
    return min(certificate.info.not_after for certificate in chain)


def _judge_one(certificate: Certificate, below: Sequence[Certificate], now: datetime) -> None:
    info = certificate.info
    if not certificate.is_ca:
        raise CertificateError(f"certificate {certificate.label} lacks CA:TRUE in its basic constraints")
    if not certificate.may_sign:
        raise CertificateError(f"certificate {certificate.label} lacks certificate signing in its key usage")
    if certificate.weak_key:
        raise CertificateError(f"certificate {certificate.label} is not acceptable: {certificate.weak_key}")
    if certificate.unknown_critical:
        raise CertificateError(
            f"certificate {certificate.label} has critical extensions that are not supported: "
            + ", ".join(certificate.unknown_critical)
        )
    if now > info.not_after:
        raise CertificateError(f"certificate {certificate.label} expired at {server_time(info.not_after)}")
    if now < info.not_before:
        raise CertificateError(f"certificate {certificate.label} is not valid before {server_time(info.not_before)}")
    between = sum(not other.is_self_issued for other in below)
    if certificate.path_length is not None and between > certificate.path_length:
        raise CertificateError(
            f"certificate {certificate.label} allows {certificate.path_length} CA certificates below it, "
            f"the chain has {between}"
        )
