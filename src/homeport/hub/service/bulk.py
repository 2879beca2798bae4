"""Many devices in one call, each on its own: there is no rollback (contract hub.md 4.6)."""

import asyncio
from collections.abc import Sequence
from typing import assert_never

from homeport.hub import translate
from homeport.hub.errors import HubCode, HubError
from homeport.hub.registry import InitialTwin, Registry
from homeport.hub.reply import Reply
from homeport.hub.service.bodies import read, twin_version
from homeport.hub.translate import ImportMode
from homeport.hub.twins import Twins
from homeport.wire import encode
from homeport.wire import hub_service as wire

MAX_BULK_BODY = 4 * 1024 * 1024
MAX_BULK_ENTRIES = 100


class BulkResponder:
    def __init__(self, registry: Registry, twins: Twins) -> None:
        self._registry = registry
        self._twins = twins

    async def run(self, body: bytes) -> Reply:
        """Work off up to 100 entries, each on its own; those of one device in their order (contract hub.md 4.6)."""
        entries = read(wire.bulk_decoder, body, MAX_BULK_BODY)
        if len(entries) > MAX_BULK_ENTRIES:
            raise HubError(HubCode.TOO_MANY_DEVICES, f"One call takes at most {MAX_BULK_ENTRIES} devices.")
        by_device: dict[str, list[wire.BulkEntry]] = {}
        for entry in entries:
            by_device.setdefault(entry.id, []).append(entry)
        async with asyncio.TaskGroup() as group:
            work = [group.create_task(self._import(some)) for some in by_device.values()]
        errors = [error for task in work for error in task.result()]
        document = encode(wire.BulkResult(is_successful=not errors, errors=errors, warnings=[]))
        if not errors:
            return Reply(status=200, body=document)
        name = HubCode.BULK_OPERATION_FAILED.wire_name
        # C# returns the result only if it finds this header, in this spelling.
        return Reply(status=400, body=document, headers={"IotHubErrorCode": name, "iothub-errorcode": name})

    async def _import(self, entries: Sequence[wire.BulkEntry]) -> list[wire.BulkError]:
        errors = []
        for entry in entries:
            try:
                await self._import_one(entry)
            except HubError as error:
                errors.append(
                    wire.BulkError(
                        device_id=entry.id,
                        module_id=entry.module_id,
                        error_code=error.code.wire_name,
                        error_status=error.message,
                        operation=_operation(entry),
                    )
                )
        return errors

    async def _import_one(self, entry: wire.BulkEntry) -> None:
        identity = translate.check_identity_id(entry.id, entry.module_id or None)
        etag = translate.read_etag(entry.etag)
        match translate.read_import_mode(entry):
            case ImportMode.CREATE:
                await self._create(entry)
            case ImportMode.UPDATE:
                await self._update(entry, None)
            case ImportMode.UPDATE_IF_MATCH:
                await self._update(entry, etag)
            case ImportMode.CREATE_OR_UPDATE:
                await self._create_or_update(entry, None)
            case ImportMode.CREATE_OR_UPDATE_IF_MATCH:
                await self._create_or_update(entry, etag)
            case ImportMode.DELETE:
                await self._registry.delete(identity, expected_etag=None)
            case ImportMode.DELETE_IF_MATCH:
                await self._registry.delete(identity, expected_etag=etag)
            case ImportMode.UPDATE_TWIN:
                await self._update_twin(entry, None)
            case ImportMode.UPDATE_TWIN_IF_MATCH:
                await self._update_twin(entry, twin_version(entry.twin_etag))
            case never:
                assert_never(never)

    async def _create(self, entry: wire.BulkEntry) -> None:
        twin = translate.read_twin(entry)
        await self._registry.create(
            translate.read_bulk_identity(entry),
            InitialTwin(tags=twin.tags, desired=twin.desired, reported=twin.reported),
        )

    async def _update(self, entry: wire.BulkEntry, etag: str | None) -> None:
        await self._registry.update(translate.read_bulk_identity(entry), expected_etag=etag)
        await self._update_twin(entry, None)

    async def _create_or_update(self, entry: wire.BulkEntry, etag: str | None) -> None:
        try:
            await self._create(entry)
        except HubError as error:
            if error.code not in {HubCode.DEVICE_ALREADY_EXISTS, HubCode.MODULE_ALREADY_EXISTS}:
                raise
            await self._update(entry, etag)

    async def _update_twin(self, entry: wire.BulkEntry, version: int | None) -> None:
        """Merge what the entry has; only here a service writes reported properties."""
        twin = translate.read_twin(entry)
        identity = translate.check_identity_id(entry.id, entry.module_id or None)
        if twin.tags is not None or twin.desired is not None:
            await self._twins.patch(identity, tags=twin.tags, desired=twin.desired, expected_version=version)
        if twin.reported is not None:
            await self._twins.report(identity, twin.reported)


def _operation(entry: wire.BulkEntry) -> str:
    """Name the kind of an entry as results do; what was not understood is repeated."""
    try:
        mode = translate.read_import_mode(entry).value
    except HubError:
        return entry.import_mode or ""
    return mode.removesuffix("IfMatchETag")
