"""Driver for PostgreSQL: an asyncpg pool. A lost race is run again; a lost connection is the caller's to hear about."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg

from homeport.store.database import DatabaseError, Parameters, Row, Value, Work
from homeport.store.dialect import Dialect, numbered

T = TypeVar("T")

_log = logging.getLogger(__name__)

_NOTHING: Mapping[str, Any] = {}
_CONNECT_SECONDS = 10.0
_STATEMENT_SECONDS = 30.0
_TRIES = 6
_PAUSE = 0.005

_LOST_RACE = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
_OUT_OF_REACH = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that the server has ended, used before that was noticed
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)


class PostgresTransaction:
    """Statements on one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def execute(self, sql: str, parameters: Parameters = _NOTHING) -> int:
        text, names = numbered(sql)
        return _changed(await self._connection.execute(text, *_arguments(parameters, names)))

    async def execute_many(self, sql: str, parameters: Sequence[Parameters]) -> None:
        text, names = numbered(sql)
        await self._connection.executemany(text, [_arguments(each, names) for each in parameters])

    async def fetch_one(self, sql: str, parameters: Parameters = _NOTHING) -> Row | None:
        rows = await self.fetch_all(sql, parameters)
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, parameters: Parameters = _NOTHING) -> Sequence[Row]:
        text, names = numbered(sql)
        rows: Sequence[Row] = await self._connection.fetch(text, *_arguments(parameters, names))
        return rows

    def writes(self, table: str) -> None:
        """Do nothing: other processes must learn of it too, and do from the count of changes."""


class PostgresDatabase:
    """A pool of connections to one database; several processes may share it."""

    def __init__(self, pool: Any, name: str) -> None:
        self._pool = pool
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._started: set[asyncio.Task[Any]] = set()
        self._closed = False

    @classmethod
    async def connect(cls, url: str, *, pool_size: int = 10, read_only: bool = False) -> "PostgresDatabase":
        """Connect to `postgresql://…`; raises DatabaseError, whose text names the server but not the password."""
        name = _name(url)
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=pool_size,
                timeout=_CONNECT_SECONDS,
                command_timeout=_STATEMENT_SECONDS,
                server_settings={
                    "application_name": "homeport",
                    "synchronous_commit": "on",  # a server set to lazy commits would break what we promise
                    "jit": "off",
                    "default_transaction_read_only": "on" if read_only else "off",
                },
            )
        except (*_OUT_OF_REACH, ValueError) as error:
            raise _failure(name, error) from error
        return cls(pool, name)

    @property
    def dialect(self) -> Dialect:
        return "postgres"

    def edition(self, table: str) -> int | None:
        del table
        return None

    async def fetch_one(self, sql: str, parameters: Parameters = _NOTHING) -> Row | None:
        return await self._run(lambda connection: PostgresTransaction(connection).fetch_one(sql, parameters))

    async def fetch_all(self, sql: str, parameters: Parameters = _NOTHING) -> Sequence[Row]:
        return await self._run(lambda connection: PostgresTransaction(connection).fetch_all(sql, parameters))

    async def execute(self, sql: str, parameters: Parameters = _NOTHING, *, durable: bool = True) -> int:
        del durable
        return await self._run(lambda connection: PostgresTransaction(connection).execute(sql, parameters))

    async def read(self, work: Work[T]) -> T:
        async def within(connection: Any) -> T:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await work(PostgresTransaction(connection))

        return await self._run(within)

    async def write(self, work: Work[T], *, durable: bool = True) -> T:
        del durable  # every commit waits for the disk: asking for less costs a round trip of its own

        async def within(connection: Any) -> T:
            async with connection.transaction():
                return await work(PostgresTransaction(connection))

        return await self._run(within)

    def start(self, work: Work[T], *, durable: bool = True) -> asyncio.Future[T]:
        if self._closed:
            raise DatabaseError(f"{self._name} is closed.")
        # Nobody may be waiting for this work, so no caller's TaskGroup can own it: the driver does, and `close` waits.
        task: asyncio.Task[T] = self._loop.create_task(self.write(work, durable=durable))
        self._started.add(task)
        task.add_done_callback(self._started.discard)
        return task

    async def close(self) -> None:
        self._closed = True
        while self._started:
            await asyncio.wait(self._started)
        try:
            await asyncio.wait_for(self._pool.close(), _CONNECT_SECONDS)
        except _OUT_OF_REACH as error:
            _log.warning("Connections were dropped: %s", _failure(self._name, error))
            self._pool.terminate()

    async def _run(self, within: Callable[[Any], Awaitable[T]]) -> T:
        for tried in range(_TRIES):
            try:
                async with self._pool.acquire(timeout=_CONNECT_SECONDS) as connection:
                    return await within(connection)
            except _LOST_RACE as error:
                if tried == _TRIES - 1:
                    raise _failure(self._name, error) from error
                # Jitter, so that two that collided do not meet again; no secret depends on it.
                await asyncio.sleep(_PAUSE * random.uniform(1, 2 ** (tried + 1)))  # noqa: S311 - see above
            except _OUT_OF_REACH as error:
                raise _failure(self._name, error) from error
        raise AssertionError


def _arguments(parameters: Parameters, names: Sequence[str]) -> list[Value]:
    """Return the values in order; a NUL, which PostgreSQL refuses in text, becomes the replacement character."""
    return [
        value.replace("\0", "\ufffd") if isinstance(value := parameters[name], str) and "\0" in value else value
        for name in names
    ]


def _changed(tag: str) -> int:
    """Return the count at the end of a command tag: `INSERT 0 1`, `UPDATE 3`; zero where there is none."""
    count = tag.rpartition(" ")[2]
    return int(count) if count.isdigit() else 0


def _failure(name: str, error: Exception) -> DatabaseError:
    # A ValueError is about the address, and might repeat the password that stands in it.
    reason = "" if isinstance(error, ValueError) else str(error)
    return DatabaseError(f"{name}: {reason or type(error).__name__}")


def _name(url: str) -> str:
    """Return what may be logged of a database URL."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or "local socket"
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the PostgreSQL address"
    return f"postgresql://{host}{port}{parts.path}"
