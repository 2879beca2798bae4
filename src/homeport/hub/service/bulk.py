"""Many devices in one call, each on its own: there is no rollback (contract hub.md 4.6)."""

import asyncio
from collections.abc import Sequence

from homeport.hub import translate
from homeport.hub.errors import HubCode, HubError
from homeport.hub.importing import Importer
from homeport.hub.reply import Reply
from homeport.hub.service.bodies import read
from homeport.wire import encode
from homeport.wire import hub_service as wire

MAX_BULK_BODY = 4 * 1024 * 1024
MAX_BULK_ENTRIES = 100


class BulkResponder:
    def __init__(self, importer: Importer) -> None:
        self._importer = importer

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
                await self._importer.carry_out(entry)
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


def _operation(entry: wire.BulkEntry) -> str:
    """Name the kind of an entry as results do; what was not understood is repeated."""
    try:
        mode = translate.read_import_mode(entry).value
    except HubError:
        return entry.import_mode or ""
    return mode.removesuffix("IfMatchETag")
