"""What the service must remember about itself (its id scope, its policies), by name."""

from homeport.store.database import Database, Transaction

_GET = "SELECT value FROM settings WHERE name = :name"
_PUT = """
    INSERT INTO settings (name, value) VALUES (:name, :value)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value"""
_PUT_IF_ABSENT = "INSERT INTO settings (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING"


class SettingsStore:
    """Small values by name; what is in them is the reader's business."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, name: str) -> bytes | None:
        row = await self._database.fetch_one(_GET, {"name": name})
        return None if row is None else row[0]

    async def put(self, name: str, value: bytes) -> None:
        """Store the value, whatever was there."""
        await self._database.execute(_PUT, {"name": name, "value": value})

    async def put_if_absent(self, name: str, value: bytes) -> bytes:
        """Store the value unless there is one; return the one that stands, the same to everyone who asks."""
        return await self._database.write(lambda transaction: self.put_if_absent_in(transaction, name, value))

    async def put_if_absent_in(self, transaction: Transaction, name: str, value: bytes) -> bytes:
        """Do so as part of a transaction."""
        if await transaction.execute(_PUT_IF_ABSENT, {"name": name, "value": value}):
            return value
        row = await transaction.fetch_one(_GET, {"name": name})
        if row is None:
            raise AssertionError("settings are never deleted")
        standing: bytes = row[0]
        return standing
