"""A hash chain over entries, and signed heads: whoever changes, drops or reorders an entry breaks a link.

Pure, and used by the server that writes the chain as well as by `homeport audit verify`, which only has a file.
A link is SHA-256 over the hash before it, the entry's number (8 bytes, big-endian) and its canonical bytes. A head
names the end of the chain and its beginning, and is signed with Ed25519: an end that was cut off needs another head.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

GENESIS = bytes(32)
"""What the first link covers in place of a hash before it."""
_DOMAIN = b"homeport audit head 1\0"
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return the bytes of a JSON object that a link covers: members in order, no spaces, ASCII."""
    return _CANONICAL.encode(document).encode("ascii")


def link(previous: bytes, seq: int, entry: bytes) -> bytes:
    """Return the hash of an entry, given as its canonical bytes."""
    return hashlib.sha256(previous + seq.to_bytes(8) + entry).digest()


class Head(Struct, frozen=True, kw_only=True):
    """The end of a chain (number and hash of its last entry), and what stands before its first kept entry."""

    seq: int = 0
    hash: bytes = GENESIS
    anchor_seq: int = 0
    """Number of the last entry that was dropped because of its age; 0: none was."""
    anchor_hash: bytes = GENESIS

    def signed_bytes(self) -> bytes:
        return _DOMAIN + self.seq.to_bytes(8) + self.hash + self.anchor_seq.to_bytes(8) + self.anchor_hash


class SigningKey:
    """The key that signs heads."""

    def __init__(self, secret: bytes) -> None:
        """Use the 32 bytes that `new_secret` made."""
        self._key = Ed25519PrivateKey.from_private_bytes(secret)

    @staticmethod
    def new_secret() -> bytes:
        return Ed25519PrivateKey.generate().private_bytes_raw()

    @property
    def public_key(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    def sign(self, head: Head) -> bytes:
        return self._key.sign(head.signed_bytes())


def is_signed(head: Head, signature: bytes, public_key: bytes) -> bool:
    """Tell whether this key signed this head."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, head.signed_bytes())
    except (InvalidSignature, ValueError):
        return False
    return True


class Broken(Struct, frozen=True, kw_only=True):
    """The first entry that does not fit; `seq` 0 means the head itself."""

    seq: int
    reason: str


class Verifier:
    """Follows a chain from its anchor to its head, an entry at a time; keeps one hash, whatever the length."""

    def __init__(self, *, seq: int = 0, previous: bytes = GENESIS) -> None:
        """Begin behind the entry with this number and hash."""
        self.seq = seq
        self.hash = previous

    def feed(self, seq: int, entry: bytes, claimed: bytes) -> Broken | None:
        """Look at the next entry; None if it fits."""
        expected = self.seq + 1
        if seq != expected:
            missing = f"entry {expected} is missing" if seq > expected else f"entry {seq} stands in the wrong place"
            return Broken(seq=min(seq, expected), reason=missing)
        made = link(self.hash, seq, entry)
        if made != claimed:
            return Broken(seq=seq, reason="its content, or that of its hash, was changed")
        self.seq, self.hash = seq, made
        return None

    def finish(self, head: Head) -> Broken | None:
        """Compare the end with the head; None if it is the same."""
        if self.seq < head.seq:
            return Broken(seq=self.seq + 1, reason=f"the entries {self.seq + 1} to {head.seq} are missing at the end")
        if self.seq > head.seq:
            return Broken(seq=head.seq + 1, reason="there are entries behind the head")
        if self.hash != head.hash:
            return Broken(seq=head.seq, reason="the head has another hash")
        return None
