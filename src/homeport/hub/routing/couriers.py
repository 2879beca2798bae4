"""What delivery needs of the network and of storages, and what comes of it."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from homeport.hub.model import StorageEndpoint, WebhookEndpoint
from homeport.security.policies import Random

FIRST_WAIT = 1.0
LAST_WAIT = 60.0
_SCALE = 1 << 16
_TURN = 1.0
"""Seconds after which a reader that nobody wakes looks all the same."""


class Posted(Struct, frozen=True, kw_only=True):
    """What a webhook answered. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]


class DeliveryError(Exception):
    """The endpoint did not take it now; the message holds no secret."""


class Couriers(Protocol):
    """Carry things out of the hub."""

    async def post(self, endpoint: WebhookEndpoint, headers: Mapping[str, str], body: bytes) -> Posted:
        """Send one request. Raises DeliveryError."""
        ...

    async def store(self, endpoint: StorageEndpoint, name: str, content: bytes) -> None:
        """Put a blob of JSON lines, in place of one of that name; it is there when this returns.

        Raises DeliveryError.
        """
        ...

    async def check(self, endpoint: StorageEndpoint) -> None:
        """Raise HomeportError INVALID_REQUEST for a storage that cannot be meant."""
        ...


class Progress(Protocol):
    """What a delivery reports of a partition."""

    def position(self, partition: int) -> int:
        """Return the offset to begin with."""
        ...

    def done(self, partition: int, position: int) -> None:
        """Note that everything before this position was taken."""
        ...

    def skipped(self, partition: int, position: int, reason: str) -> None:
        """Note that everything before this position is done with; the last of it will never be taken."""
        ...

    def failed(self, reason: str) -> None:
        """Note that the endpoint did not take it now."""
        ...


def backoff(attempts: int, random: Random) -> float:
    """Return seconds: twice as long each time, half of it by chance, so that many do not come back together."""
    longest: float = min(FIRST_WAIT * 2 ** min(attempts, 20), LAST_WAIT)
    return longest * (0.5 + int.from_bytes(random(2)) / _SCALE / 2)


async def woken(wake: asyncio.Event) -> None:
    """Wait until there may be something new."""
    try:
        async with asyncio.timeout(_TURN):
            await wake.wait()
    except TimeoutError:
        return
