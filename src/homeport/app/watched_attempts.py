"""The records of why, seen by those who count them and by those who write refusals into the audit."""

from collections.abc import Callable, Sequence

from homeport.dps.model import Attempt
from homeport.dps.ports import AttemptStore
from homeport.paging import Page


class WatchedAttempts:
    """An AttemptStore that shows its watchers what is recorded."""

    def __init__(self, store: AttemptStore, *watchers: Callable[[Attempt], None]) -> None:
        self._store = store
        self._watchers = watchers

    def record(self, attempt: Attempt) -> None:
        for watch in self._watchers:
            watch(attempt)
        self._store.record(attempt)

    async def latest(self, registration_id: str, *, limit: int) -> Sequence[Attempt]:
        return await self._store.latest(registration_id, limit=limit)

    async def find(self, tracking_id: str) -> Attempt | None:
        return await self._store.find(tracking_id)

    async def page(self, *, after: str | None, limit: int) -> Page[Attempt]:
        return await self._store.page(after=after, limit=limit)
