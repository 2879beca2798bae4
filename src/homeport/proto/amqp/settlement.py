"""Which deliveries of a session are unsettled, in one direction (2.6.12)."""

from collections.abc import Iterator

from homeport.proto.amqp.link import Link

MASK = 0xFFFF_FFFF
HALF = 0x8000_0000
"""Ids and counts are serial numbers of 32 bits (RFC 1982): a difference from here on is negative."""


class Unsettled:
    """Deliveries by their ids, each with its link and tag."""

    __slots__ = ("_counts", "_deliveries")

    def __init__(self) -> None:
        self._deliveries: dict[int, tuple[Link, bytes]] = {}
        self._counts: dict[Link, int] = {}

    def __len__(self) -> int:
        return len(self._deliveries)

    def __contains__(self, delivery_id: int) -> bool:
        return delivery_id in self._deliveries

    def add(self, delivery_id: int, link: Link, tag: bytes) -> None:
        self._deliveries[delivery_id] = (link, tag)
        self._counts[link] = self._counts.get(link, 0) + 1

    def get(self, delivery_id: int) -> tuple[Link, bytes] | None:
        return self._deliveries.get(delivery_id)

    def settle(self, delivery_id: int) -> None:
        link, _ = self._deliveries.pop(delivery_id)
        self._counts[link] -= 1

    def between(self, first: int, last: int) -> Iterator[tuple[int, Link, bytes]]:
        """Yield the deliveries from `first` to `last`, in order, whatever else may lie between them.

        The cost is bounded by what is unsettled, however wide the peer makes the range.
        """
        width = ((last - first) & MASK) + 1
        if width <= len(self._deliveries):
            ids = [(first + step) & MASK for step in range(width)]
        else:
            ids = sorted(
                (known for known in self._deliveries if (known - first) & MASK < width),
                key=lambda known: (known - first) & MASK,
            )
        for delivery_id in ids:
            delivery = self._deliveries.get(delivery_id)
            if delivery is not None:
                yield delivery_id, *delivery

    def forget(self, link: Link) -> None:
        """Drop what belongs to a link that is over."""
        if self._counts.pop(link, 0):
            for delivery_id in [known for known, (owner, _) in self._deliveries.items() if owner is link]:
                del self._deliveries[delivery_id]

    def clear(self) -> None:
        """Drop everything: the session is over."""
        self._deliveries.clear()
        self._counts.clear()
