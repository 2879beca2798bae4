"""The record of why, in SQL: written behind the device's back, in batches, and bounded."""

import asyncio
import logging
from collections.abc import Sequence

import msgspec

from homeport.dps.model import Attempt
from homeport.paging import Page, TokenError
from homeport.store.batching import Batches
from homeport.store.database import Database, Transaction, Work
from homeport.store.rows import Codec, key_of

_log = logging.getLogger(__name__)

_BATCH = 256
_WAITING = 10_000
_PATIENCE = 0.02
"""Seconds a record may wait for others to share its commit; nobody waits for it but who reads it."""
_SWEEP_EVERY = 1000

_ADD = "INSERT INTO attempts (id_key, tracking_id, data) VALUES (:id_key, :tracking_id, :data)"

_TRIM = """
    DELETE FROM attempts WHERE id_key = :id_key
    AND seq <= (SELECT seq FROM attempts WHERE id_key = :id_key ORDER BY seq DESC LIMIT 1 OFFSET :keep)"""

_SWEEP = "DELETE FROM attempts WHERE seq <= (SELECT max(seq) FROM attempts) - :total"

_LATEST = "SELECT data FROM attempts WHERE id_key = :id_key ORDER BY seq DESC LIMIT :limit"
_FIND = "SELECT data FROM attempts WHERE tracking_id = :tracking_id ORDER BY seq DESC LIMIT 1"
_FIRST_PAGE = "SELECT seq, data FROM attempts ORDER BY seq DESC LIMIT :limit"
_PAGE = "SELECT seq, data FROM attempts WHERE seq < :before ORDER BY seq DESC LIMIT :limit"

_SEQ_DIGITS = 18

_Row = dict[str, str]

codec = Codec(Attempt)


class SqlAttemptStore:
    """AttemptStore over a Database: `kept` attempts per registration id, about `total` in all.

    When records come faster than the disk takes them, the oldest waiting ones are dropped and counted in `dropped`.
    """

    def __init__(self, database: Database, *, kept: int = 20, total: int = 200_000) -> None:
        self._database = database
        self._kept = kept
        self._total = total
        self._since_sweep = _SWEEP_EVERY
        self._batches: Batches[_Row, None] = Batches(
            database, work=self._work, done=self._done, weigh=lambda _: 1, limit=_BATCH, patience=_PATIENCE
        )
        self.dropped = 0

    def record(self, attempt: Attempt) -> None:
        try:
            row = _row(attempt)
        except (msgspec.MsgspecError, ValueError):  # a lone surrogate, say: strangers choose some of these texts
            self._lost(1, "it cannot be written as text")
            return
        if len(self._batches) >= _WAITING:
            self._batches.drop_oldest()
            self.dropped += 1
        self._batches.add(row)

    async def latest(self, registration_id: str, *, limit: int) -> Sequence[Attempt]:
        await self.flush()
        rows = await self._database.fetch_all(_LATEST, {"id_key": key_of(registration_id), "limit": limit})
        return [codec.decode(data) for (data,) in rows]

    async def find(self, tracking_id: str) -> Attempt | None:
        await self.flush()
        row = await self._database.fetch_one(_FIND, {"tracking_id": tracking_id})
        return None if row is None else codec.decode(row[0])

    async def page(self, *, after: str | None, limit: int) -> Page[Attempt]:
        await self.flush()
        if after is None:
            rows = await self._database.fetch_all(_FIRST_PAGE, {"limit": limit + 1})
        else:
            rows = await self._database.fetch_all(_PAGE, {"before": _seq(after), "limit": limit + 1})
        return Page(
            items=[codec.decode(data) for _, data in rows[:limit]],
            after=str(rows[limit - 1][0]) if len(rows) > limit else None,
        )

    async def flush(self) -> None:
        """Wait until everything recorded before is durable, or dropped."""
        await self._batches.flush()

    def _work(self, rows: Sequence[_Row]) -> Work[None]:
        # In one order everywhere, so that two processes never wait for each other's rows.
        trimmed = sorted({row["id_key"] for row in rows})
        self._since_sweep += len(rows)
        sweep = self._since_sweep >= _SWEEP_EVERY
        if sweep:
            self._since_sweep = 0

        async def work(transaction: Transaction) -> None:
            await transaction.execute_many(_ADD, rows)
            await transaction.execute_many(_TRIM, [{"id_key": id_key, "keep": self._kept} for id_key in trimmed])
            if sweep:
                await transaction.execute(_SWEEP, {"total": self._total})

        return work

    def _done(self, batch: Sequence[_Row], future: asyncio.Future[None]) -> None:
        if future.cancelled():
            self._lost(len(batch), "cancelled")
        elif (error := future.exception()) is not None:
            self._lost(len(batch), str(error))

    def _lost(self, count: int, why: str) -> None:
        self.dropped += count
        _log.error("%d records of attempts were lost: %s", count, why)


def _row(attempt: Attempt) -> _Row:
    return {
        "id_key": key_of(attempt.registration_id),
        "tracking_id": attempt.tracking_id,
        "data": codec.encode(attempt),
    }


def _seq(after: str) -> int:
    if not (after.isascii() and after.isdigit() and len(after) <= _SEQ_DIGITS):
        raise TokenError("The continuation token is not one of this server.")
    return int(after)
