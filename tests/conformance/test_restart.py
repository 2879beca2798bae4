"""A server that is stopped in order and started again: stock clients come back by themselves, and nothing is lost."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from homeport.client import HubClient
from homeport.client.connection_string import parse_connection_string
from homeport.security import sas
from tests.conformance.conftest import Service
from tests.conformance.processes import HERE, Process, at_home, running
from tests.conformance.test_amqp_peers import AVAILABLE, SYSTEM_PYTHON
from tests.conformance.test_event_hubs import reading
from tests.server import HomeportServer

pytestmark = [pytest.mark.conformance, pytest.mark.node]

ADDRESS = "127.0.53.4"
FOREVER = 4102444800
READERS = {
    "Qpid Proton": [str(SYSTEM_PYTHON), str(HERE / "amqp" / "proton_reader.py")],
    "rhea": ["node", str(HERE / "node" / "rhea_reader.cjs")],
}

transports = pytest.mark.parametrize("transport", ["amqp", "amqp-ws"])


@dataclass(frozen=True)
class Home:
    """A server of the test's own."""

    service: Service

    async def restart(self) -> None:
        assert await asyncio.to_thread(self.service.server.stop) == 0
        await asyncio.to_thread(self.service.server.start)

    @asynccontextmanager
    async def device(self, transport: str, **wanted: Any) -> AsyncIterator[tuple[str, Process]]:
        device_id = f"restart-{transport}"
        with self.hub() as hub:
            authentication = (await asyncio.to_thread(hub.create_device, device_id)).authentication
        assert authentication is not None
        assert authentication.symmetric_key is not None
        key = authentication.symmetric_key.primary_key
        text = f"HostName={ADDRESS};DeviceId={device_id};SharedAccessKey={key}"
        values = self.service.values
        async with at_home(values["HOMEPORT_CA_FILE"], connectionString=text, transport=transport, **wanted) as device:
            await device.expect("ready")
            yield device_id, device

    def call(self, device_id: str) -> int:
        """Call a method of the device, which may be on its way back."""
        with self.hub() as hub:
            return hub.call_method(device_id, "m", 1, connect_timeout=25, response_timeout=25).status

    def hub(self) -> HubClient:
        values = self.service.values
        return HubClient.create_from_connection_string(
            values["HOMEPORT_HUB_CONNECTION_STRING"], ca_file=values["HOMEPORT_CA_FILE"]
        )


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with HomeportServer(tmp_path / "data", (ADDRESS,)) as server:
        yield Home(Service(server, server.connection()))


@transports
@pytest.mark.matrix(sdk="Node: azure-iot-device", feature="the server restarts: it comes back by itself")
async def test_node_devices_come_back(home: Home, transport: str) -> None:
    async with home.device(transport, messages=True, method="m", twin={"a": 1}) as (device_id, device):
        await home.restart()
        # Closed without the end of its session, it would wait for longer than this call does, and then give up.
        assert await asyncio.to_thread(home.call, device_id) == 201
        device.tell(text="after")
        seen = []
        while (told := await device.next())["event"] != "said":
            seen.append(told["event"])
        assert "disconnect" not in seen
        await device.leave()


@transports
@pytest.mark.matrix(sdk="Python: azure-eventhub", feature="the server restarts: it comes back by itself (aio)")
async def test_python_readers_come_back(home: Home, transport: str) -> None:
    endpoint = home.service.values["HOMEPORT_EVENTHUB_CONNECTION_STRING"]
    async with (
        home.device("mqtt") as (device_id, device),
        reading(home.service, endpoint, device_id, transport=transport, starting_position="-1") as reader,
    ):
        device.tell(text='{"text": "before"}')
        assert await reader.texts(1) == ["before"]
        await home.restart()
        device.tell(text='{"text": "after"}')
        assert "after" in await reader.texts(1)
        await device.leave()


@transports
@pytest.mark.matrix(sdk="Node: azure-iothub", feature="the server restarts: it sends again")
async def test_node_services_come_back(home: Home, transport: str) -> None:
    values = home.service.values
    text = values["HOMEPORT_HUB_CONNECTION_STRING"]
    with home.hub() as hub:
        await asyncio.to_thread(hub.create_device, "d1")
    wanted = {"connectionString": text, "transport": transport}
    async with at_home(values["HOMEPORT_CA_FILE"], script="services.cjs", **wanted) as service:
        await service.expect("ready")
        service.tell(to="d1", text="one", messageId="before", ack="none")
        assert (await service.expect("sent"))["messageId"] == "before"
        await home.restart()
        service.tell(to="d1", text="two", messageId="after", ack="none")
        assert (await service.expect("sent"))["messageId"] == "after"
        await service.leave()


@pytest.mark.parametrize("peer", READERS)
@pytest.mark.matrix(
    sdk="AMQP 1.0 libraries", feature="{peer}: the server restarts: its links come back", transport="amqp"
)
async def test_links_of_plain_libraries_come_back(home: Home, peer: str) -> None:
    if not AVAILABLE[peer]():
        pytest.skip(f"{peer} is not installed")
    values = home.service.values
    owner = parse_connection_string(values["HOMEPORT_HUB_CONNECTION_STRING"])
    assert owner.key is not None
    assert owner.policy is not None
    wanted = {
        "host": ADDRESS,
        "user": f"{owner.policy}@sas.root.{ADDRESS}",
        "token": sas.sign(ADDRESS, owner.key, FOREVER, owner.policy),
        "ca": values["HOMEPORT_CA_FILE"],
    }
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    async with running(READERS[peer], environment, wanted) as reader:
        await reader.expect("attached")
        await home.restart()
        await reader.expect("attached")
