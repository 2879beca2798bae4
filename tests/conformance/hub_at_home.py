"""A hub in this process on the ports that stock clients know, for what no service client can bring about."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from homeport.app.hub_stores import hub_stores
from homeport.bus import LocalBus
from homeport.clock import SystemClock
from homeport.faults import FaultLab
from homeport.hub.frontends.site import hub_site
from homeport.hub.hubs import Hubs
from homeport.hub.identities import IdentityWrite
from homeport.hub.model import CloudMessage, DeviceStatus, SasAuthentication
from homeport.hub.served_hub import ServedHub
from homeport.net.amqp_server import AmqpServer
from homeport.net.certificates import ServerCertificates
from homeport.net.http_client import HttpClient
from homeport.net.http_server import HttpServer
from homeport.net.listener import Listener
from homeport.net.mqtt_server import MqttServer
from homeport.net.sites import Sites
from homeport.store import open_stores
from tests.conformance.processes import Process, at_home
from tests.net.certs import issue

CLOCK = SystemClock()
KEY = os.urandom(32)


@dataclass(frozen=True)
class Home:
    """A running hub at `localhost`, on the ports that the SDK knows."""

    hub: ServedHub
    ca_file: str

    async def enrol(self) -> str:
        """Make a device with this module's key, and return its id."""
        device_id = f"home-{uuid4().hex[:12]}"
        await self.hub.registry.create(self.identity(device_id))
        return device_id

    def identity(self, device_id: str, status: DeviceStatus = DeviceStatus.ENABLED) -> IdentityWrite:
        keys = SasAuthentication(primary_key=KEY, secondary_key=KEY)
        return IdentityWrite(device_id=device_id, authentication=keys, status=status)

    @asynccontextmanager
    async def device(self, transport: str, **wanted: Any) -> AsyncIterator[tuple[str, Process]]:
        """Make a device, run it, and wait until it is ready."""
        device_id = await self.enrol()
        async with self.again(device_id, transport, **wanted) as device:
            yield device_id, device

    @asynccontextmanager
    async def again(self, device_id: str, transport: str, **wanted: Any) -> AsyncIterator[Process]:
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


@asynccontextmanager
async def running_home(folder: Path, *, faults: FaultLab | None = None) -> AsyncIterator[Home]:
    """With `faults`, the hub obeys its devices' fault injection messages."""
    identity = issue("localhost")
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(identity.chain_pem)
    certificates = ServerCertificates(identity.chain_pem, identity.key_pem)
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(open_stores(":memory:"))
        http = await stack.enter_async_context(HttpClient())
        opened = await stack.enter_async_context(hub_stores(stores, folder, http, clock=CLOCK, random=os.urandom))
        hubs = Hubs(
            store=stores.hubs,
            stores=opened,
            bus=LocalBus(),
            clock=CLOCK,
            random=os.urandom,
            faults=faults,
        )
        hub = await hubs.create("home", ["localhost"])
        await hubs.obey_fault_messages("home", wanted=faults is not None)
        sites = Sites([hub_site(hub, CLOCK)])
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        running = tasks.create_task(hubs.run())
        stack.callback(running.cancel)
        web = HttpServer(sites, MqttServer(sites, CLOCK), amqp=AmqpServer(sites, CLOCK))
        for service, port, alpn in (
            (MqttServer(sites, CLOCK), 8883, ()),
            (AmqpServer(sites, CLOCK), 5671, ()),
            (web, 443, (b"http/1.1",)),
        ):
            listener = Listener(service, certificates, port=port, addresses=["127.0.0.1"], alpn=alpn, grace=1)
            await stack.enter_async_context(listener)
        yield Home(hub, str(ca_file))
