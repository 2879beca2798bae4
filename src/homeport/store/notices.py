"""What waits for services to take it, in SQL: one table for each kind, all of the same shape."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from homeport.hub.model import Waiting
from homeport.store.database import Database, Parameters, Transaction
from homeport.store.rows import from_micros, key_of, to_micros

N = TypeVar("N")

_FREE = "WHERE hub = :hub AND locked_until <= :now AND deliveries < :max_deliveries"
_WAITING = f"SELECT count(*), min(created_at) FROM {{table}} {_FREE}"
_NEXT = f"""
    SELECT seq, deliveries, data FROM {{table}} {_FREE}
    ORDER BY seq LIMIT :limit /*postgres FOR UPDATE SKIP LOCKED*/"""
_HOLD = "UPDATE {table} SET token = :token, locked_until = :until, deliveries = deliveries + 1 WHERE seq = :seq"
_HELD = "WHERE hub = :hub AND token = :token AND locked_until > :now"
_FORGET = f"DELETE FROM {{table}} {_HELD}"
_PUT_BACK = f"UPDATE {{table}} SET token = NULL, locked_until = 0 {_HELD}"
_EXPIRE = """
    DELETE FROM {table} WHERE hub = :hub
    AND (created_at < :before OR (locked_until <= :now AND deliveries >= :max_deliveries))"""


class SqlNoticeStore(Generic[N]):
    """NoticeStore of one hub over a Database."""

    def __init__(self, database: Database, hub: str, *, table: str, read: Callable[[str, int], N]) -> None:
        """`table` is one of ours, never input; `read` makes a notice of a row's data and its deliveries so far."""
        self._database = database
        self._hub = key_of(hub)
        self._read = read
        self._waiting, self._next, self._hold, self._forget, self._put_back, self._expire = (
            sql.format(table=table) for sql in (_WAITING, _NEXT, _HOLD, _FORGET, _PUT_BACK, _EXPIRE)
        )

    async def waiting(self, *, now: datetime, max_deliveries: int) -> Waiting:
        row = await self._database.fetch_one(self._waiting, self._free(now, max_deliveries))
        count, oldest = row or (0, None)
        return Waiting(count=count, oldest=from_micros(oldest))

    async def take(self, *, limit: int, now: datetime, until: datetime, token: str, max_deliveries: int) -> Sequence[N]:
        async def work(transaction: Transaction) -> Sequence[N]:
            rows = await transaction.fetch_all(self._next, {**self._free(now, max_deliveries), "limit": limit})
            for seq, _, _ in rows:
                await transaction.execute(self._hold, {"seq": seq, "token": token, "until": to_micros(until)})
            return [self._read(data, deliveries) for _, deliveries, data in rows]

        return await self._database.write(work)

    async def finish(self, token: str, *, now: datetime, keep: bool) -> bool:
        where: Parameters = {"hub": self._hub, "token": token, "now": to_micros(now)}
        return await self._database.execute(self._put_back if keep else self._forget, where) > 0

    async def expire(self, *, created_before: datetime, now: datetime, max_deliveries: int) -> int:
        return await self._database.execute(
            self._expire, {**self._free(now, max_deliveries), "before": to_micros(created_before)}
        )

    def _free(self, now: datetime, max_deliveries: int) -> dict[str, str | int]:
        return {"hub": self._hub, "now": to_micros(now), "max_deliveries": max_deliveries}
