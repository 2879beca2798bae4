"""Small tables that are read far more often than written, kept in memory as long as nobody has changed them."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from homeport.store.database import Database, Transaction

T = TypeVar("T")

_COUNT = "SELECT count FROM changes WHERE name = :name"
_CHANGE = "UPDATE changes SET count = count + 1 WHERE name = :name"


async def changed(transaction: Transaction, table: str) -> None:
    """Say, in the transaction that writes a small table, that it is written."""
    transaction.writes(table)
    await transaction.execute(_CHANGE, {"name": table})


class CachedTable(Generic[T]):
    """A table's content; the count of its changes, in the database, tells whether another process wrote it.

    Nobody asks for the count where the database knows better (`Database.edition`).
    """

    def __init__(
        self, database: Database, name: str, load: Callable[[Transaction], Coroutine[Any, Any, Sequence[T]]]
    ) -> None:
        self._database = database
        self._table = name
        self._name = {"name": name}
        self._load = load
        self._count = -1
        self._content: Sequence[T] = ()
        self._edition: int | None = None

    async def content(self) -> Sequence[T]:
        """Return the table as it is when this returns, or newer than when this was called."""
        edition = self._database.edition(self._table)
        if edition is not None and edition == self._edition:
            return self._content
        row = await self._database.fetch_one(_COUNT, self._name)
        if row is None or row[0] != self._count:
            self._count, self._content = await self._database.read(self._read)
        self._edition = edition
        return self._content

    async def versioned(self) -> tuple[int, Sequence[T]]:
        """Return the count of changes with the content it belongs to."""
        await self.content()
        return self._count, self._content

    async def changed(self, transaction: Transaction) -> None:
        """Say, in the transaction that writes the table, that it is written."""
        await changed(transaction, self._table)

    async def _read(self, transaction: Transaction) -> tuple[int, Sequence[T]]:
        row = await transaction.fetch_one(_COUNT, self._name)
        return -1 if row is None else row[0], tuple(await self._load(transaction))
