"""Keeps PostgreSQL's statistics true, so that its plans fit how much is in our tables.

Without any, it takes a table for small and sorts all of it for one page. Autovacuum makes them, but only after a while,
and not at all where it is off or has too much to do; SQLite's plans need none.
"""

import logging
from collections.abc import Sequence

from homeport.clock import Clock
from homeport.store.database import Database, DatabaseError, Transaction

PERIOD_SECONDS = 60.0
LEAST_CHANGES = 1000
"""A table that changed less is read whole in no time, whatever the plan."""
_PART = 5
"""One row in so many has changed: that is a lot."""
_SMALL_BYTES = 65536
_LOCK = 4_700_116_117
"""One process looks at a time; migrations have the number before it."""

_STALE = f"""
    SELECT relation.relname
    FROM pg_class AS relation JOIN pg_stat_user_tables AS told ON told.relid = relation.oid
    WHERE told.schemaname = current_schema() AND (
        (relation.reltuples < 0 AND pg_relation_size(relation.oid) > {_SMALL_BYTES})
        OR (told.n_mod_since_analyze >= {LEAST_CHANGES} AND told.n_mod_since_analyze * {_PART} >= told.n_live_tup))
    ORDER BY relation.relname"""
_FILLED = f"""
    SELECT relname FROM pg_class
    WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
    AND pg_relation_size(oid) > {_SMALL_BYTES} ORDER BY relname"""

_log = logging.getLogger(__name__)


async def refresh(database: Database, *, every: bool = False) -> Sequence[str]:
    """Make new statistics of the tables that have none or have changed a lot, and return their names.

    `every` is for all tables that are not small: a new schema may ask for what nobody has counted yet. Does nothing
    on SQLite, or while another process is at it. Raises DatabaseError.
    """
    if database.dialect != "postgres":
        return ()

    async def work(transaction: Transaction) -> Sequence[str]:
        mine = await transaction.fetch_one("SELECT pg_try_advisory_xact_lock(:lock)", {"lock": _LOCK})
        if mine is None or not mine[0]:
            return ()
        rows = await transaction.fetch_all(_FILLED if every else _STALE)
        names = tuple(str(name) for (name,) in rows)
        for name in names:
            escaped = name.replace('"', '""')
            await transaction.execute(f'ANALYZE "{escaped}"')
        return names

    return await database.write(work)


async def look(database: Database, *, every: bool = False) -> None:
    """Refresh; it is optional work, so what fails is logged and nothing else."""
    try:
        names = await refresh(database, every=every)
    except DatabaseError as error:
        _log.warning("statistics of the database could not be made: %s", error)
        return
    if names:
        _log.info("made statistics of %s", ", ".join(names))


class StatisticsKeeper:
    """Looks every minute whether a lot has changed."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self._clock.sleep(PERIOD_SECONDS)
            await look(self._database)
