"""Unpredictable bytes, a few at a time: ids ask for them several times in each registration."""

import secrets

_POOL = 4096
_MOST = 16
"""What ids take. Keys come from the operating system one by one, and lie around nowhere before they are used."""


class PooledRandom:
    """As `secrets.token_bytes`; what ids need is asked for in advance. For one thread of a process that never forks."""

    __slots__ = ("_at", "_pool")

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def __call__(self, size: int) -> bytes:
        """Return that many bytes."""
        if size > _MOST:
            return secrets.token_bytes(size)
        begin = self._at
        end = self._at = begin + size
        if end > len(self._pool):
            self._pool = secrets.token_bytes(_POOL)
            begin, end = 0, size
            self._at = size
        return self._pool[begin:end]
