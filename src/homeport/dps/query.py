"""The query texts of the service API: what is understood, and where the understanding ends (contract dps.md 8.6)."""

import re

from homeport.errors import Code, HomeportError

_WORD = re.compile(r"\S+")
_SOURCES = frozenset({"enrollments", "enrollmentgroups", "registrations"})
_MAX_LENGTH = 4096


def check_query(text: str) -> None:
    """Accept `""`, `SELECT *` and `SELECT * FROM source`; the path names the source, so a mismatch does not matter.

    Raises HomeportError INVALID_QUERY that says where.
    """
    if len(text) > _MAX_LENGTH:
        raise HomeportError(Code.INVALID_QUERY, f"The query is longer than {_MAX_LENGTH} characters.")
    words = [(match[0], match.start() + 1) for match in _WORD.finditer(text)]
    for position, expected in enumerate(("select", "*", "from")):
        if position == len(words) and position != 1:
            return
        word, column = words[position] if position < len(words) else ("", len(text) + 1)
        if word.lower() != expected:
            raise _unexpected(word, column, expected.upper())
    source, column = words[3] if len(words) > 3 else ("", len(text) + 1)
    if source.lower() not in _SOURCES:
        raise _unexpected(source, column, "enrollments, enrollmentGroups or registrations")
    if len(words) > 4:
        word, column = words[4]
        if word.lower() == "where":
            raise HomeportError(Code.INVALID_QUERY, f"Conditions are not offered: WHERE at position {column}.")
        raise _unexpected(word, column, "the end of the query")


def _unexpected(word: str, column: int, expected: str) -> HomeportError:
    found = f"'{word[:40]}'" if word else "the end of the query"
    return HomeportError(Code.INVALID_QUERY, f"Expected {expected} at position {column}, found {found}.")
