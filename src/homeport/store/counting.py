"""Counts along indexes, a portion at a time: no statement holds the process up, however many rows there are."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence

from homeport.dps.model import Count, RegistrationStatus
from homeport.store.database import Database

PORTION = 10_000

_OPEN = (
    "SELECT hub_key, status, COUNT(*) FROM registrations WHERE is_open = 1 AND deadline > 0 GROUP BY hub_key, status"
)

_MOVING = (
    "SELECT hub_key, home_key, COUNT(*) FROM registrations "
    "WHERE is_open = 1 AND home_key IS NOT NULL AND home_key <> hub_key GROUP BY hub_key, home_key"
)


async def count_individuals(database: Database, *, portion: int = PORTION) -> Sequence[Count]:
    """Count individual enrollments by kind and status."""
    counts: Counter[tuple[str, str]] = Counter()
    async for kind, status, number in _portions(database, "individual_enrollments", "kind", "status", "", portion):
        counts[kind, status] += number
    return _counts(counts)


async def count_registrations(database: Database, *, portion: int = PORTION) -> Sequence[Count]:
    """Count registrations by hub and status.

    There is no index of those that are assigned: they are what a hub has besides those that ended otherwise and those
    in progress. Changes between the portions may show.
    """
    counts: Counter[tuple[str, str]] = Counter()
    hubs: Counter[str] = Counter()
    async for hub, _, number in _portions(database, "registrations", "hub_key", "''", "hub_key <> ''", portion):
        hubs[hub] += number
    unusual = _portions(database, "registrations", "status", "hub_key", "is_open = 0 AND status <> 'assigned'", portion)
    async for status, hub, number in unusual:
        counts[hub, status] += number
    for hub, status, number in await database.fetch_all(_OPEN):
        counts[hub, status] += number
    otherwise: Counter[str] = Counter()
    for (hub, _), number in counts.items():
        otherwise[hub] += number
    for hub, number in hubs.items():
        counts[hub, RegistrationStatus.ASSIGNED.value] += max(number - otherwise[hub], 0)
    return _counts(counts)


async def count_devices_by_hub(database: Database, *, portion: int = PORTION) -> Mapping[str, int]:
    """Count the devices at home at each hub: assigned to it, unless on the way to another, or on the way to it."""
    homes: Counter[str] = Counter()
    async for hub, _, number in _portions(database, "registrations", "hub_key", "''", "hub_key <> ''", portion):
        homes[hub] += number
    for hub, home, number in await database.fetch_all(_MOVING):
        homes[hub] -= number
        homes[home] += number
    return {hub: number for hub, number in homes.items() if hub and number > 0}


async def _portions(
    database: Database, table: str, column: str, other: str, condition: str, portion: int
) -> AsyncIterator[tuple[str, str, int]]:
    """Yield numbers by two columns, along an index that begins with (column, id_key)."""
    # Names of this package's tables and columns: nothing that a caller wrote enters the statement.
    where = f"({column}, id_key) > (:place, :id_key)" + (f" AND {condition}" if condition else "")
    statement = (
        f"SELECT first, second, COUNT(*), MAX(id_key) FROM ("
        f"SELECT {column} AS first, id_key, {other} AS second FROM {table} WHERE {where} "
        f"ORDER BY {column}, id_key LIMIT :portion) AS portion GROUP BY first, second"
    )
    place, id_key = "", ""
    while True:
        rows = await database.fetch_all(statement, {"place": place, "id_key": id_key, "portion": portion})
        for row in rows:
            yield row[0], row[1], row[2]
        if sum(row[2] for row in rows) < portion:
            return
        place, id_key = max((row[0], row[3]) for row in rows)
        await asyncio.sleep(0)


def _counts(counts: Counter[tuple[str, str]]) -> Sequence[Count]:
    return [
        Count(kind=kind, status=status, number=number) for (kind, status), number in sorted(counts.items()) if number
    ]
