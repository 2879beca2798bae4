"""Cloud-to-device messages to Microsoft's Node SDK over AMQP, and what ends its links; the hub is in this process."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from homeport.app.hub_files import file_parts
from homeport.bus import LocalBus
from homeport.clock import SystemClock
from homeport.hub.frontends.site import hub_site
from homeport.hub.hubs import Hubs, ServedHub
from homeport.hub.model import Acknowledgement, CloudMessage, DeviceStatus, SasAuthentication
from homeport.hub.registry import IdentityWrite
from homeport.net.amqp_server import AmqpServer
from homeport.net.certificates import ServerCertificates
from homeport.net.http_client import HttpClient
from homeport.net.http_server import HttpServer
from homeport.net.listener import Listener
from homeport.net.mqtt_server import MqttServer
from homeport.net.sites import Sites
from homeport.store import open_stores
from tests.conformance.node_home import NodeDevice, at_home
from tests.conformance.test_python_provisioning import unique
from tests.net.certs import issue

pytestmark = [pytest.mark.conformance, pytest.mark.node]

SDK = "Node: azure-iot-device"
CLOCK = SystemClock()
KEY = os.urandom(32)
transports = pytest.mark.parametrize("transport", ["amqp", "amqp-ws"])


@dataclass(frozen=True)
class Home:
    """A running hub at `localhost`, on the ports that the SDK knows."""

    hub: ServedHub
    ca_file: str

    @asynccontextmanager
    async def device(self, transport: str, **wanted: Any) -> AsyncIterator[tuple[str, NodeDevice]]:
        """Make a device, run it, and wait until it is ready."""
        device_id = unique("node-c2d")
        keys = SasAuthentication(primary_key=KEY, secondary_key=KEY)
        await self.hub.registry.create(IdentityWrite(device_id=device_id, authentication=keys))
        async with self.again(device_id, transport, **wanted) as device:
            yield device_id, device

    @asynccontextmanager
    async def again(self, device_id: str, transport: str, **wanted: Any) -> AsyncIterator[NodeDevice]:
        secret = base64.b64encode(KEY).decode()
        text = f"HostName=localhost;DeviceId={device_id};SharedAccessKey={secret}"
        async with at_home(self.ca_file, connectionString=text, transport=transport, **wanted) as device:
            await device.expect("ready")
            yield device

    async def send(self, device_id: str, body: str, **fields: Any) -> None:
        now = CLOCK.now()
        message = CloudMessage(body=body.encode(), enqueued_at=now, expires_at=now + timedelta(hours=1), **fields)
        await self.hub.messages.send(device_id, message)

    async def waiting(self, device_id: str, expected: int) -> None:
        """Wait until so many messages are in the queue."""
        async with asyncio.timeout(10):
            while (await self.hub.messages.counts([device_id])).get(device_id, 0) != expected:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    identity = issue("localhost")
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(identity.chain_pem)
    certificates = ServerCertificates(identity.chain_pem, identity.key_pem)
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(open_stores(":memory:"))
        http = await stack.enter_async_context(HttpClient())
        hubs = Hubs(
            store=stores.hubs,
            devices=stores.devices,
            messages=stores.messages,
            feedback=stores.feedback,
            files=file_parts(stores, tmp_path, http, clock=CLOCK, random=os.urandom),
            log=stores.events,
            bus=LocalBus(),
            clock=CLOCK,
            random=os.urandom,
        )
        hub = await hubs.create("home", ["localhost"])
        sites = Sites([hub_site(hub, CLOCK)])
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        running = tasks.create_task(hubs.run())
        stack.callback(running.cancel)
        web = HttpServer(sites, MqttServer(sites, CLOCK), amqp=AmqpServer(sites, CLOCK))
        for service, port, alpn in ((AmqpServer(sites, CLOCK), 5671, ()), (web, 443, (b"http/1.1",))):
            listener = Listener(service, certificates, port=port, addresses=["127.0.0.1"], alpn=alpn, grace=1)
            await stack.enter_async_context(listener)
        yield Home(hub, str(ca_file))


@transports
@pytest.mark.matrix(sdk=SDK, feature="cloud-to-device: complete, abandon, reject")
async def test_messages_and_their_outcomes(home: Home, transport: str) -> None:
    async with home.device(transport, messages=True) as (device_id, device):
        await home.send(
            device_id,
            "complete this",
            system={"mid": "m-1", "cid": "c-1", "ct": "text/plain"},
            properties={"colour": "red & blue"},
            acknowledgement=Acknowledgement.FULL,
        )
        told = await device.expect("message")
        assert told == {
            "event": "message",
            "text": "complete this",
            "id": "m-1",
            "correlationId": "c-1",
            "to": f"/devices/{device_id}/messages/deviceBound",
            "ack": "full",
            "contentType": "text/plain",
            "properties": [{"key": "colour", "value": "red & blue"}],
        }
        assert (await device.expect("settled"))["outcome"] == "complete"
        await home.waiting(device_id, 0)
        await home.send(device_id, "reject this")
        assert (await device.expect("settled"))["outcome"] == "reject"
        await home.waiting(device_id, 0)
        await home.send(device_id, "abandon this")
        for _ in range(10):  # and then it has been delivered too often
            assert (await device.expect("settled"))["outcome"] == "abandon"
        await home.waiting(device_id, 0)
        await device.leave()


@transports
@pytest.mark.matrix(sdk=SDK, feature="displaced, disabled: cut off")
async def test_what_ends_a_connection(home: Home, transport: str) -> None:
    async with home.device(transport, messages=True, method="m") as (device_id, first):
        async with home.again(device_id, transport, messages=True) as second:
            # The older one hears of it, and comes back as its retry policy says; so they take turns.
            await home.send(device_id, "complete: somebody is there")
            await home.waiting(device_id, 0)
            assert len(home.hub.sessions) == 1
            await second.leave()
        await first.leave()
    async with home.device(transport, messages=True) as (device_id, device):
        assert len(home.hub.sessions) == 1
        keys = SasAuthentication(primary_key=KEY, secondary_key=KEY)
        disabled = IdentityWrite(device_id=device_id, authentication=keys, status=DeviceStatus.DISABLED)
        await home.hub.registry.update(disabled, expected_etag=None)
        assert (await device.expect("disconnect"))["event"] == "disconnect"
        assert len(home.hub.sessions) == 0
