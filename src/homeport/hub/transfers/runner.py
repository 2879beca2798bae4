"""Runs the import or export of one hub that is due (contract hub.md 10).

It is leased, so that one of several processes runs it, and how far it is is noted after each batch, so that another
goes on where a dead one stopped.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from homeport.clock import Clock
from homeport.hub.configurations import ConfigurationStore
from homeport.hub.importing import Importer
from homeport.hub.model import Transfer, TransferKind, TransferStatus
from homeport.hub.registry import Registry
from homeport.hub.transfer_ports import ConfigurationWriter, StorageFault, TransferContainer, TransferStore
from homeport.hub.transfers.reading import ImportRun
from homeport.hub.transfers.writing import ExportRun
from homeport.security.policies import Random
from homeport.values import replace

LEASE = timedelta(seconds=30)
HISTORY = timedelta(days=30)
POLL_SECONDS = 2.0
_EXPIRE_SECONDS = 3600.0

_log = logging.getLogger(__name__)

Open = Callable[[str], Awaitable[TransferContainer]]
"""Opens a container by the address somebody gave. Raises StorageFault for what is none."""


class TransferRunner:
    """Looks for a transfer that has not ended, and works it off."""

    def __init__(
        self,
        *,
        hub: str,
        store: TransferStore,
        open_container: Open,
        registry: Registry,
        importer: Importer,
        configurations: ConfigurationStore,
        configuration_writer: ConfigurationWriter,
        clock: Clock,
        random: Random,
    ) -> None:
        self._hub = hub
        self._store = store
        self._open = open_container
        self._registry = registry
        self._importer = importer
        self._configurations = configurations
        self._configuration_writer = configuration_writer
        self._clock = clock
        self._owner = random(16).hex()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look for work now."""
        self._wake.set()

    async def run(self) -> None:
        """Run what is due until cancelled; what is under way then is left to whoever takes the lease next."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._expire())
            while True:
                self._wake.clear()
                transfer = await self._claim()
                if transfer is not None:
                    await self._work(transfer)
                    continue
                try:
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    async def _claim(self) -> Transfer | None:
        now = self._clock.now()
        try:
            return await self._store.claim(now=now, owner=self._owner, until=now + LEASE)
        except Exception:
            _log.exception("hub %s: could not look for imports and exports; trying again", self._hub)
            return None

    async def _work(self, transfer: Transfer) -> None:
        """Work one off under its lease. After a fault of ours the lease runs out, and then it goes on."""
        job_id = transfer.job_id
        try:
            async with asyncio.TaskGroup() as tasks:
                lease = tasks.create_task(self._keep_lease(job_id))
                try:
                    await self._carry(transfer)
                finally:
                    lease.cancel()
        except* _LeaseLostError:
            _log.info("hub %s: job %s was ended or is another's", self._hub, job_id)
        except* Exception:
            _log.exception("hub %s: job %s stopped; trying again", self._hub, job_id)

    async def _keep_lease(self, job_id: str) -> None:
        while True:
            await self._clock.sleep(LEASE.total_seconds() / 3)
            if not await self._store.renew(job_id, owner=self._owner, until=self._clock.now() + LEASE):
                raise _LeaseLostError

    async def _carry(self, transfer: Transfer) -> None:
        again = transfer.status is TransferStatus.RUNNING
        transfer = replace(transfer, status=TransferStatus.RUNNING)
        await self._save(transfer)
        try:
            if transfer.kind is TransferKind.IMPORT:
                transfer = await self._import(transfer, again=again)
            else:
                transfer = await self._export(transfer)
        except StorageFault as fault:
            # What was done so far stays, and is told as far as it was noted.
            stands = await self._store.get(transfer.job_id) or transfer
            await self._finish(replace(stands, status=TransferStatus.FAILED, failure=str(fault)))
        else:
            await self._finish(replace(transfer, status=TransferStatus.COMPLETED))

    async def _import(self, transfer: Transfer, *, again: bool) -> Transfer:
        run = ImportRun(
            self._registry,
            self._importer,
            self._configuration_writer,
            await self._open(transfer.input_container or ""),
            await self._open(transfer.output_container or ""),
            self._save,
            doubtful=again,
        )
        return await run.run(transfer)

    async def _export(self, transfer: Transfer) -> Transfer:
        target = await self._open(transfer.output_container or "")
        return await ExportRun(self._registry, self._configurations, target, self._save).run(transfer)

    async def _save(self, transfer: Transfer) -> None:
        if not await self._store.save(transfer, owner=self._owner):
            raise _LeaseLostError

    async def _finish(self, transfer: Transfer) -> None:
        ended = replace(transfer, ended_at=self._clock.now(), input_container=None, output_container=None)
        await self._save(ended)
        _log.info("hub %s: %s %s has %s", self._hub, transfer.kind, transfer.job_id, transfer.status)

    async def _expire(self) -> None:
        while True:
            try:
                await self._store.expire(created_before=self._clock.now() - HISTORY)
            except Exception:
                _log.exception("hub %s: old imports and exports could not be removed; trying again", self._hub)
            await self._clock.sleep(_EXPIRE_SECONDS)


class _LeaseLostError(Exception):
    """The job was ended, or another runner has it."""
