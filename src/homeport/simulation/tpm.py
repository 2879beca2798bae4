"""A TPM that does not exist: its keys are in memory, and it opens what was made for them (contract dps.md 7.3, 7.4).

For fleets only. It protects nothing, and a real one is spoken to by `client/tpm.py`.
"""

import hashlib
import hmac
from typing import Self

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from homeport.client import TpmError, TpmSecurityProvider
from homeport.security.tpm import kdfa, name_of, parse_blob, parse_public, registration_id_of

# The public areas up to the modulus, as contract dps.md 7.1 has them: TPM2B_PUBLIC of EK and SRK.
_POLICY = bytes.fromhex("837197674484B3F81A90CC8D46A5D724FD52D76E06520B64F2A1DA1B331469AA")
_PARAMETERS = bytes.fromhex("0006 0080 0043 0010 0800 00000000 0100")
_ENDORSEMENT = bytes.fromhex("013A 0001 000B 000300B2 0020") + _POLICY + _PARAMETERS
_STORAGE = bytes.fromhex("011A 0001 000B 00030472 0000") + _PARAMETERS
_DIGEST = 32
_MODULUS = 256


class SimulatedTpm(TpmSecurityProvider):
    """What `TpmSecurityProvider` does, without a TPM."""

    def __init__(self, endorsement: rsa.RSAPrivateKey, storage: rsa.RSAPrivateKey) -> None:
        """Use two RSA-2048 keys; `make` draws one."""
        self._endorsement, self._storage = endorsement, storage
        self._ek: bytes = _public(endorsement, _ENDORSEMENT)
        self._root_key: bytes = _public(storage, _STORAGE)
        self._key: bytes | None = None
        self.registration_id = registration_id_of(self._ek)

    @classmethod
    def make(cls, storage: rsa.RSAPrivateKey) -> Self:
        """Draw an endorsement key; takes a tenth of a second."""
        return cls(new_key(), storage)

    @property
    def endorsement_key(self) -> bytes:
        return self._ek

    @property
    def storage_root_key(self) -> bytes:
        return self._root_key

    @property
    def endorsement_chain(self) -> tuple[bytes, ...]:
        return ()

    def activate_identity_key(self, blob: bytes) -> None:
        """Take the key out of a challenge. Raises TpmError if it was made for another TPM."""
        try:
            self._key = self._unwrap(blob)
        except ValueError as error:
            raise TpmError(f"the challenge cannot be opened: {error}") from error

    def sign(self, data: bytes) -> bytes:
        if self._key is None:
            raise TpmError("the TPM has no identity key yet")
        return hmac.digest(self._key, data, "sha256")

    def close(self) -> None:
        self._key = None

    def __repr__(self) -> str:
        return f"SimulatedTpm({self.registration_id[:12]}…)"

    def _unwrap(self, data: bytes) -> bytes:
        """Do what ActivateCredential and Import do (TCG TPM 2.0 Library, Part 1, 23 and 24)."""
        blob = parse_blob(data)
        seed = _decrypt_seed(self._endorsement, blob.credential_secret, b"IDENTITY\0")
        credential = _open_outer(seed, blob.credential[2:], name_of(parse_public(self._root_key)))
        inner_key = credential[2 : 2 + int.from_bytes(credential[:2])]
        name = name_of_object(blob.object_public)
        seed = _decrypt_seed(self._storage, blob.duplicate_seed, b"DUPLICATE\0")
        sensitive = _cfb(inner_key, _open_outer(seed, blob.duplicate[2:], name))[2 + _DIGEST :]
        # TPM2B_SENSITIVE: two size bytes, type, empty authorization, the seed, then the key with its size.
        start = 2 + 2 + 2 + 2 + _DIGEST
        size = int.from_bytes(sensitive[start : start + 2])
        return sensitive[start + 2 : start + 2 + size]


def new_key() -> rsa.RSAPrivateKey:
    """Draw an RSA-2048 key."""
    return rsa.generate_private_key(65537, _MODULUS * 8)


def name_of_object(public: bytes) -> bytes:
    """Return the name of the object in a TPM2B_PUBLIC: SHA-256's number, and the digest of the area."""
    return b"\x00\x0b" + hashlib.sha256(public[2:]).digest()


def _public(key: rsa.RSAPrivateKey, template: bytes) -> bytes:
    return template + key.public_key().public_numbers().n.to_bytes(_MODULUS)


def _decrypt_seed(key: rsa.RSAPrivateKey, secret: bytes, label: bytes) -> bytes:
    return key.decrypt(secret[2:], padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label))


def _open_outer(seed: bytes, wrapped: bytes, name: bytes) -> bytes:
    """Check the integrity of an outer wrap, and decrypt what is in it."""
    mac, encrypted = wrapped[2 : 2 + _DIGEST], wrapped[2 + _DIGEST :]
    expected = hmac.digest(kdfa(seed, b"INTEGRITY", b"", 256), encrypted + name, "sha256")
    if not hmac.compare_digest(mac, expected):
        raise ValueError("it was made for another TPM")
    return _cfb(kdfa(seed, b"STORAGE", name, 128), encrypted)


def _cfb(key: bytes, data: bytes) -> bytes:
    decryptor = Cipher(algorithms.AES(key), CFB(bytes(16))).decryptor()
    return decryptor.update(data) + decryptor.finalize()
