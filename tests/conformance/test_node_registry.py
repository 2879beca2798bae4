"""Microsoft's Node service client: registry, modules, twins, methods, queries, bulk and statistics of a hub."""

import asyncio
import base64
import os
from typing import Any

import pytest
from azure.iot.device import MethodResponse
from azure.iot.hub import IoTHubRegistryManager

from tests.conformance.conftest import Service
from tests.conformance.test_hub_devices import device
from tests.conformance.test_node import run
from tests.conformance.test_python_provisioning import unique

pytestmark = [pytest.mark.conformance, pytest.mark.node]


@pytest.mark.matrix(
    sdk="Node: azure-iothub",
    feature="registry, modules, bulk, twins, queries, statistics, direct methods",
    transport="https",
)
async def test_the_registry(service: Service) -> None:
    text = service.values["HOMEPORT_HUB_CONNECTION_STRING"]
    registry = IoTHubRegistryManager.from_connection_string(text)
    prefix = unique("node-registry")
    keys = [base64.b64encode(os.urandom(32)).decode() for _ in range(2)]
    async with device(service, registry, websockets=False) as (connected, client):

        async def handle(request: Any) -> None:
            answer = MethodResponse.create_from_method_request(request, 201, {"said": request.payload["word"]})
            await client.send_method_response(answer)

        client.on_method_request_received = handle
        answer = await asyncio.to_thread(
            run,
            service,
            "registry.cjs",
            {"connectionString": text, "prefix": prefix, "connected": connected, "keys": keys},
        )
    assert "error" not in answer, answer
    steps = answer["steps"]
    one, two, three = (f"{prefix}-{number}" for number in (1, 2, 3))

    assert steps["created"]["deviceId"] == one
    assert steps["created"]["authentication"]["symmetricKey"] == {"primaryKey": keys[0], "secondaryKey": keys[1]}
    assert steps["again"] == {"name": "DeviceAlreadyExistsError", "status": 409}
    assert (steps["updated"]["status"], steps["updated"]["statusReason"]) == ("disabled", "resting")
    assert steps["updated"]["etag"] != steps["created"]["etag"]
    assert steps["missing"] == {"name": "DeviceNotFoundError", "status": 404}
    assert steps["added"]["isSuccessful"] is True
    assert steps["addedAgain"]["status"] == 400
    assert steps["bulkUpdated"]["isSuccessful"] is True
    assert {one, two, three} <= set(steps["listed"])

    assert (steps["module"]["moduleId"], steps["module"]["managedBy"]) == ("camera", "me")
    assert steps["modules"] == ["camera"]
    assert steps["moduleTwin"] == 50
    assert steps["moduleGone"]["status"] == 404

    assert steps["patched"] == {"tags": {"site": "north", "rows": 4}, "interval": 30, "version": 2}
    assert steps["stale"]["status"] == 412
    assert steps["tags"] == {"rows": 4}
    assert steps["counted"] == [{"n": 3}]
    assert steps["found"] == [one, two, three]
    assert steps["refused"]["status"] == 400
    assert steps["statistics"]["totalDeviceCount"] >= 3

    assert steps["answer"] == {"status": 201, "payload": {"said": "hi"}}
    assert steps["absent"]["status"] == 404
    assert steps["removed"]["isSuccessful"] is True
    assert steps["gone"] == {"name": "DeviceNotFoundError", "status": 404}
