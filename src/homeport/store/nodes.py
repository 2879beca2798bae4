"""Which processes are alive, in SQL. What a dead one held is disconnected where devices are looked after."""

from datetime import datetime

from homeport.hub.model import Beat
from homeport.store.database import Database, Parameters, Transaction
from homeport.store.rows import from_micros, to_micros

_RENEW = "UPDATE nodes SET seen_at = :now, until = :until WHERE node = :node"
_ENTER = "INSERT INTO nodes (node, seen_at, until) VALUES (:node, :now, :until) ON CONFLICT (node) DO NOTHING"
_BURY = "DELETE FROM nodes WHERE until < :now RETURNING node, seen_at"
_LEAVE = "DELETE FROM nodes WHERE node = :node"
_ALIVE = "SELECT node FROM nodes ORDER BY node"


class SqlNodeStore:
    """NodeStore over a Database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def beat(self, node: str, *, now: datetime, until: datetime) -> Beat:
        values: Parameters = {"node": node, "now": to_micros(now), "until": to_micros(until)}

        async def work(transaction: Transaction) -> Beat:
            is_new = not await transaction.execute(_RENEW, values)
            if is_new:
                await transaction.execute(_ENTER, values)
            buried = {dead: from_micros(seen_at) for dead, seen_at in await transaction.fetch_all(_BURY, values)}
            alive = [row[0] for row in await transaction.fetch_all(_ALIVE, {})]
            return Beat(is_new=is_new, alive=alive, buried=buried)

        return await self._database.write(work)

    async def leave(self, node: str) -> None:
        await self._database.execute(_LEAVE, {"node": node})
