"""Who reads a partition in a consumer group: owners by epoch, and few without (contract hub.md 20.6).

`judge` decides and is pure; `Receivers` keeps who is there, in this process.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

MAX_WITHOUT_EPOCH: Final = 5
"""Receivers of one partition and group that claim no ownership."""


class Stolen(Struct, frozen=True):
    """An owner of this epoch is there, or has come, and does not share."""

    epoch: int


class Crowded(Struct, frozen=True):
    """As many receivers without epoch are there as may be."""


class Admitted(Struct, frozen=True):
    """It may read; `displaced` are the places of those that must leave."""

    displaced: Sequence[int] = ()


def judge(present: Sequence[int | None], epoch: int | None) -> Admitted | Stolen | Crowded:
    """Decide about a receiver by the epochs of those present; None: without epoch.

    An owner displaces everybody whose epoch is not higher than its own.
    """
    highest = max((each for each in present if each is not None), default=None)
    if epoch is not None:
        if highest is not None and highest > epoch:
            return Stolen(highest)
        return Admitted(range(len(present)))
    if highest is not None:
        return Stolen(highest)
    return Crowded() if len(present) >= MAX_WITHOUT_EPOCH else Admitted()


class Receiver(Struct, frozen=True, eq=False):
    """One reader: its epoch, and how it is told that an owner has come."""

    epoch: int | None
    displace: Callable[[int], None]
    """Called with the epoch of who takes over."""


class Receivers:
    """The readers of all partitions and groups of a hub in this process."""

    def __init__(self) -> None:
        self._present: dict[tuple[str, str, int], list[Receiver]] = {}

    def admit(self, stream: str, group: str, partition: int, receiver: Receiver) -> Stolen | Crowded | None:
        """Let a reader in, and displace whom it displaces; or say why not. Letter case is no matter."""
        place = (stream.lower(), group.lower(), partition)
        present = self._present.get(place, [])
        verdict = judge([each.epoch for each in present], receiver.epoch)
        if not isinstance(verdict, Admitted):
            return verdict
        displaced = [present[index] for index in verdict.displaced]
        self._present[place] = [*(each for each in present if each not in displaced), receiver]
        for each in displaced:
            assert receiver.epoch is not None, "only an owner displaces"
            each.displace(receiver.epoch)
        return None

    def highest(self, stream: str, group: str, partition: int) -> int | None:
        """Return the epoch of the owner; None if there is none."""
        present = self._present.get((stream.lower(), group.lower(), partition), ())
        return max((each.epoch for each in present if each.epoch is not None), default=None)

    def yield_to(self, stream: str, group: str, partition: int, epoch: int) -> None:
        """Displace whom an owner of this epoch displaces, who is served elsewhere."""
        place = (stream.lower(), group.lower(), partition)
        present = self._present.get(place, [])
        displaced = [each for each in present if each.epoch is None or each.epoch <= epoch]
        left = [each for each in present if each not in displaced]
        if left:
            self._present[place] = left
        else:
            self._present.pop(place, None)
        for each in displaced:
            each.displace(epoch)

    def leave(self, stream: str, group: str, partition: int, receiver: Receiver) -> None:
        """Learn that a reader has gone; nothing for one that was displaced."""
        place = (stream.lower(), group.lower(), partition)
        left = [each for each in self._present.get(place, ()) if each is not receiver]
        if left:
            self._present[place] = left
        else:
            self._present.pop(place, None)
