"""Digital twins through Microsoft's service SDK, with a stock Plug and Play device behind them."""

import asyncio
import base64
import os
from typing import Any

import pytest
from azure.iot.device import MethodResponse
from azure.iot.device.aio import IoTHubDeviceClient
from azure.iot.hub import DigitalTwinClient, IoTHubRegistryManager

from tests.conformance.conftest import Service
from tests.conformance.test_python_provisioning import unique

pytestmark = pytest.mark.conformance


@pytest.mark.matrix(sdk="Python: azure-iot-hub", feature="digital twins: read, patch, commands", transport="https")
async def test_a_plug_and_play_device(service: Service) -> None:
    connection_string = service.values["HOMEPORT_HUB_CONNECTION_STRING"]
    registry = IoTHubRegistryManager.from_connection_string(connection_string)
    twins = DigitalTwinClient.from_connection_string(connection_string)
    device_id, key = unique("pnp"), base64.b64encode(os.urandom(32)).decode()
    await asyncio.to_thread(registry.create_device_with_sas, device_id, key, key, "enabled")
    client = IoTHubDeviceClient.create_from_symmetric_key(
        key, service.host, device_id, server_verification_cert=service.ca
    )
    await client.connect()
    try:

        async def handle(request: Any) -> None:
            answer = MethodResponse.create_from_method_request(request, 201, {"called": request.name})
            await client.send_method_response(answer)

        changes: asyncio.Queue[Any] = asyncio.Queue()
        client.on_method_request_received = handle
        client.on_twin_desired_properties_patch_received = changes.put
        await client.patch_twin_reported_properties({"temp": 20, "thermostat1": {"__t": "c", "light": True}})
        patch = [{"op": "add", "path": "/target", "value": 21}]
        await asyncio.to_thread(twins.update_digital_twin, device_id, patch)
        async with asyncio.timeout(10):
            change = await changes.get()
        assert change["target"] == 21
        acknowledged = {"value": 21, "ac": 200, "av": change["$version"], "ad": "done"}
        await client.patch_twin_reported_properties({"target": acknowledged})

        # This generation of the device SDK announces no model.
        document = await asyncio.to_thread(twins.get_digital_twin, device_id)
        assert (document["$dtId"], document["$metadata"]["$model"]) == (device_id, "")
        assert (document["temp"], document["target"], document["thermostat1"]["light"]) == (20, 21, True)
        target = document["$metadata"]["target"]
        assert (target["desiredValue"], target["ackCode"], target["ackVersion"]) == (21, 200, change["$version"])

        root = await asyncio.to_thread(twins.invoke_command, device_id, "reboot", {"delay": 1}, 10, 10)
        assert root == {"called": "reboot"}
        component = await asyncio.to_thread(
            twins.invoke_component_command, device_id, "thermostat1", "heat", {"to": 21}, 10, 10
        )
        assert component == {"called": "thermostat1*heat"}
    finally:
        await client.shutdown()
