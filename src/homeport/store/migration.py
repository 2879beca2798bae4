"""Brings a database to the program's schema: numbered scripts, forward only, one process at a time.

A released script is never edited: its checksum is kept, and one that differs stops the start.
"""

import hashlib
from collections.abc import Sequence
from importlib.resources import files

from msgspec import Struct

from homeport.store.database import Database, SchemaError, Transaction
from homeport.store.dialect import Dialect, statements

_TABLE = "CREATE TABLE IF NOT EXISTS schema_scripts (number INTEGER PRIMARY KEY, name TEXT, checksum TEXT NOT NULL)"
_LOCK = 4_700_116_116
"""Any number that no other program uses for an advisory lock in this database."""


class Script(Struct, frozen=True, kw_only=True):
    """One step of the schema."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def scripts() -> Sequence[Script]:
    """Return the program's scripts in order."""
    found = [
        Script(number=int(file.name[:4]), name=file.name, text=file.read_text("utf-8"))
        for file in (files(__package__) / "migrations").iterdir()
        if file.name.endswith(".sql")
    ]
    return sorted(found, key=lambda script: script.number)


async def migrate(database: Database, dialect: Dialect, known: Sequence[Script] | None = None) -> int:
    """Run the scripts the database lacks, all in one transaction, and return how many there were.

    Raises SchemaError if the database is newer than the program or was made by other scripts.
    """
    expected = scripts() if known is None else known

    async def work(transaction: Transaction) -> int:
        if dialect == "postgres":
            await transaction.fetch_all("SELECT pg_advisory_xact_lock(:lock)", {"lock": _LOCK})
        await transaction.execute(_TABLE)
        missing = expected[await _checked(transaction, expected) :]
        for script in missing:
            for statement in statements(script.text, dialect):
                await transaction.execute(statement)
            await transaction.execute(
                "INSERT INTO schema_scripts (number, name, checksum) VALUES (:number, :name, :checksum)",
                {"number": script.number, "name": script.name, "checksum": script.checksum},
            )
        return len(missing)

    return await database.write(work)


async def check(database: Database) -> None:
    """Raise SchemaError unless the database has exactly the program's schema; for those who only read."""
    expected = scripts()

    async def work(transaction: Transaction) -> None:
        if await _checked(transaction, expected) < len(expected):
            raise SchemaError("The database is older than this program; start the server once to bring it up to date.")

    await database.read(work)


async def _checked(transaction: Transaction, expected: Sequence[Script]) -> int:
    """Return how many scripts have run; raise SchemaError if they are not the first of the expected ones."""
    rows = await transaction.fetch_all("SELECT number, checksum FROM schema_scripts ORDER BY number")
    if len(rows) > len(expected):
        newest = expected[-1].number if expected else 0
        raise SchemaError(
            f"The database was written by a newer Homeport (schema {rows[-1][0]}, this program knows {newest}). "
            "Install that version again, or restore a backup from before the update."
        )
    for (number, checksum), script in zip(rows, expected, strict=False):
        if number != script.number or checksum != script.checksum:
            raise SchemaError(
                f"The database's schema differs from this program's at step {number} ({script.name}): "
                "it was made by another build."
            )
    return len(rows)
