"""Pages of a listing, with a filter by the beginning of an id. The API has no such filter: the portal looks itself."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from aiohttp import web

from homeport.client.models import Page

T = TypeVar("T")

SIZE = 50
SCAN_SIZE = 500
MAX_SCANNED_PAGES = 10
"""A search reads at most this many pages of the API at once; a link goes on from there."""

_TOKEN = re.compile(r"[A-Za-z0-9+/=_.~-]{1,2048}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Generic[T]):
    """What one page shows. `after` continues, None at the end; `searched_on` says that the search is not over."""

    items: Sequence[T]
    prefix: str
    after: str | None
    first: bool
    unfinished: bool = False


def token_of(request: web.Request) -> str | None:
    """Return the continuation that the request's `after` names. Raises HTTPBadRequest."""
    after = request.query.get("after") or None
    if after is not None and not _TOKEN.fullmatch(after):
        raise web.HTTPBadRequest(text="This address names a page that does not exist.")
    return after


async def listing(
    request: web.Request, ask: Callable[[int, str | None], Awaitable[Page[T]]], key: Callable[[T], str]
) -> Listing[T]:
    """Return the page that `q` (the beginning of an id, in any letter case) and `after` of the request name.

    `ask` fetches one page of the API, of that size and after that continuation.
    """
    prefix = request.query.get("q", "").strip()[:128]
    after = token_of(request)
    first = after is None
    if not prefix:
        page = await ask(SIZE, after)
        return Listing(items=page.items, prefix="", after=page.continuation, first=first)
    found: list[T] = []
    wanted = prefix.lower()
    for _ in range(MAX_SCANNED_PAGES):
        page = await ask(SCAN_SIZE, after)
        found += [item for item in page.items if key(item).lower().startswith(wanted)]
        after = page.continuation
        if after is None or len(found) >= SIZE:
            return Listing(items=found, prefix=prefix, after=after, first=first)
    return Listing(items=found, prefix=prefix, after=after, first=first, unfinished=True)
