"""Who may come in, before anything was paid for them: connections and handshakes, in all and for each network.

Networks are IPv4 addresses and IPv6 /64s. One object counts for all listeners of a process, which share one processor.
"""

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from homeport.limits import Buckets, Rate, network_of

__all__ = ["DEFAULT_ARRIVALS", "ArrivalLimits", "Arrivals", "Refusal", "Visitor"]

_log = logging.getLogger(__name__)

_LOGGED = Rate(1, 10)
"""Lines about refused connections, for each reason."""
_SHEDDING_SECONDS = 10.0
_QUICK_SECONDS = 2.0
_SHARES = 8
"""Who holds more than this part of all handshakes gives up those that take longer, when others have none."""


class ArrivalLimits(Struct, frozen=True, kw_only=True):
    """Connections beyond a limit are reset; handshakes beyond theirs wait, and are reset when too many wait."""

    connections: int
    address_connections: int
    address_new_connections: Rate | None
    handshakes: int
    address_handshakes: int
    waiting_handshakes: int


DEFAULT_ARRIVALS = ArrivalLimits(
    connections=100_000,
    address_connections=50_000,
    address_new_connections=Rate(30_000, 60),
    handshakes=128,
    address_handshakes=64,
    waiting_handshakes=4000,
)


class Refusal(StrEnum):
    """Why a connection was reset at once."""

    FILTERED = "ip filter"
    FULL = "connections"
    ADDRESS_FULL = "address connections"
    TOO_FAST = "address new connections"
    TOO_MANY_WAITING = "waiting handshakes"
    SLOW = "slow handshakes"


class Visitor(Hashable, Protocol):
    """A connection that wants in."""

    def begin(self) -> None:
        """Start the handshake."""
        ...

    def abort(self) -> None:
        """End the connection at once."""
        ...


class Arrivals:
    """Counts connections and lets handshakes begin, network by network in rotation.

    `now` is any clock that runs forward, in seconds. While those who are in wait for their turns (`is_busy`), few
    handshakes are begun: what a handshake costs would be lost with a call that is then sent away.
    """

    def __init__(
        self,
        limits: ArrivalLimits = DEFAULT_ARRIVALS,
        *,
        now: Callable[[], float],
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._limits = limits
        self._now = now
        self._is_busy = is_busy
        self._networks: dict[Visitor, str] = {}
        self._open: Counter[str] = Counter()
        self._shaking: dict[Visitor, tuple[str, float]] = {}  # network and beginning, the oldest first
        self._shaking_of: Counter[str] = Counter()
        self._waiting: dict[str, OrderedDict[Visitor, None]] = {}  # in order of their next turn; none is empty
        self.waiting = 0
        rate = limits.address_new_connections
        self._new: Buckets[str] | None = None if rate is None else Buckets(rate)
        self._logged: Buckets[Refusal] = Buckets(_LOGGED)
        self._unlogged: Counter[Refusal] = Counter()
        self.refused: Counter[Refusal] = Counter()
        self._shed_at = float("-inf")

    @property
    def connections(self) -> int:
        """How many are open, unfinished handshakes included."""
        return len(self._networks)

    @property
    def handshakes(self) -> int:
        """How many handshakes are under way."""
        return len(self._shaking)

    @property
    def is_shedding(self) -> bool:
        """Whether connections were lately refused because there were too many in all."""
        return self._now() - self._shed_at < _SHEDDING_SECONDS

    def arrived(self, visitor: Visitor, address: str, *, allowed: bool = True) -> bool:
        """Take a connection up, or reset it and return False. `allowed` False is what the IP filter says.

        It costs memory only, until it has said what it wants.
        """
        network = network_of(address)
        refusal = self._judge(network) if allowed else Refusal.FILTERED
        if refusal is not None:
            self._refuse(refusal, visitor, address)
            return False
        self._networks[visitor] = network
        self._open[network] += 1
        return True

    def knocked(self, visitor: Visitor) -> None:
        """Let a connection that was taken up begin its handshake, now or when its turn comes, or reset it."""
        network = self._networks.get(visitor)
        if network is None:
            return
        if self.waiting >= self._limits.waiting_handshakes and not self._displace(network):
            self.left(visitor)
            self._refuse(Refusal.TOO_MANY_WAITING, visitor, network)
            return
        self._waiting.setdefault(network, OrderedDict())[visitor] = None
        self.waiting += 1
        self._interrupt(network)
        self._begin_next()

    def established(self, visitor: Visitor) -> None:
        """Learn that a handshake is complete."""
        self._ended_shaking(visitor)
        self._begin_next()

    def left(self, visitor: Visitor) -> None:
        """Forget a connection, in whatever stage it was; those that were refused are not known."""
        network = self._networks.pop(visitor, None)
        if network is None:
            return
        self._open[network] -= 1
        if not self._open[network]:
            del self._open[network]
        self._forget_waiting(visitor, network)
        self._ended_shaking(visitor)
        self._begin_next()

    def _judge(self, network: str) -> Refusal | None:
        limits = self._limits
        if self._new is not None and self._new.take(network, self._now()):
            return Refusal.TOO_FAST
        if self._open[network] >= limits.address_connections:
            return Refusal.ADDRESS_FULL
        if len(self._networks) >= limits.connections:
            return Refusal.FULL
        return None

    def _displace(self, network: str) -> bool:
        """Send the newest of the network that has most waiting away, unless the newcomer's own has its share."""
        if (len(self._waiting.get(network, ())) + 1) * len(self._waiting) >= self.waiting:
            return False
        longest = max(self._waiting, key=lambda each: len(self._waiting[each]))
        visitor = next(reversed(self._waiting[longest]))
        self._refuse(Refusal.TOO_MANY_WAITING, visitor, longest)
        self.left(visitor)
        return True

    def _interrupt(self, network: str) -> None:
        """Make room: whoever holds many places must be quick when others, or more of his own, want one."""
        if self._shaking_of[network] >= self._limits.address_handshakes:
            greedy = network
        elif len(self._shaking) >= self._limits.handshakes and not self._shaking_of[network]:
            greedy, count = max(self._shaking_of.items(), key=lambda item: item[1])
            if count * _SHARES < self._limits.handshakes:
                return
        else:
            return
        visitor, since = next((each, since) for each, (network, since) in self._shaking.items() if network == greedy)
        if self._now() - since > _QUICK_SECONDS:
            self._refuse(Refusal.SLOW, visitor, greedy)
            self.left(visitor)

    def _begin_next(self) -> None:
        limits = self._limits
        # Never none: those who are in could otherwise keep everybody else out.
        most = max(1, limits.handshakes // _SHARES) if self._waiting and self._is_busy() else limits.handshakes
        passed = 0
        while self._waiting and len(self._shaking) < most and passed < len(self._waiting):
            network = next(iter(self._waiting))
            queue = self._waiting.pop(network)
            if self._shaking_of[network] >= limits.address_handshakes:
                self._waiting[network] = queue
                passed += 1
                continue
            passed = 0
            visitor, _ = queue.popitem(last=False)
            self.waiting -= 1
            if queue:
                self._waiting[network] = queue
            self._shaking[visitor] = (network, self._now())
            self._shaking_of[network] += 1
            visitor.begin()

    def _ended_shaking(self, visitor: Visitor) -> None:
        network, _ = self._shaking.pop(visitor, (None, 0.0))
        if network is not None:
            self._shaking_of[network] -= 1
            if not self._shaking_of[network]:
                del self._shaking_of[network]

    def _forget_waiting(self, visitor: Visitor, network: str) -> None:
        queue = self._waiting.get(network)
        if queue is not None and visitor in queue:
            del queue[visitor]
            self.waiting -= 1
            if not queue:
                del self._waiting[network]

    def _refuse(self, refusal: Refusal, visitor: Visitor, address: str) -> None:
        self.refused[refusal] += 1
        self._unlogged[refusal] += 1
        now = self._now()
        if refusal in {Refusal.FULL, Refusal.TOO_MANY_WAITING}:
            self._shed_at = now
        if not self._logged.take(refusal, now):
            _log.warning(
                "%d connections refused (limit: %s), the last one from %s",
                self._unlogged.pop(refusal),
                refusal,
                address,
            )
        visitor.abort()
