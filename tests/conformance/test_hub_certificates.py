"""Microsoft's device SDKs with certificates that end at a CA of the hub (contract hub.md 2.5)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from azure.iot.device import X509
from azure.iot.device.aio import IoTHubDeviceClient
from azure.iot.device.exceptions import CredentialError
from azure.iot.hub import IoTHubRegistryManager

from tests.certificates import Certified, make_certificate
from tests.conformance.conftest import Service
from tests.conformance.test_node import run
from tests.conformance.test_python_provisioning import unique

pytestmark = pytest.mark.conformance

FEATURE = "CA-signed certificate: connect, send"


@pytest.fixture
def registry(service: Service) -> IoTHubRegistryManager:
    return IoTHubRegistryManager.from_connection_string(service.values["HOMEPORT_HUB_CONNECTION_STRING"])


@pytest.fixture
async def between(service: Service, tmp_path: Path) -> AsyncIterator[Certified]:
    """An intermediate below a root that the operator has uploaded to the hub and proven."""
    root, name = make_certificate("hub root", ca=True), unique("root")
    file = tmp_path / "root.pem"
    file.write_text(root.pem)
    await operate(service, "upload", name, str(file))
    code = (await operate(service, "code", name)).split()[2]
    file.write_text(root.issue(code).pem)
    await operate(service, "verify", name, str(file))
    yield root.issue("hub intermediate", ca=True)
    await operate(service, "delete", name)


async def operate(service: Service, command: str, *arguments: str) -> str:
    done = await asyncio.to_thread(service.server.run, "hub", "certificate", command, "hub1", *arguments)
    return done.stdout


def connecting(service: Service, leaf: Certified, device_id: str, folder: Path, **options: Any) -> IoTHubDeviceClient:
    chain, key = leaf.write(folder)
    certificate = X509(str(chain), str(key))
    return IoTHubDeviceClient.create_from_x509_certificate(
        certificate, service.host, device_id, server_verification_cert=service.ca, **options
    )


@pytest.mark.parametrize("websockets", [False, True], ids=["mqtt", "mqtt-ws"])
@pytest.mark.matrix(sdk="Python: azure-iot-device", feature=FEATURE)
async def test_python(
    service: Service, registry: IoTHubRegistryManager, between: Certified, tmp_path: Path, websockets: bool
) -> None:
    device_id = unique("ca-signed")
    await asyncio.to_thread(registry.create_device_with_certificate_authority, device_id, "enabled")
    leaf = between.issue(device_id)
    client = connecting(service, leaf, device_id, tmp_path, websockets=websockets)
    await client.connect()
    await client.send_message("hello")
    await client.shutdown()
    stranger = connecting(service, make_certificate(device_id), device_id, tmp_path / "other", websockets=websockets)
    with pytest.raises(CredentialError):
        await stranger.connect()
    await stranger.shutdown()
    log = service.server.log.read_text()
    assert f"device '{device_id}' refused (no-hub-ca)" in log.replace('"', "'")


@pytest.mark.parametrize("transport", ["mqtt", "mqtt-ws", "amqp", "amqp-ws", "http"])
@pytest.mark.matrix(sdk="Node: azure-iot-device", feature=FEATURE)
async def test_node(service: Service, registry: IoTHubRegistryManager, between: Certified, transport: str) -> None:
    device_id = unique("ca-signed")
    await asyncio.to_thread(registry.create_device_with_certificate_authority, device_id, "enabled")
    leaf = between.issue(device_id)
    wanted = {"host": service.host, "deviceId": device_id, "transport": transport}
    told = await asyncio.to_thread(
        run, service, "x509.cjs", {**wanted, "cert": leaf.chain_pem, "certKey": leaf.key_pem}
    )
    assert told == {"result": "sent"}
    other = between.issue("somebody-else")
    told = await asyncio.to_thread(
        run, service, "x509.cjs", {**wanted, "cert": other.chain_pem, "certKey": other.key_pem}
    )
    assert "error" in told, told
