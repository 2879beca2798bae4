"""Runs the import or export of one hub that is due (contract hub.md 10).

It is leased, so that one of several processes runs it, and how far it is is noted after each batch, so that another
goes on where a dead one stopped.
"""

import logging
from collections.abc import Awaitable, Callable

from homeport.clock import Clock
from homeport.hub.configurations import ConfigurationStore
from homeport.hub.importing import Importer
from homeport.hub.leased_work import LeasedWork, LeaseLostError
from homeport.hub.model import Transfer, TransferKind, TransferStatus
from homeport.hub.registry import Registry
from homeport.hub.transfer_ports import ConfigurationWriter, StorageFault, TransferContainer, TransferStore
from homeport.hub.transfers.reading import ImportRun
from homeport.hub.transfers.writing import ExportRun
from homeport.security.policies import Random
from homeport.values import replace

POLL_SECONDS = 2.0

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
        self._work = LeasedWork(
            hub=hub,
            noun="imports and exports",
            leases=store,
            owner=self._owner,
            carry=self._carry,
            expire=lambda before: store.expire(created_before=before),
            at_once=1,
            poll_seconds=POLL_SECONDS,
            clock=clock,
        )

    def wake(self) -> None:
        """Look for work now."""
        self._work.wake()

    async def run(self) -> None:
        """Run what is due until cancelled; what is under way then is left to whoever takes the lease next."""
        await self._work.run()

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
            raise LeaseLostError

    async def _finish(self, transfer: Transfer) -> None:
        ended = replace(transfer, ended_at=self._clock.now(), input_container=None, output_container=None)
        await self._save(ended)
        _log.info("hub %s: %s %s has %s", self._hub, transfer.kind, transfer.job_id, transfer.status)
