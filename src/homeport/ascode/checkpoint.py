"""Remembers how far a long import has come, so that it can go on where it stopped."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

_CHUNK = 1 << 20


class CheckpointError(Exception):
    """The file beside the table is no checkpoint, or cannot be written."""


class _Document(msgspec.Struct, rename="camel", kw_only=True):
    sha256: str
    line: int


@dataclass(slots=True, kw_only=True)
class Checkpoint:
    """Everything up to `line` of the table with this digest has been dealt with."""

    path: Path
    digest: str
    line: int = 0

    @classmethod
    def of(cls, table: Path) -> Self:
        """Return where the last import of exactly this table stopped; of another table, or none, the beginning."""
        digest = _digest(table)
        path = table.with_name(f"{table.name}.progress")
        try:
            found = msgspec.json.decode(path.read_bytes(), type=_Document)
        except FileNotFoundError:
            return cls(path=path, digest=digest)
        except (msgspec.DecodeError, OSError) as error:
            raise CheckpointError(f"{path} cannot be read as an import's progress; move it away") from error
        return cls(path=path, digest=digest, line=found.line if found.sha256 == digest else 0)

    def advance(self, line: int) -> None:
        """Keep that everything up to this line is done; survives a crash at any moment."""
        self.line = line
        temporary = self.path.with_name(f"{self.path.name}.new")
        try:
            with temporary.open("wb") as file:
                file.write(msgspec.json.encode(_Document(sha256=self.digest, line=line)))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except OSError as error:
            raise CheckpointError(f"{self.path}: {error.strerror}") from error

    def clear(self) -> None:
        """Forget it: the import has reached its end."""
        self.path.unlink(missing_ok=True)


def _digest(table: Path) -> str:
    digest = hashlib.sha256()
    try:
        with table.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise CheckpointError(f"{table}: {error.strerror}") from error
    return digest.hexdigest()
