"""Routing of one hub, put together: what is asked for each message, and what carries messages to endpoints."""

import asyncio

from msgspec import Struct

from homeport.clock import Clock
from homeport.hub.event_streams import EventStreams
from homeport.hub.model import Endpoint
from homeport.hub.ports import DeviceStore
from homeport.hub.routing.couriers import Couriers
from homeport.hub.routing.current import CurrentRouting
from homeport.hub.routing.delivery import Carrier, Tools
from homeport.hub.routing.device_messages import DeviceMessages
from homeport.hub.routing.happenings import Happenings
from homeport.hub.routing.ports import DeliveryStore, RoutingStore, Standing
from homeport.hub.routing.settings import Endpoints, Enrichments, Routes
from homeport.security.policies import Random


class RoutingParts(Struct, frozen=True, kw_only=True):
    """What one hub's routing is put together from."""

    store: RoutingStore
    deliveries: DeliveryStore
    couriers: Couriers


class HubRouting:
    """What the hub needs of routing."""

    def __init__(
        self,
        *,
        hub: str,
        parts: RoutingParts,
        streams: EventStreams,
        devices: DeviceStore,
        clock: Clock,
        random: Random,
    ) -> None:
        self._streams = streams
        self.deliveries = parts.deliveries
        self.current = CurrentRouting(hub=hub, store=parts.store, clock=clock)
        self.carrier = Carrier(
            Tools(
                hub=hub,
                store=parts.deliveries,
                couriers=parts.couriers,
                open_stream=streams.open,
                clock=clock,
                random=random,
                owner=random(16).hex(),
            ),
            self.current,
        )
        self.happenings = Happenings(
            hub=hub, router=lambda: self.current.router, stored=streams.stored, clock=clock, random=random
        )
        self.device_messages = DeviceMessages(
            router=lambda: self.current.router, log=streams, devices=devices, clock=clock
        )
        self.routes = Routes(self.current)
        self.enrichments = Enrichments(self.current)
        self.endpoints = Endpoints(
            self.current, event_hub_name=lambda: streams.event_hub_name, check_storage=parts.couriers.check
        )

    async def refresh(self) -> None:
        """Take over what is stored."""
        await self.current.refresh()

    async def waiting(self, endpoint: Endpoint, standing: Standing) -> int:
        """Count the messages that have not been carried to an endpoint yet."""
        log = (await self._streams.open(endpoint.name)).log
        waiting = 0
        for partition in range(endpoint.partitions):
            held = await log.state(partition)
            waiting += held.end - max(held.begin, standing.positions.get(partition, 0))
        return waiting

    async def release(self) -> None:
        """Void the leases of those who carried before. Only for the sole process of a database."""
        await self.deliveries.release_all()

    async def run(self) -> None:
        """Look for changes and carry messages, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.current.run())
            tasks.create_task(self.carrier.run())
