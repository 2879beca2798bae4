"""One suite, two buses: within one process, and between processes over a real NATS server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import pytest

from homeport.bus import Bus, LocalBus
from homeport.clock import SystemClock
from homeport.net.nats_bus import NatsBus, NatsPeers
from homeport.net.nats_connection import NatsConnection
from tests.nats_server import NatsServer

NODES = ("left", "right")


@pytest.fixture(scope="session")
def nats() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@dataclass(frozen=True, slots=True)
class Node:
    """One process among several, as far as the bus goes."""

    connection: NatsConnection
    bus: NatsBus
    peers: NatsPeers
    alive: set[str]
    """The nodes it takes for alive."""


@asynccontextmanager
async def node_at(url: str, name: str, *, prefix: str = "test") -> AsyncIterator[Node]:
    """Run a node that knows of the other one, connected if that is possible."""
    connection = NatsConnection([url], name=name, ca_file=None, clock=SystemClock())
    alive = set(NODES) - {name}
    node = Node(
        connection,
        NatsBus(connection, prefix=prefix),
        NatsPeers(connection, prefix=prefix, node=name, others=lambda: alive),
        alive,
    )
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(work()) for work in (connection.run, node.peers.run)]
        await connection.connected_soon()
        try:
            yield node
        finally:
            for task in running:
                task.cancel()


@pytest.fixture
async def nodes(nats: NatsServer) -> AsyncIterator[tuple[Node, Node]]:
    async with AsyncExitStack() as stack:
        left, right = [await stack.enter_async_context(node_at(nats.url, name)) for name in NODES]
        yield left, right


@pytest.fixture(params=["local", "nats, same process", "nats, another process"])
async def ends(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Bus, Bus]]:
    """Yield a bus to publish with and one to listen at."""
    kind: Literal["local", "nats, same process", "nats, another process"] = request.param
    if kind == "local":
        bus = LocalBus()
        yield bus, bus
        return
    url = request.getfixturevalue("nats").url
    async with node_at(url, "left") as left, node_at(url, "right") as right:
        yield left.bus, left.bus if kind == "nats, same process" else right.bus
