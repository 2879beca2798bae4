"""`/homeport/telemetry…` over the real store and server, asked by our own client."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from homeport.bus import LocalBus
from homeport.client import NO_RETRY, BadRequestError, NotFoundError, ThrottledError, UnauthorizedError
from homeport.client.aio import HubRegistryClient
from homeport.client.telemetry import ConnectionChange, HubEvent, TelemetryMessage
from homeport.hub.frontends import http_admin
from homeport.hub.frontends.http_admin import STREAM_LIFE, TelemetryFrontEnd
from homeport.hub.frontends.site import hub_site
from homeport.hub.model import ConnectionState, StoredTelemetry, Telemetry
from homeport.hub.registry import IdentityWrite
from homeport.hub.served_hub import ServedHub
from homeport.hub.telemetry import HINT_INTERVAL
from homeport.net.http_server import HttpServer
from homeport.net.mqtt_server import MqttServer
from homeport.net.sites import Sites
from homeport.security.sas import encode_key
from tests.net.certs import Identity
from tests.unit.hub.clients import service_token
from tests.unit.hub.conftest import HOST, ManualClock, _listening, _trusting, running, until


@dataclass
class Watch:
    """The hub, and how to ask it."""

    hub: ServedHub
    clock: ManualClock
    port: int
    ca_file: Path
    front_end: TelemetryFrontEnd

    def client(self, policy: str = "service") -> HubRegistryClient:
        key = next(each.primary_key for each in self.hub.hub.policies if each.name == policy)
        return HubRegistryClient.create_from_connection_string(
            f"HostName={HOST};SharedAccessKeyName={policy};SharedAccessKey={encode_key(key)}",
            endpoint=f"localhost:{self.port}",
            ca_file=self.ca_file,
            clock=self.clock,
            retry=NO_RETRY,
        )

    async def tell(self, device_id: str, body: bytes, **more: Any) -> StoredTelemetry:
        """Store a message as a device's front-end does, and let the hint of it go out."""
        fields: dict[str, Any] = {"system": {}, "properties": {}, "annotations": {}} | more
        message = Telemetry(device_id=device_id, body=body, enqueued_at=self.clock.now(), **fields)
        stored = await self.hub.telemetry.append(message)
        await asyncio.sleep(0)
        self.clock.pass_seconds(HINT_INTERVAL)
        return stored


@pytest.fixture
async def watch(
    hub: ServedHub, bus: LocalBus, clock: ManualClock, server_identity: Identity, tmp_path: Path
) -> AsyncIterator[Watch]:
    front_end = TelemetryFrontEnd(
        hub=hub.name,
        audience=hub.audience,
        telemetry=hub.telemetry,
        identity=hub.registry.get,
        bus=bus,
        clock=clock,
        heartbeat=0.05,
    )
    sites = Sites([hub_site(hub, clock, http=(front_end,))])
    server = HttpServer(sites, MqttServer(sites, clock))
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(server_identity.chain_pem)
    await hub.registry.create(IdentityWrite(device_id="sensor-1"))
    await hub.registry.create(IdentityWrite(device_id="sensor-2"))
    async with running(hub), _listening(server, server_identity) as port:
        yield Watch(hub, clock, port, ca_file, front_end)


async def following(client: HubRegistryClient, device_id: str | None = None, **more: Any) -> AsyncIterator[HubEvent]:
    """Follow as `telemetry_stream` does, and close properly."""
    async with aclosing(cast("Any", client.telemetry_stream(device_id, **more))) as events:
        async for event in events:
            yield event


async def heard(events: AsyncIterator[HubEvent]) -> HubEvent:
    async with asyncio.timeout(5):
        return await anext(events)


async def test_newest_first_of_one_device_or_of_all(watch: Watch) -> None:
    for number in range(3):
        await watch.tell("sensor-1", b'{"n": %d}' % number)
    await watch.tell("sensor-2", b"2")
    async with watch.client() as client:
        assert [message.body for message in await client.telemetry("sensor-1", limit=2)] == [{"n": 2}, {"n": 1}]
        assert len(await client.telemetry()) == 4
        assert await client.telemetry("nobody") == []
        assert await client.telemetry_count("sensor-1") == 3
        assert await client.telemetry_count("nobody") == 0


async def test_a_message_is_told_completely(watch: Watch) -> None:
    stored = await watch.tell(
        "sensor-1",
        b'{"temperature": 21.5}',
        system={"ct": "application/json", "mid": "7", "custom": None},
        properties={"alert": "high", "flag": None},
        annotations={"iothub-connection-device-id": "sensor-1"},
    )
    async with watch.client() as client:
        (message,) = await client.telemetry("sensor-1")
    assert message == TelemetryMessage(
        device_id="sensor-1",
        partition=stored.partition,
        offset=stored.offset,
        enqueued_time=watch.clock.now() - timedelta(seconds=HINT_INTERVAL),
        size=21,
        body_encoding="json",
        body={"temperature": 21.5},
        system_properties={"contentType": "application/json", "messageId": "7", "custom": None},
        properties={"alert": "high", "flag": None},
        annotations={"iothub-connection-device-id": "sensor-1"},
    )


@pytest.mark.parametrize(
    ("body", "content_type", "encoding", "shown"),
    [
        (b'{"a": [1, 2.5, null, "x"]}', None, "json", {"a": [1, 2.5, None, "x"]}),
        (b"21.5", None, "text", "21.5"),
        (b"21.5", "application/json", "json", 21.5),
        (b"{broken", "application/json", "text", "{broken"),
        ("Grüße\r\n\t".encode(), None, "text", "Grüße\r\n\t"),
        (b"", None, "text", ""),
        (b"\xff\x00", None, "base64", base64.b64encode(b"\xff\x00").decode()),
        (b"a\x1b[31m", None, "base64", base64.b64encode(b"a\x1b[31m").decode()),
        (b'{"a": "\\ud800"}', None, "text", '{"a": "\\ud800"}'),
        (b"[" * 40 + b"]" * 40, None, "text", "[" * 40 + "]" * 40),
        (b"[" * 100_000, None, "text", "[" * 100_000),
        (b'{"a": ' * 50_000, None, "text", '{"a": ' * 50_000),
    ],
    ids=range(12),
)
async def test_bodies_are_told_as_people_can_read_them(
    watch: Watch, body: bytes, content_type: str | None, encoding: str, shown: object
) -> None:
    await watch.tell("sensor-1", body, system={"ct": content_type} if content_type else {})
    async with watch.client() as client:
        (message,) = await client.telemetry("sensor-1")
    assert (message.body_encoding, message.body, message.size) == (encoding, shown, len(body))


@pytest.mark.parametrize("policy", ["device", "registryRead", "registryReadWrite"])
async def test_other_rights_are_not_enough(watch: Watch, policy: str) -> None:
    async with watch.client(policy) as client:
        with pytest.raises(UnauthorizedError):
            await client.telemetry()
        with pytest.raises(UnauthorizedError):
            await heard(following(client))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/homeport/telemetry?limit=0", 400),
        ("GET", "/homeport/telemetry?limit=1001", 400),
        ("GET", "/homeport/telemetry?limit=%C2%B2", 400),
        ("GET", f"/homeport/telemetry?deviceId={'x' * 129}", 400),
        ("GET", "/homeport/telemetry/count", 400),
        ("GET", "/homeport/telemetry/stream?events=everything", 400),
        ("GET", "/homeport/telemetry/stream?replay=257", 400),
        ("GET", "/homeport/telemetry/stream?deviceId=nobody", 404),
        ("GET", "/homeport/telemetry/nothing", 404),
        ("POST", "/homeport/telemetry", 405),
        ("DELETE", "/homeport/telemetry/stream", 405),
    ],
)
async def test_what_cannot_be_asked(
    watch: Watch, server_identity: Identity, method: str, path: str, status: int
) -> None:
    async with httpx.AsyncClient(verify=_trusting(server_identity)) as client:
        address = f"https://localhost:{watch.port}{path}"
        headers = {"Authorization": service_token(watch.hub)}
        answer = await client.request(method, address, headers=headers)
        assert answer.status_code == status
        assert answer.headers["iothub-errorcode"] in answer.json()["Message"]
        assert (await client.request(method, address)).status_code == 401


async def test_live_after_the_past_without_a_gap(watch: Watch) -> None:
    for number in range(3):
        await watch.tell("sensor-1", b"%d" % number)
    async with watch.client() as client:
        events = following(client, "sensor-1", replay=2)
        first = await heard(events)
        assert isinstance(first, ConnectionChange)
        assert (first.device_id, first.connection_state) == ("sensor-1", "Disconnected")
        told = [await heard(events) for _ in range(2)]
        await watch.tell("sensor-2", b"another device's")
        for number in (3, 4):
            await watch.tell("sensor-1", b"%d" % number)
            told.append(await heard(events))
        assert [cast("TelemetryMessage", event).body for event in told] == ["1", "2", "3", "4"]
        await cast("Any", events).aclose()


async def test_connections_of_all_devices(watch: Watch) -> None:
    async with watch.client() as client:
        events = following(client, telemetry=False)
        waiting = asyncio.get_running_loop().create_task(heard(events))
        await until(lambda: watch.front_end._streams)
        await asyncio.sleep(0.02)
        await watch.tell("sensor-1", b"not wanted")
        identity = await watch.hub.registry.get("sensor-2")
        accepted = cast("Any", type("Accepted", (), {"proof": None, "expires_at": None}))
        session = await watch.hub.sessions.open(identity, accepted, lambda: None)
        change = await waiting
        assert isinstance(change, ConnectionChange)
        assert (change.device_id, change.connection_state) == ("sensor-2", ConnectionState.CONNECTED.value)
        await watch.hub.sessions.leave(session)
        change = await heard(events)
        assert isinstance(change, ConnectionChange)
        assert change.connection_state == ConnectionState.DISCONNECTED.value
        await cast("Any", events).aclose()


async def test_an_unknown_device_cannot_be_followed(watch: Watch) -> None:
    async with watch.client() as client:
        with pytest.raises(NotFoundError):
            await heard(following(client, "nobody"))
        with pytest.raises(BadRequestError):
            await heard(following(client, replay=1000))


async def test_streams_are_counted_and_forgotten(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_admin, "MAX_STREAMS", 1)
    async with watch.client() as client:
        events = following(client, "sensor-1")
        await heard(events)
        with pytest.raises(ThrottledError):
            await heard(following(client, "sensor-1"))
        await cast("Any", events).aclose()
    await until(lambda: watch.front_end._streams == 0)


async def test_a_stream_ends_when_its_life_is_over(watch: Watch) -> None:
    async with watch.client() as client:
        events = following(client, "sensor-1")
        await heard(events)
        watch.clock.pass_seconds(STREAM_LIFE.total_seconds())
        with pytest.raises(StopAsyncIteration):
            await heard(events)
