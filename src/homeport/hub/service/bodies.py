"""What the calls share: bodies read and written, pages and where they continue."""

from typing import TypeVar

from msgspec.json import Decoder

from homeport.hub.errors import HubCode, HubError
from homeport.hub.reply import Reply
from homeport.paging import TokenError, decode_token
from homeport.wire import TooLargeError, WireError, encode
from homeport.wire import decode as decode_body

MAX_BODY = 256 * 1024
MAX_PAGE = 1000
DEFAULT_PAGE = 100

T = TypeVar("T")


def read(decoder: Decoder[T], body: bytes, limit: int = MAX_BODY) -> T:
    """Read a request's document. Raises HubError BODY_TOO_LARGE or ARGUMENT_INVALID."""
    try:
        return decode_body(decoder, body, limit=limit)
    except TooLargeError as error:
        raise HubError(HubCode.BODY_TOO_LARGE, str(error)) from None
    except WireError as error:
        raise HubError(HubCode.ARGUMENT_INVALID, str(error)) from None


def answer(document: object, headers: dict[str, str] | None = None) -> Reply:
    """Answer 200 with a document."""
    return Reply(status=200, body=encode(document), headers=headers or {})


def continued(continuation: str | None, query: str) -> str | None:
    """Return where a page begins. Raises HubError ARGUMENT_INVALID for another query's token."""
    if not continuation:
        return None
    try:
        key = decode_token(continuation, query)
    except TokenError as error:
        raise HubError(HubCode.ARGUMENT_INVALID, str(error)) from None
    if not key.isprintable():
        # Tokens are checked, not signed, and what continues here goes to a database.
        raise HubError(HubCode.ARGUMENT_INVALID, "The continuation token is not one of this server.")
    return key


def page_size(text: str | None) -> int:
    """Read `x-ms-max-item-count`. Raises HubError ARGUMENT_INVALID."""
    if text is None or not text.strip():
        return DEFAULT_PAGE
    number = text.strip()
    if not (number.isascii() and number.isdigit() and len(number) <= 6 and 1 <= int(number) <= MAX_PAGE):
        raise HubError(HubCode.ARGUMENT_INVALID, f"x-ms-max-item-count is a number from 1 to {MAX_PAGE}.")
    return int(number)
