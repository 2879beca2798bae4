"""The hub's query language, as far as it is understood here: `SELECT * FROM devices` (contract hub.md 8.2).

Text in, a Query out, or a refusal that names what was not understood. Running a query is the service's business.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from homeport.hub.errors import HubCode, HubError

MAX_TEXT_CHARACTERS = 8192

_TOKEN = re.compile(r"""[\w.]+|'[^']*'|"[^"]*"|\S""")
_SHOWN_CHARACTERS = 40
_UNDERSTOOD = "this server understands SELECT * FROM devices."


class Source(Enum):
    """What is queried."""

    DEVICES = "devices"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query that can be answered: every row of its source, in full."""

    source: Source


class QueryError(HubError):
    """The text is not a query that is understood; the message says where understanding ended."""

    def __init__(self, message: str) -> None:
        super().__init__(HubCode.ARGUMENT_INVALID, message)


def parse(text: str) -> Query:
    """Read a query. Raises QueryError."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise QueryError(f"The query is longer than {MAX_TEXT_CHARACTERS} characters.")
    tokens = _tokens(text)
    for wanted in ("select", "*", "from", "devices"):
        found = next(tokens, None)
        if found is None:
            raise QueryError(f"The query ends where {wanted.upper()} was expected; {_UNDERSTOOD}")
        if found.lower() != wanted:
            raise QueryError(f"The query has {_shown(found)} where {wanted.upper()} was expected; {_UNDERSTOOD}")
    surplus = next(tokens, None)
    if surplus is not None:
        raise QueryError(f"The query goes on with {_shown(surplus)}, which is not understood; {_UNDERSTOOD}")
    return Query(source=Source.DEVICES)


def _tokens(text: str) -> Iterator[str]:
    return (match[0].strip() for match in _TOKEN.finditer(text.strip()))


def _shown(token: str) -> str:
    return repr(token if len(token) <= _SHOWN_CHARACTERS else token[:_SHOWN_CHARACTERS] + "…")
