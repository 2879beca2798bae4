"""Work that is noted in the store and done by whichever process leases it: jobs, imports and exports.

What is under way is noted as it happens, so that another process goes on where a dead one stopped.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from homeport.clock import Clock

LEASE = timedelta(seconds=30)
HISTORY = timedelta(days=30)
"""How long what has ended is kept."""
_EXPIRE_SECONDS = 3600.0

_log = logging.getLogger(__name__)


class LeaseLostError(Exception):
    """The work was ended, or another process has it."""


class Work(Protocol):
    @property
    def job_id(self) -> str: ...


W = TypeVar("W", bound=Work)
W_co = TypeVar("W_co", bound=Work, covariant=True)


class Leases(Protocol[W_co]):
    """What the store says of who does what."""

    async def claim(self, *, now: datetime, owner: str, until: datetime) -> W_co | None:
        """Lease something that is due and that nobody does; None if there is nothing."""
        ...

    async def renew(self, job_id: str, *, owner: str, until: datetime) -> bool:
        """Go on with it; False if it was ended or is another's."""
        ...


class LeasedWork(Generic[W]):
    """Looks for work that is due, and has it done under a lease."""

    def __init__(
        self,
        *,
        hub: str,
        noun: str,
        leases: Leases[W],
        owner: str,
        carry: Callable[[W], Awaitable[None]],
        expire: Callable[[datetime], Awaitable[object]],
        at_once: int,
        poll_seconds: float,
        clock: Clock,
    ) -> None:
        """Have at most `at_once` carried at a time; `noun` names them in the log.

        `carry` does one, and raises LeaseLostError when it finds that it is ours no more; `expire` removes what ended
        before a time.
        """
        self._hub = hub
        self._noun = noun
        self._leases = leases
        self._owner = owner
        self._carry = carry
        self._expire = expire
        self._at_once = at_once
        self._poll_seconds = poll_seconds
        self._clock = clock
        self._wake = asyncio.Event()
        self._under_way = 0

    def wake(self) -> None:
        """Look for work now: there is some more, or some has ended."""
        self._wake.set()

    async def run(self) -> None:
        """Do what is due until cancelled; what is under way then is left to whoever takes the lease next."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._forget())
            while True:
                self._wake.clear()
                if self._under_way < self._at_once and (work := await self._claim()) is not None:
                    self._under_way += 1
                    tasks.create_task(self._do(work))
                    continue
                try:
                    async with asyncio.timeout(self._poll_seconds):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    async def _claim(self) -> W | None:
        now = self._clock.now()
        try:
            return await self._leases.claim(now=now, owner=self._owner, until=now + LEASE)
        except Exception:
            _log.exception("hub %s: could not look for %s; trying again", self._hub, self._noun)
            return None

    async def _do(self, work: W) -> None:
        """Do it under its lease. After a fault of ours the lease runs out, and then it goes on."""
        try:
            async with asyncio.TaskGroup() as tasks:
                lease = tasks.create_task(self._keep_lease(work.job_id))
                try:
                    await self._carry(work)
                finally:
                    lease.cancel()
        except* LeaseLostError:
            _log.info("hub %s: job %s was ended or is another's", self._hub, work.job_id)
        except* Exception:
            _log.exception("hub %s: job %s stopped; trying again", self._hub, work.job_id)
        finally:
            self._under_way -= 1
            self.wake()

    async def _keep_lease(self, job_id: str) -> None:
        """Renew the lease in time. Raises LeaseLostError when work that is ours no more must be let go."""
        while True:
            await self._clock.sleep(LEASE.total_seconds() / 3)
            if not await self._leases.renew(job_id, owner=self._owner, until=self._clock.now() + LEASE):
                raise LeaseLostError

    async def _forget(self) -> None:
        while True:
            try:
                await self._expire(self._clock.now() - HISTORY)
            except Exception:
                _log.exception("hub %s: old %s could not be removed; trying again", self._hub, self._noun)
            await self._clock.sleep(_EXPIRE_SECONDS)
