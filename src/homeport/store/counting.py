"""Counts over an index, a portion at a time: no statement holds the process up, however many rows there are."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from homeport.dps.model import Count
from homeport.store.database import Database

PORTION = 10_000


async def count(database: Database, table: str, kind: str, *, portion: int = PORTION) -> Sequence[Count]:
    """Count a table's rows by the column `kind` and by `status`; there is an index (kind, id_key, status)."""
    # Names of this package's tables and columns: nothing that a caller wrote enters the statement.
    statement = (
        f"SELECT {kind}, status, COUNT(*), MAX(id_key) FROM ("
        f"SELECT {kind}, id_key, status FROM {table} WHERE ({kind}, id_key) > (:kind, :id_key) "
        f"ORDER BY {kind}, id_key LIMIT :portion) AS portion GROUP BY {kind}, status"
    )
    counts: Counter[tuple[str, str]] = Counter()
    place = ("", "")
    while True:
        parameters = {"kind": place[0], "id_key": place[1], "portion": portion}
        rows = await database.fetch_all(statement, parameters)
        for row in rows:
            counts[row[0], row[1]] += row[2]
        if sum(row[2] for row in rows) < portion:
            return [Count(kind=of, status=status, number=number) for (of, status), number in sorted(counts.items())]
        place = max((row[0], row[3]) for row in rows)
        await asyncio.sleep(0)
