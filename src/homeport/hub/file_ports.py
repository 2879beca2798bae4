"""What file upload needs from the world: its records, a storage, and what the built-in storage is made of.

Every object serves one hub; suites in tests/contract prove the stores.
"""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from homeport.hub.model import (
    BlobProperties,
    FileNotification,
    FileUpload,
    FileUploadSettings,
    FoundBlob,
    StoredBlob,
    UploadPlace,
)
from homeport.hub.ports import NoticeStore
from homeport.hub.transfer_ports import TransferContainer
from homeport.security.callers import SYSTEM, Caller


class FileUploadStore(Protocol):
    """Uploads that devices have begun, and how the hub keeps files."""

    async def settings(self, initial: FileUploadSettings) -> FileUploadSettings:
        """Return the settings; `initial` stands from the first call on until they are changed."""
        ...

    async def configure(self, settings: FileUploadSettings, *, by: Caller = SYSTEM) -> None:
        """Replace the settings; told in the journal."""
        ...

    async def begin(self, upload: FileUpload, *, limit: int, now: datetime) -> None:
        """Record an upload. Raise HubError TOO_MANY_UPLOADS if `limit` of this target's are under way."""
        ...

    async def find(self, correlation_id: str) -> FileUpload | None:
        """Return an upload that has not ended, expired or not."""
        ...

    async def end(self, correlation_id: str, notification: FileNotification | None) -> bool:
        """End an upload and queue what services are told of it, in one transaction; False if it has ended already."""
        ...

    async def expire(self, *, before: datetime) -> int:
        """Forget uploads that expired before this time."""
        ...


class BlobStorage(Protocol):
    """Where a hub's files are: an account of Azure Storage or one that is compatible, or the built-in store."""

    @property
    def kind(self) -> str:
        """What it is, for administrators; names no secret."""
        ...

    def container_url(self, *, host: str, start: datetime, end: datetime, writable: bool = False) -> str:
        """Return the address of all files, with the right to read, list and delete them, and to write them if told."""
        ...

    def place(self, blob_name: str, *, host: str, start: datetime, end: datetime) -> UploadPlace:
        """Say where a device puts a blob, with the right to write and read it. `host` is by what name it called us."""
        ...

    async def find(self, blob_name: str) -> FoundBlob | None:
        """Look at a blob. Raises HubError SERVICE_UNAVAILABLE if the storage cannot be asked."""
        ...

    async def put(self, blob_name: str, content: bytes, content_type: str) -> None:
        """Put a blob, in place of one of that name. Raises HubError SERVICE_UNAVAILABLE if it is not taken."""
        ...


class BlobIndex(Protocol):
    """Which blobs the built-in store holds."""

    async def find(self, name: str) -> StoredBlob | None: ...

    async def put(self, blob: StoredBlob, check: Callable[[StoredBlob | None], None]) -> StoredBlob | None:
        """Record a blob, durably, and return the one it replaces. What `check` raises of that one changes nothing."""
        ...

    async def delete(self, name: str) -> StoredBlob | None:
        """Remove a blob and return what it was."""
        ...

    async def list(self, *, prefix: str, after: str, limit: int) -> Sequence[StoredBlob]:
        """Return blobs whose name begins with `prefix`, in order of their names, behind `after`."""
        ...


class BlobContainer(Protocol):
    """The built-in store of one hub. All raise BlobError; a blob is there only when its write has returned."""

    async def put(
        self,
        name: str,
        content: AsyncIterator[bytes],
        properties: BlobProperties,
        *,
        limit: int,
        md5: bytes | None,
        check: Callable[[StoredBlob | None], None],
    ) -> StoredBlob:
        """Store a blob in one piece. Raises TOO_LARGE, MD5_MISMATCH, and what `check` raises of the present one."""
        ...

    async def put_block(
        self, name: str, block_id: str, content: AsyncIterator[bytes], *, limit: int, md5: bytes | None
    ) -> None:
        """Keep a part of a blob until it is committed, or forgotten. Raises TOO_LARGE, MD5_MISMATCH, BLOCK_COUNT."""
        ...

    async def commit(
        self,
        name: str,
        blocks: Sequence[tuple[str, str]],
        properties: BlobProperties,
        *,
        limit: int,
        check: Callable[[StoredBlob | None], None],
    ) -> StoredBlob:
        """Make a blob of blocks, each with where it is from: `committed`, `uncommitted` or `latest`.

        Raises INVALID_BLOCK_LIST, TOO_LARGE, and what `check` raises of the present one.
        """
        ...

    async def find(self, name: str) -> StoredBlob | None: ...

    def read(self, blob: StoredBlob, start: int, length: int) -> AsyncIterator[bytes]:
        """Yield a part of a blob's content, also when it is replaced meanwhile."""
        ...

    async def delete(self, name: str) -> bool:
        """Remove a blob; False if there is none."""
        ...

    async def list(self, *, prefix: str, after: str, limit: int) -> Sequence[StoredBlob]:
        """Return blobs whose name begins with `prefix`, in order of their names, behind `after`."""
        ...

    async def run(self) -> None:
        """Remove what no blob needs, until cancelled."""
        ...


class FileParts(Struct, frozen=True, kw_only=True):
    """What one hub's file upload is put together from."""

    uploads: FileUploadStore
    notifications: NoticeStore[FileNotification]
    container: BlobContainer
    storage: Callable[[FileUploadSettings], BlobStorage]
    """Opens what the settings name. Raises HubError ARGUMENT_INVALID for what cannot be."""
    transfer_container: Callable[[str, Collection[str], FileUploadSettings], TransferContainer]
    """Opens a container by its signed address, for imports and exports; the host names are the hub's, whose own store
    is reached without the network. Raises StorageFault."""
