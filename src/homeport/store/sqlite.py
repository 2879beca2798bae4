"""Driver for one SQLite file: statements run on the event loop, commits in one thread, whole batches at a time.

A statement takes microseconds, a durable commit waits for the disk. Running both in a thread would pay for a change
of thread at every statement; under a saturated event loop that was measured to be three times slower (and without
`_lend_the_interpreter` both come to a standstill). Only one process may write a file; others may read it.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from homeport.store.database import DatabaseError, Parameters, Row, Work
from homeport.store.dialect import Dialect
from homeport.store.sqlite_file import BUSY_MILLISECONDS, MEMORY, attempt, connect, create_private

T = TypeVar("T")

_log = logging.getLogger(__name__)

_Job = tuple[Work[Any], asyncio.Future[Any], bool, bool]
"""What is to run, who waits for it, whether it must be durable by itself, and whether it needs a savepoint."""
_NOTHING: Mapping[str, Any] = {}
_BATCH_JOBS = 512
_BATCH_SECONDS = 0.01
"""A batch runs on the event loop: when it has taken this long, the rest waits for the next."""
_FOLLOW_UP_TURNS = 8
"""How many turns of the loop a commit waits for what follows a write that need not be durable."""
_FOLLOW_UP_SECONDS = 0.005
"""How long at most, whatever a commit waits for."""
_IDLE_TURN_SECONDS = 0.0001
"""A turn of the loop that took longer did other work, which may end in a write that can share the commit."""
_LEND_EVERY = 0.001
_LEND_FOR = 0.00005

_OUT_OF_REACH = frozenset({
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_PROTOCOL,
})  # fmt: skip


class SqliteTransaction:
    """Statements on one connection. The methods never suspend: `drive` relies on it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.written: set[str] = set()
        """The small tables that were written and whose transaction has not ended."""

    async def execute(self, sql: str, parameters: Parameters = _NOTHING) -> int:
        return self._connection.execute(sql, parameters).rowcount

    async def execute_many(self, sql: str, parameters: Sequence[Parameters]) -> None:
        self._connection.executemany(sql, parameters)

    async def fetch_one(self, sql: str, parameters: Parameters = _NOTHING) -> Row | None:
        # All rows are fetched: a half-read statement would keep its snapshot open.
        rows = self._connection.execute(sql, parameters).fetchall()
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, parameters: Parameters = _NOTHING) -> Sequence[Row]:
        return self._connection.execute(sql, parameters).fetchall()

    def writes(self, table: str) -> None:
        self.written.add(table)


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends to its end and return its result."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError("A transaction may await nothing but its own statements.")


class SqliteDatabase:
    """One file, or a database in memory; belongs to the event loop it was opened in."""

    def __init__(
        self, path: str | Path, *, read_only: bool = False, alone: bool = False, queue_limit: int = 10_000
    ) -> None:
        """Open the file, or create it for its owner alone. Raises DatabaseError.

        `alone` is the caller's word that nobody else writes it.
        """
        self._name = str(path)
        self._loop = asyncio.get_running_loop()
        self._limit = queue_limit
        self._in_memory = self._name == MEMORY
        with ExitStack() as unless_all_is_well:
            try:
                if not self._in_memory and not read_only:
                    create_private(Path(path))
                self._writer = connect(self._name, read_only=read_only)
                unless_all_is_well.callback(self._writer.close)
                self._reader = self._writer if self._in_memory or read_only else connect(self._name, read_only=False)
            except (sqlite3.Error, OSError) as error:
                raise self._failure(error) from error
            unless_all_is_well.pop_all()
        self._reader.execute(f"PRAGMA query_only = {0 if self._in_memory else 1}")
        # A lock is waited for in the thread, so as not to stop the event loop.
        self._writer.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS if read_only else 0}")
        self._transaction = SqliteTransaction(self._writer)
        self._read_transaction = SqliteTransaction(self._reader)
        self._read_only = read_only
        self._alone = alone
        self._editions: dict[str, int] = {}
        self._queue: deque[_Job] = deque()
        self._batch: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._commit_by = 0.0
        self._turns = 0
        self._turn_at = 0.0
        self._busy = False
        self._closed = False
        self._lending = False
        self._handed_over = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._orders: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def dialect(self) -> Dialect:
        return "sqlite"

    def edition(self, table: str) -> int | None:
        if not self._alone or table in self._transaction.written:
            return None
        return self._editions.get(table, 0)

    # ------------------------------------------------------------ reading

    async def fetch_one(self, sql: str, parameters: Parameters = _NOTHING) -> Row | None:
        rows = await self.fetch_all(sql, parameters)
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, parameters: Parameters = _NOTHING) -> Sequence[Row]:
        try:
            return self._reader.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._failure(error) from error

    async def read(self, work: Work[T]) -> T:
        try:
            self._reader.execute("BEGIN")
            try:
                return drive(work(self._read_transaction))
            finally:
                if self._reader.in_transaction:
                    self._reader.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise self._failure(error) from error

    # ------------------------------------------------------------ writing

    async def execute(self, sql: str, parameters: Parameters = _NOTHING, *, durable: bool = True) -> int:
        if len(self._queue) >= self._limit:
            await self._wait_for_room()
        return await self._start(
            lambda transaction: transaction.execute(sql, parameters), durable=durable, savepoint=False
        )

    async def write(self, work: Work[T], *, durable: bool = True) -> T:
        if len(self._queue) >= self._limit:
            await self._wait_for_room()
        return await self._start(work, durable=durable)

    def start(self, work: Work[T], *, durable: bool = True) -> asyncio.Future[T]:
        return self._start(work, durable=durable)

    def _start(self, work: Work[T], *, durable: bool, savepoint: bool = True) -> asyncio.Future[T]:
        if self._closed or self._read_only:
            raise DatabaseError(f"{self._name} is {'closed' if self._closed else 'open for reading only'}.")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.append((work, future, durable, savepoint))
        if not self._busy:
            self._busy = True
            self._idle.clear()
            # Not now but soon: everything that starts in this turn of the loop shares the commit.
            self._loop.call_soon(self._begin)
        return future

    async def _wait_for_room(self) -> None:
        while len(self._queue) >= self._limit:
            room: asyncio.Future[None] = self._loop.create_future()
            self._waiting.append(room)
            try:
                await room
            except asyncio.CancelledError:
                self._make_room()
                raise

    def _make_room(self) -> None:
        room = self._limit - len(self._queue)
        while room > 0 and self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                room -= 1

    def _begin(self) -> None:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY and not self._in_memory:
                # Another process writes: wait for it in the thread, not here.
                self._hand_over("BEGIN IMMEDIATE")
            else:
                self._refuse(error)
        except sqlite3.Error as error:
            self._refuse(error)
        else:
            self._open_batch()

    def _open_batch(self) -> None:
        self._commit_by = time.monotonic() + _FOLLOW_UP_SECONDS
        self._turns = 0 if self._in_memory else 1  # to see whether the loop has other work
        self._turn_at = time.monotonic()
        self._run()

    def _refuse(self, error: sqlite3.Error) -> None:
        """Fail everything that is queued: not even a transaction can begin."""
        self._batch = [(future, None, None) for _, future, *_ in self._queue]
        self._queue.clear()
        self._finish(error)

    def _run(self) -> None:
        """Run queued work, each job under its own savepoint, until the batch is full; then commit.

        A single statement undoes itself when it fails, and needs none. A job that need not be durable is answered as
        soon as it has run. What its caller writes next is awaited for a few turns of the loop, so that all steps up
        to the one that must last share the commit. And as long as the loop has other work, the commit waits for what
        that may write: each commit costs a hand-over to the thread and back. An idle loop commits at once.
        """
        now = time.monotonic()
        others = not self._in_memory and now - self._turn_at > _IDLE_TURN_SECONDS
        deadline = now + _BATCH_SECONDS
        jobs = self._queue
        batch = self._batch
        execute = self._writer.execute
        while jobs and len(batch) < _BATCH_JOBS:
            work, future, durable, savepoint = jobs.popleft()
            if future.cancelled():
                continue
            try:
                if savepoint:
                    execute("SAVEPOINT job")
                result = drive(work(self._transaction))
                if savepoint:
                    execute("RELEASE job")
                if durable:
                    batch.append((future, result, None))
                else:
                    future.set_result(result)
                    self._turns = _FOLLOW_UP_TURNS
            except Exception as error:
                batch.append((future, None, error))
                if not self._undo_job(error, savepoint=savepoint):
                    return
            if time.monotonic() > deadline:
                break
        self._make_room()
        if (self._turns or others) and len(batch) < _BATCH_JOBS and (now := time.monotonic()) < self._commit_by:
            self._turns = max(0, self._turns - 1)
            self._turn_at = now
            self._loop.call_soon(self._run)
        elif self._in_memory:
            self._answer(attempt(self._writer, "COMMIT"))
        else:
            self._hand_over("COMMIT")

    def _undo_job(self, error: Exception, *, savepoint: bool) -> bool:
        """Roll one job back; False if the whole transaction is gone, and the batch with it."""
        undone: Exception | None = None
        if self._writer.in_transaction:
            if not savepoint:
                return True
            undone = attempt(self._writer, "ROLLBACK TO job") or attempt(self._writer, "RELEASE job")
            if undone is None:
                return True
        cause = undone or error
        self._finish(cause if isinstance(cause, sqlite3.Error) else DatabaseError(f"{self._name}: rolled back"))
        return False

    # ------------------------------------------------------------ the thread

    def _hand_over(self, order: str) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._obey, name="homeport-sqlite", daemon=True)
            self._thread.start()
        self._handed_over = True
        self._orders.put(order)
        if not self._lending:
            self._lending = True
            self._loop.call_later(_LEND_EVERY, self._lend_the_interpreter)

    def _lend_the_interpreter(self) -> None:
        """Let the thread in while it has an order.

        A busy event loop gives the interpreter lock away only for microseconds at a time, less than the thread needs
        to wake up, so it could starve for seconds: a real sleep is the one way to let it in.
        """
        if self._handed_over:
            time.sleep(_LEND_FOR)
            self._loop.call_later(_LEND_EVERY, self._lend_the_interpreter)
        else:
            self._lending = False

    def _obey(self) -> None:
        while (order := self._orders.get()) is not None:
            if order == "COMMIT":
                error = attempt(self._writer, order)
            else:
                attempt(self._writer, f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
                error = attempt(self._writer, order)
                attempt(self._writer, "PRAGMA busy_timeout = 0")
            done = self._answer if order == "COMMIT" else self._begun
            try:
                self._loop.call_soon_threadsafe(done, error)
            except RuntimeError:  # the loop was closed before the database
                return

    def _begun(self, error: sqlite3.Error | None) -> None:
        self._handed_over = False
        if error is None:
            self._open_batch()
        else:
            self._refuse(error)

    def _answer(self, error: sqlite3.Error | None) -> None:
        self._handed_over = False
        self._finish(error)

    def _finish(self, error: Exception | None) -> None:
        """Tell everyone in the batch, and go on with what has been queued meanwhile."""
        failure: Exception | None = None
        if error is not None:
            if self._writer.in_transaction:
                attempt(self._writer, "ROLLBACK")
            failure = self._failure(error)
            _log.error("Writes failed: %s", failure)
        for table in self._transaction.written:
            self._editions[table] = self._editions.get(table, 0) + 1
        self._transaction.written.clear()
        batch, self._batch = self._batch, []
        for future, result, refusal in batch:
            if future.done():
                continue
            if failure is not None:
                future.set_exception(failure)
            elif refusal is not None:
                future.set_exception(self._failure(refusal) if isinstance(refusal, sqlite3.Error) else refusal)
            else:
                future.set_result(result)
        if self._queue:
            self._loop.call_soon(self._begin)
        else:
            self._busy = False
            self._idle.set()
        self._make_room()

    # ------------------------------------------------------------ the end

    async def close(self) -> None:
        self._closed = True
        await self._idle.wait()
        if self._thread is not None:
            self._orders.put(None)
            self._thread.join()
            self._thread = None
        if self._reader is not self._writer:
            self._reader.close()
        self._writer.close()

    def _failure(self, error: Exception) -> Exception:
        """Return the error a caller gets: faults of the file as DatabaseError, faults of our SQL as they are."""
        if isinstance(error, OSError):
            return DatabaseError(f"{self._name}: {error.strerror}")
        if isinstance(error, sqlite3.ProgrammingError) and self._closed:
            return DatabaseError(f"{self._name} is closed.")
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF
        return DatabaseError(f"{self._name}: {error}") if code in _OUT_OF_REACH else error
