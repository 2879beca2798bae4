"""Channels and handles: small numbers that are taken and given back."""

from heapq import heappop, heappush

from homeport.proto import LocalProtocolError


class Numbers:
    """The numbers from 0, lowest first."""

    __slots__ = ("_free", "_next", "_what")

    def __init__(self, what: str) -> None:
        self._what = what
        self._free: list[int] = []
        self._next = 0

    def peek(self, highest: int) -> int:
        """Return the number that `take` will take. Raises LocalProtocolError if it is above `highest`."""
        number = self._free[0] if self._free else self._next
        if number > highest:
            raise LocalProtocolError(f"the peer allows no more {self._what}")
        return number

    def take(self) -> int:
        """Take the lowest free number."""
        if self._free:
            return heappop(self._free)
        self._next += 1
        return self._next - 1

    def give(self, number: int) -> None:
        """Give a number back."""
        heappush(self._free, number)
