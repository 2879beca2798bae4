"""An export: pages of the registry are written in blocks, from where the one before stopped (contract hub.md 10)."""

from collections.abc import Awaitable, Callable

from homeport.hub.configurations import ConfigurationStore
from homeport.hub.configurations.translate import configuration_document
from homeport.hub.model import Transfer, TransferPhase, TransferPlace
from homeport.hub.registry import Registry
from homeport.hub.transfer_ports import BlocksLostError, TransferContainer
from homeport.hub.transfers.lines import NO_KEYS, export_line
from homeport.values import replace
from homeport.wire import encode

BLOCK = 1024 * 1024
_PAGE = 200

Save = Callable[[Transfer], Awaitable[None]]


class ExportRun:
    """Carries one export on: devices, then modules, then configurations if they are wanted."""

    def __init__(
        self, registry: Registry, configurations: ConfigurationStore, target: TransferContainer, save: Save
    ) -> None:
        self._registry = registry
        self._configurations = configurations
        self._target = target
        self._save = save
        self._pending = b""

    async def run(self, transfer: Transfer) -> Transfer:
        """Do what is left. Raises StorageFault."""
        resumed = transfer.place.blocks > 0
        transfer = await self._registry_lines(transfer)
        try:
            await self._target.commit(transfer.output_blob, transfer.place.blocks)
        except BlocksLostError:
            if not resumed:
                raise
            # They are not kept for ever: what a dead runner stored is written again.
            transfer = await self._registry_lines(replace(transfer, place=TransferPlace()))
            await self._target.commit(transfer.output_blob, transfer.place.blocks)
        if transfer.include_configurations:
            every = await self._configurations.all()
            text = b"".join(encode(configuration_document(each)) + b"\n" for each in every)
            await self._target.put(transfer.configurations_blob, text)
        return transfer

    async def _registry_lines(self, transfer: Transfer) -> Transfer:
        place = transfer.place
        self._pending = b""
        if not place.total:
            statistics = await self._registry.statistics()
            place = replace(place, total=statistics.total)
            if transfer.exclude_keys:
                self._pending = NO_KEYS
        while place.phase in {TransferPhase.DEVICES, TransferPhase.MODULES}:
            modules = place.phase is TransferPhase.MODULES
            page = await self._registry.page(after=place.after or None, limit=_PAGE, modules=modules)
            for device in page.items:
                self._pending += export_line(device, exclude_keys=transfer.exclude_keys)
            place = replace(place, lines=place.lines + len(page.items), after=page.after or "")
            if page.after is None:
                place = replace(place, phase=TransferPhase.FINISH if modules else TransferPhase.MODULES)
            if len(self._pending) >= BLOCK or place.phase is TransferPhase.FINISH:
                place = await self._store(transfer, place)
        return replace(transfer, place=place)

    async def _store(self, transfer: Transfer, place: TransferPlace) -> TransferPlace:
        """Store the lines so far as a block, then how far it is."""
        if self._pending:
            await self._target.put_block(transfer.output_blob, place.blocks, self._pending)
            place = replace(place, blocks=place.blocks + 1)
            self._pending = b""
        await self._save(replace(transfer, place=place))
        return place
