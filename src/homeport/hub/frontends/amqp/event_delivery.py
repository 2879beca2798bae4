"""One partition's events to one AMQP link, as its client gives credit (contract hub.md 20.5)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from homeport.clock import Clock
from homeport.hub.frontends.amqp.event_messages import write_event, write_metrics
from homeport.hub.model import StoredTelemetry
from homeport.hub.partition_tail import READ_AT_ONCE, PartitionTail
from homeport.hub.telemetry import TelemetryStream
from homeport.net.amqp_handlers import AmqpSender

AT_ONCE_BYTES: Final = 256 * 1024
"""Of events that are handed to a connection before it is asked whether there is room for more."""


class EventDelivery:
    """Sends a partition's events from an offset on; nothing is consumed by that."""

    def __init__(
        self,
        link: AmqpSender,
        stream: TelemetryStream,
        partition: int,
        offset: int,
        *,
        room: Callable[[], Awaitable[None]],
        clock: Clock,
        removed: Callable[[], None],
        metrics: bool,
    ) -> None:
        """`room` waits until the connection takes more; `metrics` tells the partition's end with each event.

        `removed` is called if the endpoint is not there any more.
        """
        self._link = link
        self._stream = stream
        self._partition = partition
        self._offset = offset
        self._room = room
        self._clock = clock
        self._removed = removed
        self._metrics = metrics
        self._wake = asyncio.Event()
        self._tail: PartitionTail | None = None
        self._over = False

    def flow(self, *, drain: bool) -> None:
        """Learn that there is credit; with `drain`, send what is at hand at once."""
        if drain and not self._over and self._tail is not None and not self._metrics:
            self._send(self._tail.at_hand(self._offset, self._link.credit), b"")
        self._wake.set()

    def stop(self) -> None:
        """Send nothing more: the link has ended."""
        self._over = True
        self._wake.set()

    async def run(self) -> None:
        """Deliver until stopped."""
        with self._stream.reading(self._partition, self._wake) as tail:
            self._tail = tail
            while not self._over:
                self._wake.clear()
                if self._stream.is_closed:
                    self._removed()
                    return
                if self._link.credit > 0 and (found := await self._read(tail)):
                    metrics = b""
                    if self._metrics:
                        metrics = write_metrics(await self._stream.log.state(self._partition), self._clock.now())
                    self._send(found, metrics)
                    await self._room()
                    await asyncio.sleep(0)  # others' turn, even where everything is at hand
                else:
                    await self._wake.wait()

    async def _read(self, tail: PartitionTail) -> Sequence[StoredTelemetry]:
        return await tail.read(self._offset, min(self._link.credit, READ_AT_ONCE))

    def _send(self, events: Sequence[StoredTelemetry], metrics: bytes) -> None:
        """Send what credit there is for, up to some bytes; a drain may have been first."""
        size = 0
        for event in events:
            if self._over or self._link.credit <= 0 or size > AT_ONCE_BYTES:
                return
            if event.offset >= self._offset:
                data = write_event(event, metrics)
                size += len(data)
                _ = self._link.send(data)
                self._offset = event.offset + 1
