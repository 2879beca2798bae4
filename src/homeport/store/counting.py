"""Counts over an index, a portion at a time: no statement holds the process up, however many rows there are."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from homeport.dps.model import Count
from homeport.store.database import Database

PORTION = 20_000


async def count(database: Database, table: str, kind: str, *, portion: int = PORTION) -> Sequence[Count]:
    """Count a table's rows by the column `kind` and by `status`; there is an index (kind, id_key, status)."""
    # Names of this package's tables and columns: nothing that a caller wrote enters the statements.
    behind = f"FROM {table} WHERE ({kind}, id_key) > (:kind, :id_key)"
    last = f"SELECT {kind}, id_key {behind} ORDER BY {kind}, id_key LIMIT 1 OFFSET :portion"
    within = (
        f"SELECT {kind}, status, COUNT(*) {behind} AND ({kind}, id_key) <= (:last_kind, :last_key) "
        f"GROUP BY {kind}, status"
    )
    rest = f"SELECT {kind}, status, COUNT(*) {behind} GROUP BY {kind}, status"
    counts: Counter[tuple[str, str]] = Counter()
    place: dict[str, str | int] = {"kind": "", "id_key": ""}
    while True:
        end = await database.fetch_one(last, {**place, "portion": portion - 1})
        bounds = {} if end is None else {"last_kind": end[0], "last_key": end[1]}
        for row in await database.fetch_all(rest if end is None else within, {**place, **bounds}):
            counts[row[0], row[1]] += row[2]
        if end is None:
            return [Count(kind=of, status=status, number=number) for (of, status), number in sorted(counts.items())]
        place = {"kind": end[0], "id_key": end[1]}
        await asyncio.sleep(0)
