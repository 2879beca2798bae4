"""Pages of a listing, with a search: by the API's queries where it has them, else by looking through pages here."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from aiohttp import web
from msgspec import Struct

from homeport.client import BadRequestError
from homeport.client.models import Page

T = TypeVar("T")

SIZE = 50
SCAN_SIZE = 500
MAX_SCANNED_PAGES = 10
"""A search reads at most this many pages of the API at once; a link goes on from there."""

MAX_SHORT_PAGES = 4
"""A query's page may be short because the service stopped looking: so many are asked for at once."""
MAX_SEARCH = 1024
_ID = re.compile(r"[A-Za-z0-9\-._:]{1,128}")
_CONDITION = re.compile(r"[\s=<>(]")
_TOKEN = re.compile(r"[A-Za-z0-9+/=_.~-]{1,2048}")


class Listing(Struct, Generic[T], frozen=True, kw_only=True):
    """What one page shows. `after` continues, None at the end; `searched_on` says that the search is not over."""

    items: Sequence[T]
    prefix: str
    after: str | None
    first: bool
    unfinished: bool = False
    problem: str | None = None
    """Why the search is not understood."""


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


async def searching(
    request: web.Request,
    ask: Callable[[str, int, str | None], Awaitable[Page[T]]],
    id_field: str,
    *,
    source: str = "",
) -> Listing[T]:
    """Return the page that `q` and `after` of the request name, found by the service.

    `q` is the beginning of an id, or a condition as queries have them. `ask` fetches one page of a query's items;
    `source` is what stands behind FROM, where the service wants that said.
    """
    text = request.query.get("q", "").strip()[:MAX_SEARCH]
    after = token_of(request)
    first = after is None
    items: list[T] = []
    try:
        for _ in range(MAX_SHORT_PAGES):
            page = await ask(_query(text, id_field, source), SIZE - len(items), after)
            items += page.items
            after = page.continuation
            if after is None or len(items) >= SIZE:
                return Listing(items=items, prefix=text, after=after, first=first)
    except BadRequestError as error:
        if not text:
            raise
        return Listing(items=(), prefix=text, after=None, first=first, problem=error.message)
    return Listing(items=items, prefix=text, after=after, first=first, unfinished=True)


def is_condition(text: str) -> bool:
    """Tell a condition from the beginning of an id, where ids may hold nearly every sign."""
    return _CONDITION.search(text) is not None


def _query(text: str, id_field: str, source: str) -> str:
    everything = f"SELECT * FROM {source}" if source else "SELECT *"  # noqa: S608  # `source` is ours; it is no SQL
    if not text:
        return everything
    beginning = _ID.fullmatch(text) is not None and not is_condition(text)
    return f"{everything} WHERE STARTSWITH({id_field}, '{text}')" if beginning else f"{everything} WHERE {text}"
