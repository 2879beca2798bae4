"""TPM 2.0 attestation, the service's half: read EK and SRK, wrap a key that only their TPM can import.

Structures and cryptography of contract dps.md 7.3 and 7.4 (TCG TPM 2.0 Library, Part 1, 24 and B.10.4). The
device's half needs a TPM and lives with the device client.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from msgspec import Struct

Random = Callable[[int], bytes]
"""Returns that many unpredictable bytes, as `secrets.token_bytes` does."""

MAX_PUBLIC_BYTES = 512
MAX_BLOB_BYTES = 2048
MAX_URI_BYTES = 174
"""The blob must stay within 940 bytes for AMQP (contract dps.md 7.4)."""
HMAC_KEY_BYTES = 32

_ALG_RSA = b"\x00\x01"
_ALG_SHA256 = b"\x00\x0b"
_RSA_BYTES: Final = 256
_PARAMETERS = bytes.fromhex("0006 0080 0043  0010  0800")
"""Symmetric AES-128-CFB, scheme NULL, 2048 key bits: what every RSA-2048 storage key says of itself."""

# Bits of TPMA_OBJECT. Without the first three the key could exist outside its TPM, and the challenge would
# prove nothing; a restricted decryption key is what ActivateCredential and Import accept.
_REQUIRED_ATTRIBUTES = {
    1 << 1: "fixedTPM",
    1 << 4: "fixedParent",
    1 << 5: "sensitiveDataOrigin",
    1 << 16: "restricted",
    1 << 17: "decrypt",
}
_SIGN = 1 << 18

_INNER_KEY_BYTES = 16
_SEED_BYTES = 32
_HASH_BYTES = 32
_ZERO_IV = bytes(16)


class TpmError(ValueError):
    """Bytes that are not the TPM structure they should be; the text is safe to log and to send back."""


class TpmPublic(Struct, frozen=True, kw_only=True):
    """The public area of an RSA-2048 storage key (EK or SRK), checked to be one."""

    encoded: bytes
    """The whole `TPM2B_PUBLIC`, its two size bytes included: the form on the wire and in enrollments."""
    attributes: int
    auth_policy: bytes
    modulus: int
    exponent: int


class ChallengeBlob(Struct, frozen=True, kw_only=True):
    """The six structures of an `authenticationKey`; each keeps its two size bytes, ready to unmarshal."""

    credential: bytes
    """`TPM2B_ID_OBJECT`, for ActivateCredential."""
    credential_secret: bytes
    """`TPM2B_ENCRYPTED_SECRET`, encrypted to the EK."""
    duplicate: bytes
    """`TPM2B_PRIVATE`, for Import under the SRK."""
    duplicate_seed: bytes
    """`TPM2B_ENCRYPTED_SECRET`, encrypted to the SRK."""
    object_public: bytes
    """`TPM2B_PUBLIC` of the HMAC key."""
    encrypted_uri: bytes
    """Two size bytes and the URI under the inner key."""


def parse_public(data: bytes) -> TpmPublic:
    """Read the `TPM2B_PUBLIC` of an EK or SRK: an RSA-2048 restricted decryption key bound to its TPM.

    The exponent may be written out or left to its default. Raises TpmError.
    """
    if len(data) > MAX_PUBLIC_BYTES:
        raise TpmError(f"TPM key is longer than {MAX_PUBLIC_BYTES} bytes")
    outer = _Reader(data)
    area = _Reader(outer.sized("public area"))
    outer.end("public area")
    if area.take(2, "type") != _ALG_RSA:
        raise TpmError("TPM key is not an RSA key")
    if area.take(2, "name algorithm") != _ALG_SHA256:
        raise TpmError("TPM key's name algorithm is not SHA-256")
    attributes = int.from_bytes(area.take(4, "attributes"))
    auth_policy = area.sized("authorization policy")
    if len(auth_policy) not in {0, _HASH_BYTES}:
        raise TpmError("TPM key's authorization policy is not a SHA-256 digest")
    if area.take(len(_PARAMETERS), "parameters") != _PARAMETERS:
        raise TpmError("TPM key is not an RSA-2048 storage key with AES-128-CFB")
    exponent = int.from_bytes(area.take(4, "exponent")) or 65537
    modulus_bytes = area.sized("modulus")
    area.end("modulus")
    modulus = int.from_bytes(modulus_bytes)
    if len(modulus_bytes) != _RSA_BYTES or modulus.bit_length() != 8 * _RSA_BYTES or modulus % 2 == 0:
        raise TpmError("TPM key's modulus is not a 2048-bit RSA modulus")
    if exponent % 2 == 0 or exponent == 1:
        raise TpmError("TPM key's exponent is not an RSA exponent")
    missing = [name for bit, name in _REQUIRED_ATTRIBUTES.items() if not attributes & bit]
    if missing:
        raise TpmError(f"TPM key lacks the attributes {', '.join(missing)}")
    if attributes & _SIGN:
        raise TpmError("TPM key is a signing key, not a storage key")
    return TpmPublic(encoded=data, attributes=attributes, auth_policy=auth_policy, modulus=modulus, exponent=exponent)


def name_of(public: TpmPublic | bytes) -> bytes:
    """Return an object's name: its name algorithm (SHA-256) and the digest of its public area."""
    encoded = public.encoded if isinstance(public, TpmPublic) else public
    return _name_of_area(encoded[2:])


def _name_of_area(area: bytes) -> bytes:
    return _ALG_SHA256 + hashlib.sha256(area).digest()


def registration_id_of(endorsement_key: bytes) -> str:
    """Return the registration id the SDKs derive from an EK's `TPM2B_PUBLIC` (contract dps.md 1.3)."""
    digest = hashlib.sha256(endorsement_key).digest()
    return base64.b32encode(digest).decode("ascii").rstrip("=").lower()


def make_challenge(ek: TpmPublic, srk: TpmPublic, key: bytes, uri: bytes, random: Random) -> bytes:
    """Wrap `key` so that only the TPM holding both EK and SRK can import it (contract dps.md 7.3, 7.4).

    The same blob carries a challenge's HMAC key and, at the end, the hub key. `key` is 32 bytes, `uri` 1 to
    174 bytes; anything else raises ValueError. `random` is asked, in this order, for the inner key (16
    bytes), the credential seed, its OAEP seed, the object seed, the duplicate's seed, its OAEP seed (32 each).
    """
    if len(key) != HMAC_KEY_BYTES:
        raise ValueError(f"the wrapped key must be {HMAC_KEY_BYTES} bytes long")
    if not 1 <= len(uri) <= MAX_URI_BYTES:
        raise ValueError(f"the URI must be 1 to {MAX_URI_BYTES} bytes long")
    inner_key = random(_INNER_KEY_BYTES)
    credential, credential_secret = _make_credential(ek, name_of(srk), inner_key, random)

    object_seed = random(_SEED_BYTES)
    area = _key_object_area(hashlib.sha256(object_seed + key).digest())
    duplicate, duplicate_seed = _make_duplicate(
        srk, _name_of_area(area), _sensitive(object_seed, key), inner_key, random
    )
    return b"".join(
        (
            _sized(credential),
            _sized(credential_secret),
            _sized(duplicate),
            _sized(duplicate_seed),
            _sized(area),
            _sized(_aes_cfb(inner_key, uri)),
        )
    )


def parse_blob(data: bytes) -> ChallengeBlob:
    """Take an `authenticationKey` apart. Raises TpmError; what is inside the six structures is the TPM's to judge."""
    if len(data) > MAX_BLOB_BYTES:
        raise TpmError(f"TPM blob is longer than {MAX_BLOB_BYTES} bytes")
    reader = _Reader(data)
    elements = [
        _sized(reader.sized(what))
        for what in ("credential", "credential secret", "duplicate", "duplicate seed", "public area", "URI")
    ]
    reader.end("URI")
    return ChallengeBlob(
        credential=elements[0],
        credential_secret=elements[1],
        duplicate=elements[2],
        duplicate_seed=elements[3],
        object_public=elements[4],
        encrypted_uri=elements[5],
    )


def kdfa(key: bytes, label: bytes, context: bytes, bits: int) -> bytes:
    """Derive `bits` (a multiple of 8) from `key`: KDFa over SHA-256, `context` being contextU ‖ contextV."""
    blocks = (
        hmac.digest(key, counter.to_bytes(4) + label + b"\x00" + context + bits.to_bytes(4), "sha256")
        for counter in range(1, -(-bits // 256) + 1)
    )
    return b"".join(blocks)[: bits // 8]


def _make_credential(ek: TpmPublic, srk_name: bytes, secret: bytes, random: Random) -> tuple[bytes, bytes]:
    """Encrypt `secret` to the EK, to be released only where an object of that name is loaded."""
    seed = random(_SEED_BYTES)
    encrypted_seed = _rsa_oaep(ek, seed, b"IDENTITY\x00", random)
    identity = _aes_cfb(kdfa(seed, b"STORAGE", srk_name, 128), _sized(secret))
    return _outer_wrap(seed, identity, srk_name), encrypted_seed


def _make_duplicate(
    parent: TpmPublic, name: bytes, sensitive: bytes, inner_key: bytes, random: Random
) -> tuple[bytes, bytes]:
    """Wrap a sensitive area twice, for Import under `parent`: first in the inner key, then in a seed."""
    digest = hashlib.sha256(sensitive + name).digest()
    inner = _aes_cfb(inner_key, _sized(digest) + sensitive)
    seed = random(_SEED_BYTES)
    encrypted_seed = _rsa_oaep(parent, seed, b"DUPLICATE\x00", random)
    outer = _aes_cfb(kdfa(seed, b"STORAGE", name, 128), inner)
    return _outer_wrap(seed, outer, name), encrypted_seed


def _outer_wrap(seed: bytes, encrypted: bytes, name: bytes) -> bytes:
    """Put the integrity HMAC, which binds the name as well, before the encrypted bytes."""
    integrity_key = kdfa(seed, b"INTEGRITY", b"", 256)
    return _sized(hmac.digest(integrity_key, encrypted + name, "sha256")) + encrypted


def _key_object_area(unique: bytes) -> bytes:
    """Return the TPMT_PUBLIC of the HMAC key: keyed hash, SHA-256, sign | noDA | userWithAuth."""
    return bytes.fromhex("0008 000B 00040440 0000 0005 000B") + _sized(unique)


def _sensitive(seed: bytes, key: bytes) -> bytes:
    """Return the TPM2B_SENSITIVE of the HMAC key: keyed hash, empty authorization value."""
    return _sized(bytes.fromhex("0008 0000") + _sized(seed) + _sized(key))


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data


def _aes_cfb(key: bytes, data: bytes) -> bytes:
    """Encrypt with AES-CFB-128 and a zero IV.

    Spelled out over the block cipher, because `cryptography` counts CFB as decrepit and is moving it about.
    """
    block_cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305  # one block at a time
    feedback = _ZERO_IV
    encrypted = bytearray()
    for start in range(0, len(data), 16):
        block = data[start : start + 16]
        feedback = _xor(block.ljust(16, b"\x00"), block_cipher.update(feedback))
        encrypted += feedback[: len(block)]
    return bytes(encrypted)


def _rsa_oaep(public: TpmPublic, message: bytes, label: bytes, random: Random) -> bytes:
    """Encrypt with RSA-OAEP (RFC 8017, 7.1.1), SHA-256 throughout.

    Spelled out because `cryptography` draws the OAEP seed itself, and the vectors fix it. Everything here is
    encrypted once under fresh randomness, so timing tells nothing.
    """
    digest = hashlib.sha256(label).digest()
    padding = bytes(_RSA_BYTES - len(message) - 2 * _HASH_BYTES - 2)
    data_block = digest + padding + b"\x01" + message
    seed = random(_HASH_BYTES)
    masked_block = _xor(data_block, _mgf1(seed, len(data_block)))
    masked_seed = _xor(seed, _mgf1(masked_block, _HASH_BYTES))
    encoded = int.from_bytes(masked_seed + masked_block)
    return pow(encoded, public.exponent, public.modulus).to_bytes(_RSA_BYTES)


def _mgf1(seed: bytes, length: int) -> bytes:
    blocks = (hashlib.sha256(seed + counter.to_bytes(4)).digest() for counter in range(-(-length // _HASH_BYTES)))
    return b"".join(blocks)[:length]


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left) ^ int.from_bytes(right)).to_bytes(len(left))


@dataclass(slots=True)
class _Reader:
    """Walks over a TPM structure; every shortage and surplus is a TpmError."""

    data: bytes
    position: int = field(default=0, init=False)

    def take(self, count: int, what: str) -> bytes:
        end = self.position + count
        if end > len(self.data):
            raise TpmError(f"TPM structure ends within its {what}")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def sized(self, what: str) -> bytes:
        return self.take(int.from_bytes(self.take(2, what)), what)

    def end(self, what: str) -> None:
        if self.position != len(self.data):
            raise TpmError(f"TPM structure goes on after its {what}")
