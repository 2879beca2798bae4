"""Imports and exports as services see them (contract hub.md 10). Running them is `runner`'s."""

from collections.abc import Sequence

from homeport.clock import Clock
from homeport.hub.errors import HubCode, HubError
from homeport.hub.model import Transfer, TransferKind
from homeport.hub.transfer_ports import StorageFault, TransferStore
from homeport.hub.transfers.runner import Open, TransferRunner
from homeport.security.policies import Random
from homeport.values import replace

_PROBE_BYTES = 8


class Transfers:
    """The imports and exports of one hub."""

    def __init__(
        self, *, store: TransferStore, open_container: Open, runner: TransferRunner, clock: Clock, random: Random
    ) -> None:
        self._store = store
        self._open = open_container
        self._runner = runner
        self._clock = clock
        self._random = random

    async def create(self, transfer: Transfer) -> Transfer:
        """Try the containers, store the job, and have it begun at once.

        Raises HubError INVALID_BLOB_CONTAINER, or JOB_QUOTA_EXCEEDED while another one has not ended.
        """
        if any(not one.status.is_end for one in await self._store.all()):
            raise HubError(HubCode.JOB_QUOTA_EXCEEDED, "Another import or export has not ended.")
        await self._try_containers(transfer)
        transfer = replace(transfer, created_at=self._clock.now())
        await self._store.create(transfer)
        self._runner.wake()
        return transfer

    async def get(self, job_id: str) -> Transfer:
        """Raise HubError JOB_NOT_FOUND."""
        transfer = await self._store.get(job_id)
        if transfer is None:
            raise HubError(HubCode.JOB_NOT_FOUND, f"There is no job {job_id[:128]}.")
        return transfer

    async def all(self) -> Sequence[Transfer]:
        """Return them, the newest first."""
        return await self._store.all()

    async def cancel(self, job_id: str) -> Transfer:
        """End a job: what is not done is not done. One that has ended stays as it is. Raises HubError JOB_NOT_FOUND."""
        transfer = await self._store.cancel(job_id, now=self._clock.now())
        if transfer is None:
            raise HubError(HubCode.JOB_NOT_FOUND, f"There is no job {job_id[:128]}.")
        return transfer

    async def _try_containers(self, transfer: Transfer) -> None:
        """Write and delete a blob where results go; look for the input where it comes from."""
        try:
            target = await self._open(transfer.output_container or "")
            probe = f"homeport-{self._random(_PROBE_BYTES).hex()}"
            await target.put(probe, b"")
            await target.delete(probe)
            if transfer.kind is TransferKind.IMPORT:
                source = await self._open(transfer.input_container or "")
                await source.find(transfer.input_blob)
        except StorageFault as fault:
            raise HubError(HubCode.INVALID_BLOB_CONTAINER, str(fault)) from None
