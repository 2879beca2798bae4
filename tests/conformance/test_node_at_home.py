"""Microsoft's Node device SDK on its hub: telemetry, twin, methods, modules, by key and by certificate."""

import asyncio
import base64
import os
from typing import Any

import pytest
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod

from homeport.client import HubRegistryClient
from homeport.security.x509 import parse_der
from tests.certificates import make_certificate
from tests.conformance.conftest import Service
from tests.conformance.processes import at_home
from tests.conformance.test_python_provisioning import unique

pytestmark = [pytest.mark.conformance, pytest.mark.node]

SDK = "Node: azure-iot-device"
transports = pytest.mark.parametrize("transport", ["mqtt", "mqtt-ws", "amqp", "amqp-ws"])


@pytest.fixture
def registry(service: Service) -> IoTHubRegistryManager:
    return IoTHubRegistryManager.from_connection_string(service.values["HOMEPORT_HUB_CONNECTION_STRING"])


@pytest.fixture
def key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def home(service: Service, device_id: str, transport: str, credentials: str, **wanted: Any) -> Any:
    connection_string = f"HostName={service.host};DeviceId={device_id};{credentials}"
    ca_file = service.values["HOMEPORT_CA_FILE"]
    return at_home(ca_file, connectionString=connection_string, transport=transport, **wanted)


@transports
@pytest.mark.matrix(sdk=SDK, feature="key: telemetry, twin, direct methods")
async def test_a_device_with_a_key(service: Service, registry: IoTHubRegistryManager, key: str, transport: str) -> None:
    device_id = unique("node-home")
    await asyncio.to_thread(registry.create_device_with_sas, device_id, key, key, "enabled")
    async with home(
        service,
        device_id,
        transport,
        f"SharedAccessKey={key}",
        send={"temperature": 21.5},
        twin={"temperature": 21},
        method="say",
    ) as device:
        await device.expect("open")
        told = await device.expect("twin")
        assert (told["desired"]["$version"], told["reported"]["$version"]) == (1, 1)
        await device.expect("reported")
        assert "longer than 1024 bytes" in (await device.expect("refused"))["message"]
        await device.expect("sent")
        await device.expect("ready")

        call = CloudToDeviceMethod(
            method_name="say",
            payload={"word": "héllo & good/bye"},
            response_timeout_in_seconds=10,
            connect_timeout_in_seconds=10,
        )
        answer = await asyncio.to_thread(registry.invoke_device_method, device_id, call)
        assert (answer.status, answer.payload) == (201, {"said": {"word": "héllo & good/bye"}})
        assert (await device.expect("answered"))["error"] is None

        stored = await asyncio.to_thread(registry.get_twin, device_id)
        assert stored.properties.reported["temperature"] == 21
        assert stored.connection_state == "Connected"
        stored.properties.desired = {"interval": 30}
        await asyncio.to_thread(registry.update_twin, device_id, stored, stored.etag)
        while (change := (await device.expect("desired"))["change"])["$version"] != 2:
            pass  # the SDK tells first what it has read
        assert change["interval"] == 30
        await device.leave()
    assert (await asyncio.to_thread(registry.get_device, device_id)).last_activity_time.year > 2000


@transports
@pytest.mark.matrix(sdk=SDK, feature="X.509 thumbprint: telemetry, twin, direct methods")
async def test_a_device_with_a_certificate(service: Service, registry: IoTHubRegistryManager, transport: str) -> None:
    device_id = unique("node-x509")
    certified = make_certificate(device_id)
    thumbprint = parse_der(certified.der).info.sha1_thumbprint
    await asyncio.to_thread(registry.create_device_with_x509, device_id, thumbprint, thumbprint, "enabled")
    async with home(
        service,
        device_id,
        transport,
        "x509=true",
        cert=certified.pem,
        certKey=certified.key_pem,
        send={"temperature": 21.5},
        twin={"temperature": 21},
        method="say",
    ) as device:
        await device.expect("sent")
        await device.expect("ready")
        call = CloudToDeviceMethod(
            method_name="say", payload=1, response_timeout_in_seconds=10, connect_timeout_in_seconds=10
        )
        answer = await asyncio.to_thread(registry.invoke_device_method, device_id, call)
        assert (answer.status, answer.payload) == (201, {"said": 1})
        await device.leave()


@transports
@pytest.mark.matrix(sdk=SDK, feature="module: telemetry, twin, direct methods")
async def test_a_module(service: Service, registry: IoTHubRegistryManager, key: str, transport: str) -> None:
    device_id = unique("node-modules")
    await asyncio.to_thread(registry.create_device_with_sas, device_id, "", "", "enabled")
    await asyncio.to_thread(registry.create_module_with_sas, device_id, "camera", "me", key, key)
    async with home(
        service,
        device_id,
        transport,
        f"ModuleId=camera;SharedAccessKey={key}",
        module=True,
        send={"frames": 3},
        twin={"lens": 50},
        method="focus",
    ) as module:
        await module.expect("reported")
        await module.expect("sent")
        await module.expect("ready")
        call = CloudToDeviceMethod(
            method_name="focus", payload="near", response_timeout_in_seconds=10, connect_timeout_in_seconds=10
        )
        answer = await asyncio.to_thread(registry.invoke_device_module_method, device_id, "camera", call)
        assert (answer.status, answer.payload) == (201, {"said": "near"})
        twin = await asyncio.to_thread(registry.get_module_twin, device_id, "camera")
        assert twin.properties.reported["lens"] == 50
        await module.leave()


@transports
@pytest.mark.matrix(sdk=SDK, feature="wrong key, unknown device: refused")
async def test_strangers(service: Service, registry: IoTHubRegistryManager, key: str, transport: str) -> None:
    device_id = unique("node-wrong")
    other = base64.b64encode(os.urandom(32)).decode()
    await asyncio.to_thread(registry.create_device_with_sas, device_id, other, other, "enabled")
    for name in (device_id, unique("nobody")):
        async with home(service, name, transport, f"SharedAccessKey={key}") as device:
            told = await device.next()
            assert (told["event"], told["name"]) == ("failed", "UnauthorizedError")


@pytest.mark.matrix(sdk=SDK, feature="telemetry, one by one and in a batch", transport="http")
@pytest.mark.parametrize("proof", ["key", "certificate"])
async def test_telemetry_over_https(service: Service, registry: IoTHubRegistryManager, key: str, proof: str) -> None:
    device_id = unique("node-https")
    certified = make_certificate(device_id)
    if proof == "key":
        await asyncio.to_thread(registry.create_device_with_sas, device_id, key, key, "enabled")
        credentials, wanted = f"SharedAccessKey={key}", dict[str, str]()
    else:
        thumbprint = parse_der(certified.der).info.sha1_thumbprint
        await asyncio.to_thread(registry.create_device_with_x509, device_id, thumbprint, thumbprint, "enabled")
        credentials, wanted = "x509=true", {"cert": certified.pem, "certKey": certified.key_pem}
    batch = [{"number": number} for number in range(3)]
    async with home(service, device_id, "http", credentials, send={"t": 1}, batch=batch, **wanted) as device:
        await device.expect("sent")
        await device.expect("sent batch")
        await device.leave()
    assert await asyncio.to_thread(stored, service, device_id) == [{"t": 1}, *batch]


def stored(service: Service, device_id: str) -> list[Any]:
    """Return the bodies that the hub has kept of a device, the oldest first."""
    with HubRegistryClient.create_from_connection_string(
        service.values["HOMEPORT_HUB_CONNECTION_STRING"], ca_file=service.values["HOMEPORT_CA_FILE"]
    ) as hub:
        return [message.body for message in hub.telemetry(device_id)][::-1]
