"""The built-in store as a hub's BlobStorage."""

from collections.abc import AsyncIterator
from datetime import datetime

from homeport.hub.blob_account import CONTAINER, built_in_account
from homeport.hub.blob_errors import BlobError
from homeport.hub.errors import HubCode, HubError
from homeport.hub.file_ports import BlobContainer
from homeport.hub.model import BlobProperties, FileUploadSettings, FoundBlob, UploadPlace
from homeport.security.blob_sas import sign


class BuiltInStorage:
    """BlobStorage over the hub's own blobs, at the host name by which the device called."""

    def __init__(self, hub: str, settings: FileUploadSettings, container: BlobContainer) -> None:
        self._hub = hub
        self._settings = settings
        self._container = container

    @property
    def kind(self) -> str:
        return "built-in"

    def container_url(self, *, host: str, start: datetime, end: datetime, writable: bool = False) -> str:
        account = built_in_account(self._hub, self._settings, host)
        token = sign(account, CONTAINER, None, permissions="rcwdl" if writable else "rdl", start=start, end=end)
        return f"{account.endpoint}/{CONTAINER}?{token}"

    def place(self, blob_name: str, *, host: str, start: datetime, end: datetime) -> UploadPlace:
        account = built_in_account(self._hub, self._settings, host)
        token = sign(account, CONTAINER, blob_name, permissions="rw", start=start, end=end)
        return UploadPlace(host_name=host, container=CONTAINER, sas_token=f"?{token}")

    async def find(self, blob_name: str) -> FoundBlob | None:
        blob = await self._container.find(blob_name)
        return None if blob is None else FoundBlob(size=blob.size, last_modified=blob.last_modified)

    async def put(self, blob_name: str, content: bytes, content_type: str) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield content

        try:
            await self._container.put(
                blob_name,
                pieces(),
                BlobProperties(content_type=content_type),
                limit=len(content),
                md5=None,
                check=lambda _: None,
            )
        except BlobError as error:
            raise HubError(HubCode.SERVICE_UNAVAILABLE, f"The built-in store does not take it: {error}") from error
