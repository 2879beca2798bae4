"""Takes open registrations to their hub, step by step, until each has its outcome.

Every step may be repeated, and each is recorded before the next begins, so any process may finish what another
began. What was decided stands in the record; nothing is decided here.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from homeport.bus import Bus, RegistrationFinished, RegistrationOpened
from homeport.clock import Clock
from homeport.dps.carrying import Carrying, Settings
from homeport.dps.identifiers import Random
from homeport.dps.issuing.ports import IssuedCertificateStore
from homeport.dps.model import Registration, RegistrationStatus
from homeport.dps.ports import Allocator, HubLinks, LinkedHubStore, RegistrationStore
from homeport.errors import ConflictError

log = logging.getLogger(__name__)

_BATCH = 32
_LOOK_AGAIN = 0.25
"""Seconds between looks at an operation that another process carries; a bus hint comes sooner."""

_Told = asyncio.Future[Registration | None]
"""Resolved with the outcome, or with None when it is time to look again."""


class Assigner:
    """One per process and id scope. `run` must be running for operations to move.

    `lease` bounds how long an operation rests when its process dies; `poll` is the interval, in seconds, at which
    operations are looked for that no hint told of.
    """

    def __init__(
        self,
        *,
        registrations: RegistrationStore,
        hubs: LinkedHubStore,
        links: HubLinks,
        issued: IssuedCertificateStore | None = None,
        allocator: Allocator,
        bus: Bus,
        clock: Clock,
        random: Random,
        owner: str,
        lease: timedelta = timedelta(seconds=10),
        poll: float = 2.0,
    ) -> None:
        self._settings = Settings(
            registrations=registrations,
            hubs=hubs,
            links=links,
            issued=issued,
            allocator=allocator,
            clock=clock,
            random=random,
            owner=owner,
            lease=lease,
        )
        self._bus = bus
        self._poll = poll
        self._tasks: asyncio.TaskGroup | None = None
        self._running: set[str] = set()
        """Ids of the operations this process carries right now."""
        self._waiting: dict[str, set[_Told]] = {}
        """Who waits for the outcome of a registration, by its lower-cased id."""
        self._wake = asyncio.Event()

    @property
    def owner(self) -> str | None:
        """The name to lease a new operation to, so that `begin` carries it; None while `run` is not running."""
        return None if self._tasks is None else self._settings.owner

    @property
    def lease(self) -> timedelta:
        """How long a lease lasts."""
        return self._settings.lease

    def begin(self, registration: Registration) -> None:
        """Carry an operation that was stored with our lease, apart from the caller. Others are left to `run`."""
        operation = registration.operation
        if self._tasks is None or operation.lease_owner != self._settings.owner or operation.id in self._running:
            return
        self._running.add(operation.id)
        self._tasks.create_task(self._carry(registration))

    async def outcome(self, registration: Registration, patience: float) -> Registration:
        """Wait up to `patience` seconds for the open operation to end; return the record as it is then.

        The result may carry another operation: then ours ended unseen, and a newer one was opened.
        """
        if registration.status is not RegistrationStatus.ASSIGNING or patience <= 0:
            return registration
        loop = asyncio.get_running_loop()
        end = loop.time() + patience
        operation = registration.operation.id
        key = registration.registration_id.lower()
        while True:
            future: _Told = loop.create_future()
            self._waiting.setdefault(key, set()).add(future)
            try:
                if operation not in self._running:
                    stored = await self._settings.registrations.get(registration.registration_id)
                    if stored is None:
                        return registration
                    if stored.operation.id != operation or stored.status is not RegistrationStatus.ASSIGNING:
                        return stored
                    # It rests between two tries, and says what the last one met.
                    registration = stored
                remaining = end - loop.time()
                if remaining <= 0:
                    return registration
                # A timer by hand: `asyncio.wait` costs as much as a statement.
                timer = loop.call_later(min(remaining, _LOOK_AGAIN), _look_again, future)
                try:
                    told = await future
                finally:
                    timer.cancel()
                if told is not None:
                    return told
            finally:
                self._forget(key, future)

    async def run(self) -> None:
        """Carry operations until cancelled; those under way are dropped then, and resumed when their lease ends."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._listen())
                await self._look_for_work()
        finally:
            self._tasks = None
            self._running.clear()

    async def _listen(self) -> None:
        async with self._bus.subscribe(RegistrationOpened, RegistrationFinished) as events:
            async for event in events:
                match event:
                    case RegistrationOpened():
                        self._wake.set()
                    case RegistrationFinished(registration_id=registration_id):
                        await self._tell_waiting(registration_id)
                    case _:
                        continue

    async def _tell_waiting(self, registration_id: str) -> None:
        # Whoever carries an operation here resolves its waiters before it publishes: nothing is left to read then.
        if all(future.done() for future in self._waiting.get(registration_id.lower(), ())):
            return
        try:
            stored = await self._settings.registrations.get(registration_id)
        except Exception:
            log.exception("could not read registration %s", registration_id)
            return
        if stored is not None and stored.status is not RegistrationStatus.ASSIGNING:
            self._resolve(stored)

    async def _look_for_work(self) -> None:
        while True:
            self._wake.clear()
            claimed = await self._claim()
            for registration in claimed:
                self.begin(registration)
            if len(claimed) < _BATCH:
                try:
                    async with asyncio.timeout(self._poll):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    async def _claim(self) -> Sequence[Registration]:
        settings = self._settings
        try:
            return await settings.registrations.claim(
                now=settings.clock.now(), lease=settings.lease, owner=settings.owner, limit=_BATCH
            )
        except Exception:
            log.exception("could not look for open operations")
            return ()

    async def _carry(self, registration: Registration) -> None:
        operation = registration.operation
        retry_at: datetime | None = None
        try:
            assert self._tasks is not None
            carrying = Carrying(registration, self._settings, self._tasks)
            result = await carrying.to_the_end()
            retry_at = result.operation.retry_at
        except ConflictError:
            # The lease ran out and somebody else took over, or the record was deleted: theirs to finish.
            log.warning("operation %s of %s was taken over", operation.id, registration.registration_id)
        except Exception:
            log.exception(
                "operation %s of %s stopped (tracking id %s); it is resumed when its lease ends",
                operation.id,
                registration.registration_id,
                operation.tracking_id,
            )
        else:
            if result.status is not RegistrationStatus.ASSIGNING:
                self._resolve(result)
                await self._bus.publish(RegistrationFinished(registration_id=result.registration_id))
        finally:
            self._running.discard(operation.id)
        if retry_at is not None:
            delay = (retry_at - self._settings.clock.now()).total_seconds()
            asyncio.get_running_loop().call_later(max(delay, 0), self._wake.set)

    def _resolve(self, registration: Registration) -> None:
        for future in self._waiting.get(registration.registration_id.lower(), ()):
            if not future.done():
                future.set_result(registration)

    def _forget(self, key: str, future: _Told) -> None:
        waiting = self._waiting[key]
        waiting.discard(future)
        if not waiting:
            del self._waiting[key]


def _look_again(future: _Told) -> None:
    if not future.done():
        future.set_result(None)
