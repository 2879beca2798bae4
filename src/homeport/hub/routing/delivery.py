"""Carries messages from the streams of endpoints to webhooks and storage: at least once, in order in each partition.

One process at a time works for an endpoint, under a lease, and notes durably how far each partition is done. What it
had sent and not yet noted when it died is sent once more by the next.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from msgspec import Struct

from homeport.clock import Clock
from homeport.hub.model import Endpoint, EventStreamEndpoint, StorageEndpoint, WebhookEndpoint
from homeport.hub.routing.couriers import Couriers
from homeport.hub.routing.current import CurrentRouting
from homeport.hub.routing.ports import DeliveryStore, Standing
from homeport.hub.routing.storage_batches import store_partition
from homeport.hub.routing.webhook_posts import post_partition
from homeport.hub.telemetry import TelemetryStream
from homeport.security.policies import Random
from homeport.values import replace

LEASE = timedelta(seconds=30)
LOOK_AGAIN = 1.0
NOTE_SECONDS = 0.25
"""How long progress may be unnoted: what is sent again when a process dies."""

_log = logging.getLogger(__name__)

OpenStream = Callable[[str], Awaitable[TelemetryStream]]


class Tools(Struct, frozen=True, kw_only=True):
    """What all deliveries of one hub in this process share; `owner` names the process in leases."""

    hub: str
    store: DeliveryStore
    couriers: Couriers
    open_stream: OpenStream
    clock: Clock
    random: Random
    owner: str


class Carrier:
    """Looks for endpoints that nobody works for."""

    def __init__(self, tools: Tools, current: CurrentRouting) -> None:
        self._tools = tools
        self._current = current
        self._served: set[str] = set()
        self._wake = asyncio.Event()
        current.watch(self._wake.set)

    async def run(self) -> None:
        """Carry until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._wake.clear()
                for endpoint in self._current.router.routing.endpoints:
                    if not isinstance(endpoint, EventStreamEndpoint):
                        await self._take(endpoint, tasks)
                try:
                    async with asyncio.timeout(LOOK_AGAIN):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    async def _take(self, endpoint: Endpoint, tasks: asyncio.TaskGroup) -> None:
        """Begin to work for an endpoint if nobody does."""
        tools, key = self._tools, endpoint.name.lower()
        if key in self._served:
            return
        now = tools.clock.now()
        try:
            standing = await tools.store.claim(endpoint.name, owner=tools.owner, now=now, until=now + LEASE)
        except Exception:
            _log.exception("hub %s: could not look for messages to deliver; trying again", tools.hub)
            return
        if standing is not None:
            self._served.add(key)
            tasks.create_task(self._serve(endpoint, standing))

    async def _serve(self, endpoint: Endpoint, standing: Standing) -> None:
        try:
            await Worker(self._tools, self._current, endpoint, standing).run()
        except* LeaseLostError:
            _log.info("hub %s: endpoint %s was changed or removed, or is another's", self._tools.hub, endpoint.name)
        except* Exception:
            _log.exception("hub %s: delivery to %s stopped; trying again", self._tools.hub, endpoint.name)
        finally:
            self._served.discard(endpoint.name.lower())


class LeaseLostError(Exception):
    """The endpoint is not this worker's any more, or not the one it was."""


class Progress:
    """How far an endpoint's partitions are done and how it goes, until it is noted."""

    def __init__(self, standing: Standing, clock: Clock) -> None:
        self._clock = clock
        self.standing = standing

    def position(self, partition: int) -> int:
        return self.standing.positions.get(partition, 0)

    def done(self, partition: int, position: int) -> None:
        """Everything before this position was taken."""
        self._move(partition, position)
        self.standing = replace(self.standing, last_success_at=self._clock.now())

    def skipped(self, partition: int, position: int, reason: str) -> None:
        """Give up what is before this position: the endpoint will never take it."""
        self._move(partition, position)
        self.failed(reason)

    def failed(self, reason: str) -> None:
        """Note that it did not go well, for now."""
        self.standing = replace(self.standing, last_failure_at=self._clock.now(), last_failure=reason)

    def _move(self, partition: int, position: int) -> None:
        self.standing = replace(self.standing, positions={**self.standing.positions, partition: position})


class Worker:
    """Works for an endpoint as it is now, until it is changed or the lease is taken away."""

    def __init__(self, tools: Tools, current: CurrentRouting, endpoint: Endpoint, standing: Standing) -> None:
        self._tools = tools
        self._current = current
        self._endpoint = endpoint
        self._progress = Progress(standing, tools.clock)
        self._noted = standing
        self._noted_at: datetime = tools.clock.now()

    async def run(self) -> None:
        """Work until cancelled, or until LeaseLostError is raised; then what is done is noted, and the lease let go."""
        tools, name = self._tools, self._endpoint.name
        try:
            stream = await tools.open_stream(name)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep())
                for partition in range(self._endpoint.partitions):
                    tasks.create_task(self._partition(stream, partition))
        finally:
            now = tools.clock.now()
            await tools.store.advance(name, self._progress.standing, owner=tools.owner, until=now)
            await tools.store.release(name, owner=tools.owner)

    async def _partition(self, stream: TelemetryStream, partition: int) -> None:
        match self._endpoint:
            case WebhookEndpoint():
                await post_partition(
                    self._tools.hub,
                    self._endpoint,
                    stream,
                    partition,
                    progress=self._progress,
                    couriers=self._tools.couriers,
                    clock=self._tools.clock,
                    random=self._tools.random,
                )
            case StorageEndpoint():
                await store_partition(
                    self._tools.hub,
                    self._endpoint,
                    stream,
                    partition,
                    progress=self._progress,
                    couriers=self._tools.couriers,
                    clock=self._tools.clock,
                    random=self._tools.random,
                )

    async def _keep(self) -> None:
        """Note progress soon and renew the lease in time. Raises LeaseLostError."""
        while True:
            await asyncio.sleep(NOTE_SECONDS)
            if self._current.router.routing.endpoint(self._endpoint.name) != self._endpoint:
                raise LeaseLostError
            now, standing = self._tools.clock.now(), self._progress.standing
            if standing == self._noted and now - self._noted_at < LEASE / 3:
                continue
            if not await self._tools.store.advance(
                self._endpoint.name, standing, owner=self._tools.owner, until=now + LEASE
            ):
                raise LeaseLostError
            self._noted, self._noted_at = standing, now
