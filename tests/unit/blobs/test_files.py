"""The built-in store keeps blobs whole: in one piece or in blocks, replaced, read while replaced, and swept."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from homeport.blobs.disk import PIECE
from homeport.blobs.files import BlobFiles
from homeport.hub.blob_errors import BlobCode, BlobError
from homeport.hub.model import BlobProperties, StoredBlob
from homeport.store import open_stores

LIMIT = 10 * PIECE
PLAIN = BlobProperties(content_type="text/plain")


class FixedClock:
    def __init__(self) -> None:
        self.time = datetime.now(UTC)  # compared with the times of files

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
async def files(tmp_path: Path, clock: FixedClock) -> AsyncIterator[BlobFiles]:
    async with open_stores(":memory:") as stores:
        yield BlobFiles(tmp_path, stores.blobs("hub"), clock=clock, random=os.urandom)


async def content(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def broken(piece: bytes) -> AsyncIterator[bytes]:
    yield piece
    raise ConnectionResetError("the device is gone")


def accept(present: StoredBlob | None) -> None:
    del present


async def put(files: BlobFiles, name: str, *pieces: bytes, md5: bytes | None = None, limit: int = LIMIT) -> StoredBlob:
    return await files.put(name, content(*pieces), PLAIN, limit=limit, md5=md5, check=accept)


async def stage(files: BlobFiles, name: str, block_id: str, data: bytes) -> None:
    await files.put_block(name, block_id, content(data), limit=LIMIT, md5=None)


async def commit(files: BlobFiles, name: str, *blocks: tuple[str, str], limit: int = LIMIT) -> StoredBlob:
    return await files.commit(name, blocks, PLAIN, limit=limit, check=accept)


async def read(files: BlobFiles, name: str, start: int = 0, length: int = LIMIT) -> bytes:
    blob = await files.find(name)
    assert blob is not None
    return b"".join([piece async for piece in files.read(blob, start, length)])


def left(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*") if path.is_file())


async def test_a_blob_in_one_piece(files: BlobFiles, tmp_path: Path) -> None:
    data = os.urandom(2 * PIECE + 7)
    blob = await put(files, "d/../x", data[:100], data[100:], md5=hashlib.md5(data, usedforsecurity=False).digest())
    assert (blob.size, blob.properties) == (len(data), PLAIN)
    assert await read(files, "d/../x") == data
    assert await read(files, "d/../x", PIECE - 1, 3) == data[PIECE - 1 : PIECE + 2]
    assert left(tmp_path) == 1
    (kept,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert kept.stat().st_mode & 0o777 == 0o600


async def test_a_replaced_blob_is_gone_but_for_who_reads_it(files: BlobFiles, tmp_path: Path) -> None:
    first = await put(files, "x", b"a" * (PIECE + 1))
    pieces = files.read(first, 0, LIMIT)
    begun = await anext(pieces)
    second = await put(files, "x", b"b")
    assert begun + b"".join([piece async for piece in pieces]) == b"a" * (PIECE + 1)
    assert second.etag != first.etag
    assert await read(files, "x") == b"b"
    assert left(tmp_path) == 1
    with pytest.raises(BlobError) as gone:
        await anext(files.read(first, 0, 1))
    assert gone.value.code is BlobCode.BLOB_NOT_FOUND


async def test_what_fails_leaves_nothing(files: BlobFiles, tmp_path: Path) -> None:
    await put(files, "x", b"old")
    with pytest.raises(BlobError) as mismatch:
        await put(files, "x", b"new", md5=b"0" * 16)
    assert mismatch.value.code is BlobCode.MD5_MISMATCH
    with pytest.raises(BlobError) as large:
        await put(files, "x", b"123", b"4", limit=3)
    assert large.value.code is BlobCode.TOO_LARGE
    with pytest.raises(ConnectionResetError):
        await files.put("x", broken(b"ne"), PLAIN, limit=LIMIT, md5=None, check=accept)
    assert await read(files, "x") == b"old"
    assert left(tmp_path) == 1


async def test_blocks_in_the_order_of_the_list(files: BlobFiles, tmp_path: Path) -> None:
    for block_id, data in (("Yg==", b"second"), ("YQ==", b"first "), ("Yw==", b"unwanted")):
        await stage(files, "x", block_id, data)
    assert await files.find("x") is None
    blob = await commit(files, "x", ("YQ==", "latest"), ("Yg==", "uncommitted"))
    assert [(block.id, block.size) for block in blob.blocks] == [("YQ==", 6), ("Yg==", 6)]
    assert await read(files, "x") == b"first second"
    assert left(tmp_path) == 1
    # What was there can be used again, beside new blocks.
    await stage(files, "x", "Yg==", b"2nd")
    await commit(files, "x", ("Yg==", "committed"), ("Yg==", "latest"), ("YQ==", "latest"), ("YQ==", "committed"))
    assert await read(files, "x") == b"second2ndfirst first "


@pytest.mark.parametrize("where", ["latest", "committed", "uncommitted"])
async def test_a_block_that_is_not_there(files: BlobFiles, tmp_path: Path, where: str) -> None:
    await stage(files, "x", "YQ==", b"here")
    with pytest.raises(BlobError) as refused:
        await commit(files, "x", ("YQ==", "latest"), ("Yg==", where))
    assert refused.value.code is BlobCode.INVALID_BLOCK_LIST
    # The blocks wait for a better list.
    await commit(files, "x", ("YQ==", "latest"))
    assert await read(files, "x") == b"here"
    assert left(tmp_path) == 1


async def test_a_blob_of_blocks_has_a_limit(files: BlobFiles) -> None:
    await stage(files, "x", "YQ==", b"1234")
    with pytest.raises(BlobError) as refused:
        await commit(files, "x", ("YQ==", "latest"), ("YQ==", "latest"), limit=7)
    assert refused.value.code is BlobCode.TOO_LARGE
    assert (await commit(files, "x", limit=7)).size == 0


async def test_a_full_disk_is_said_to_be_full(tmp_path: Path, clock: FixedClock) -> None:
    async with open_stores(":memory:") as stores:
        files = BlobFiles(tmp_path, stores.blobs("hub"), clock=clock, random=os.urandom, keep_free=2**62)
        with pytest.raises(BlobError) as refused:
            await put(files, "x", b"1")
        assert refused.value.code is BlobCode.SERVER_BUSY
        assert left(tmp_path) == 0


async def test_a_directory_that_fails_is_no_fault_of_the_client(tmp_path: Path, clock: FixedClock) -> None:
    (tmp_path / "parts").write_text("in the way")
    async with open_stores(":memory:") as stores:
        files = BlobFiles(tmp_path, stores.blobs("hub"), clock=clock, random=os.urandom)
        with pytest.raises(BlobError) as refused:
            await put(files, "x", b"1")
    assert refused.value.code is BlobCode.SERVER_BUSY


async def test_deleting(files: BlobFiles, tmp_path: Path) -> None:
    await put(files, "x", b"1")
    await stage(files, "x", "YQ==", b"waits")
    assert await files.delete("x")
    assert not await files.delete("x")
    assert left(tmp_path) == 0


async def test_the_sweep_keeps_blobs_and_what_is_young(files: BlobFiles, tmp_path: Path, clock: FixedClock) -> None:
    await put(files, "kept", b"1")
    await stage(files, "begun", "YQ==", b"2")
    for place in ("contents/orphan", "parts/orphan"):
        (tmp_path / place).write_text("left by a process that was killed")

    await files.sweep()
    assert left(tmp_path) == 4
    clock.time += timedelta(hours=2)
    await files.sweep()
    assert left(tmp_path) == 3
    clock.time += timedelta(days=2)
    await files.sweep()
    assert left(tmp_path) == 1
    assert await read(files, "kept") == b"1"
