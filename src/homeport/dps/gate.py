"""How many calls are worked on at once: the others wait their turn, for a while, and one network at a time.

What waits costs a little memory; what is begun costs processor time that those already begun would then lack.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from msgspec import Struct

_FIRST_GUESS = 0.002
"""Seconds between two turns, before any were counted."""
_GUESS_WEIGHT = 0.1


class GateLimits(Struct, frozen=True, kw_only=True):
    """How many turns there are, how many may wait for one, and how long, in seconds."""

    calls_in_flight: int
    calls_waiting: int
    call_patience: float


DEFAULT_GATE = GateLimits(calls_in_flight=64, calls_waiting=1000, call_patience=2.0)


class BusyError(Exception):
    """There was no turn within the limits."""


class Gate:
    """Gives turns. Networks are served in rotation, and when too many wait, the network that has most loses one."""

    def __init__(self, limits: GateLimits = DEFAULT_GATE) -> None:
        self._limits = limits
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}  # in order of their next turn; none is empty
        self.in_flight = 0
        self.waiting = 0
        self.refused = 0
        """How many had no turn, ever."""
        self.interval = _FIRST_GUESS
        """Seconds between two turns while somebody waits: what a place in the row is worth."""
        self._last_turn: float | None = None

    @property
    def is_busy(self) -> bool:
        """Whether as many wait as are being worked on, or more."""
        return self.waiting >= self._limits.calls_in_flight

    async def enter(self, network: str) -> Callable[[], None]:
        """Wait for a turn; return what ends it, which may be called more than once. Raises BusyError."""
        if self.in_flight < self._limits.calls_in_flight and not self.waiting:
            self.in_flight += 1
            return self._turn()
        self._make_place(network)
        place = asyncio.get_running_loop().create_future()
        self._queues.setdefault(network, deque()).append(place)
        self.waiting += 1
        try:
            async with asyncio.timeout(self._limits.call_patience):
                await place
        except TimeoutError:
            if self._leave(network, place):
                return self._turn()
            self.refused += 1
            raise BusyError from None
        except BusyError:
            self.refused += 1
            raise
        except asyncio.CancelledError:
            if self._leave(network, place):
                self._next()
            raise
        return self._turn()

    def _turn(self) -> Callable[[], None]:
        ended = False

        def end() -> None:
            nonlocal ended
            if not ended:
                ended = True
                self._next()

        return end

    def _next(self) -> None:
        """End one turn and give it to the network whose turn it is."""
        self.in_flight -= 1
        now = asyncio.get_running_loop().time()
        if not self.waiting:
            self._last_turn = None
            return
        if self._last_turn is not None:
            self.interval += (now - self._last_turn - self.interval) * _GUESS_WEIGHT
        self._last_turn = now
        while self.waiting:
            network = next(iter(self._queues))
            place = self._pop(network, newest=False)
            if network in self._queues:
                self._queues[network] = self._queues.pop(network)
            if not place.done():  # else its caller has left in this very moment
                self.in_flight += 1
                place.set_result(None)
                return

    def _leave(self, network: str, place: asyncio.Future[None]) -> bool:
        """Give a place up; return whether its turn had come in the same moment, and is the caller's to end."""
        if place.done() and not place.cancelled():
            return place.exception() is None
        queue = self._queues.get(network)
        if queue is not None and place in queue:
            queue.remove(place)
            self.waiting -= 1
            if not queue:
                del self._queues[network]
        return False

    def _make_place(self, network: str) -> None:
        if self.waiting < self._limits.calls_waiting:
            return
        if (len(self._queues.get(network, ())) + 1) * len(self._queues) >= self.waiting:
            # Its share of the places, or more: to look for somebody who has even more would cost too much here.
            self.refused += 1
            raise BusyError
        longest = max(self._queues, key=lambda each: len(self._queues[each]))
        place = self._pop(longest, newest=True)
        if not place.done():
            place.set_exception(BusyError())

    def _pop(self, network: str, *, newest: bool) -> asyncio.Future[None]:
        queue = self._queues[network]
        place = queue.pop() if newest else queue.popleft()
        self.waiting -= 1
        if not queue:
            del self._queues[network]
        return place
