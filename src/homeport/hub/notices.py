"""What services are told and take at their pace: delivery feedback, notifications of files (hub.md 18.3, 18.4).

Taken under a lock, then done with or put back; what nobody takes in time is forgotten.
"""

import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from msgspec import Struct

from homeport.clock import Clock
from homeport.hub.errors import HubCode, HubError
from homeport.hub.message_lock import Settlement
from homeport.hub.model import FeedbackRecord, FileNotification, Waiting
from homeport.hub.ports import NoticeStore
from homeport.hub.queue_settings import QueueSettingsStore
from homeport.security.policies import Random
from homeport.values import replace

N = TypeVar("N")

_SWEEP_SECONDS = 10.0

_log = logging.getLogger(__name__)


class Pace(Struct, frozen=True, kw_only=True):
    """How notices of a kind are given out: up to `batch` at once, fewer only when the oldest has waited `patience`."""

    batch: int
    patience: timedelta
    max_deliveries: int
    life: timedelta = timedelta(hours=1)
    """How long a notice waits for somebody who takes it."""
    lock: timedelta = timedelta(seconds=60)


FEEDBACK = Pace(batch=64, patience=timedelta(seconds=15), max_deliveries=10)
FILES = Pace(batch=1, patience=timedelta(0), max_deliveries=100)


def is_due(waiting: Waiting, pace: Pace, now: datetime) -> bool:
    """Tell whether a batch is to be given out now."""
    if waiting.count == 0 or waiting.oldest is None:
        return False
    return waiting.count >= pace.batch or now - waiting.oldest >= pace.patience


class Batch(Struct, Generic[N], frozen=True, kw_only=True):
    """Notices under one lock."""

    token: uuid.UUID
    notices: Sequence[N]
    taken_at: datetime


class Notices(Generic[N]):
    """The notices of one kind at one hub."""

    def __init__(
        self,
        *,
        hub: str,
        store: NoticeStore[N],
        pace: Callable[[], Awaitable[Pace]],
        clock: Clock,
        random: Random,
    ) -> None:
        """`pace` is asked each time, since settings may change."""
        self.hub = hub
        self._store = store
        self._pace = pace
        self._clock = clock
        self._random = random

    async def take(self, *, patient: bool) -> Batch[N] | None:
        """Take the next batch; None if there is none, or, being patient, if more may come to fill it."""
        pace = await self._pace()
        now, limit = self._clock.now(), pace.max_deliveries
        waiting = await self._store.waiting(now=now, max_deliveries=limit)
        if waiting.count == 0 or (patient and not is_due(waiting, pace, now)):
            return None
        token = uuid.UUID(bytes=self._random(16), version=4)
        notices = await self._store.take(
            limit=pace.batch, now=now, until=now + pace.lock, token=str(token), max_deliveries=limit
        )
        return Batch(token=token, notices=notices, taken_at=now) if notices else None

    async def settle(self, token: str, settlement: Settlement) -> None:
        """End a delivery. Raises HubError MESSAGE_LOCK_LOST."""
        keep = settlement is Settlement.ABANDON
        if not await self._store.finish(token, now=self._clock.now(), keep=keep):
            raise HubError(HubCode.MESSAGE_LOCK_LOST, "The lock is over, or was never given.")

    async def expire(self) -> None:
        """Forget what nobody took in time, or came back too often."""
        pace, now = await self._pace(), self._clock.now()
        await self._store.expire(created_before=now - pace.life, now=now, max_deliveries=pace.max_deliveries)

    async def run(self) -> None:
        """Forget what nobody took in time, until cancelled."""
        while True:
            await self._clock.sleep(_SWEEP_SECONDS)
            try:
                await self.expire()
            except Exception:
                _log.exception("hub %s: what services are told could not be looked after; trying again", self.hub)


def feedback_pace(settings: QueueSettingsStore) -> Callable[[], Awaitable[Pace]]:
    """Return what tells the pace of a hub's feedback."""

    async def pace() -> Pace:
        chosen = (await settings.get()).feedback
        return replace(FEEDBACK, life=chosen.life, lock=chosen.lock, max_deliveries=chosen.max_deliveries)

    return pace


async def file_pace() -> Pace:
    """Return the pace of notifications of files."""
    return FILES


Feedback = Notices[FeedbackRecord]
FileNotifications = Notices[FileNotification]
