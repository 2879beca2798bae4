"""The built-in blob store: contents in files below a directory, and an index that says which of them are blobs.

A content is written under a name of its own and made durable before the index names it, so that a blob is whole or
not there, whatever ends the process. Memory is bounded by a piece for each transfer.
"""

import asyncio
import base64
import hashlib
import hmac
import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from homeport.blobs import disk
from homeport.clock import Clock
from homeport.hub.blob_errors import BlobCode, BlobError
from homeport.hub.file_ports import BlobIndex
from homeport.hub.model import BlobProperties, Block, StoredBlob
from homeport.security.policies import Random

MAX_BLOCKS = 50_000
KEEP_FREE = 256 * 1024 * 1024
"""Space that uploads leave on the disk: the hub's database may be on it."""
BLOCKS_LIVE = timedelta(days=1)
"""How long parts wait that nobody commits."""
ORPHANS_AFTER = timedelta(hours=1)
_SWEEP_SECONDS = 3600.0
_PAGE = 1000

_log = logging.getLogger(__name__)


class BlobFiles:
    """BlobContainer of one hub over a directory and a BlobIndex."""

    def __init__(
        self, root: Path, index: BlobIndex, *, clock: Clock, random: Random, keep_free: int = KEEP_FREE
    ) -> None:
        """Use the directory alone, or with other processes that have the same index. It is made when needed."""
        self._contents = root / "contents"
        self._parts = root / "parts"
        self._blocks = root / "blocks"
        self._index = index
        self._clock = clock
        self._random = random
        self._keep_free = keep_free

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
        check(await self._index.find(name))
        part = await self._receive(content, limit, md5)
        return await self._publish(name, part, properties, (), check)

    async def put_block(
        self, name: str, block_id: str, content: AsyncIterator[bytes], *, limit: int, md5: bytes | None
    ) -> None:
        folder = self._blocks_of(name)
        if await asyncio.to_thread(disk.count, folder) >= MAX_BLOCKS:
            raise BlobError(BlobCode.BLOCK_COUNT, f"A blob has at most {MAX_BLOCKS} blocks that wait.")
        part = await self._receive(content, limit, md5)

        def keep() -> None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            part.replace(folder / _file_of(block_id))

        with disk.disk_failures():
            await asyncio.to_thread(keep)

    async def commit(
        self,
        name: str,
        blocks: Sequence[tuple[str, str]],
        properties: BlobProperties,
        *,
        limit: int,
        check: Callable[[StoredBlob | None], None],
    ) -> StoredBlob:
        present = await self._index.find(name)
        check(present)
        part = self._new_part()
        with disk.disk_failures():
            try:
                made = await asyncio.to_thread(self._join, part, self._blocks_of(name), present, blocks, limit)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        blob = await self._publish(name, part, properties, made, check)
        # What was not in the list is gone too.
        await asyncio.to_thread(shutil.rmtree, self._blocks_of(name), ignore_errors=True)
        return blob

    async def find(self, name: str) -> StoredBlob | None:
        return await self._index.find(name)

    async def read(self, blob: StoredBlob, start: int, length: int) -> AsyncIterator[bytes]:
        try:
            file = await asyncio.to_thread((self._contents / blob.file).open, "rb")
        except FileNotFoundError:
            raise BlobError(BlobCode.BLOB_NOT_FOUND, "The blob was replaced or removed.") from None
        with file:
            file.seek(start)
            while length > 0 and (piece := await asyncio.to_thread(file.read, min(disk.PIECE, length))):
                length -= len(piece)
                yield piece

    async def delete(self, name: str) -> bool:
        blob = await self._index.delete(name)
        await asyncio.to_thread(shutil.rmtree, self._blocks_of(name), ignore_errors=True)
        if blob is None:
            return False
        await asyncio.to_thread((self._contents / blob.file).unlink, missing_ok=True)
        return True

    async def list(self, *, prefix: str, after: str, limit: int) -> Sequence[StoredBlob]:
        return await self._index.list(prefix=prefix, after=after, limit=limit)

    async def run(self) -> None:
        """Remove what no blob needs, until cancelled."""
        while True:
            try:
                await self.sweep()
            except Exception:
                _log.exception("uploaded files could not be looked after; trying again")
            await self._clock.sleep(_SWEEP_SECONDS)

    # ------------------------------------------------------------ writing

    async def _receive(self, content: AsyncIterator[bytes], limit: int, md5: bytes | None) -> Path:
        """Write a content durably to a file of its own, which is the caller's then."""
        part = self._new_part()
        with disk.disk_failures():
            file = await asyncio.to_thread(self._create, part)
            try:
                with file:
                    digest = await disk.write(file, content, limit)
                    await asyncio.to_thread(disk.make_durable, file)
                _compare(md5, digest)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        return part

    async def _publish(
        self,
        name: str,
        part: Path,
        properties: BlobProperties,
        blocks: Sequence[Block],
        check: Callable[[StoredBlob | None], None],
    ) -> StoredBlob:
        """Make a blob of a durable file; the one that it replaces is removed."""
        size = (await asyncio.to_thread(part.stat)).st_size
        # HTTP tells times in whole seconds: what clients compare must be what they were told.
        now = self._clock.now().replace(microsecond=0)
        blob = StoredBlob(
            name=name,
            size=size,
            etag=f'"0x{self._random(8).hex().upper()}"',
            last_modified=now,
            file=part.name,
            properties=properties,
            blocks=blocks,
        )
        final = self._contents / blob.file

        def move() -> None:
            self._contents.mkdir(parents=True, exist_ok=True, mode=0o700)
            part.replace(final)
            disk.sync_directory(self._contents)

        with disk.disk_failures():
            await asyncio.to_thread(move)
        try:
            replaced = await self._index.put(blob, check)
        except BlobError:
            final.unlink(missing_ok=True)
            raise
        # After any other failure nobody knows whether it is in the index: the sweep does.
        if replaced is not None:
            await asyncio.to_thread((self._contents / replaced.file).unlink, missing_ok=True)
        return blob

    def _join(
        self, part: Path, folder: Path, present: StoredBlob | None, blocks: Sequence[tuple[str, str]], limit: int
    ) -> Sequence[Block]:
        committed = _places(present)
        made: list[Block] = []
        with self._create(part) as target:
            for block_id, where in blocks:
                start = target.tell()
                waiting = folder / _file_of(block_id)
                if where != "committed" and waiting.exists():
                    with waiting.open("rb") as source:
                        shutil.copyfileobj(source, target, disk.PIECE)
                elif where != "uncommitted" and present is not None and block_id in committed:
                    with (self._contents / present.file).open("rb") as source:
                        disk.copy(source, target, *committed[block_id])
                else:
                    raise BlobError(BlobCode.INVALID_BLOCK_LIST, "A block of the list was not uploaded.")
                if target.tell() > limit:
                    raise BlobError(BlobCode.TOO_LARGE, f"A blob has at most {limit} bytes here.")
                made.append(Block(id=block_id, size=target.tell() - start))
            disk.make_durable(target)
        return made

    def _create(self, part: Path) -> BinaryIO:
        self._parts.mkdir(parents=True, exist_ok=True, mode=0o700)
        if shutil.disk_usage(self._parts).free < self._keep_free:
            raise BlobError(BlobCode.SERVER_BUSY, "The disk is full.")
        return os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")

    def _new_part(self) -> Path:
        return self._parts / self._random(16).hex()

    def _blocks_of(self, name: str) -> Path:
        return self._blocks / hashlib.sha256(name.encode()).hexdigest()

    # ------------------------------------------------------------ sweeping

    async def sweep(self) -> None:
        """Remove parts that nobody commits, and contents that no blob has."""
        now = self._clock.now()
        await asyncio.to_thread(disk.remove_older, self._parts, now - BLOCKS_LIVE)
        for folder in await asyncio.to_thread(disk.listed, self._blocks):
            await asyncio.to_thread(disk.remove_older, folder, now - BLOCKS_LIVE)
        old = await asyncio.to_thread(disk.older, self._contents, now - ORPHANS_AFTER)
        if not old:
            return
        after = ""
        while page := await self._index.list(prefix="", after=after, limit=_PAGE):
            old -= {blob.file for blob in page}
            after = page[-1].name
        for name in old:
            await asyncio.to_thread((self._contents / name).unlink, missing_ok=True)
        if old:
            _log.info("removed %d files that no blob needs", len(old))


def _compare(expected: bytes | None, digest: bytes) -> None:
    if expected is not None and not hmac.compare_digest(expected, digest):
        raise BlobError(BlobCode.MD5_MISMATCH, "The content is not what Content-MD5 says.")


def _places(blob: StoredBlob | None) -> dict[str, tuple[int, int]]:
    """Return where each block of a blob begins, and its size."""
    places, start = {}, 0
    for block in blob.blocks if blob is not None else ():
        places[block.id] = (start, block.size)
        start += block.size
    return places


def _file_of(block_id: str) -> str:
    # Base32 has no slash and no two spellings that a file system could take for one.
    return base64.b32encode(block_id.encode()).decode().rstrip("=") or "empty"
