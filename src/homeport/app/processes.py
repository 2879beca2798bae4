"""What joins this process to the others that serve the same database: its lease, the bus, and questions to them.

With SQLite there is one process, and all of this is nothing.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable

from msgspec import Struct

from homeport.app.config import Config
from homeport.bus import Bus, LocalBus
from homeport.clock import Clock
from homeport.hub.nodes import Nodes
from homeport.peers import Alone, Peers, Unreachable
from homeport.security.policies import Random
from homeport.store import Stores


class Processes(Struct, frozen=True, kw_only=True):
    """This process among others, if there may be any."""

    bus: Bus
    peers: Peers
    nodes: Nodes | None = None
    is_bus_connected: Callable[[], bool] | None = None
    """None without a bus."""

    def is_first(self) -> bool:
        """Tell whether this process does what only one should; who cannot tell others what to do, does it."""
        if self.nodes is None or self.is_bus_connected is None or not self.is_bus_connected():
            return True
        return self.nodes.is_first


@contextlib.asynccontextmanager
async def processes(
    config: Config, stores: Stores, *, id_scope: str, clock: Clock, random: Random
) -> AsyncIterator[Processes]:
    """Join the others for as long as the context lasts; a bus that cannot be reached is tried on and on.

    Raises DatabaseError, BusError.
    """
    if config.database is None:
        yield Processes(bus=LocalBus(), peers=Alone())
        return
    # The time first: of several processes the oldest does what only one should.
    node = f"{int(clock.now().timestamp() * 1000):x}-{random(4).hex()}"
    if not config.bus:
        bus = LocalBus()
        nodes = Nodes(node=node, store=stores.nodes, bus=bus, clock=clock)
        async with _alive(nodes):
            yield Processes(bus=bus, peers=Unreachable(node), nodes=nodes)
        return
    # Only those who use NATS load its client.
    from homeport.net.nats_bus import NatsBus, NatsPeers
    from homeport.net.nats_connection import NatsConnection

    connection = NatsConnection(
        config.bus,
        name=f"homeport {socket.gethostname()} {os.getpid()}",
        ca_file=None if config.bus_ca_file is None else os.fspath(config.bus_ca_file),
        clock=clock,
    )
    # Others may use the same NATS; their ids of scope are others.
    prefix = f"homeport.{id_scope}"
    nats = NatsBus(connection, prefix=prefix)
    nodes = Nodes(node=node, store=stores.nodes, bus=nats, clock=clock)
    peers = NatsPeers(connection, prefix=prefix, node=node, others=lambda: nodes.others)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(work()) for work in (connection.run, peers.run)]
        await connection.connected_soon()
        try:
            async with _alive(nodes):
                yield Processes(bus=nats, peers=peers, nodes=nodes, is_bus_connected=lambda: connection.is_connected)
        finally:
            for task in running:
                task.cancel()


@contextlib.asynccontextmanager
async def _alive(nodes: Nodes) -> AsyncIterator[None]:
    """Be among the living; what this process holds must have ended when the context does."""
    await nodes.start()
    try:
        async with asyncio.TaskGroup() as tasks:
            beating = tasks.create_task(nodes.run())
            try:
                yield
            finally:
                beating.cancel()
    finally:
        await nodes.leave()
