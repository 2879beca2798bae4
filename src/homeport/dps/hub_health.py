"""Whether the linked hubs can be used: looked at from time to time, when a hub is linked, and when asked.

What is known is kept in memory, by each process for itself.
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from homeport.bus import Bus, HubsChanged
from homeport.clock import Clock
from homeport.dps.model import LinkedHub
from homeport.dps.ports import HubLinks, HubRefusedError, HubUnavailableError, LinkedHubStore

log = logging.getLogger(__name__)

_AT_ONCE = 8
_TIME_LIMIT = 15.0


class HubState(StrEnum):
    HEALTHY = "healthy"
    """It answers, and grants what registrations need."""
    UNREACHABLE = "unreachable"
    """It does not answer, or asks to come back later."""
    UNAUTHORIZED = "unauthorized"
    """The connection string's key or rights do not suffice."""
    REFUSING = "refusing"
    """It answers with something that no registration could go on with."""


class HubHealth(Struct, frozen=True, kw_only=True):
    """How the hub was when it was last looked at; `detail` is for the operator."""

    state: HubState
    detail: str
    checked_at: datetime


class HubHealthMonitor:
    """Looks after the links. `interval` is in seconds."""

    def __init__(
        self, *, hubs: LinkedHubStore, links: HubLinks, bus: Bus, clock: Clock, interval: float = 60.0
    ) -> None:
        self._hubs = hubs
        self._links = links
        self._bus = bus
        self._clock = clock
        self._interval = interval
        self._changed = asyncio.Event()
        self._known: dict[tuple[str, str | None], HubHealth] = {}

    def latest(self, hub: LinkedHub) -> HubHealth | None:
        """Return what was found last, None if this process has not looked yet."""
        return self._known.get(_key(hub))

    def count(self) -> Iterable[tuple[str, int]]:
        """Return how many hubs are in each state, for the metrics: no names."""
        states = [health.state for health in self._known.values()]
        return [(state.value, states.count(state)) for state in HubState]

    async def check(self, hub: LinkedHub) -> HubHealth:
        """Look now."""
        try:
            async with asyncio.timeout(_TIME_LIMIT):
                await self._links.link(hub).check()
            state, detail = HubState.HEALTHY, ""
        except TimeoutError:
            state, detail = HubState.UNREACHABLE, f"no answer within {_TIME_LIMIT:.0f} seconds"
        except HubUnavailableError as error:
            state, detail = HubState.UNREACHABLE, str(error)
        except HubRefusedError as error:
            state, detail = HubState.UNAUTHORIZED if error.unauthorized else HubState.REFUSING, str(error)
        found = HubHealth(state=state, detail=detail, checked_at=self._clock.now())
        before = self._known.get(_key(hub))
        # That a hub is well when it is first looked at is no news.
        if state is not (HubState.HEALTHY if before is None else before.state):
            level = logging.INFO if state is HubState.HEALTHY else logging.WARNING
            log.log(level, "linked hub %s is %s%s", hub.name, state.value, f": {detail}" if detail else "")
        self._known[_key(hub)] = found
        return found

    async def run(self) -> None:
        """Look after all links until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            while True:
                self._changed.clear()
                await self._look()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._interval):
                        await self._changed.wait()

    async def _listen(self) -> None:
        async with self._bus.subscribe(HubsChanged) as changes:
            async for _ in changes:
                self._changed.set()

    async def _look(self) -> None:
        try:
            hubs = await self._hubs.all()
        except Exception:
            log.exception("could not read the linked hubs")
            return
        linked = {_key(hub) for hub in hubs}
        for gone in self._known.keys() - linked:
            del self._known[gone]
        room = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            for hub in hubs:
                tasks.create_task(self._look_at(hub, room))

    async def _look_at(self, hub: LinkedHub, room: asyncio.Semaphore) -> None:
        async with room:
            try:
                await self.check(hub)
            except Exception:
                log.exception("could not check the linked hub %s", hub.name)


def _key(hub: LinkedHub) -> tuple[str, str | None]:
    """Tell hubs apart; one that is linked anew with other credentials is another."""
    return hub.name.lower(), hub.connection_string
