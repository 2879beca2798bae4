"""Kinds of keys that certificates are issued for and signed with. Pure: keys are made and kept elsewhere (custody)."""

import hashlib
from enum import StrEnum

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
"""What signs for an authority: a key in memory, or one that stands for a key in a token."""


class KeyAlgorithm(StrEnum):
    """The keys that are known here, by their names in documents."""

    EC_P256 = "EC-P256"
    EC_P384 = "EC-P384"
    EC_P521 = "EC-P521"
    RSA_2048 = "RSA-2048"
    RSA_3072 = "RSA-3072"
    RSA_4096 = "RSA-4096"
    ED25519 = "Ed25519"


AUTHORITY_ALGORITHMS = (KeyAlgorithm.EC_P256, KeyAlgorithm.EC_P384, KeyAlgorithm.RSA_3072, KeyAlgorithm.RSA_4096)
"""What an issuing authority may sign with."""

_CURVES = {
    "secp256r1": KeyAlgorithm.EC_P256,
    "secp384r1": KeyAlgorithm.EC_P384,
    "secp521r1": KeyAlgorithm.EC_P521,
}
_RSA = {2048: KeyAlgorithm.RSA_2048, 3072: KeyAlgorithm.RSA_3072, 4096: KeyAlgorithm.RSA_4096}
_RSA_EXPONENT = 65537


def algorithm_of(key: CertificatePublicKeyTypes) -> KeyAlgorithm | None:
    """Name the kind of a public key; None for one that no certificate is issued for."""
    match key:
        case ec.EllipticCurvePublicKey():
            return _CURVES.get(key.curve.name)
        case rsa.RSAPublicKey():
            # Other exponents are slow to check at best, and weak at worst.
            return _RSA.get(key.key_size) if key.public_numbers().e == _RSA_EXPONENT else None
        case ed25519.Ed25519PublicKey():
            return KeyAlgorithm.ED25519
        case _:
            return None


def hash_for(key: SigningKey) -> hashes.SHA256 | hashes.SHA384:
    """Return the hash that goes with a signing key: SHA-384 for P-384, else SHA-256."""
    is_p384 = isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp384r1"
    return hashes.SHA384() if is_p384 else hashes.SHA256()


def public_bytes(key: CertificatePublicKeyTypes) -> bytes:
    """Return the key's `SubjectPublicKeyInfo`, DER."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def digest_of(key: CertificatePublicKeyTypes) -> str:
    """Return the SHA-256 of the `SubjectPublicKeyInfo`, as upper-case hex: the name of a key."""
    return hashlib.sha256(public_bytes(key)).hexdigest().upper()


def load_public(der: bytes) -> CertificatePublicKeyTypes:
    """Read what `public_bytes` wrote. Raises ValueError for a key that cannot stand in a certificate."""
    key = load_der_public_key(der)
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        raise ValueError("the public key is neither RSA, elliptic curve nor Ed25519")  # noqa: TRY004 - bad content
    return key
