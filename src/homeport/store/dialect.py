"""The few places where SQLite and PostgreSQL differ: parameter style, and words that one of them lacks.

`/*postgres FOR UPDATE SKIP LOCKED*/` is a comment to SQLite and a clause to PostgreSQL; `/*sqlite …*/` the reverse.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

Dialect = Literal["sqlite", "postgres"]

_ASIDE = re.compile(r"/\*(sqlite|postgres) (.*?)\*/", re.DOTALL)
_NAMED = re.compile(r"(?<![:\w]):([a-z_]+)")


def open_asides(sql: str, dialect: Dialect) -> str:
    """Return the statement with this dialect's asides opened and the other's removed."""
    return _ASIDE.sub(lambda aside: aside[2] if aside[1] == dialect else "", sql)


@lru_cache(maxsize=1024)
def numbered(sql: str) -> tuple[str, Sequence[str]]:
    """Return the statement as PostgreSQL takes it (`$1`, `$2` …) and the parameters' names in that order."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    return _NAMED.sub(number, open_asides(sql, "postgres")), tuple(names)


def statements(script: str, dialect: Dialect) -> list[str]:
    """Split a migration into statements; a semicolon at the end of a line ends one, and stands nowhere else."""
    text = "\n".join(line for line in open_asides(script, dialect).splitlines() if not line.lstrip().startswith("--"))
    return [statement for part in re.split(r";[ \t]*(?:\n|$)", text) if (statement := part.strip())]
