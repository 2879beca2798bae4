"""Pages of a listing: sizes, and continuation tokens that are opaque to clients and cheap to check."""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")

_TOKEN_LIMIT = 2048
_DIGEST_SIZE = 8


class TokenError(ValueError):
    """The continuation token was not made by this server for this query."""


class Page(Struct, Generic[T], frozen=True, kw_only=True):
    """Some items in key order; `after` is the key to continue behind, None on the last page."""

    items: Sequence[T]
    after: str | None


def encode_token(after: str, query: str) -> str:
    """Return a header-safe token that continues `query` behind the key `after`."""
    return base64.urlsafe_b64encode(_digest(query) + after.encode()).decode()


def decode_token(token: str, query: str) -> str:
    """Return the key to continue behind; raises TokenError for garbage or for another query's token."""
    if len(token) > _TOKEN_LIMIT:
        raise TokenError("The continuation token is too long.")
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        digest, after = raw[:_DIGEST_SIZE], raw[_DIGEST_SIZE:].decode()
    except (binascii.Error, UnicodeError) as error:
        raise TokenError("The continuation token is not one of this server.") from error
    if digest != _digest(query):
        raise TokenError("The continuation token belongs to another query.")
    return after


def _digest(query: str) -> bytes:
    return hashlib.blake2b(query.encode(), digest_size=_DIGEST_SIZE).digest()
