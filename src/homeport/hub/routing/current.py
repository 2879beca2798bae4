"""A hub's routing as it is now, in this process: read again when it has changed, whoever changed it."""

import logging
from collections.abc import Callable

from homeport.clock import Clock
from homeport.hub.model import Routing
from homeport.hub.routing.ports import RoutingChange, RoutingStore
from homeport.hub.routing.router import Router
from homeport.security.callers import Caller

LOOK_AGAIN = 1.0
"""Seconds after which a change by another process is noticed; looking is one small read."""

_log = logging.getLogger(__name__)


class CurrentRouting:
    """Keeps the router. Until the first `refresh` there are no routes."""

    def __init__(self, *, hub: str, store: RoutingStore, clock: Clock) -> None:
        self._hub = hub
        self._store = store
        self._clock = clock
        self._router = Router(Routing(), hub)
        self._watchers: list[Callable[[], None]] = []

    @property
    def router(self) -> Router:
        """What decides now."""
        return self._router

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call this after every change; it must not wait."""
        self._watchers.append(watcher)

    async def stored(self) -> Routing:
        """Return what is stored, whether it is in force here yet or not."""
        return await self._store.get()

    async def change(self, decide: Callable[[Routing], RoutingChange], by: Caller) -> Routing:
        """Store what `decide` says (see RoutingStore), take it over, and return it."""
        stored = await self._store.change(decide, now=self._clock.now(), by=by)
        await self.refresh()
        return stored

    async def refresh(self) -> None:
        """Take over what is stored."""
        routing = await self._store.get()
        if routing != self._router.routing:
            self._router = Router(routing, self._hub)
            for watcher in self._watchers:
                watcher()

    async def run(self) -> None:
        """Look for changes until cancelled."""
        while True:
            await self._clock.sleep(LOOK_AGAIN)
            try:
                await self.refresh()
            except Exception:
                _log.exception("hub %s: its routes could not be read; the ones known stay", self._hub)
