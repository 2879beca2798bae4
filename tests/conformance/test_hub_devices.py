"""Microsoft's device SDKs at home: what services ask of them and what they answer, through Microsoft's service SDKs."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from azure.iot.device import MethodResponse
from azure.iot.device.aio import IoTHubDeviceClient, IoTHubModuleClient
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod
from msrest.exceptions import HttpOperationError

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
