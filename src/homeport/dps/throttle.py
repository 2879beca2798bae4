"""How often devices and administrators may call: per service, per address, per device. Pure; *now* is an argument.

A device's bucket is kept per network it calls from, so that a stranger who only knows its name cannot use it up.
"""

from collections import Counter
from enum import StrEnum
from math import ceil

from msgspec import Struct

from homeport.dps.identifiers import Random
from homeport.errors import Code, HomeportError
from homeport.limits import Buckets, Rate, network_of

LONGEST_WAIT = 120
"""Seconds; C takes up to 300 (contract dps.md 10), and a person who waits gives up long before."""

_ROWS = 1000
_ADDRESSES = 20_000
_DEVICES = 50_000


class Call(StrEnum):
    """What is counted apart (contract dps.md 10: register and poll are throttled separately)."""

    REGISTER = "register"
    POLL = "poll"
    OPERATION = "operation"


class Scope(StrEnum):
    """Whose limit it was."""

    DEVICE = "device"
    ADDRESS = "address"
    SERVICE = "service"


class ThrottledError(HomeportError):
    """429: too many calls. `why` is for the record, and names the limit."""

    def __init__(self, scope: Scope, why: str, retry_after: int) -> None:
        super().__init__(Code.THROTTLED, "Too many requests; try again later.", retry_after=retry_after)
        self.scope = scope
        self.why = why


class Rates(Struct, frozen=True, kw_only=True):
    """The limits of one process; None is no limit. Addresses are IPv4 addresses and IPv6 /64 networks."""

    registrations: Rate | None
    polls: Rate | None
    operations: Rate | None
    address_registrations: Rate | None
    address_polls: Rate | None
    address_operations: Rate | None
    device_registrations: Rate | None
    device_polls: Rate | None

    def of(self, call: Call, scope: Scope) -> Rate | None:
        """Return the limit of one kind of call. Administrators have no device."""
        match scope, call:
            case Scope.SERVICE, Call.REGISTER:
                return self.registrations
            case Scope.SERVICE, Call.POLL:
                return self.polls
            case Scope.SERVICE, Call.OPERATION:
                return self.operations
            case Scope.ADDRESS, Call.REGISTER:
                return self.address_registrations
            case Scope.ADDRESS, Call.POLL:
                return self.address_polls
            case Scope.ADDRESS, Call.OPERATION:
                return self.address_operations
            case Scope.DEVICE, Call.REGISTER:
                return self.device_registrations
            case Scope.DEVICE, Call.POLL:
                return self.device_polls
            case _:
                return None


DEFAULT_RATES = Rates(
    registrations=Rate(60_000, 60),
    polls=Rate(600_000, 60),
    operations=Rate(60_000, 60),
    address_registrations=Rate(12_000, 60),
    address_polls=Rate(60_000, 60),
    address_operations=Rate(30_000, 60),
    device_registrations=Rate(120, 60),
    device_polls=Rate(5, 10),
)


class Comeback:
    """Tells those who are sent away when to come back, each a place further back, so that they do not come as one.

    Each key has a row of its own: who is over his limit need not stand behind those who are over theirs.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._last: dict[str, float] = {}

    def after(self, now: float, wait: float, interval: float, *, key: str = "") -> int:
        """Return whole seconds from 1 up: at least `wait`, and `interval` after the one before in the row.

        When the row is longer than LONGEST_WAIT, the rest is scattered over its second half.
        """
        if len(self._last) >= _ROWS and key not in self._last:
            self._last = {each: last for each, last in self._last.items() if last > now + 1}
            if len(self._last) >= _ROWS:
                self._last = {}
        last = self._last[key] = max(min(self._last.get(key, now), now + LONGEST_WAIT), now + wait) + interval
        seconds = max(1, ceil(last - now))
        if seconds <= LONGEST_WAIT:
            return seconds
        half = LONGEST_WAIT // 2
        return max(ceil(wait), half + int.from_bytes(self._random(2)) % (half + 1))


class Throttle:
    """Counts calls against the rates; `refused` tells how many were sent away, by kind of call and whose limit."""

    def __init__(self, rates: Rates, random: Random) -> None:
        self.refused: Counter[tuple[Call, Scope]] = Counter()
        sizes = {Scope.DEVICE: _DEVICES, Scope.ADDRESS: _ADDRESSES, Scope.SERVICE: 1}
        self._buckets: dict[Call, tuple[tuple[Scope, Buckets[str], Comeback], ...]] = {
            call: tuple(
                (scope, Buckets(rate, capacity=sizes[scope]), Comeback(random))
                for scope in Scope
                if (rate := rates.of(call, scope)) is not None
            )
            for call in Call
        }

    def take(self, call: Call, *, now: float, address: str, device: str = "") -> None:
        """Count the call, or raise ThrottledError and count nothing."""
        keys = _keys(address, device)
        all_buckets = self._buckets[call]
        for number, (scope, buckets, comeback) in enumerate(all_buckets):
            key = keys[scope]
            wait = buckets.take(key, now)
            if not wait:
                continue
            for earlier, taken, _ in all_buckets[:number]:
                taken.give_back(keys[earlier])
            self.refused[call, scope] += 1
            if scope is Scope.DEVICE:
                retry_after = max(1, ceil(wait))
            else:
                retry_after = comeback.after(now, wait, buckets.rate.interval, key=key)
            raise ThrottledError(
                scope, f"more calls of the kind '{call}' than the {scope}'s limit of {buckets.rate}", retry_after
            )

    def undo(self, call: Call, *, address: str, device: str = "") -> None:
        """Take the call off all accounts: it was not answered."""
        keys = _keys(address, device)
        for scope, buckets, _ in self._buckets[call]:
            buckets.give_back(keys[scope])

    def give_back(self, call: Call) -> None:
        """Take the call off the service's account: it was a stranger's, and strangers must not use that up."""
        for scope, buckets, _ in self._buckets[call]:
            if scope is Scope.SERVICE:
                buckets.give_back("")


def _keys(address: str, device: str) -> dict[Scope, str]:
    network = network_of(address)
    return {
        Scope.DEVICE: f"{network} {device[:128].lower()}",
        Scope.ADDRESS: network,
        Scope.SERVICE: "",
    }
