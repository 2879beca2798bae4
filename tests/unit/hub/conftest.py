"""A hub over the embedded store, in memory, with a clock that moves when told."""

import asyncio
import inspect
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from homeport.app.hub_stores import hub_stores
from homeport.bus import LocalBus
from homeport.hub.frontends.site import hub_site
from homeport.hub.hub_stores import HubStores, OpenHubStores
from homeport.hub.hubs import Hubs
from homeport.hub.ports import DeviceStore, EventLog, OpenEventLog
from homeport.hub.served_hub import ServedHub
from homeport.net.amqp_server import AmqpServer
from homeport.net.certificates import ServerCertificates
from homeport.net.http_client import HttpClient
from homeport.net.http_server import HttpServer
from homeport.net.listener import Listener, Service
from homeport.net.mqtt_server import MqttServer
from homeport.net.sites import Sites
from homeport.store import Stores, open_stores
from homeport.values import replace
from tests.net.certs import Identity, issue
from tests.unit.hub.clients import RestClient

NAME, HOST = "hub", "hub.example.com"


class ManualClock:
    """Time as a test tells it; sleepers wake when it has passed."""

    def __init__(self) -> None:
        self._now = datetime(2024, 6, 1, 12, tzinfo=UTC)
        self._sleepers: list[tuple[datetime, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now + timedelta(seconds=seconds), waiter))
        await waiter

    def pass_seconds(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        for due, waiter in self._sleepers:
            if due <= self._now and not waiter.done():
                waiter.set_result(None)
        self._sleepers = [(due, waiter) for due, waiter in self._sleepers if not waiter.done()]


class Calls(list[str]):
    """The names of the store's methods in order of their calls; some may be made to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.failing: set[str] = set()


class Recorded:
    """A store that notes what is asked of it."""

    def __init__(self, store: DeviceStore | EventLog, calls: Calls) -> None:
        self._store = store
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def call(*arguments: Any, **named: Any) -> Any:
            self._calls.append(name)
            if name in self._calls.failing:
                raise OSError("the disk is on fire")
            return await method(*arguments, **named)

        return call


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def bus() -> LocalBus:
    return LocalBus()


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
async def stores() -> AsyncIterator[Stores]:
    async with open_stores(":memory:") as stores:
        yield stores


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    """What the hub calls others with."""
    async with HttpClient() as client:
        yield client


MakeHubs = Callable[..., Hubs]


@pytest.fixture
async def opened_stores(
    stores: Stores, clock: ManualClock, tmp_path: Path, http: HttpClient
) -> AsyncIterator[OpenHubStores]:
    async with hub_stores(stores, tmp_path / "blobs", http, clock=clock, random=os.urandom) as opened:
        yield opened


@pytest.fixture
def make_hubs(
    stores: Stores, opened_stores: OpenHubStores, clock: ManualClock, bus: LocalBus, calls: Calls
) -> MakeHubs:
    """Make what one process has of the hubs; all share the store and, unless told otherwise, the bus."""

    def recorded(name: str) -> HubStores:
        return replace(
            opened_stores(name),
            devices=cast("DeviceStore", Recorded(stores.devices(name), calls)),
            log=cast("OpenEventLog", lambda name, **stream: Recorded(stores.events(name, **stream), calls)),
        )

    def make(**parts: Any) -> Hubs:
        return Hubs(
            **{"store": stores.hubs, "stores": recorded, "bus": bus, "clock": clock, "random": os.urandom, **parts}
        )

    return make


@pytest.fixture
def hubs(make_hubs: MakeHubs) -> Hubs:
    return make_hubs()


@pytest.fixture
async def hub(hubs: Hubs) -> ServedHub:
    return await hubs.create(NAME, [HOST, "localhost"])


@dataclass(frozen=True)
class Line:
    """Where a port of the hub is, and what a client needs to trust it."""

    port: int
    make_context: Callable[[], ssl.SSLContext]

    @property
    def context(self) -> ssl.SSLContext:
        return self.make_context()


@pytest.fixture(scope="session")
def server_identity() -> Identity:
    return issue("localhost")


@pytest.fixture
async def mqtt(hub: ServedHub, clock: ManualClock, server_identity: Identity) -> AsyncIterator[Line]:
    """The running hub behind a real MQTT listener."""
    server = MqttServer(Sites([hub_site(hub, clock)]), clock)
    async with running(hub), _listening(server, server_identity) as port:
        yield Line(port, lambda: _trusting(server_identity))


@pytest.fixture
async def amqp(hub: ServedHub, clock: ManualClock, server_identity: Identity) -> AsyncIterator[Line]:
    """The running hub behind a real AMQP listener."""
    server = AmqpServer(Sites([hub_site(hub, clock)]), clock)
    async with running(hub), listening(server, server_identity) as line:
        yield line


@pytest.fixture
async def rest(hub: ServedHub, clock: ManualClock, server_identity: Identity) -> AsyncIterator[RestClient]:
    """The running hub behind a real HTTP listener."""
    sites = Sites([hub_site(hub, clock)])
    server = HttpServer(sites, MqttServer(sites, clock))
    async with running(hub), _listening(server, server_identity) as port:
        verify = _trusting(server_identity)
        async with httpx.AsyncClient(base_url=f"https://localhost:{port}", verify=verify, timeout=10) as client:
            yield RestClient(hub, client)


@asynccontextmanager
async def listening(service: Service, identity: Identity) -> AsyncIterator[Line]:
    """Serve on a port of its own."""
    async with _listening(service, identity) as port:
        yield Line(port, lambda: _trusting(identity))


@asynccontextmanager
async def _listening(service: Service, identity: Identity) -> AsyncIterator[int]:
    certificates = ServerCertificates(identity.chain_pem, identity.key_pem)
    async with Listener(
        service, certificates, port=0, addresses=["127.0.0.1"], alpn=[b"http/1.1"], grace=1
    ) as listener:
        yield listener.addresses[0].port


def _trusting(identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=identity.chain_pem.decode())
    return context


@asynccontextmanager
async def running(part: Hubs | ServedHub) -> AsyncIterator[None]:
    """Let the hub do what it does beside answering, while the block runs."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(part.run())
        await settle()
        yield
        task.cancel()


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(30):
        await asyncio.sleep(0)


async def until(holds: Callable[[], object]) -> None:
    """Wait for something that another task or thread is about to bring about."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110  # what is waited for happens in a store's thread
            await asyncio.sleep(0.001)
