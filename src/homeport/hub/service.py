"""The administrator's calls to one hub, transport-neutral: documents in, Reply out (contract hub.md 4 to 6, 8).

Who may call is decided before; paths and methods are known to the front-ends. Refusals are HubError.
"""

import asyncio
import binascii
from collections.abc import Sequence
from typing import TypeVar, assert_never

from msgspec.json import Decoder

from homeport.hub import translate
from homeport.hub.errors import HubCode, HubError
from homeport.hub.model import Device
from homeport.hub.queries import Queries
from homeport.hub.registry import MAX_LISTED, InitialTwin, Registry
from homeport.hub.reply import Reply
from homeport.hub.sessions import Sessions
from homeport.hub.translate import ImportMode
from homeport.hub.twins import Twins
from homeport.paging import TokenError, decode_token, encode_token
from homeport.wire import TooLargeError, WireError, encode
from homeport.wire import decode as decode_body
from homeport.wire import hub_service as wire

MAX_BODY = 256 * 1024
MAX_BULK_BODY = 4 * 1024 * 1024
MAX_BULK_ENTRIES = 100
MAX_PAGE = 1000
DEFAULT_PAGE = 100

T = TypeVar("T")


class Service:
    """Answers the calls of the service REST API for one hub."""

    def __init__(self, *, registry: Registry, twins: Twins, sessions: Sessions) -> None:
        self._registry = registry
        self._twins = twins
        self._sessions = sessions
        self._queries = Queries(registry)

    # ------------------------------------------------------------ identities

    async def get_device(self, device_id: str) -> Reply:
        identity = await self._registry.get(translate.check_device_id(device_id))
        return _device(translate.device_document(identity))

    async def put_device(self, device_id: str, body: bytes, if_match: str | None) -> Reply:
        """Create without If-Match, update with it (contract hub.md 4.4)."""
        translate.check_device_id(device_id)
        write = translate.read_identity(device_id, _read(wire.device_decoder, body))
        if if_match is None:
            identity = await self._registry.create(write)
        else:
            identity = await self._registry.update(write, expected_etag=translate.read_etag(if_match))
        return _device(translate.device_document(identity))

    async def delete_device(self, device_id: str, if_match: str | None) -> Reply:
        if if_match is None:
            raise HubError(HubCode.ARGUMENT_INVALID, "Deleting a device needs the header If-Match: an etag, or *.")
        translate.check_device_id(device_id)
        await self._registry.delete(device_id, expected_etag=translate.read_etag(if_match))
        return Reply(status=204)

    async def list_devices(self, top: str | None) -> Reply:
        limit = int(top) if top and top.isascii() and top.isdigit() and len(top) <= 4 else MAX_LISTED
        identities = await self._registry.list(limit if 1 <= limit <= MAX_LISTED else MAX_LISTED)
        return _json([translate.device_document(identity) for identity in identities])

    async def bulk(self, body: bytes) -> Reply:
        """Work off up to 100 entries, each on its own; those of one device in their order (contract hub.md 4.6)."""
        entries = _read(wire.bulk_decoder, body, MAX_BULK_BODY)
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

    # ------------------------------------------------------------ twins

    async def get_twin(self, device_id: str) -> Reply:
        return _twin(await self._twins.get(translate.check_device_id(device_id)))

    async def patch_twin(self, device_id: str, body: bytes, if_match: str | None) -> Reply:
        translate.check_device_id(device_id)
        twin = translate.read_twin(_read(wire.twin_decoder, body))
        version = _version(if_match)
        return _twin(await self._twins.patch(device_id, tags=twin.tags, desired=twin.desired, expected_version=version))

    async def put_twin(self, device_id: str, body: bytes, if_match: str | None) -> Reply:
        translate.check_device_id(device_id)
        twin = translate.read_twin(_read(wire.twin_decoder, body))
        version = _version(if_match)
        return _twin(
            await self._twins.replace(device_id, tags=twin.tags, desired=twin.desired, expected_version=version)
        )

    # ------------------------------------------------------------ query and statistics

    async def query(self, body: bytes, *, page_size: str | None, continuation: str | None) -> Reply:
        text = _read(wire.query_decoder, body).query
        rows = await self._queries.run(text, after=_after(continuation, text), limit=_page_size(page_size))
        # The header is left out on the last page: Node and Java take its mere presence to mean more.
        more = {} if rows.after is None else {"x-ms-continuation": encode_token(rows.after, text)}
        return _json(rows.documents, {"x-ms-item-type": rows.item_type, **more})

    async def registry_statistics(self) -> Reply:
        counts = await self._registry.statistics()
        return _json(
            wire.RegistryStatistics(
                total_device_count=counts.total,
                enabled_device_count=counts.enabled,
                disabled_device_count=counts.disabled,
            )
        )

    async def service_statistics(self) -> Reply:
        return _json(wire.ServiceStatistics(connected_device_count=len(self._sessions)))

    # ------------------------------------------------------------ bulk entries

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
        translate.check_device_id(entry.id)
        if entry.module_id:
            raise HubError(HubCode.ARGUMENT_INVALID, "This server has no modules yet.")
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
                await self._registry.delete(entry.id, expected_etag=None)
            case ImportMode.DELETE_IF_MATCH:
                await self._registry.delete(entry.id, expected_etag=etag)
            case ImportMode.UPDATE_TWIN:
                await self._update_twin(entry, None)
            case ImportMode.UPDATE_TWIN_IF_MATCH:
                await self._update_twin(entry, _version(entry.twin_etag))
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
            if error.code is not HubCode.DEVICE_ALREADY_EXISTS:
                raise
            await self._update(entry, etag)

    async def _update_twin(self, entry: wire.BulkEntry, version: int | None) -> None:
        """Merge what the entry has; only here a service writes reported properties."""
        twin = translate.read_twin(entry)
        if twin.tags is not None or twin.desired is not None:
            await self._twins.patch(entry.id, tags=twin.tags, desired=twin.desired, expected_version=version)
        if twin.reported is not None:
            await self._twins.report(entry.id, twin.reported)


def _operation(entry: wire.BulkEntry) -> str:
    """Name the kind of an entry as results do; what was not understood is repeated."""
    try:
        mode = translate.read_import_mode(entry).value
    except HubError:
        return entry.import_mode or ""
    return mode.removesuffix("IfMatchETag")


def _read(decoder: Decoder[T], body: bytes, limit: int = MAX_BODY) -> T:
    try:
        return decode_body(decoder, body, limit=limit)
    except TooLargeError as error:
        raise HubError(HubCode.BODY_TOO_LARGE, str(error)) from None
    except WireError as error:
        raise HubError(HubCode.ARGUMENT_INVALID, str(error)) from None


def _device(document: wire.Device) -> Reply:
    return _json(document, {"ETag": document.etag})


def _twin(device: Device) -> Reply:
    return _json(translate.twin_document(device), {"ETag": f'"{device.twin.etag}"'})


def _json(document: object, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status=200, body=encode(document), headers=headers or {})


def _version(etag: str | None) -> int | None:
    """Return the version a twin's etag stands for; None for a wildcard, a number nobody has for anything else."""
    text = translate.read_etag(etag)
    if text is None:
        return None
    try:
        raw = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except ValueError:
        return 0
    return int.from_bytes(raw) if len(raw) == 8 else 0  # contract hub.md 3.4


def _after(continuation: str | None, text: str) -> str | None:
    if not continuation:
        return None
    try:
        key = decode_token(continuation, text)
    except TokenError as error:
        raise HubError(HubCode.ARGUMENT_INVALID, str(error)) from None
    if not key.isprintable():
        # Tokens are checked, not signed, and what continues here goes to a database.
        raise HubError(HubCode.ARGUMENT_INVALID, "The continuation token is not one of this server.")
    return key


def _page_size(text: str | None) -> int:
    if text is None or not text.strip():
        return DEFAULT_PAGE
    number = text.strip()
    if not (number.isascii() and number.isdigit() and len(number) <= 6 and 1 <= int(number) <= MAX_PAGE):
        raise HubError(HubCode.ARGUMENT_INVALID, f"x-ms-max-item-count is a number from 1 to {MAX_PAGE}.")
    return int(number)
