"""The IP filter's rules, in SQL; few, and looked at every second."""

from collections.abc import Sequence

from homeport.dps.model import Entry, Kind
from homeport.errors import Code, HomeportError
from homeport.security.callers import SYSTEM, Caller
from homeport.security.ip_filter import Rule
from homeport.store.cached import CachedTable
from homeport.store.database import Database, Transaction
from homeport.store.journal import SqlJournal
from homeport.store.rows import Codec

_ALL = "SELECT data FROM ip_filter ORDER BY place"
_CLEAR = "DELETE FROM ip_filter"
_ADD = "INSERT INTO ip_filter (place, data) VALUES (:place, :data)"
_VERSION = "SELECT count FROM changes WHERE name = 'ip_filter'"

codec = Codec(Rule)


class SqlIpFilterStore:
    """IpFilterStore over a Database; the version is the count of changes."""

    def __init__(self, database: Database, journal: SqlJournal) -> None:
        self._database = database
        self._journal = journal
        self._rules = CachedTable(database, "ip_filter", _load)

    async def get(self) -> tuple[int, Sequence[Rule]]:
        return await self._rules.versioned()

    async def put(self, rules: Sequence[Rule], *, expected: int | None, by: Caller = SYSTEM) -> int:
        async def work(transaction: Transaction) -> int:
            # First, because it is the lock that lets one writer at a time compare versions.
            await self._rules.changed(transaction)
            row = await transaction.fetch_one(_VERSION)
            if row is None:
                raise AssertionError("the migration made it")
            version: int = row[0]
            if expected is not None and expected != version - 1:
                raise HomeportError(Code.PRECONDITION_FAILED, "The rules were changed meanwhile.")
            before = await _load(transaction)
            await transaction.execute(_CLEAR)
            for place, rule in enumerate(rules):
                await transaction.execute(_ADD, {"place": place, "data": codec.encode(rule)})
            told = {"before": [_told(rule) for rule in before], "after": [_told(rule) for rule in rules]}
            entry = Entry(kind=Kind.IP_FILTER_UPDATED, subject="ipFilter", by=by, data={"changes": {"rules": told}})
            await self._journal.append(transaction, entry)
            return version

        return await self._database.write(work)


def _told(rule: Rule) -> str:
    door = "" if rule.door is None else f" at the {rule.door.value}"
    return f"{rule.name}: {rule.action.value} {rule.network}{door}"


async def _load(transaction: Transaction) -> Sequence[Rule]:
    return [codec.decode(data) for (data,) in await transaction.fetch_all(_ALL)]
