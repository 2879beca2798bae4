"""Certificate requests (PKCS#10, RFC 2986) as devices send them (contract dps.md 13.1).

Only the name and the key are taken from a request; what else it asks for is passed over, unread.
"""

import binascii

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import NameOID
from msgspec import Struct

from homeport.security.explain import quoted
from homeport.security.signing_keys import KeyAlgorithm, algorithm_of, digest_of
from homeport.values import hiding

MAX_REQUEST_BYTES = 8 * 1024
"""An RSA-4096 request has some 1,700 bytes."""
MAX_REQUEST_CHARACTERS = 4 * ((MAX_REQUEST_BYTES + 2) // 3)
_WEAK_HASHES = frozenset({"md5", "sha1", "sha224"})
_SEQUENCE = 0x30


class RequestError(ValueError):
    """What was sent is no certificate request that can be believed; the text is safe to log and to send back."""


@hiding("parsed")
class CertificateRequest(Struct, frozen=True, kw_only=True):
    """A request that can be read. Whether its sender holds the key, `is_signed` tells."""

    parsed: x509.CertificateSigningRequest
    common_name: str
    public_key: CertificatePublicKeyTypes
    algorithm: KeyAlgorithm
    key_digest: str
    """SHA-256 of the `SubjectPublicKeyInfo`, upper-case hex."""


def decode_request(text: str) -> bytes:
    """Take off the Base64. Raises RequestError, by size before anything else is looked at."""
    if len(text) > MAX_REQUEST_CHARACTERS:
        raise RequestError(f"the request is longer than {MAX_REQUEST_BYTES} bytes")
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        armour = " in PEM armour" if "-----" in text else ""
        raise RequestError(f"the request{armour} is not the Base64 of its DER") from None


def parse_request(der: bytes) -> CertificateRequest:
    """Read a request. Raises RequestError, also for a kind of key that no certificate is issued for."""
    if len(der) > MAX_REQUEST_BYTES:
        raise RequestError(f"the request is longer than {MAX_REQUEST_BYTES} bytes")
    if _length(der) != len(der):
        raise RequestError("the request is malformed")
    try:
        request = x509.load_der_x509_csr(der)
        names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        key = request.public_key()
        hashed = request.signature_hash_algorithm
    except UnsupportedAlgorithm:
        raise RequestError("the request's key or signature is of a kind that is not supported") from None
    except (ValueError, TypeError, OverflowError, x509.InvalidVersion):
        raise RequestError("the request is malformed") from None
    algorithm = algorithm_of(key)
    if algorithm is None:
        raise RequestError("the request's key is of a kind or size that no certificate is issued for")
    if hashed is not None and hashed.name in _WEAK_HASHES:
        raise RequestError(f"the request is signed with {hashed.name.upper()}")
    if len(names) != 1 or not isinstance(names[0].value, str):
        raise RequestError("the request has not exactly one common name")
    return CertificateRequest(
        parsed=request, common_name=names[0].value, public_key=key, algorithm=algorithm, key_digest=digest_of(key)
    )


def is_signed(request: CertificateRequest) -> bool:
    """Tell whether the request is signed with its own key, so that whoever made it holds the key.

    Kind and size of the key are known by then, so this cannot be made expensive.
    """
    try:
        return request.parsed.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def names(request: CertificateRequest, registration_id: str) -> bool:
    """Tell whether the request is for this registration id, letter case aside."""
    name = request.common_name
    return name.isascii() and name.lower() == registration_id.lower()


def explain_name(request: CertificateRequest) -> str:
    """Show the common name for an explanation."""
    return quoted(request.common_name)


def _length(der: bytes) -> int:
    """Return how long the outermost DER value says it is, header included; -1 if it is no sequence."""
    if len(der) < 2 or der[0] != _SEQUENCE:
        return -1
    if der[1] < 0x80:
        return 2 + der[1]
    count = der[1] & 0x7F
    return 2 + count + int.from_bytes(der[2 : 2 + count]) if 1 <= count <= 4 else -1
