"""Owners of partitions across processes: one with a higher epoch is found, and all others leave for it (hub.md 20.6).

Receivers without epoch are counted in each process for itself.
"""

from homeport.bus import Bus, PartitionOwned
from homeport.hub.event_streams.receivers import Receivers, Stolen
from homeport.peers import PeerGoneError, Peers

_ANSWER_SECONDS = 2.0


class ReceiversElsewhere:
    """The readers of all partitions and groups of a hub, whichever process serves them."""

    def __init__(self, *, hub: str, here: Receivers, bus: Bus, peers: Peers) -> None:
        self._hub = hub
        self._here = here
        self._bus = bus
        self._peers = peers
        self._topic = f"owners-{hub}"
        peers.serve(self._topic, knows=self._outranks, answers=self._highest)

    async def outranked(self, stream: str, group: str, partition: int, epoch: int | None) -> Stolen | None:
        """Tell whether an owner elsewhere keeps a reader of this epoch out. Letter case is no matter."""
        if not self._peers.node:
            return None
        above = await self._above(f"{partition} {-1 if epoch is None else epoch} {group}/{stream}")
        return None if above is None else Stolen(above)

    async def announce(self, stream: str, group: str, partition: int, epoch: int | None) -> None:
        """Displace readers elsewhere, now that this one has been admitted here."""
        if epoch is not None and self._peers.node:
            await self._bus.publish(
                PartitionOwned(
                    hub=self._hub,
                    stream=stream,
                    group=group,
                    partition=partition,
                    epoch=epoch,
                    node=self._peers.node,
                )
            )

    async def run(self) -> None:
        """Make room for owners elsewhere until cancelled; alone, there are none."""
        if not self._peers.node:
            return
        async with self._bus.subscribe(PartitionOwned) as events:
            async for event in events:
                if isinstance(event, PartitionOwned) and event.hub == self._hub and event.node != self._peers.node:
                    self._here.yield_to(event.stream, event.group, event.partition, event.epoch)

    async def _above(self, key: str) -> int | None:
        """Return the epoch of an owner elsewhere that outranks the one in the key; None if there is none."""
        node = await self._peers.find(self._topic, key)
        if node is None:
            return None
        try:
            return int(await self._peers.ask(node, self._topic, key.encode(), seconds=_ANSWER_SECONDS))
        except (PeerGoneError, TimeoutError, ValueError):
            return None  # it has gone, and its owner with it

    def _outranks(self, key: str) -> bool:
        partition, epoch, place = key.split(" ", 2)
        group, _, stream = place.partition("/")
        highest = self._here.highest(stream, group, int(partition))
        return highest is not None and highest > int(epoch)

    async def _highest(self, question: bytes) -> bytes:
        partition, _, place = question.decode().split(" ", 2)
        group, _, stream = place.partition("/")
        highest = self._here.highest(stream, group, int(partition))
        return b"" if highest is None else str(highest).encode()
