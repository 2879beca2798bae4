"""Writes the messages of one partition to storage: a blob of JSON lines for each batch."""

import asyncio

from homeport.clock import Clock
from homeport.hub.model import StorageEndpoint, StoredTelemetry
from homeport.hub.routing.couriers import Couriers, DeliveryError, Progress, backoff, woken
from homeport.hub.routing.documents import blob_name, storage_line
from homeport.hub.telemetry import TelemetryStream
from homeport.security.policies import Random

_AT_ONCE = 256


class Batch:
    """What is gathered for the next blob."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.size = 0
        self.first: StoredTelemetry | None = None

    def add(self, stored: StoredTelemetry) -> None:
        """Take in the next message."""
        line = storage_line(stored)
        self.first = self.first or stored
        self.lines.append(line)
        self.size += len(line)


async def store_partition(
    hub: str,
    endpoint: StorageEndpoint,
    stream: TelemetryStream,
    partition: int,
    *,
    progress: Progress,
    couriers: Couriers,
    clock: Clock,
    random: Random,
) -> None:
    """Go on until cancelled."""
    wake = asyncio.Event()
    position, batch = progress.position(partition), Batch()
    with stream.reading(partition, wake) as tail:
        while True:
            wake.clear()
            found = await tail.read(position, _AT_ONCE)
            for stored in found:
                batch.add(stored)
                position = stored.offset + 1
                if batch.size >= endpoint.max_chunk_bytes:
                    await _store(hub, endpoint, batch, progress, couriers, clock, random)
                    progress.done(partition, position)
                    batch = Batch()
            if batch.first is not None:
                age = clock.now() - batch.first.telemetry.enqueued_at
                if age.total_seconds() >= endpoint.batch_seconds:
                    await _store(hub, endpoint, batch, progress, couriers, clock, random)
                    progress.done(partition, position)
                    batch = Batch()
            if not found:
                await woken(wake)


async def _store(
    hub: str,
    endpoint: StorageEndpoint,
    batch: Batch,
    progress: Progress,
    couriers: Couriers,
    clock: Clock,
    random: Random,
) -> None:
    """Put a batch until the storage takes it."""
    assert batch.first is not None, "only what was gathered is written"
    name, content, attempts = blob_name(hub, endpoint, batch.first), b"".join(batch.lines), 0
    while True:
        try:
            await couriers.store(endpoint, name, content)
        except DeliveryError as error:
            progress.failed(str(error))
        else:
            return
        await clock.sleep(backoff(attempts, random))
        attempts += 1
