"""Pages as administrators ask for them, and their requests' documents: shared by everything that answers them."""

from collections.abc import Sequence
from typing import Any, TypeVar

from msgspec.json import Decoder

from homeport.dps.reply import Reply, success, unreadable
from homeport.errors import Code, HomeportError
from homeport.paging import Page, TokenError, decode_token, encode_token
from homeport.values import replace
from homeport.wire import WireError, decode

T = TypeVar("T")

DEFAULT_PAGE = 100
MAX_PAGE = 1000


class Paging:
    """What a caller wants of a listing: page size and continuation, as their headers say (contract dps.md 8.2)."""

    def __init__(self, max_items: str | None, continuation: str | None) -> None:
        """Raise HomeportError INVALID_REQUEST for a page size that is no number."""
        self.limit = DEFAULT_PAGE
        if max_items:
            if not (max_items.isascii() and max_items.isdigit()) or not int(max_items[:9]) >= 1:
                raise HomeportError(Code.INVALID_REQUEST, "x-ms-max-item-count is not a whole number from 1 up.")
            self.limit = min(int(max_items[:9]), MAX_PAGE)
        self._continuation = continuation or None

    def after(self, query: str) -> str | None:
        """Return the key to continue behind. Raises HomeportError INVALID_REQUEST for another query's token."""
        if self._continuation is None:
            return None
        try:
            key = decode_token(self._continuation, query)
        except TokenError as error:
            raise HomeportError(Code.INVALID_REQUEST, str(error)) from None
        if not key.isprintable():
            # Tokens are checked, not signed, and what continues here goes to a database.
            raise HomeportError(Code.INVALID_REQUEST, "The continuation token is not one of this server.")
        return key


def listing(
    page: Page[Any], documents: Sequence[Any], query: str, tracking_id: str, *, item_type: str | None = None
) -> Reply:
    """Answer with a page; the continuation header is absent on the last one (contract dps.md 8.2)."""
    headers = {} if item_type is None else {"x-ms-item-type": item_type}
    if page.after is not None:
        headers["x-ms-continuation"] = encode_token(page.after, query)
    return replace(success(200, documents, tracking_id), headers=headers)


def read(decoder: Decoder[T], body: bytes) -> T:
    """Read a request's document. Raises HomeportError."""
    try:
        return decode(decoder, body)
    except WireError as error:
        raise unreadable(error) from None
