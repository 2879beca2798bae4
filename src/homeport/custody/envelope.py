"""Envelopes: a secret under a data key of its own, and that under a master key; AES-256-GCM both times. Pure.

    1 byte    format, 1
    8 bytes   name of the master key
    12 bytes  nonce    48 bytes  data key, encrypted and tagged (master key; associated data: format and name)
    12 bytes  nonce    rest      secret, encrypted and tagged (data key; associated data: what it belongs to)

Another master key rewrites the first part only.
"""

import hashlib
from collections.abc import Callable, Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Random = Callable[[int], bytes]

KEY_BYTES = 32
_FORMAT = b"\x01"
_NAME = 8
_NONCE = 12
_WRAPPED = KEY_BYTES + 16
_HEAD = 1 + _NAME
_BODY = _HEAD + _NONCE + _WRAPPED


class EnvelopeError(Exception):
    """An envelope that cannot be opened: damaged, or sealed under a master key that is not at hand."""


def name_of(master_key: bytes) -> bytes:
    """Return the public name of a master key: part of its SHA-256, behind a prefix."""
    return hashlib.sha256(b"homeport master key" + master_key).digest()[:_NAME]


def seal(secret: bytes, *, master_key: bytes, belongs_to: bytes, random: Random) -> bytes:
    """Encrypt a secret; it opens only for what it `belongs_to`."""
    data_key = random(KEY_BYTES)
    nonce = random(_NONCE)
    body = AESGCM(data_key).encrypt(nonce, secret, belongs_to)
    return _wrap(data_key, master_key, random) + nonce + body


def unseal(envelope: bytes, *, master_keys: Mapping[bytes, bytes], belongs_to: bytes) -> bytes:
    """Decrypt with whichever of the master keys (by name) it was sealed under. Raises EnvelopeError."""
    data_key = _unwrap(envelope, master_keys)
    body = envelope[_BODY:]
    try:
        return AESGCM(data_key).decrypt(body[:_NONCE], body[_NONCE:], belongs_to)
    except InvalidTag:
        raise EnvelopeError("the sealed key is damaged, or another authority's") from None


def reseal(envelope: bytes, *, master_keys: Mapping[bytes, bytes], master_key: bytes, random: Random) -> bytes:
    """Put the envelope under another master key. Raises EnvelopeError."""
    return _wrap(_unwrap(envelope, master_keys), master_key, random) + envelope[_BODY:]


def sealed_under(envelope: bytes) -> bytes:
    """Return the name of the envelope's master key."""
    return envelope[1:_HEAD]


def _wrap(data_key: bytes, master_key: bytes, random: Random) -> bytes:
    head = _FORMAT + name_of(master_key)
    nonce = random(_NONCE)
    return head + nonce + AESGCM(master_key).encrypt(nonce, data_key, head)


def _unwrap(envelope: bytes, master_keys: Mapping[bytes, bytes]) -> bytes:
    if len(envelope) <= _BODY + _NONCE or not envelope.startswith(_FORMAT):
        raise EnvelopeError("the sealed key is damaged, or of a newer Homeport")
    master_key = master_keys.get(sealed_under(envelope))
    if master_key is None:
        raise EnvelopeError(
            f"the key is sealed under the master key {sealed_under(envelope).hex()}, which is not the one given here"
        )
    head = envelope[:_HEAD]
    try:
        return AESGCM(master_key).decrypt(envelope[_HEAD : _HEAD + _NONCE], envelope[_HEAD + _NONCE : _BODY], head)
    except InvalidTag:
        raise EnvelopeError("the sealed key is damaged") from None
