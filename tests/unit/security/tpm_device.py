"""What a TPM does with a challenge blob, in software and with the private keys in hand.

Written from the TPM's side over `cryptography`'s own OAEP and CFB, so that it shares no code with what it checks.
"""

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from homeport.security.tpm import ChallengeBlob


@dataclass(frozen=True)
class Opened:
    """Everything a TPM sees on the way to the key."""

    inner_key: bytes
    credential_sym_key: bytes
    credential_hmac_key: bytes
    object_name: bytes
    outer_sym_key: bytes
    outer_hmac_key: bytes
    inner_wrapped: bytes
    sensitive: bytes
    object_seed: bytes
    key: bytes
    uri: bytes


class WrongTpmError(Exception):
    """The TPM would have answered with an integrity error."""


def open_blob(blob: ChallengeBlob, ek: rsa.RSAPrivateKey, srk: rsa.RSAPrivateKey, srk_name: bytes) -> Opened:
    """ActivateCredential, then Import, then decrypt the URI."""
    seed = _oaep(ek, blob.credential_secret[2:], b"IDENTITY\0")
    mac, identity = blob.credential[4:36], blob.credential[36:]
    sym1, hmac1 = _kdfa(seed, b"STORAGE", srk_name, 128), _kdfa(seed, b"INTEGRITY", b"", 256)
    _check(hmac.digest(hmac1, identity + srk_name, "sha256"), mac)
    plain = _decrypt(sym1, identity)
    inner_key = plain[2 : 2 + int.from_bytes(plain[:2])]

    name = b"\x00\x0b" + hashlib.sha256(blob.object_public[2:]).digest()
    seed = _oaep(srk, blob.duplicate_seed[2:], b"DUPLICATE\0")
    mac, outer = blob.duplicate[4:36], blob.duplicate[36:]
    sym2, hmac2 = _kdfa(seed, b"STORAGE", name, 128), _kdfa(seed, b"INTEGRITY", b"", 256)
    _check(hmac.digest(hmac2, outer + name, "sha256"), mac)
    inner_wrapped = _decrypt(sym2, outer)
    inner = _decrypt(inner_key, inner_wrapped)
    sensitive = inner[34:]
    _check(hashlib.sha256(sensitive + name).digest(), inner[2:34])
    object_seed, key = sensitive[8:40], sensitive[42:]
    _check(hashlib.sha256(object_seed + key).digest(), blob.object_public[-32:])
    return Opened(
        inner_key=inner_key,
        credential_sym_key=sym1,
        credential_hmac_key=hmac1,
        object_name=name,
        outer_sym_key=sym2,
        outer_hmac_key=hmac2,
        inner_wrapped=inner_wrapped,
        sensitive=sensitive,
        object_seed=object_seed,
        key=key,
        uri=_decrypt(inner_key, blob.encrypted_uri[2:]),
    )


def _check(computed: bytes, found: bytes) -> None:
    if computed != found:
        raise WrongTpmError


def _oaep(key: rsa.RSAPrivateKey, data: bytes, label: bytes) -> bytes:
    scheme = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label)
    try:
        return key.decrypt(data, scheme)
    except ValueError as error:
        raise WrongTpmError from error


def _decrypt(key: bytes, data: bytes) -> bytes:
    decryptor = Cipher(algorithms.AES(key), CFB(bytes(16))).decryptor()
    return decryptor.update(data) + decryptor.finalize()


def _kdfa(key: bytes, label: bytes, context: bytes, bits: int) -> bytes:
    message = (1).to_bytes(4) + label + b"\0" + context + bits.to_bytes(4)
    return hmac.digest(key, message, "sha256")[: bits // 8]
