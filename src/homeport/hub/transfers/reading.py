"""An import: entries are read in batches and carried out, from where the one before stopped (contract hub.md 10)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from msgspec import Struct

from homeport.hub import translate
from homeport.hub.errors import HubCode, HubError
from homeport.hub.identities import ticks
from homeport.hub.importing import Importer
from homeport.hub.model import Transfer, TransferPhase, TransferPlace
from homeport.hub.registry import Registry
from homeport.hub.transfer_ports import (
    BlobVersion,
    ConfigurationWriter,
    InputChangedError,
    StorageFault,
    TransferContainer,
)
from homeport.hub.transfers.lines import MAX_LINE, cut, error_line, is_remark, read_line
from homeport.hub.translate import ImportMode
from homeport.values import replace
from homeport.wire import WireError, decode
from homeport.wire import hub_service as wire
from homeport.wire.hub_transfers import configuration_line_decoder

ERRORS = "importErrors.log"
PIECE = 512 * 1024
BATCH = 200
"""Entries between two notes of how far it is."""
_MOST_CONFIGURATIONS = 16 * 1024 * 1024

_EXISTS = frozenset({HubCode.DEVICE_ALREADY_EXISTS, HubCode.MODULE_ALREADY_EXISTS})
_MISSING = frozenset({HubCode.DEVICE_NOT_FOUND, HubCode.MODULE_NOT_FOUND})

Save = Callable[[Transfer], Awaitable[None]]


class _Line(Struct, frozen=True):
    number: int
    text: bytes


class ImportRun:
    """Carries one import on. `doubtful` says that a runner died in it: what it did last was not noted."""

    def __init__(
        self,
        registry: Registry,
        importer: Importer,
        configurations: ConfigurationWriter,
        source: TransferContainer,
        log: TransferContainer,
        save: Save,
        *,
        doubtful: bool,
    ) -> None:
        self._registry = registry
        self._importer = importer
        self._configurations = configurations
        self._source = source
        self._log = log
        self._save = save
        self._doubtful = doubtful

    async def run(self, transfer: Transfer) -> Transfer:
        """Do what is left. Raises StorageFault."""
        if transfer.place.phase is TransferPhase.DEVICES:
            transfer = await self._devices(transfer)
        if transfer.place.phase is TransferPhase.CONFIGURATIONS:
            transfer = await self._all_configurations(transfer)
        if transfer.place.blocks:
            await self._log.commit(ERRORS, transfer.place.blocks)
        else:
            await self._log.delete(ERRORS)  # of an earlier import: it would look like one of this
        return transfer

    async def _devices(self, transfer: Transfer) -> Transfer:
        version = await self._find(transfer.input_blob)
        place = transfer.place
        if place.etag and place.etag != version.etag:
            raise InputChangedError(f"The blob {transfer.input_blob} was changed while it was being imported.")
        transfer = replace(transfer, place=replace(place, total=version.size, etag=version.etag))
        async for batch, offset in self._batches(transfer, version):
            errors = await self._carry_out(batch, transfer)
            transfer = await self._noted(transfer, errors, offset=offset, lines=transfer.place.lines + len(batch))
        last = TransferPhase.CONFIGURATIONS if transfer.include_configurations else TransferPhase.FINISH
        transfer = replace(transfer, place=replace(transfer.place, phase=last))
        await self._save(transfer)
        return transfer

    async def _batches(self, transfer: Transfer, version: BlobVersion) -> AsyncIterator[tuple[list[_Line], int]]:
        """Yield lines, and the offset behind them."""
        place, name = transfer.place, transfer.input_blob
        number, done, read_to = place.lines, place.offset, place.offset
        rest, batch = b"", list[_Line]()
        while read_to < version.size:
            length = min(PIECE, version.size - read_to)
            piece = await self._source.read(name, start=read_to, length=length, etag=version.etag)
            if not piece:
                raise StorageFault(f"The blob {name} ends before its end.")
            read_to += len(piece)
            rest += piece
            used = 0
            for text in cut(rest, is_last=read_to >= version.size):
                used += len(text)
                done += len(text)
                batch.append(_Line(number, text))
                number += 1
                if len(batch) == BATCH:
                    yield batch, done
                    batch = []
            rest = rest[used:]
            if len(rest) > MAX_LINE:
                raise StorageFault(f"Line {number + 1} of {name} has more than {MAX_LINE} bytes.")
        if batch:
            yield batch, done

    async def _carry_out(self, lines: Sequence[_Line], transfer: Transfer) -> bytes:
        """Carry out a batch, the entries of one device in their order; return the lines for the log."""
        errors: dict[int, bytes] = {}
        by_device: dict[str, list[tuple[_Line, wire.BulkEntry]]] = {}
        for line in lines:
            if is_remark(line.text, line.number):
                continue
            try:
                entry = read_line(line.text)
            except HubError as error:
                errors[line.number] = error_line(None, error, line.number + 1)
            else:
                by_device.setdefault(entry.id, []).append((line, entry))

        async def one_device(entries: Sequence[tuple[_Line, wire.BulkEntry]]) -> None:
            for line, entry in entries:
                try:
                    await self._importer.carry_out(entry)
                except HubError as error:
                    if not (self._doubtful and await self._was_done(entry, error, transfer)):
                        errors[line.number] = error_line(entry, error, line.number + 1)

        async with asyncio.TaskGroup() as tasks:
            for entries in by_device.values():
                tasks.create_task(one_device(entries))
        self._doubtful = False
        return b"".join(errors[number] for number in sorted(errors))

    async def _was_done(self, entry: wire.BulkEntry, error: HubError, transfer: Transfer) -> bool:
        """Tell whether a dead runner did it: created since the import began, or deleted."""
        mode = translate.read_import_mode(entry)
        if mode in {ImportMode.DELETE, ImportMode.DELETE_IF_MATCH}:
            return error.code in _MISSING
        if mode is not ImportMode.CREATE or error.code not in _EXISTS:
            return False
        device = await self._registry.find(translate.check_identity_id(entry.id, entry.module_id or None))
        return device is not None and int(device.identity.generation_id) >= int(ticks(transfer.created_at))

    async def _all_configurations(self, transfer: Transfer) -> Transfer:
        name = transfer.configurations_blob
        version = await self._find(name)
        if version.size > _MOST_CONFIGURATIONS:
            raise StorageFault(f"The blob {name} has more than {_MOST_CONFIGURATIONS} bytes.")
        text = b""
        while len(text) < version.size:
            length = min(PIECE, version.size - len(text))
            piece = await self._source.read(name, start=len(text), length=length, etag=version.etag)
            if not piece:
                raise StorageFault(f"The blob {name} ends before its end.")
            text += piece
        errors = b""
        for number, line in enumerate(cut(text, is_last=True)):
            if is_remark(line, number):
                continue
            try:
                await self._configuration(line)
            except HubError as error:
                errors += error_line(None, error, number + 1)
        place = replace(transfer.place, phase=TransferPhase.FINISH)
        return await self._noted(replace(transfer, place=place), errors)

    async def _configuration(self, line: bytes) -> None:
        try:
            head = decode(configuration_line_decoder, line, limit=MAX_LINE)
        except WireError as error:
            raise HubError(HubCode.ARGUMENT_INVALID, str(error)) from None
        if (head.import_mode or "").lower().startswith("delete"):
            await self._configurations.delete(head.id, None)
            return
        try:
            await self._configurations.put(head.id, line, None)
        except HubError as error:
            if error.code is not HubCode.CONFIGURATION_ALREADY_EXISTS:
                raise
            await self._configurations.put(head.id, line, "*")

    async def _noted(
        self, transfer: Transfer, errors: bytes, *, offset: int | None = None, lines: int | None = None
    ) -> Transfer:
        """Store what went wrong, then how far it is: a block of the log that is stored twice is the same."""
        place: TransferPlace = transfer.place
        if errors:
            await self._log.put_block(ERRORS, place.blocks, errors)
        place = replace(
            place,
            blocks=place.blocks + (1 if errors else 0),
            offset=place.offset if offset is None else offset,
            lines=place.lines if lines is None else lines,
        )
        transfer = replace(transfer, place=place)
        await self._save(transfer)
        return transfer

    async def _find(self, name: str) -> BlobVersion:
        version = await self._source.find(name)
        if version is None:
            raise StorageFault(f"There is no blob {name} in the input container.")
        return version
