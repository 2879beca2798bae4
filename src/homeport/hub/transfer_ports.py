"""What imports and exports need: their records, and the containers that they read and write."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from homeport.hub.model import Transfer


class StorageFault(Exception):  # noqa: N818 - beside `HubError`: it says why a job failed, nobody catches it in passing
    """A container that cannot be used; the text is for whoever looks at the job and holds no secret."""


class InputChangedError(StorageFault):
    """The blob is another one than was begun with."""


class BlocksLostError(StorageFault):
    """Blocks that were stored are there no more."""


class BlobVersion(Struct, frozen=True, kw_only=True):
    """How large a blob is, and which one it is."""

    size: int
    etag: str


class TransferContainer(Protocol):
    """A container of blobs that somebody gave us the address of. All raise StorageFault."""

    async def find(self, name: str) -> BlobVersion | None: ...

    async def read(self, name: str, *, start: int, length: int, etag: str) -> bytes:
        """Return a part of a blob. Raises InputChangedError."""
        ...

    async def put(self, name: str, content: bytes) -> None:
        """Write a small blob in one piece."""
        ...

    async def put_block(self, name: str, number: int, content: bytes) -> None:
        """Store a part of a blob, in place of an earlier one of the same number; it waits to be committed."""
        ...

    async def commit(self, name: str, blocks: int) -> None:
        """Make the blob of the blocks from 0 on. Raises BlocksLostError."""
        ...

    async def delete(self, name: str) -> None:
        """Remove a blob, if it is there."""
        ...


class ConfigurationWriter(Protocol):
    """What an import does with configurations. All raise HubError."""

    async def put(self, configuration_id: str, body: bytes, if_match: str | None) -> object:
        """Create without `if_match`, else update; `body` is the document."""
        ...

    async def delete(self, configuration_id: str, if_match: str | None) -> object: ...


class TransferStore(Protocol):
    """The imports and exports of one hub, at most one of which has not ended. All writes are durable."""

    async def create(self, transfer: Transfer) -> None:
        """Raise HubError JOB_QUOTA_EXCEEDED if another one has not ended."""
        ...

    async def get(self, job_id: str) -> Transfer | None: ...

    async def all(self) -> Sequence[Transfer]:
        """Return them, the newest first."""
        ...

    async def cancel(self, job_id: str, *, now: datetime) -> Transfer | None:
        """End one unless it has ended, and return what it is then; None if unknown."""
        ...

    async def claim(self, *, now: datetime, owner: str, until: datetime) -> Transfer | None:
        """Lease the one that has not ended, if nobody runs it."""
        ...

    async def renew(self, job_id: str, *, owner: str, until: datetime) -> bool:
        """Go on with it; False if it was ended or another runner has it."""
        ...

    async def save(self, transfer: Transfer, *, owner: str) -> bool:
        """Store where it stands, its end included; False, and nothing stored, as for `renew`."""
        ...

    async def release(self) -> None:
        """Void every lease. Only for the sole process of a database, before it begins: all holders are dead."""
        ...

    async def expire(self, *, created_before: datetime) -> int:
        """Remove those that ended and were created before, and return how many."""
        ...
