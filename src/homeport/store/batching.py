"""Gathers many small writes that start on their own into few transactions: one batch at a time, in order."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from homeport.store.database import Database, Work

T = TypeVar("T")
R = TypeVar("R")


class Batches(Generic[T, R]):
    """Items wait in line while a batch is written, and go together in the next.

    `work` makes the transaction for a batch; `done` is told how each one ended. A batch is closed when the items in
    it `weigh` as much as `limit`.
    """

    def __init__(
        self,
        database: Database,
        *,
        work: Callable[[Sequence[T]], Work[R]],
        done: Callable[[Sequence[T], asyncio.Future[R]], None],
        weigh: Callable[[T], int],
        limit: int,
        patience: float = 0.0,
    ) -> None:
        """Begin a batch in the next turn of the loop, or after `patience` seconds if nobody waits for the items."""
        self._database = database
        self._work = work
        self._done = done
        self._weigh = weigh
        self._limit = limit
        self._patience = patience
        self._timer: asyncio.TimerHandle | None = None
        self._waited_for = 0
        self._line: deque[T] = deque()
        self._busy = False
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        """Return how many items wait in line."""
        return len(self._line)

    def add(self, item: T) -> None:
        """Put the item in line; needs the database's event loop."""
        self._line.append(item)
        if not self._busy:
            self._busy = True
            self._idle.clear()
            self._write_soon()

    def drop_oldest(self) -> None:
        """Take the item out that has waited longest."""
        self._line.popleft()

    async def flush(self) -> None:
        """Wait until everything added before has been written, or has failed."""
        self._waited_for += 1
        try:
            if self._timer is not None:
                self._timer.cancel()
                self._write()
            await self._idle.wait()
        finally:
            self._waited_for -= 1

    def _write_soon(self) -> None:
        loop = asyncio.get_running_loop()
        if self._patience and not self._waited_for:
            self._timer = loop.call_later(self._patience, self._write)
        else:
            # Soon, not now: what is added in this turn of the loop goes together.
            loop.call_soon(self._write)

    def _write(self) -> None:
        self._timer = None
        batch: list[T] = []
        room = self._limit
        while self._line and room > 0:
            item = self._line.popleft()
            batch.append(item)
            room -= self._weigh(item)
        try:
            written = self._database.start(self._work(batch))
        except Exception as error:
            # A closed database refuses at once; the line must move on all the same.
            written = asyncio.get_running_loop().create_future()
            written.set_exception(error)
        written.add_done_callback(lambda future: self._end(batch, future))

    def _end(self, batch: Sequence[T], future: asyncio.Future[R]) -> None:
        try:
            self._done(batch, future)
        finally:
            if self._line and self._patience:
                self._write_soon()
            elif self._line:
                self._write()
            else:
                self._busy = False
                self._idle.set()
