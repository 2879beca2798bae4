"""Small tables that are read far more often than written, kept in memory as long as nobody has changed them."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from homeport.store.database import Database, Transaction

T = TypeVar("T")

_COUNT = "SELECT count FROM changes WHERE name = :name"
_CHANGE = "UPDATE changes SET count = count + 1 WHERE name = :name"


class CachedTable(Generic[T]):
    """A table's content; the count of its changes, in the database, tells whether another process wrote it.

    Nobody asks for the count where no other process can write, until this one writes the table.
    """

    def __init__(
        self, database: Database, name: str, load: Callable[[Transaction], Coroutine[Any, Any, Sequence[T]]]
    ) -> None:
        self._database = database
        self._name = {"name": name}
        self._load = load
        self._count = -1
        self._content: Sequence[T] = ()
        self._stands = False
        self._changed_after = -1
        """How many transactions had ended when one last began to write the table."""

    async def content(self) -> Sequence[T]:
        """Return the table as it is when this returns, or newer than when this was called."""
        if self._stands:
            return self._content
        ended = self._database.ended
        row = await self._database.fetch_one(_COUNT, self._name)
        if row is None or row[0] != self._count:
            self._count, self._content = await self._database.read(self._read)
        # Not while the writer's own transaction goes on: what was read may be what it is about to change.
        self._stands = ended is not None and ended > self._changed_after
        return self._content

    async def versioned(self) -> tuple[int, Sequence[T]]:
        """Return the count of changes with the content it belongs to."""
        await self.content()
        return self._count, self._content

    async def changed(self, transaction: Transaction) -> None:
        """Say, in the transaction that writes the table, that it is written."""
        self._stands, self._changed_after = False, self._database.ended or 0
        await transaction.execute(_CHANGE, self._name)

    async def _read(self, transaction: Transaction) -> tuple[int, Sequence[T]]:
        row = await transaction.fetch_one(_COUNT, self._name)
        return -1 if row is None else row[0], tuple(await self._load(transaction))
