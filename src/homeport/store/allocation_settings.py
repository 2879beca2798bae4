"""The operator's settings for allocation, in SQL: one row, kept in memory as long as nobody has changed it."""

from collections.abc import Sequence

from homeport.dps.model import AllocationSettings
from homeport.store.cached import CachedTable
from homeport.store.database import Database, Transaction
from homeport.store.rows import Codec

_GET = "SELECT data FROM allocation_settings WHERE one = 1"
_PUT = """
    INSERT INTO allocation_settings (one, data) VALUES (1, :data)
    ON CONFLICT (one) DO UPDATE SET data = excluded.data"""

_codec = Codec(AllocationSettings)


class SqlAllocationSettingsStore:
    """AllocationSettingsStore over a Database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._settings = CachedTable(database, "allocation_settings", _load)

    async def get(self) -> AllocationSettings:
        stored = await self._settings.content()
        return stored[0] if stored else AllocationSettings()

    async def put(self, settings: AllocationSettings) -> None:
        async def work(transaction: Transaction) -> None:
            await self._settings.changed(transaction)
            await transaction.execute(_PUT, {"data": _codec.encode(settings)})

        await self._database.write(work)


async def _load(transaction: Transaction) -> Sequence[AllocationSettings]:
    return [_codec.decode(data) for (data,) in await transaction.fetch_all(_GET)]
