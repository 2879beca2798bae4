"""Which blobs of one hub the built-in store holds, in SQL."""

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import Struct

from homeport.hub.model import BlobProperties, Block, StoredBlob
from homeport.store.database import Database, Parameters, Transaction
from homeport.store.rows import Codec, key_of

_OF_BLOB = "WHERE hub = :hub AND name = :name"
_FIND = f"SELECT data FROM blobs {_OF_BLOB}"
_HOLD = f"{_FIND} /*postgres FOR UPDATE*/"
_PUT = """
    INSERT INTO blobs (hub, name, data) VALUES (:hub, :name, :data)
    ON CONFLICT (hub, name) DO UPDATE SET data = excluded.data"""
_DELETE = f"DELETE FROM blobs {_OF_BLOB}"
_LIST = """
    SELECT data FROM blobs WHERE hub = :hub AND name >= :first AND name < :last AND name > :after
    ORDER BY name LIMIT :limit"""
_LAST = "\U0010ffff"


class BlobRow(Struct, kw_only=True, omit_defaults=True):
    name: str
    size: int
    etag: str
    last_modified: datetime
    file: str
    content_type: str
    headers: dict[str, str] = {}
    blocks: list[tuple[str, int]] = []


_codec = Codec(BlobRow)


class SqlBlobIndex:
    """BlobIndex of one hub over a Database."""

    def __init__(self, database: Database, hub: str) -> None:
        self._database = database
        self._hub = key_of(hub)

    async def find(self, name: str) -> StoredBlob | None:
        row = await self._database.fetch_one(_FIND, self._of(name))
        return None if row is None else _blob(row[0])

    async def put(self, blob: StoredBlob, check: Callable[[StoredBlob | None], None]) -> StoredBlob | None:
        row = BlobRow(
            name=blob.name,
            size=blob.size,
            etag=blob.etag,
            last_modified=blob.last_modified,
            file=blob.file,
            content_type=blob.properties.content_type,
            headers=dict(blob.properties.headers),
            blocks=[(block.id, block.size) for block in blob.blocks],
        )

        async def work(transaction: Transaction) -> StoredBlob | None:
            before = await transaction.fetch_one(_HOLD, self._of(blob.name))
            replaced = None if before is None else _blob(before[0])
            check(replaced)
            await transaction.execute(_PUT, {**self._of(blob.name), "data": _codec.encode(row)})
            return replaced

        return await self._database.write(work)

    async def delete(self, name: str) -> StoredBlob | None:
        async def work(transaction: Transaction) -> StoredBlob | None:
            row = await transaction.fetch_one(_HOLD, self._of(name))
            await transaction.execute(_DELETE, self._of(name))
            return None if row is None else _blob(row[0])

        return await self._database.write(work)

    async def list(self, *, prefix: str, after: str, limit: int) -> Sequence[StoredBlob]:
        parameters: Parameters = {
            "hub": self._hub,
            "first": prefix,
            "last": prefix + _LAST,
            "after": after,
            "limit": limit,
        }
        return [_blob(data) for (data,) in await self._database.fetch_all(_LIST, parameters)]

    def _of(self, name: str) -> dict[str, str]:
        return {"hub": self._hub, "name": name}


def _blob(data: str) -> StoredBlob:
    row = _codec.decode(data)
    return StoredBlob(
        name=row.name,
        size=row.size,
        etag=row.etag,
        last_modified=row.last_modified,
        file=row.file,
        properties=BlobProperties(content_type=row.content_type, headers=row.headers),
        blocks=[Block(id=block_id, size=size) for block_id, size in row.blocks],
    )
