"""The master key: 32 bytes in Base64, in a file of its own or given by the environment.

A file may hold several, one a line: the first seals, the others still open what they sealed. That is how it is
rotated: a new line on top, everything sealed anew, the old line taken away.
"""

import base64
import binascii
import contextlib
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from homeport.custody.envelope import KEY_BYTES, name_of

_MAX_FILE = 64 * 1024


class MasterKeysError(Exception):
    """The master key cannot be read or written; the message says why, and never repeats it."""


class MasterKeys:
    """The keys at hand. `path` None: given once, by the environment, and not to be rotated here."""

    def __init__(self, path: Path | None, keys: Mapping[bytes, bytes]) -> None:
        """Use `of_file` or `of_text`."""
        self._path = path
        self._keys = dict(keys)

    @classmethod
    def of_file(cls, path: Path, *, random: Callable[[int], bytes] | None = None) -> "MasterKeys":
        """Read the file; with `random`, make it if it is missing. Raises MasterKeysError."""
        if random is not None:
            _make(path, random)
        return cls(path, _read(path))

    @classmethod
    def of_text(cls, text: str) -> "MasterKeys":
        """Take the keys themselves, separated by blanks. Raises MasterKeysError."""
        return cls(None, _parsed(text, "the master key"))

    @property
    def active(self) -> bytes:
        """The key that seals."""
        return next(iter(self._keys.values()))

    @property
    def by_name(self) -> Mapping[bytes, bytes]:
        return self._keys

    def reload(self) -> None:
        """Read the file again, which another process may have changed. Raises MasterKeysError."""
        if self._path is not None:
            self._keys = _read(self._path)

    def add(self, key: bytes) -> None:
        """Make this key the one that seals, in the file too, before the others. Raises MasterKeysError."""
        self._write({name_of(key): key, **self._keys})

    def forget_old(self) -> None:
        """Keep the key that seals, and no other. Raises MasterKeysError."""
        self._write({name_of(self.active): self.active})

    def _write(self, keys: dict[bytes, bytes]) -> None:
        if self._path is None:
            raise MasterKeysError(
                "the master key is given by the environment, so it is changed there: put the new key before the old one"
            )
        text = "".join(f"{base64.b64encode(key).decode()}\n" for key in keys.values())
        # Beside the file, so that renaming it replaces the whole at once, also after a crash.
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
            _sync_directory(self._path.parent)
        except OSError as error:
            raise MasterKeysError(f"the master key file {self._path} cannot be written: {error.strerror}") from error
        self._keys = keys


def _make(path: Path, random: Callable[[int], bytes]) -> None:
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{base64.b64encode(random(KEY_BYTES)).decode()}\n")
            file.flush()
            os.fsync(file.fileno())
        # Linking, unlike renaming, leaves the file of a process that was quicker.
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
        temporary.unlink()
        _sync_directory(path.parent)
    except OSError as error:
        raise MasterKeysError(f"the master key file {path} cannot be made: {error.strerror}") from error


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> dict[bytes, bytes]:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise MasterKeysError(f"the master key file {path} cannot be read: {error.strerror}") from error
    if stat.S_IMODE(mode) & 0o007:
        raise MasterKeysError(f"the master key file {path} is open to everybody: chmod 600 {path}")
    if len(content) > _MAX_FILE:
        raise MasterKeysError(f"the master key file {path} is too long")
    return _parsed(content.decode("ascii", "replace"), f"the master key file {path}")


def _parsed(text: str, where: str) -> dict[bytes, bytes]:
    keys: dict[bytes, bytes] = {}
    for word in text.split():
        try:
            key = binascii.a2b_base64(word, strict_mode=True)
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise MasterKeysError(f"{where} does not hold Base64 of {KEY_BYTES} bytes, one key a line")
        keys[name_of(key)] = key
    if not keys:
        raise MasterKeysError(f"{where} is empty")
    return keys
