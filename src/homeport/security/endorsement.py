"""Certificates of TPM endorsement keys: whether one is for this key and of this kind (TCG EK Credential Profile).

Whether its chain can be trusted is `x509_path`'s to judge.
"""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ObjectIdentifier

from homeport.security.tpm import TpmPublic
from homeport.security.x509 import Certificate
from homeport.values import replace

EK_CERTIFICATE = ObjectIdentifier("2.23.133.8.1")
"""tcg-kp-EKCertificate."""

_RSAES_OAEP = bytes.fromhex("06092A864886F70D010107")
_VERSION = 0xA0
_SEQUENCE = 0x30
_INTEGER = 0x02
_BIT_STRING = 0x03


def endorsement_problem(certificate: Certificate, key: TpmPublic) -> str | None:
    """Say why this is no certificate of this endorsement key; None if it is one."""
    if _rsa_numbers(certificate) != (key.modulus, key.exponent):
        return "it is not for the endorsement key that the TPM offered"
    if certificate.is_ca:
        return "it is a CA certificate"
    try:
        usage = certificate.parsed.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None
    return None if EK_CERTIFICATE in usage else "its extended key usage is not that of an endorsement key certificate"


def as_leaf(certificate: Certificate) -> Certificate:
    """Return the certificate with its key's kind not held against it.

    Some manufacturers mark the key as one for RSA-OAEP only, which `cryptography` does not read; that it is the
    offered RSA-2048 key has been checked by then.
    """
    return replace(certificate, weak_key=None)


def _rsa_numbers(certificate: Certificate) -> tuple[int, int] | None:
    try:
        key = certificate.parsed.public_key()
    except (UnsupportedAlgorithm, ValueError):
        return _oaep_numbers(certificate.parsed.tbs_certificate_bytes)
    if not isinstance(key, rsa.RSAPublicKey):
        return None
    numbers = key.public_numbers()
    return numbers.n, numbers.e


def _oaep_numbers(tbs: bytes) -> tuple[int, int] | None:
    """Read the modulus and exponent of a key marked as RSAES-OAEP (RFC 4055, 4.1)."""
    try:
        _, content, _ = _element(tbs)
        tag, _, rest = _element(content)
        # serial number, signature, issuer, validity, subject; the version before them may be left out
        for _ in range(5 if tag == _VERSION else 4):
            _, _, rest = _element(rest)
        tag, public_key_info, _ = _element(rest)
        _, algorithm, rest = _element(public_key_info)
        bit_tag, bits, _ = _element(rest)
        if tag != _SEQUENCE or bit_tag != _BIT_STRING or not algorithm.startswith(_RSAES_OAEP) or bits[:1] != b"\x00":
            return None
        key_tag, sequence, _ = _element(bits[1:])
        first, modulus, rest = _element(sequence)
        second, exponent, _ = _element(rest)
    except IndexError:
        return None
    if (key_tag, first, second) != (_SEQUENCE, _INTEGER, _INTEGER):
        return None
    return int.from_bytes(modulus), int.from_bytes(exponent)


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Split off the first DER element: tag, content, rest. Raises IndexError for what is cut short."""
    tag, length, start = data[0], data[1], 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4:
            raise IndexError
        length, start = int.from_bytes(data[2 : 2 + count]), 2 + count
    if len(data) < start + length:
        raise IndexError
    return tag, data[start : start + length], data[start + length :]
