"""Necessary conditions about twins in SQL: a scan that leaves out what cannot be meant.

SQLite compares by its own types, where true is 1 and any text is above any number; PostgreSQL by those of JSON. Both
find at least what is meant.
"""

from collections.abc import Sequence
from typing import assert_never

import msgspec

from homeport.hub.model import Bounded, OneOf, Sought
from homeport.store.database import Value
from homeport.store.dialect import Dialect

_SEPARATOR = "\x1f"
"""Between the names of a path for PostgreSQL: no name in a twin has a control character (contract hub.md 6.3)."""


class Search:
    """A clause that begins with AND, empty if nothing is sought, and the parameters for it."""

    def __init__(self, sought: Sequence[Sought], dialect: Dialect) -> None:
        self._dialect = dialect
        self._count = 0
        self.parameters: dict[str, Value] = {}
        self.clause = "".join(f" AND {self._condition(one)}" for one in sought)

    def _condition(self, one: Sought) -> str:
        match one:
            case OneOf(path=path, values=values):
                # In one order, so that equal conditions make equal statements.
                wanted = sorted(values, key=lambda value: (isinstance(value, str), str(value)))
                comparison = f"IN ({', '.join(map(self._value, wanted))})"
            case Bounded(path=path, low=low, high=None) if low is not None:
                comparison = f">= {self._value(low)}"
            case Bounded(path=path, low=None, high=high) if high is not None:
                comparison = f"<= {self._value(high)}"
            case Bounded():
                raise ValueError("a Bounded has exactly one bound")
            case _:
                assert_never(one)
        column, names = _place(path)
        if self._dialect == "sqlite":
            place = self._parameter("$" + "".join(f'."{name}"' for name in names))
            return f"json_extract({column}, {place}) {comparison}"
        place = self._parameter(_SEPARATOR.join(names))
        value = f"CAST({column} AS jsonb) #> string_to_array({place}, chr({ord(_SEPARATOR)}))"
        # A twin in which a NUL is written cannot become jsonb: it is found in any case.
        has_nul = rf"position('\u0000' IN CAST({column} AS text)) > 0"
        return f"CASE WHEN {has_nul} THEN true ELSE {value} {comparison} END"

    def _value(self, value: str | float | bool) -> str:
        if self._dialect == "sqlite":
            return self._parameter(int(value) if isinstance(value, bool) else value)
        return f"CAST({self._parameter(msgspec.json.encode(value).decode())} AS jsonb)"

    def _parameter(self, value: Value) -> str:
        name = f"sought_{self._count:d}".translate(_DIGITS)
        self._count += 1
        self.parameters[name] = value
        return f":{name}"


_DIGITS = str.maketrans("0123456789", "abcdefghij")
"""Names of parameters are made of letters (`dialect`)."""


def _place(path: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return the column, and where in it the value is."""
    match path:
        case ("properties", "reported", *below):
            return "reported", ("content", *below)
        case ("properties", "desired", *below):
            return "twin", ("desired", "content", *below)
        case _:
            return "twin", path
