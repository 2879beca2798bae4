"""Configurations through Microsoft's service SDK, with a stock device that gets what they say."""

import asyncio
from typing import Any

import pytest
from azure.iot.hub import IoTHubConfigurationManager, IoTHubRegistryManager
from azure.iot.hub.models import (
    Configuration,
    ConfigurationContent,
    ConfigurationMetrics,
    ConfigurationQueriesTestInput,
    Twin,
)
from msrest.exceptions import HttpOperationError

from tests.conformance.conftest import Service
from tests.conformance.test_hub_devices import device
from tests.conformance.test_python_provisioning import unique

pytestmark = pytest.mark.conformance

PYTHON = "Python: azure-iot-hub"
AGENT = {"schemaVersion": "1.1", "modules": {"camera": {"type": "docker"}}}


@pytest.fixture
def registry(service: Service) -> IoTHubRegistryManager:
    return IoTHubRegistryManager.from_connection_string(service.values["HOMEPORT_HUB_CONNECTION_STRING"])


@pytest.fixture
def configurations(service: Service) -> IoTHubConfigurationManager:
    return IoTHubConfigurationManager.from_connection_string(service.values["HOMEPORT_HUB_CONNECTION_STRING"])


async def counted(configurations: IoTHubConfigurationManager, name: str) -> Configuration:
    """Wait until the metric has found the device."""
    for _ in range(300):
        found = await asyncio.to_thread(configurations.get_configuration, name)
        if found.metrics.results.get("applied"):
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"{name} is not applied")


@pytest.mark.matrix(sdk=PYTHON, feature="configurations: life, effect, metrics", transport="https")
async def test_a_device_gets_what_a_configuration_says(
    service: Service, registry: IoTHubRegistryManager, configurations: IoTHubConfigurationManager
) -> None:
    name = unique("configuration")
    wanted = Configuration(
        id=name,
        schema_version="1.0",
        labels={"env": "test"},
        content=ConfigurationContent(device_content={"properties.desired.interval": 60}),
        target_condition=f"tags.group = '{name}'",
        priority=7,
        metrics=ConfigurationMetrics(
            queries={"applied": f"SELECT deviceId FROM devices WHERE configurations.[[{name}]].status = 'Applied'"}
        ),
    )
    async with device(service, registry, websockets=False) as (device_id, client):
        changes: asyncio.Queue[Any] = asyncio.Queue()
        client.on_twin_desired_properties_patch_received = changes.put
        await client.get_twin()
        made = await asyncio.to_thread(configurations.create_configuration, wanted)
        assert (made.id, made.priority, made.etag) == (name, 7, "MQ==")
        with pytest.raises(HttpOperationError, match="Conflict"):
            await asyncio.to_thread(configurations.create_configuration, wanted)
        await asyncio.to_thread(registry.update_twin, device_id, Twin(tags={"group": name}), "*")
        async with asyncio.timeout(30):
            change = await changes.get()
        assert change["interval"] == 60
    found = await counted(configurations, name)
    assert found.metrics.results == {"applied": 1}
    assert found.system_metrics.results == {"targetedCount": 1, "appliedCount": 1}
    twin = await asyncio.to_thread(registry.get_twin, device_id)
    assert twin.additional_properties["configurations"] == {name: {"status": "Applied"}}

    found.priority = 8
    # The SDK adds no quotes, and without them an etag is read as absent, as the hosted hub does.
    updated = await asyncio.to_thread(configurations.update_configuration, found, f'"{found.etag}"')
    assert (updated.priority, updated.etag) == (8, "Mg==")
    with pytest.raises(HttpOperationError, match="Precondition"):
        await asyncio.to_thread(configurations.update_configuration, found, '"MQ=="')
    assert name in [each.id for each in await asyncio.to_thread(configurations.get_configurations, 100)]
    await asyncio.to_thread(configurations.delete_configuration, name)
    with pytest.raises(HttpOperationError, match="Not Found"):
        await asyncio.to_thread(configurations.get_configuration, name)


@pytest.mark.matrix(sdk=PYTHON, feature="configurations: content for an Edge device, queries tried", transport="https")
def test_content_for_an_edge_device(
    registry: IoTHubRegistryManager, configurations: IoTHubConfigurationManager
) -> None:
    device_id = unique("edge")
    registry.create_device_with_sas(device_id, "", "", "enabled", iot_edge=True)
    content = ConfigurationContent(
        modules_content={"$edgeAgent": {"properties.desired": AGENT}, "camera": {"properties.desired": {"fps": 5}}}
    )
    configurations.apply_configuration_on_edge_device(device_id, content)
    assert {each.module_id for each in registry.get_modules(device_id)} == {"$edgeAgent", "$edgeHub", "camera"}
    twin = registry.get_module_twin(device_id, "camera")
    assert twin.properties.desired["fps"] == 5
    tried = configurations.test_configuration_queries(
        ConfigurationQueriesTestInput(target_condition="tags.x =", custom_metric_queries={"bad": "SELECT"})
    )
    assert tried.target_condition_error
    assert tried.custom_metric_query_errors.keys() == {"bad"}
