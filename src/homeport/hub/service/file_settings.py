"""Administrators say where a hub keeps the files that devices upload; there is no such call in Azure's data plane."""

from collections.abc import Callable
from datetime import timedelta

from msgspec import UNSET

from homeport.clock import Clock
from homeport.hub.errors import HubCode, HubError
from homeport.hub.file_ports import BlobStorage
from homeport.hub.file_uploads import FileUploads
from homeport.hub.model import FileUploadSettings
from homeport.hub.reply import Reply
from homeport.hub.service.bodies import answer, read
from homeport.security.callers import Caller
from homeport.values import replace
from homeport.wire import hub_files as wire

_READING = timedelta(hours=1)
_SKEW = timedelta(minutes=5)


class FileSettingsResponder:
    def __init__(
        self, uploads: FileUploads, storage: Callable[[FileUploadSettings], BlobStorage], clock: Clock
    ) -> None:
        self._uploads = uploads
        self._storage = storage
        self._clock = clock

    async def get(self, host: str, *, writable: bool = False) -> Reply:
        """Answer the settings, with an address that reads, lists and deletes for an hour; `host` is ours.

        A `writable` one is what an export or import can be given.
        """
        settings = await self._uploads.settings()
        now = self._clock.now()
        storage = self._storage(settings)
        return answer(
            wire.Settings(
                enabled=settings.enabled,
                storage=storage.kind,
                container_url=storage.container_url(
                    host=host, start=now - _SKEW, end=now + _READING, writable=writable
                ),
                sas_life_in_seconds=int(settings.sas_life.total_seconds()),
                notifications=settings.notifications,
            )
        )

    async def put(self, body: bytes, host: str, *, by: Caller) -> Reply:
        """Change the members that the body has. Raises HubError ARGUMENT_INVALID."""
        wanted = read(wire.settings_decoder, body)
        settings = await self._uploads.settings()
        if wanted.connection_string is not UNSET:
            settings = replace(settings, connection_string=wanted.connection_string or None)
        if wanted.container is not UNSET:
            settings = replace(settings, container=wanted.container or None)
        if wanted.sas_life_in_seconds is not UNSET:
            if not 0 < wanted.sas_life_in_seconds < 10**6:
                raise HubError(HubCode.ARGUMENT_INVALID, "sasLifeInSeconds is out of range.")
            settings = replace(settings, sas_life=timedelta(seconds=wanted.sas_life_in_seconds))
        if wanted.notifications is not UNSET:
            settings = replace(settings, notifications=wanted.notifications)
        if wanted.enabled is not UNSET:
            settings = replace(settings, enabled=wanted.enabled)
        await self._uploads.configure(settings, by=by)
        return await self.get(host)
