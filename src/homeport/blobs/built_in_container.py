"""The hub's own built-in store as a container of imports and exports, opened by an address that the hub signed."""

import base64
from collections.abc import AsyncIterator

from homeport.blobs.container_uri import ContainerUri
from homeport.clock import Clock
from homeport.hub.blob_account import CONTAINER, built_in_account
from homeport.hub.blob_errors import BlobCode, BlobError
from homeport.hub.file_ports import BlobContainer
from homeport.hub.model import BlobProperties, FileUploadSettings, StoredBlob
from homeport.hub.transfer_ports import BlobVersion, BlocksLostError, InputChangedError, StorageFault
from homeport.security.blob_sas import permits

_TEXT = BlobProperties(content_type="text/plain; charset=utf-8")
_LARGEST = 64 * 1024**3


class BuiltInContainer:
    """TransferContainer over a BlobContainer; each call needs what its signature permits."""

    def __init__(
        self, uri: ContainerUri, hub: str, settings: FileUploadSettings, container: BlobContainer, clock: Clock
    ) -> None:
        self._uri = uri
        self._account = built_in_account(hub, settings, "")
        self._container = container
        self._clock = clock

    async def find(self, name: str) -> BlobVersion | None:
        self._demand("r")
        blob = await self._container.find(name)
        return None if blob is None else BlobVersion(size=blob.size, etag=blob.etag)

    async def read(self, name: str, *, start: int, length: int, etag: str) -> bytes:
        self._demand("r")
        blob = await self._container.find(name)
        if blob is None or blob.etag != etag:
            raise InputChangedError(f"The blob {name} was changed or removed while it was being read.")
        try:
            return b"".join([piece async for piece in self._container.read(blob, start, length)])
        except BlobError as error:
            raise StorageFault(error.message) from error

    async def put(self, name: str, content: bytes) -> None:
        self._demand("wc")
        try:
            await self._container.put(name, _pieces(content), _TEXT, limit=_LARGEST, md5=None, check=_anything)
        except BlobError as error:
            raise StorageFault(error.message) from error

    async def put_block(self, name: str, number: int, content: bytes) -> None:
        self._demand("wc")
        try:
            await self._container.put_block(name, _block_id(number), _pieces(content), limit=_LARGEST, md5=None)
        except BlobError as error:
            raise StorageFault(error.message) from error

    async def commit(self, name: str, blocks: int) -> None:
        self._demand("wc")
        listed = [(_block_id(number), "latest") for number in range(blocks)]
        try:
            await self._container.commit(name, listed, _TEXT, limit=_LARGEST, check=_anything)
        except BlobError as error:
            kind = BlocksLostError if error.code is BlobCode.INVALID_BLOCK_LIST else StorageFault
            raise kind(error.message) from error

    async def delete(self, name: str) -> None:
        self._demand("d")
        await self._container.delete(name)

    def _demand(self, any_of: str) -> None:
        problem = permits(self._account, CONTAINER, None, self._uri.fields, any_of=any_of, now=self._clock.now())
        if problem is not None:
            raise StorageFault(f"The container of this hub cannot be used: {problem}")


def _block_id(number: int) -> str:
    return base64.b64encode(f"{number:08d}".encode()).decode()


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _anything(present: StoredBlob | None) -> None:
    del present
