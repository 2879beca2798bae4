"""Devices upload files: a place and a right to write there, and what is told when it is done (contract hub.md 17.3).

Bytes never pass here: they go from the device to the storage, which may be the built-in one.
"""

import base64
import logging
from collections.abc import Callable
from datetime import timedelta

from msgspec import Struct

from homeport.clock import Clock
from homeport.hub.errors import HubCode, HubError
from homeport.hub.file_ports import BlobStorage, FileUploadStore
from homeport.hub.identifiers import device_of
from homeport.hub.model import FileNotification, FileUpload, FileUploadSettings
from homeport.security.callers import Caller
from homeport.security.explain import quoted
from homeport.security.policies import Random
from homeport.values import hiding

MAX_UPLOADS = 10
"""Under way at the same time, for each device."""
MAX_BLOB_NAME = 1024
SHORTEST_SAS_LIFE = timedelta(minutes=1)
LONGEST_SAS_LIFE = timedelta(days=1)
_REMEMBERED = timedelta(days=1)
"""How long an upload that expired is known as such, and not as one that never was."""
_SWEEP_SECONDS = 60.0

_log = logging.getLogger(__name__)


@hiding("sas_token")
class Ticket(Struct, frozen=True, kw_only=True):
    """What a device is told to upload a blob with."""

    correlation_id: str
    host_name: str
    container: str
    blob_name: str
    sas_token: str


class FileUploads:
    """The uploads of one hub."""

    def __init__(
        self,
        *,
        hub: str,
        store: FileUploadStore,
        storage: Callable[[FileUploadSettings], BlobStorage],
        clock: Clock,
        random: Random,
    ) -> None:
        """`storage` opens what the settings name; it raises HubError ARGUMENT_INVALID for what it cannot."""
        self._hub = hub
        self._store = store
        self._storage = storage
        self._clock = clock
        self._random = random

    async def begin(self, target: str, blob_name: str, *, host: str) -> Ticket:
        """Give a device or module a place for a blob; `host` is by what name it called us.

        Raises HubError ARGUMENT_INVALID, TOO_MANY_UPLOADS, STORAGE_NOT_CONFIGURED.
        """
        now = self._clock.now()
        full_name = f"{target}/{checked_name(blob_name)}"
        if len(full_name) > MAX_BLOB_NAME:
            raise HubError(
                HubCode.ARGUMENT_INVALID, f"blobName, with the id before it, has over {MAX_BLOB_NAME} characters."
            )
        settings = await self.settings()
        if not settings.enabled:
            raise HubError(HubCode.STORAGE_NOT_CONFIGURED, "This hub takes no files.")
        end = now + settings.sas_life
        place = self._storage(settings).place(full_name, host=host, start=now, end=end)
        correlation_id = base64.urlsafe_b64encode(self._random(24)).decode()
        upload = FileUpload(
            correlation_id=correlation_id,
            target=target,
            blob_name=full_name,
            blob_uri=f"https://{place.host_name}/{place.container}/{full_name}",
            expires_at=end,
        )
        await self._store.begin(upload, limit=MAX_UPLOADS, now=now)
        return Ticket(
            correlation_id=correlation_id,
            host_name=place.host_name,
            container=place.container,
            blob_name=full_name,
            sas_token=place.sas_token,
        )

    async def complete(self, target: str, correlation_id: str, *, success: bool) -> None:
        """Take note that an upload has ended; services are told of one that succeeded, if the hub's settings say so.

        Raises HubError INVALID_CORRELATION_ID, EXPIRED_CORRELATION_ID, or SERVICE_UNAVAILABLE, and then the upload
        is still under way.
        """
        upload = await self._store.find(correlation_id)
        if upload is None or upload.target != target:
            raise HubError(HubCode.INVALID_CORRELATION_ID, "No upload of this device has this correlation id.")
        now = self._clock.now()
        if upload.expires_at <= now:
            raise HubError(HubCode.EXPIRED_CORRELATION_ID, "The time for this upload is over.")
        notification = await self._notification(upload) if success else None
        if not await self._store.end(correlation_id, notification):
            raise HubError(HubCode.INVALID_CORRELATION_ID, "The upload has ended already.")

    async def settings(self) -> FileUploadSettings:
        """Return how the hub keeps files."""
        return await self._store.settings(FileUploadSettings(built_in_key=self._random(32)))

    async def configure(self, settings: FileUploadSettings, *, by: Caller) -> None:
        """Keep files like this from now on; uploads under way go on where they began.

        Raises HubError ARGUMENT_INVALID.
        """
        if not SHORTEST_SAS_LIFE <= settings.sas_life <= LONGEST_SAS_LIFE:
            raise HubError(HubCode.ARGUMENT_INVALID, "An upload may take from a minute to a day.")
        self._storage(settings)
        await self._store.configure(settings, by=by)

    async def run(self) -> None:
        """Forget uploads that never ended, until cancelled."""
        while True:
            await self._clock.sleep(_SWEEP_SECONDS)
            try:
                await self._store.expire(before=self._clock.now() - _REMEMBERED)
            except Exception:
                _log.exception("hub %s: uploads could not be looked after; trying again", self._hub)

    async def _notification(self, upload: FileUpload) -> FileNotification | None:
        settings = await self.settings()
        if not settings.notifications:
            return None
        found = await self._storage(settings).find(upload.blob_name)
        if found is None:
            _log.warning(
                "hub %s: device %s says that it has uploaded a blob that is not there; nobody is told",
                self._hub,
                quoted(upload.target),
            )
            return None
        return FileNotification(
            device_id=device_of(upload.target),
            blob_uri=upload.blob_uri,
            blob_name=upload.blob_name,
            last_updated_at=found.last_modified,
            size=found.size,
            enqueued_at=self._clock.now(),
        )


def checked_name(blob_name: str) -> str:
    """Return a blob's name if it can be one. Raises HubError ARGUMENT_INVALID.

    A segment of dots would be taken out of the address by whoever sends it, and with it the device's own folder.
    """
    segments = blob_name.split("/")
    if not blob_name or not blob_name.isprintable() or "\\" in blob_name or any(set(s) <= {"."} for s in segments):
        raise HubError(
            HubCode.ARGUMENT_INVALID,
            "blobName is missing, or has empty segments, segments of dots only, backslashes or control characters.",
        )
    return blob_name
