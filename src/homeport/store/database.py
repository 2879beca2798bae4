"""What a driver offers: run a function in one transaction. Statements and row formats live with the stores.

The stores are written once. Their SQL is the subset SQLite and PostgreSQL share, with named parameters (`:name`);
what only one of them understands stands in a comment that this one's driver opens (`dialect.py`).
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from homeport.errors import Code, HomeportError
from homeport.store.dialect import Dialect

T = TypeVar("T")

Value = str | bytes | int | float | None
Parameters = Mapping[str, Value]
Row = Sequence[Any]

_RETRY_AFTER = 5


class DatabaseError(HomeportError):
    """The database is locked, full, damaged or out of reach: UNAVAILABLE for the caller.

    `detail` says what happened, for the operator's log; it never holds a password, and never goes to a device.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(Code.UNAVAILABLE, "The store is out of reach for now.", retry_after=_RETRY_AFTER)
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


class SchemaError(Exception):
    """The database was written by another program version than this one can serve; starting must fail."""


class Transaction(Protocol):
    """Statements inside one transaction. A `Work` may await these methods and nothing else."""

    async def execute(self, sql: str, parameters: Parameters = ...) -> int:
        """Run one statement and return how many rows it changed."""
        ...

    async def execute_many(self, sql: str, parameters: Sequence[Parameters]) -> None:
        """Run one statement for each set of parameters."""
        ...

    async def fetch_one(self, sql: str, parameters: Parameters = ...) -> Row | None:
        """Run one statement and return its first row."""
        ...

    async def fetch_all(self, sql: str, parameters: Parameters = ...) -> Sequence[Row]:
        """Run one statement and return its rows."""
        ...

    def writes(self, table: str) -> None:
        """Say that this transaction writes a small table that is kept in memory: see `Database.edition`."""
        ...


Work = Callable[[Transaction], Coroutine[Any, Any, T]]
"""A function that does its whole job through the transaction it is given.

It may be called more than once (a transaction that lost a race is tried again), so it must keep nothing between
calls. What it raises undoes its own changes and reaches the caller.
"""


class Database(Protocol):
    """One database. What writes returns when the change is durable, unless told otherwise; all raise DatabaseError."""

    @property
    def dialect(self) -> Dialect:
        """The SQL it speaks, for the few searches that cannot be written for both."""
        ...

    def edition(self, table: str) -> int | None:
        """Return a number that stays the same as long as nobody writes this small table.

        None where another process may do so unseen, and while a transaction that wrote it goes on.
        """
        ...

    async def fetch_one(self, sql: str, parameters: Parameters = ...) -> Row | None:
        """Read with one statement and return its first row."""
        ...

    async def fetch_all(self, sql: str, parameters: Parameters = ...) -> Sequence[Row]:
        """Read with one statement and return its rows."""
        ...

    async def execute(self, sql: str, parameters: Parameters = ..., *, durable: bool = True) -> int:
        """Write with one statement, a transaction of its own; return how many rows changed. See `write`."""
        ...

    async def read(self, work: Work[T]) -> T:
        """Run a function that only reads; all its statements see the same state."""
        ...

    async def write(self, work: Work[T], *, durable: bool = True) -> T:
        """Run a function in a transaction; waits while too many others are queued.

        Without `durable` it may return before the disk has the change, and before reads see it: writes that come
        after it see it, and it is durable no later than they are. For the steps before a write that settles them.
        """
        ...

    def start(self, work: Work[T], *, durable: bool = True) -> asyncio.Future[T]:
        """Begin like `write` without waiting for room; what was begun goes on when nobody waits for it.

        The caller bounds how much it starts.
        """
        ...

    async def close(self) -> None:
        """Finish what was begun, refuse anything new, and let the database go."""
        ...
