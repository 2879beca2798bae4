"""One entry of a bulk call or an import carried out (contract hub.md 4.6, 10)."""

from typing import assert_never

from homeport.hub import translate
from homeport.hub.errors import HubCode, HubError
from homeport.hub.etags import twin_version
from homeport.hub.identities import InitialTwin
from homeport.hub.registry import Registry
from homeport.hub.translate import ImportMode
from homeport.hub.twins import Twins
from homeport.wire import hub_service as wire


class Importer:
    """Creates, updates and deletes as entries say."""

    def __init__(self, registry: Registry, twins: Twins) -> None:
        self._registry = registry
        self._twins = twins

    async def carry_out(self, entry: wire.BulkEntry) -> None:
        """Do what the entry asks for. Raises HubError: nothing was done, or an identity without its twin."""
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
