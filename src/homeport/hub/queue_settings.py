"""A hub's settings for cloud-to-device messages: where they are, and the bounds of each (contract hub.md 23)."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Protocol

from homeport.errors import Code, HomeportError
from homeport.hub.model import QueueSettings
from homeport.security.callers import SYSTEM, Caller
from homeport.security.policies import Random
from homeport.values import replace

SHORTEST_LIFE, LONGEST_LIFE = timedelta(minutes=1), timedelta(days=2)
SHORTEST_LOCK, LONGEST_LOCK = timedelta(seconds=5), timedelta(seconds=300)
MOST_DELIVERIES = 100

_ANY = "*"


class QueueSettingsStore(Protocol):
    """The settings of one hub; changes are told in the journal."""

    async def get(self) -> QueueSettings:
        """Return them as they are now, the defaults until they are changed. Costs no query as a rule."""
        ...

    async def put(self, settings: QueueSettings, *, expected_etag: str | None, by: Caller = SYSTEM) -> None:
        """Replace them. Raise HomeportError PRECONDITION_FAILED."""
        ...


class HubQueues:
    """The administrator's questions about the queues of one hub."""

    def __init__(self, store: QueueSettingsStore, random: Random) -> None:
        self._store = store
        self._random = random

    async def get(self) -> QueueSettings:
        return await self._store.get()

    async def put(self, settings: QueueSettings, *, if_match: str | None, by: Caller) -> QueueSettings:
        """Replace all settings. Raises INVALID_REQUEST with what is out of range, or PRECONDITION_FAILED."""
        wrong = list(_problems(settings))
        if wrong:
            raise HomeportError(Code.INVALID_REQUEST, " ".join(wrong))
        changed = replace(settings, etag=self._random(9).hex())
        await self._store.put(changed, expected_etag=None if if_match == _ANY else if_match, by=by)
        return changed


def _problems(settings: QueueSettings) -> Iterator[str]:
    feedback = settings.feedback
    for name, life in (
        ("defaultTtlAsIso8601", settings.default_life),
        ("feedback.ttlAsIso8601", feedback.life),
    ):
        if not SHORTEST_LIFE <= life <= LONGEST_LIFE:
            yield f"{name} is from PT1M to P2D."
    for name, lock in (
        ("lockDurationAsIso8601", settings.lock),
        ("feedback.lockDurationAsIso8601", feedback.lock),
    ):
        if not SHORTEST_LOCK <= lock <= LONGEST_LOCK:
            yield f"{name} is from PT5S to PT5M."
    for name, count in (
        ("maxDeliveryCount", settings.max_deliveries),
        ("feedback.maxDeliveryCount", feedback.max_deliveries),
    ):
        if not 1 <= count <= MOST_DELIVERIES:
            yield f"{name} is from 1 to {MOST_DELIVERIES}."
