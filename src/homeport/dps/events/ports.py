"""What the delivery of events needs from the world."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct

from homeport.dps.model import DeadLetter, Entry, Progress, Standing, Subscription
from homeport.security.callers import Caller


class SubscriptionStore(Protocol):
    """Event subscriptions by name, found regardless of case; and where their delivery stands."""

    async def all(self) -> Sequence[Subscription]:
        """Return every subscription in name order; a change by any process is seen by the next call."""
        ...

    async def put(self, subscription: Subscription, *, create: bool, delivered: int, by: Caller) -> None:
        """Store it. A new one begins behind the entry `delivered`.

        Raise CONFLICT when creating over an existing name, NOT_FOUND when replacing what is not there.
        """
        ...

    async def delete(self, name: str, *, by: Caller) -> None:
        """Raise NOT_FOUND."""
        ...

    async def standing(self, name: str) -> Standing: ...

    async def claim(self, name: str, *, owner: str, now: datetime, lease: timedelta) -> int | None:
        """Lease the delivery for a subscription; return behind which entry to begin, None if somebody else has it."""
        ...

    async def advance(self, name: str, *, owner: str, progress: Progress, until: datetime) -> bool:
        """Note the progress and renew the lease; False if the lease is somebody else's or was taken away."""
        ...

    async def release(self, name: str, *, owner: str) -> None: ...

    async def give_up(self, name: str, letter: DeadLetter) -> None:
        """Keep what cannot be delivered; the oldest make room beyond a limit."""
        ...

    async def dead_letters(self, name: str, *, after: int, limit: int, only_replayed: bool) -> Sequence[DeadLetter]:
        """Return letters in the order of their entries."""
        ...

    async def forget(self, name: str, seq: int) -> None:
        """Drop a letter that was delivered after all."""
        ...

    async def replay_letters(self, name: str, *, entry: Entry) -> int:
        """Put all dead letters in line again; return how many."""
        ...

    async def replay_from(self, name: str, *, after: int, entry: Entry) -> None:
        """Begin anew behind this entry; who delivers loses the lease. Raise NOT_FOUND."""
        ...


class Answer(Struct, frozen=True, kw_only=True):
    """What a webhook answered. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]


class WebhookError(Exception):
    """The webhook did not answer; the message holds no secret."""


class Webhook(Protocol):
    """Calls webhooks."""

    async def call(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, ca_certificates: str | None
    ) -> Answer:
        """Send one request. Raises WebhookError."""
        ...
