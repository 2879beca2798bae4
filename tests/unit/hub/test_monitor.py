"""`/homeport/monitor` and `/homeport/telemetry…` over the real store and server, asked by our own client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from homeport.bus import LocalBus
from homeport.client import (
    NO_RETRY,
    ConnectionChange,
    DeviceChange,
    MonitorEvent,
    NotFoundError,
    TelemetryMessage,
    ThrottledError,
    TwinChange,
    UnauthorizedError,
)
from homeport.client.aio import HubClient
from homeport.client.retry import RetryPolicy
from homeport.hub import watching
from homeport.hub.frontends import http_monitor
from homeport.hub.frontends.http_monitor import MonitorFrontEnd
from homeport.hub.frontends.monitor_stream import STREAM_LIFE
from homeport.hub.frontends.site import hub_site
from homeport.hub.identities import IdentityWrite
from homeport.hub.model import Telemetry
from homeport.hub.served_hub import ServedHub
from homeport.hub.telemetry import HINT_INTERVAL
from homeport.net.http_server import HttpServer
from homeport.net.mqtt_server import MqttServer
from homeport.net.sites import Sites
from homeport.security.sas import encode_key
from tests.net.certs import Identity
from tests.unit.hub.clients import service_token
from tests.unit.hub.conftest import HOST, ManualClock, _listening, _trusting, running, until

T = TypeVar("T")


@dataclass
class Post:
    """The hub, and how to watch it."""

    hub: ServedHub
    clock: ManualClock
    bus: LocalBus
    port: int
    ca_file: Path
    front_end: MonitorFrontEnd

    def client(self, policy: str = "service", *, retry: RetryPolicy = NO_RETRY) -> HubClient:
        key = next(each.primary_key for each in self.hub.hub.policies if each.name == policy)
        return HubClient.create_from_connection_string(
            f"HostName={HOST};SharedAccessKeyName={policy};SharedAccessKey={encode_key(key)}",
            endpoint=f"localhost:{self.port}",
            ca_file=self.ca_file,
            clock=self.clock,
            retry=retry,
        )

    async def send(self, device_id: str, body: bytes) -> None:
        """Store a message as a device's front-end does, and let the hint of it go out."""
        now = self.clock.now()
        message = Telemetry(device_id=device_id, body=body, system={}, properties={}, annotations={}, enqueued_at=now)
        await self.hub.telemetry.append(message)
        await asyncio.sleep(0)
        self.clock.pass_seconds(HINT_INTERVAL)


@pytest.fixture
async def post(
    hub: ServedHub, bus: LocalBus, clock: ManualClock, server_identity: Identity, tmp_path: Path
) -> AsyncIterator[Post]:
    front_end = MonitorFrontEnd(
        hub=hub.name,
        audience=hub.audience,
        telemetry=hub.telemetry,
        identity=hub.registry.get,
        twin=hub.twins.get,
        bus=bus,
        clock=clock,
        heartbeat=0.05,
    )
    sites = Sites([hub_site(hub, clock, http=(front_end,))])
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(server_identity.chain_pem)
    for name in ("sensor-1", "sensor-2"):
        await hub.registry.create(IdentityWrite(device_id=name))
    async with running(hub), _listening(HttpServer(sites, MqttServer(sites, clock)), server_identity) as port:
        yield Post(hub, clock, bus, port, ca_file, front_end)


class Watcher:
    """Somebody who watches; `heard` returns the next event and knows its type."""

    def __init__(self, events: AsyncIterator[MonitorEvent]) -> None:
        self._events = events

    async def heard(self, kind: type[T]) -> T:
        async with asyncio.timeout(5):
            event = await anext(self._events)
        assert isinstance(event, kind), event
        return event


@asynccontextmanager
async def watching_hub(post: Post, client: HubClient, **narrow: Any) -> AsyncIterator[Watcher]:
    """Watch; the stream is open and listening when the block begins."""
    streams = post.front_end._streams
    queue: asyncio.Queue[MonitorEvent] = asyncio.Queue()

    async def follow() -> None:
        stream: Any = client.monitor(**narrow)
        async with aclosing(stream) as events:
            async for event in events:
                queue.put_nowait(event)

    async def told() -> AsyncIterator[MonitorEvent]:
        while True:
            yield await queue.get()

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(follow())
        await until(lambda: post.front_end._streams > streams)
        await asyncio.sleep(0.05)
        yield Watcher(told())
        task.cancel()


async def test_all_that_happens_in_one_stream(post: Post) -> None:
    async with post.client() as client, watching_hub(post, client) as watcher:
        await post.send("sensor-1", b'{"t": 21}')
        message = await watcher.heard(TelemetryMessage)
        assert (message.device_id, message.body) == ("sensor-1", {"t": 21})

        await post.hub.twins.patch("sensor-1", tags=None, desired={"interval": 5}, expected_version=None)
        change = await watcher.heard(TwinChange)
        assert (change.device_id, change.desired, change.reported) == ("sensor-1", {"interval": 5}, None)

        identity = await post.hub.registry.get("sensor-2")
        accepted: Any = type("Accepted", (), {"proof": None, "expires_at": None})
        session = await post.hub.sessions.open(identity, accepted, lambda: None)
        connection = await watcher.heard(ConnectionChange)
        assert (connection.device_id, connection.connection_state) == ("sensor-2", "Connected")
        await post.hub.sessions.leave(session)
        assert (await watcher.heard(ConnectionChange)).connection_state == "Disconnected"

        await post.hub.registry.delete("sensor-2", expected_etag=None)
        gone = await watcher.heard(DeviceChange)
        assert (gone.device_id, gone.status) == ("sensor-2", "deleted")


async def test_a_twin_is_told_as_what_is_new_in_it(post: Post) -> None:
    twins = post.hub.twins
    await twins.report("sensor-1", {"firmware": "1.0"})
    post.clock.pass_seconds(1)
    await twins.patch("sensor-1", tags={"line": 1}, desired={"interval": 5}, expected_version=None)
    async with post.client() as client, watching_hub(post, client, kinds=["twin"]) as watcher:
        post.clock.pass_seconds(1)
        await twins.report("sensor-1", {"temperature": {"max": 40}})
        first = await watcher.heard(TwinChange)
        assert (first.reported, first.desired, first.tags) == ({"temperature": {"max": 40}}, None, None)

        post.clock.pass_seconds(1)
        await twins.patch("sensor-1", tags=None, desired={"interval": 6, "unit": "C"}, expected_version=None)
        second = await watcher.heard(TwinChange)
        assert (second.reported, second.desired) == (None, {"interval": 6, "unit": "C"})
        assert second.version == first.version + 1

        post.clock.pass_seconds(1)
        await twins.patch("sensor-1", tags={"line": 2}, desired=None, expected_version=None)
        third = await watcher.heard(TwinChange)
        assert (third.reported, third.desired, third.tags) == (None, None, {"line": 2})


async def test_one_device_with_its_modules(post: Post) -> None:
    await post.hub.registry.create(IdentityWrite(device_id="sensor-1/camera"))
    async with post.client() as client, watching_hub(post, client, device_id="sensor-1") as watcher:
        await post.send("sensor-2", b"another's")
        await post.hub.twins.report("sensor-2", {"another": True})
        await post.send("sensor-1", b"mine")
        assert (await watcher.heard(TelemetryMessage)).body == "mine"
        await post.hub.twins.report("sensor-1/camera", {"lens": "wide"})
        change = await watcher.heard(TwinChange)
        assert (change.device_id, change.module_id, change.reported) == ("sensor-1", "camera", {"lens": "wide"})


async def test_the_past_comes_by_time(post: Post) -> None:
    await post.send("sensor-1", b"long ago")
    post.clock.pass_seconds(60)
    since = post.clock.now()
    for number in range(watching.READ + 20):
        await post.send(f"sensor-{1 + number % 2}", b"%d" % number)
    async with post.client() as client, watching_hub(post, client, since=since) as watcher:
        told = [(await watcher.heard(TelemetryMessage)).body for _ in range(watching.READ + 20)]
        assert told == [str(number) for number in range(watching.READ + 20)]
        await post.send("sensor-1", b"new")
        assert (await watcher.heard(TelemetryMessage)).body == "new"


async def test_how_it_was_comes_first_if_asked_for(post: Post) -> None:
    for number in range(3):
        await post.send("sensor-1", b"%d" % number)
    await post.send("sensor-2", b"another's")
    asked: dict[str, Any] = {"kinds": ["telemetry", "connection"], "device_id": "sensor-1", "replay": 2}
    async with post.client() as client, watching_hub(post, client, **asked) as watcher:
        first = [await watcher.heard(object) for _ in range(3)]
        (connection,) = [event for event in first if isinstance(event, ConnectionChange)]
        assert (connection.device_id, connection.connection_state) == ("sensor-1", "Disconnected")
        assert [event.body for event in first if isinstance(event, TelemetryMessage)] == ["1", "2"]
        await post.send("sensor-2", b"another's")
        await post.send("sensor-1", b"3")
        assert (await watcher.heard(TelemetryMessage)).body == "3"


async def test_the_newest_of_one_device_or_of_all(post: Post) -> None:
    for number in range(3):
        await post.send("sensor-1", b'{"n": %d}' % number)
    await post.send("sensor-2", b"2")
    async with post.client() as client:
        assert [message.body for message in await client.telemetry("sensor-1", limit=2)] == [{"n": 2}, {"n": 1}]
        assert len(await client.telemetry()) == 4
        assert await client.telemetry("nobody") == []
        assert await client.telemetry_count("sensor-1") == 3
        assert await client.telemetry_count("nobody") == 0


async def test_nothing_is_lost_when_the_stream_ends(post: Post) -> None:
    retry = RetryPolicy(attempts=50, base=0.01, longest=0.02)
    async with post.client(retry=retry) as client, watching_hub(post, client, kinds=["telemetry"]) as watcher:
        post.clock.pass_seconds(STREAM_LIFE.total_seconds())
        # It ends while nothing was told yet; what comes meanwhile is not passed over.
        await post.send("sensor-1", b"1")
        assert (await watcher.heard(TelemetryMessage)).body == "1"
        post.clock.pass_seconds(STREAM_LIFE.total_seconds())
        for number in (b"2", b"3"):
            await post.send("sensor-2", number)
        assert [(await watcher.heard(TelemetryMessage)).body for _ in range(2)] == ["2", "3"]


@pytest.mark.parametrize("policy", ["device", "registryRead", "registryReadWrite"])
async def test_other_rights_are_not_enough(post: Post, policy: str) -> None:
    async with post.client(policy) as client:
        with pytest.raises(UnauthorizedError):
            await anext(client.monitor())
        with pytest.raises(UnauthorizedError):
            await client.telemetry()


@pytest.mark.parametrize(
    ("method", "asked", "status"),
    [
        ("GET", "monitor?events=everything", 400),
        ("GET", "monitor?since=yesterday", 400),
        ("GET", "monitor?after=here", 400),
        ("GET", "monitor?after=0:-1", 400),
        ("GET", "monitor?after=99999999:1", 400),
        ("GET", "monitor?replay=257", 400),
        ("GET", "monitor?deviceId=nobody", 404),
        ("GET", f"monitor?deviceId={'x' * 129}", 400),
        ("POST", "monitor", 405),
        ("GET", "telemetry?limit=0", 400),
        ("GET", "telemetry?limit=1001", 400),
        ("GET", "telemetry?limit=%C2%B2", 400),
        ("GET", f"telemetry?deviceId={'x' * 129}", 400),
        ("GET", "telemetry/count", 400),
        ("GET", "telemetry/nothing", 404),
        ("POST", "telemetry", 405),
        ("DELETE", "telemetry/count", 405),
    ],
)
async def test_what_cannot_be_asked(
    post: Post, server_identity: Identity, method: str, asked: str, status: int
) -> None:
    async with httpx.AsyncClient(verify=_trusting(server_identity)) as client:
        address = f"https://localhost:{post.port}/homeport/{asked}"
        answer = await client.request(method, address, headers={"Authorization": service_token(post.hub)})
        assert answer.status_code == status
        assert answer.headers["iothub-errorcode"] in answer.json()["Message"]
        assert (await client.request(method, address)).status_code == 401


async def test_streams_are_counted_and_forgotten(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_monitor, "MAX_STREAMS", 1)
    async with post.client() as client:
        async with watching_hub(post, client):
            with pytest.raises(ThrottledError):
                await anext(client.monitor())
        await until(lambda: post.front_end._streams == 0)
        with pytest.raises(NotFoundError):
            await anext(client.monitor(device_id="nobody"))


async def test_a_time_that_has_not_come_begins_then(post: Post) -> None:
    since = post.clock.now() + timedelta(hours=1)
    async with post.client() as client, watching_hub(post, client, since=since) as watcher:
        await post.send("sensor-1", b"new")
        assert (await watcher.heard(TelemetryMessage)).body == "new"
