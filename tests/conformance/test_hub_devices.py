"""Microsoft's device SDKs at home: what services ask of them and what they answer, through Microsoft's service SDKs."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from azure.iot.device import X509, Message, MethodResponse
from azure.iot.device import IoTHubDeviceClient as BlockingDeviceClient
from azure.iot.device.aio import IoTHubDeviceClient, IoTHubModuleClient
from azure.iot.device.exceptions import CredentialError
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod
from msrest.exceptions import HttpOperationError

from homeport.client import HubRegistryClient
from homeport.client.telemetry import TelemetryMessage
from homeport.security.x509 import parse_der
from tests.certificates import Certified, make_certificate
from tests.conformance.conftest import Service
from tests.conformance.test_python_provisioning import unique

pytestmark = pytest.mark.conformance

transports = pytest.mark.parametrize(
    "websockets",
    [
        pytest.param(False, id="mqtt", marks=pytest.mark.matrix(transport="mqtt")),
        pytest.param(True, id="mqtt-ws", marks=pytest.mark.matrix(transport="mqtt-ws")),
    ],
)


@pytest.fixture
def registry(service: Service) -> IoTHubRegistryManager:
    return IoTHubRegistryManager.from_connection_string(service.values["HOMEPORT_HUB_CONNECTION_STRING"])


@asynccontextmanager
async def device(
    service: Service, registry: IoTHubRegistryManager, *, websockets: bool
) -> AsyncIterator[tuple[str, IoTHubDeviceClient]]:
    """A device with a key of its own, connected by the asynchronous SDK."""
    device_id, key = unique("at-home"), base64.b64encode(os.urandom(32)).decode()
    await asyncio.to_thread(registry.create_device_with_sas, device_id, key, key, "enabled")
    client = IoTHubDeviceClient.create_from_symmetric_key(
        key, service.host, device_id, server_verification_cert=service.ca, websockets=websockets
    )
    await client.connect()
    try:
        yield device_id, client
    finally:
        await client.shutdown()


@transports
@pytest.mark.matrix(sdk="Python: azure-iot-device", feature="direct methods")
async def test_a_direct_method(service: Service, registry: IoTHubRegistryManager, websockets: bool) -> None:
    async with device(service, registry, websockets=websockets) as (device_id, client):
        heard: list[tuple[str, Any]] = []

        async def handle(request: Any) -> None:
            heard.append((request.name, request.payload))
            await client.send_method_response(
                MethodResponse.create_from_method_request(request, 201, {"said": request.payload["word"] + "!"})
            )

        client.on_method_request_received = handle
        # The handler subscribes on its own; until then the call waits.
        call = CloudToDeviceMethod(
            method_name="say",
            payload={"word": "héllo & good/bye"},
            response_timeout_in_seconds=10,
            connect_timeout_in_seconds=10,
        )
        answer = await asyncio.to_thread(registry.invoke_device_method, device_id, call)
        assert (answer.status, answer.payload) == (201, {"said": "héllo & good/bye!"})
        assert heard == [("say", {"word": "héllo & good/bye"})]


@transports
@pytest.mark.matrix(sdk="Python: azure-iot-device", feature="blocking client: telemetry, twin, direct methods")
def test_the_blocking_client(service: Service, registry: IoTHubRegistryManager, websockets: bool) -> None:
    device_id, key = unique("blocking"), base64.b64encode(os.urandom(32)).decode()
    registry.create_device_with_sas(device_id, key, key, "enabled")
    client = BlockingDeviceClient.create_from_symmetric_key(
        key, service.host, device_id, server_verification_cert=service.ca, websockets=websockets
    )
    client.connect()
    try:

        def handle(request: Any) -> None:
            client.send_method_response(MethodResponse.create_from_method_request(request, 200, request.payload))

        client.on_method_request_received = handle
        call = CloudToDeviceMethod(
            method_name="echo", payload=[1, None], response_timeout_in_seconds=10, connect_timeout_in_seconds=10
        )
        answer = registry.invoke_device_method(device_id, call)
        assert (answer.status, answer.payload) == (200, [1, None])
        message = Message("blocking", message_id="m1", content_type="text/plain", content_encoding="utf-8")
        message.custom_properties["plant"] = "north & south"
        client.send_message(message)
        client.patch_twin_reported_properties({"mode": "blocking"})
        assert client.get_twin()["reported"]["mode"] == "blocking"
    finally:
        client.shutdown()
    (told,) = telemetry(service, device_id)
    assert (told.body, told.properties) == ("blocking", {"plant": "north & south"})
    assert told.system_properties["messageId"] == "m1"


def telemetry(service: Service, device_id: str) -> list[TelemetryMessage]:
    """Return what the hub has kept of a device."""
    with HubRegistryClient.create_from_connection_string(
        service.values["HOMEPORT_HUB_CONNECTION_STRING"], ca_file=service.values["HOMEPORT_CA_FILE"]
    ) as hub:
        return hub.telemetry(device_id)


@transports
@pytest.mark.matrix(sdk="Python: azure-iot-device", feature="X.509 thumbprint: telemetry, twin")
async def test_a_certificate(
    service: Service, registry: IoTHubRegistryManager, websockets: bool, tmp_path: Path
) -> None:
    device_id = unique("x509-home")
    certified, other = make_certificate(device_id), make_certificate(device_id)
    thumbprint = parse_der(certified.der).info.sha256_thumbprint
    await asyncio.to_thread(registry.create_device_with_x509, device_id, "ab" * 32, thumbprint, "enabled")

    def client_of(identity: Certified) -> IoTHubDeviceClient:
        (tmp_path / "cert.pem").write_text(identity.pem)
        (tmp_path / "key.pem").write_text(identity.key_pem)
        return IoTHubDeviceClient.create_from_x509_certificate(
            X509(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")),
            service.host,
            device_id,
            server_verification_cert=service.ca,
            websockets=websockets,
            connection_retry=False,
        )

    client = client_of(certified)
    await client.connect()
    await client.send_message("by certificate")
    await client.patch_twin_reported_properties({"proof": "certificate"})
    assert (await client.get_twin())["reported"]["proof"] == "certificate"
    await client.shutdown()
    stranger = client_of(other)
    with pytest.raises(CredentialError):
        await stranger.connect()
    await stranger.shutdown()


@transports
@pytest.mark.matrix(sdk="Python: azure-iot-device", feature="displaced, then disabled: cut off")
async def test_what_ends_a_connection(service: Service, registry: IoTHubRegistryManager, websockets: bool) -> None:
    async with device(service, registry, websockets=websockets) as (device_id, first):
        left: asyncio.Queue[bool] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def changed(*_: None) -> None:
            loop.call_soon_threadsafe(left.put_nowait, first.connected)

        first.on_connection_state_change = changed
        key = (await asyncio.to_thread(registry.get_device, device_id)).authentication.symmetric_key.primary_key
        second = IoTHubDeviceClient.create_from_symmetric_key(
            key,
            service.host,
            device_id,
            server_verification_cert=service.ca,
            websockets=websockets,
            connection_retry=False,
        )
        await second.connect()
        async with asyncio.timeout(30):
            while await left.get():
                pass
        await second.shutdown()
        identity = await asyncio.to_thread(registry.get_device, device_id)
        await asyncio.to_thread(registry.update_device_with_sas, device_id, identity.etag, key, key, "disabled")
        third = IoTHubDeviceClient.create_from_symmetric_key(
            key, service.host, device_id, server_verification_cert=service.ca, websockets=websockets
        )
        with pytest.raises(CredentialError):
            await third.connect()
        await third.shutdown()


@pytest.mark.matrix(sdk="Python: azure-iot-hub", feature="direct method of an absent device", transport="https")
async def test_a_device_that_is_not_there(registry: IoTHubRegistryManager) -> None:
    device_id = unique("absent")
    registry.create_device_with_sas(device_id, "", "", "enabled")
    call = CloudToDeviceMethod(method_name="say", payload=None)
    with pytest.raises(HttpOperationError, match="Not Found"):
        await asyncio.to_thread(registry.invoke_device_method, device_id, call)


@transports
@pytest.mark.matrix(sdk="Python: azure-iot-device", feature="twin: get, report, desired changes")
async def test_a_twin_both_ways(service: Service, registry: IoTHubRegistryManager, websockets: bool) -> None:
    async with device(service, registry, websockets=websockets) as (device_id, client):
        changes: asyncio.Queue[Any] = asyncio.Queue()
        client.on_twin_desired_properties_patch_received = changes.put
        twin = await client.get_twin()
        assert (twin["desired"]["$version"], twin["reported"]["$version"]) == (1, 1)
        await client.patch_twin_reported_properties({"temperature": 21, "gone": None})

        stored = await asyncio.to_thread(registry.get_twin, device_id)
        assert stored.properties.reported["temperature"] == 21
        stored.properties.desired = {"interval": 30}
        await asyncio.to_thread(registry.update_twin, device_id, stored, stored.etag)
        async with asyncio.timeout(10):
            change = await changes.get()
        assert (change["interval"], change["$version"]) == (30, 2)


@transports
@pytest.mark.matrix(sdk="Python: azure-iot-device", feature="module: twin, methods, telemetry")
async def test_a_module_client(service: Service, registry: IoTHubRegistryManager, websockets: bool) -> None:
    device_id, key = unique("with-modules"), base64.b64encode(os.urandom(32)).decode()
    await asyncio.to_thread(registry.create_device_with_sas, device_id, "", "", "enabled")
    made = await asyncio.to_thread(registry.create_module_with_sas, device_id, "camera", "me", key, key)
    assert (made.module_id, made.managed_by) == ("camera", "me")
    client = IoTHubModuleClient.create_from_connection_string(
        f"HostName={service.host};DeviceId={device_id};ModuleId=camera;SharedAccessKey={key}",
        server_verification_cert=service.ca,
        websockets=websockets,
    )
    await client.connect()
    try:

        async def handle(request: Any) -> None:
            await client.send_method_response(MethodResponse.create_from_method_request(request, 200, "done"))

        client.on_method_request_received = handle
        call = CloudToDeviceMethod(
            method_name="focus", payload=None, response_timeout_in_seconds=10, connect_timeout_in_seconds=10
        )
        answer = await asyncio.to_thread(registry.invoke_device_module_method, device_id, "camera", call)
        assert (answer.status, answer.payload) == (200, "done")
        await client.patch_twin_reported_properties({"lens": 50})
        twin = await asyncio.to_thread(registry.get_module_twin, device_id, "camera")
        assert twin.properties.reported["lens"] == 50
        await client.send_message("picture")
    finally:
        await client.shutdown()
    assert [each.module_id for each in await asyncio.to_thread(registry.get_modules, device_id)] == ["camera"]
    await asyncio.to_thread(registry.delete_module, device_id, "camera")
