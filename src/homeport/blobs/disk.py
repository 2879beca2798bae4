"""What the built-in blob store does to files and directories, and how a disk's failures are told."""

import asyncio
import hashlib
import logging
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from homeport.hub.blob_errors import BlobCode, BlobError

PIECE = 1024 * 1024
"""How much of a transfer is in memory, in bytes."""

_log = logging.getLogger(__name__)


@contextmanager
def disk_failures() -> Iterator[None]:
    """Tell a disk that fails or is full from what the client did wrong."""
    try:
        yield
    except ConnectionError:
        raise  # the client's, though it is an OSError too
    except OSError as fault:
        _log.error("an uploaded file could not be kept: %s", fault.strerror)
        raise BlobError(BlobCode.SERVER_BUSY, "The file could not be kept.") from fault


async def write(file: BinaryIO, content: AsyncIterator[bytes], limit: int) -> bytes:
    """Write it all, a piece at a time, and return its MD5. Raises BlobError TOO_LARGE."""
    digest = hashlib.md5(usedforsecurity=False)
    size, pending = 0, bytearray()

    def take(piece: bytes) -> None:
        digest.update(piece)
        file.write(piece)

    async for chunk in content:
        size += len(chunk)
        if size > limit:
            raise BlobError(BlobCode.TOO_LARGE, f"At most {limit} bytes are taken here.")
        pending += chunk
        if len(pending) >= PIECE:
            await asyncio.to_thread(take, bytes(pending))
            pending.clear()
    await asyncio.to_thread(take, bytes(pending))
    return digest.digest()


def copy(source: BinaryIO, target: BinaryIO, start: int, size: int) -> None:
    """Append a part of one file to another."""
    source.seek(start)
    while size > 0 and (piece := source.read(min(PIECE, size))):
        target.write(piece)
        size -= len(piece)


def make_durable(file: BinaryIO) -> None:
    """Return when what was written survives a power cut."""
    file.flush()
    os.fsync(file.fileno())


def sync_directory(folder: Path) -> None:
    """Return when the names in a directory survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def listed(folder: Path) -> Sequence[Path]:
    """Return what is in a directory, nothing if there is none."""
    return list(folder.iterdir()) if folder.is_dir() else []


def count(folder: Path) -> int:
    """Count what is in a directory that may not be there."""
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0


def older(folder: Path, moment: datetime) -> set[str]:
    """Return the names of files last written before this."""
    found = set()
    for path in listed(folder):
        try:
            if datetime.fromtimestamp(path.stat().st_mtime, UTC) < moment:
                found.add(path.name)
        except FileNotFoundError:
            continue  # another process was quicker
    return found


def remove_older(folder: Path, moment: datetime) -> None:
    """Remove files last written before this."""
    for name in older(folder, moment):
        (folder / name).unlink(missing_ok=True)
