"""The operator's settings for allocation, in SQL: one row, which is kept in memory with the linked hubs."""

from homeport.dps.model import AllocationSettings, Kind, change
from homeport.security.callers import SYSTEM, Caller
from homeport.store.cached import changed
from homeport.store.database import Database, Transaction
from homeport.store.journal import SqlJournal
from homeport.store.rows import Codec

_GET = "SELECT data FROM allocation_settings WHERE one = 1"
_PUT = """
    INSERT INTO allocation_settings (one, data) VALUES (1, :data)
    ON CONFLICT (one) DO UPDATE SET data = excluded.data"""
_TABLE = "linked_hubs"
"""Decisions need hubs and settings together, so one count tells of changes of either."""

_PUT_KEYS = "UPDATE settings SET value = :value WHERE name = :name"

_codec = Codec(AllocationSettings)


class SqlAllocationSettingsStore:
    """AllocationSettingsStore over a Database."""

    def __init__(self, database: Database, journal: SqlJournal) -> None:
        self._database = database
        self._journal = journal

    async def get(self) -> AllocationSettings:
        return await self._database.read(read_settings)

    async def put(self, settings: AllocationSettings, *, by: Caller = SYSTEM) -> None:
        async def work(transaction: Transaction) -> None:
            before = await read_settings(transaction)
            entry = change(Kind.ALLOCATION_UPDATED, "allocation/settings", by, before=before, after=settings)
            await self._journal.append(transaction, entry)
            await changed(transaction, _TABLE)
            await transaction.execute(_PUT, {"data": _codec.encode(settings)})

        await self._database.write(work)

    async def put_signing_keys(self, name: str, keys: bytes, *, by: Caller) -> None:
        async def work(transaction: Transaction) -> None:
            await transaction.execute(_PUT_KEYS, {"name": name, "value": keys})
            await self._journal.append(transaction, change(Kind.SIGNING_KEY_ROTATED, "allocation/signingKeys", by))

        await self._database.write(work)


async def read_settings(transaction: Transaction) -> AllocationSettings:
    """Return the settings, the defaults if none were ever stored."""
    row = await transaction.fetch_one(_GET)
    return AllocationSettings() if row is None else _codec.decode(row[0])
