"""Token buckets: how often something may happen, per key, with *now* as an argument. Pure arithmetic.

A bucket is kept as one number, the moment at which it will be full again ("virtual scheduling", ITU-T I.371): taking
moves it into the future, and time does the rest. Times are seconds on any clock.
"""

import ipaddress
import re
from collections.abc import Hashable
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

from msgspec import Struct

__all__ = ["Buckets", "Drawn", "Rate", "draw", "network_of", "parse_rate"]

K = TypeVar("K", bound=Hashable)

_IPV6_PREFIX = 64
"""One customer's network: whoever has one address of it has all of them."""

_RATE = re.compile(r"\s*(?P<count>[0-9]{1,9})\s*/\s*(?P<periods>[0-9]{0,6})\s*(?P<unit>s|min|h)\s*")
_UNITS = {"s": 1, "min": 60, "h": 3600}


class Rate(Struct, frozen=True):
    """`count` in `seconds`: so many may come at once, and as many again in each period that follows."""

    count: int
    seconds: float

    def __post_init__(self) -> None:
        if self.count < 1 or self.seconds <= 0:
            raise ValueError("a rate is at least 1 in a positive time")

    @property
    def interval(self) -> float:
        """Seconds after which one more may come."""
        return self.seconds / self.count

    def __str__(self) -> str:
        for unit, length in (("h", 3600), ("min", 60)):
            if self.seconds == length:
                return f"{self.count}/{unit}"
        return f"{self.count}/{'' if self.seconds == 1 else f'{self.seconds:g}'}s"


def parse_rate(text: str) -> Rate | None:
    """Read `1000/min`, `5/10s`, `2/h`; `off` is no limit: None. Raises ValueError."""
    if text.strip().lower() == "off":
        return None
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no rate like 1000/min, 5/10s or off")
    return Rate(int(match["count"]), int(match["periods"] or 1) * _UNITS[match["unit"]])


class Drawn(NamedTuple):
    """`wait` is 0 if it was granted, else the seconds until it would be; `full_at` is the bucket from now on."""

    wait: float
    full_at: float


def draw(rate: Rate, full_at: float, now: float) -> Drawn:
    """Take one token. What is refused takes nothing.

    A clock that was set back does not lock anybody out: a bucket is never emptier than empty.
    """
    depth = rate.seconds
    empty_at = now + depth
    if full_at < now:
        full_at = now
    elif full_at > empty_at:
        full_at = empty_at
    after = full_at + rate.interval
    # The sums of many intervals miss the period by some bits.
    wait = after - empty_at
    return Drawn(0.0, after) if wait <= depth * 1e-9 else Drawn(wait, full_at)


class Buckets(Generic[K]):
    """A bucket for each key, in a bounded table.

    Buckets that are full again are forgotten first, which changes nothing. If all `capacity` are in use, those that
    have the least to remember go: to have a bucket forgotten that is empty, somebody must empty all the others.
    """

    def __init__(self, rate: Rate, *, capacity: int = 20_000) -> None:
        self.rate = rate
        self._capacity = capacity
        self._full_at: dict[K, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def __contains__(self, key: K) -> bool:
        return key in self._full_at

    def take(self, key: K, now: float) -> float:
        """Take a token and return 0; or take nothing and return the seconds after which one can be had."""
        known = self._full_at.get(key)
        if known is None and len(self._full_at) >= self._capacity:
            self._make_room(now)
        wait, self._full_at[key] = draw(self.rate, now if known is None else known, now)
        return wait

    def give_back(self, key: K) -> None:
        """Undo one `take`: what was to be counted did not happen."""
        known = self._full_at.get(key)
        if known is not None:
            self._full_at[key] = known - self.rate.interval

    def _make_room(self, now: float) -> None:
        left = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
        enough = self._capacity * 9 // 10  # so that it is not done at every new key
        if len(left) > enough:
            left = dict(sorted(left.items(), key=lambda item: item[1])[len(left) - enough :])
        self._full_at = left


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Return what limits count as one client: an IPv4 address, an IPv6 /64; other texts are returned as they are."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
