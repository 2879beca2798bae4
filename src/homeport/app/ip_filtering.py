"""The IP filter as this process obeys it: the rules of the store, looked at every second."""

import logging
from collections import Counter
from collections.abc import Callable

from homeport.clock import Clock
from homeport.dps.administration.ip_filter import IpFilterStore
from homeport.errors import HomeportError
from homeport.limits import Buckets, Rate
from homeport.security.ip_filter import Door, IpFilter

_EVERY = 1.0
"""Seconds; a change is to be obeyed within two, everywhere."""
_LOGGED = Rate(1, 10)

_log = logging.getLogger(__name__)


class LiveIpFilter:
    """Answers for every connection and request. `enabled` False lets everybody in, whatever the rules say."""

    def __init__(self, store: IpFilterStore, clock: Clock, *, enabled: bool = True) -> None:
        self._store = store
        self._clock = clock
        self._enabled = enabled
        self._version = -1
        self._filter = IpFilter()
        self._watchers: list[Callable[[], object]] = []
        self._logged: Buckets[Door] = Buckets(_LOGGED)
        self._unlogged: Counter[Door] = Counter()
        self._is_failing = False
        self.refused: Counter[Door] = Counter()

    def watch(self, changed: Callable[[], object]) -> None:
        """Call this after every change of the rules."""
        self._watchers.append(changed)

    def open_to(self, *doors: Door) -> Callable[[str], bool]:
        """Return what tells whether any of the doors is open to an address; nothing is counted."""
        return lambda address: any(self._filter.decide(address, door).allowed for door in doors)

    def allows(self, address: str, door: Door) -> bool:
        """Tell whether an address may come in; a refusal is counted and, now and then, logged."""
        decision = self._filter.decide(address, door)
        if not decision.allowed:
            self.refused[door] += 1
            self._unlogged[door] += 1
            if not self._logged.take(door, self._clock.now().timestamp()):
                _log.warning(
                    "%d refused by the IP filter of %s, the last one %s by rule %s",
                    self._unlogged.pop(door),
                    door.value,
                    address,
                    decision.rule.name if decision.rule else "",
                )
        return decision.allowed

    async def refresh(self) -> None:
        """Obey the rules as they stand now."""
        if not self._enabled:
            return
        version, rules = await self._store.get()
        if version != self._version:
            self._version, self._filter = version, IpFilter(rules)
            for changed in self._watchers:
                changed()

    async def run(self) -> None:
        """Follow the changes that other processes make, until cancelled."""
        while True:
            await self._clock.sleep(_EVERY)
            try:
                await self.refresh()
            except HomeportError as error:
                if not self._is_failing:
                    _log.warning("the IP filter's rules cannot be read, the last ones stay: %s", error.message)
                self._is_failing = True
            else:
                self._is_failing = False
