"""The addresses of links at a hub, in every client's spelling (contract hub.md 14.3, 16.1). Pure.

A path is the segments below the host as they came: ids may be raw or percent-encoded in it, see `readings`.
"""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

Path = tuple[str, ...]

MAX_ADDRESS: Final = 2048

_HOST = re.compile(r"[a-z][a-z0-9+.-]*://[^/]*", re.IGNORECASE)


def read_path(address: str) -> Path | None:
    """Read `path`, `/path` or `amqps://{host}[:{port}]/path`; None for what is empty, too long or has empty parts."""
    if len(address) > MAX_ADDRESS:
        return None
    host = _HOST.match(address)
    path = tuple((address[host.end() :] if host else address).strip("/").split("/"))
    return path if all(path) else None


def is_words(path: Sequence[str], *words: str) -> bool:
    """Tell whether a path, or a part of one, consists of these fixed words, in whatever letter case."""
    return len(path) == len(words) and all(
        segment.isascii() and segment.lower() == word for segment, word in zip(path, words, strict=True)
    )


def readings(path: Path) -> tuple[Path, ...]:
    """Return what a path with ids may mean, the likelier first: as it stands (C, Java, Node), or decoded (C#)."""
    if not any("%" in segment for segment in path):
        return (path,)
    return (path, tuple(unquote(segment) for segment in path))
