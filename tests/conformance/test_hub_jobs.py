"""Scheduled jobs through Microsoft's service SDKs, with a stock device at the other end."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.iot.device import MethodResponse
from azure.iot.hub import IoTHubJobManager, IoTHubRegistryManager
from azure.iot.hub.models import (
    CloudToDeviceMethod,
    JobRequest,
    JobResponse,
    QuerySpecification,
    Twin,
    TwinProperties,
)
from msrest.exceptions import HttpOperationError

from tests.conformance.conftest import Service
from tests.conformance.test_hub_devices import device
from tests.conformance.test_node import run
from tests.conformance.test_python_provisioning import unique

pytestmark = pytest.mark.conformance

PYTHON = "Python: azure-iot-hub"


@pytest.fixture
def registry(service: Service) -> IoTHubRegistryManager:
    return IoTHubRegistryManager.from_connection_string(service.values["HOMEPORT_HUB_CONNECTION_STRING"])


@pytest.fixture
def jobs(service: Service) -> IoTHubJobManager:
    return IoTHubJobManager.from_connection_string(service.values["HOMEPORT_HUB_CONNECTION_STRING"])


async def ended(jobs: IoTHubJobManager, job_id: str) -> JobResponse:
    for _ in range(300):
        found = await asyncio.to_thread(jobs.get_scheduled_job, job_id)
        if found.status in {"completed", "failed"}:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"{job_id} does not end")


@pytest.mark.matrix(sdk=PYTHON, feature="scheduled jobs: methods, outcomes of devices", transport="https")
async def test_a_method_job(service: Service, registry: IoTHubRegistryManager, jobs: IoTHubJobManager) -> None:
    absent, job_id = unique("absent"), unique("job")
    await asyncio.to_thread(registry.create_device_with_sas, absent, "", "", "enabled")
    async with device(service, registry, websockets=False) as (device_id, client):

        async def handle(request: Any) -> None:
            answer = MethodResponse.create_from_method_request(request, 201, {"said": request.payload})
            await client.send_method_response(answer)

        client.on_method_request_received = handle
        request = JobRequest(
            job_id=job_id,
            type="scheduleDeviceMethod",
            cloud_to_device_method=CloudToDeviceMethod(
                method_name="say",
                payload={"word": "héllo"},
                response_timeout_in_seconds=10,
                connect_timeout_in_seconds=3,
            ),
            query_condition=f"deviceId IN ['{device_id}', '{absent}']",
            start_time=datetime.now(UTC).isoformat(),  # the SDK's caller has no clock of ours
            max_execution_time_in_seconds=60,
        )
        created = await asyncio.to_thread(jobs.create_scheduled_job, job_id, request)
        assert (created.job_id, created.type) == (job_id, "scheduleDeviceMethod")
        found = await ended(jobs, job_id)
    statistics = found.device_job_statistics
    assert (statistics.device_count, statistics.succeeded_count, statistics.failed_count) == (2, 1, 1)
    query = QuerySpecification(query=f"SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '{job_id}'")
    result = await asyncio.to_thread(registry.query_iot_hub, query)
    rows = {each.device_id: each.additional_properties for each in result.items}
    assert rows[device_id]["outcome"]["deviceMethodResponse"] == {"status": 201, "payload": {"said": {"word": "héllo"}}}
    assert rows[absent]["error"]["code"] == "DeviceNotOnline"


@pytest.mark.matrix(sdk=PYTHON, feature="scheduled jobs: twin updates, cancel", transport="https")
async def test_a_twin_job(registry: IoTHubRegistryManager, jobs: IoTHubJobManager) -> None:
    device_id, job_id, later = unique("updated"), unique("job"), unique("later")
    await asyncio.to_thread(registry.create_device_with_sas, device_id, "", "", "enabled")
    request = JobRequest(
        type="scheduleUpdateTwin",
        update_twin=Twin(etag="*", tags={"site": "north"}, properties=TwinProperties(desired={"interval": 5})),
        query_condition=f"deviceId = '{device_id}'",
        max_execution_time_in_seconds=60,
    )
    await asyncio.to_thread(jobs.create_scheduled_job, job_id, request)
    found = await ended(jobs, job_id)
    assert (found.status, found.update_twin.tags) == ("completed", {"site": "north"})
    twin = await asyncio.to_thread(registry.get_twin, device_id)
    assert (twin.tags, twin.properties.desired["interval"]) == ({"site": "north"}, 5)

    with pytest.raises(HttpOperationError, match="Conflict"):
        await asyncio.to_thread(jobs.create_scheduled_job, job_id, request)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    request.start_time = tomorrow.isoformat()
    assert (await asyncio.to_thread(jobs.create_scheduled_job, later, request)).status == "scheduled"
    await asyncio.to_thread(jobs.cancel_scheduled_job, later)
    assert (await asyncio.to_thread(jobs.get_scheduled_job, later)).status == "cancelled"


@pytest.mark.node
@pytest.mark.matrix(
    sdk="Node: azure-iothub", feature="scheduled jobs: twin updates, methods, list, cancel", transport="https"
)
def test_node(service: Service, registry: IoTHubRegistryManager) -> None:
    device_id, prefix = unique("of-node"), unique("node-job")
    registry.create_device_with_sas(device_id, "", "", "enabled")
    answer = run(
        service,
        "jobs.cjs",
        {
            "connectionString": service.values["HOMEPORT_HUB_CONNECTION_STRING"],
            "prefix": prefix,
            "deviceId": device_id,
        },
    )
    steps = answer.get("steps")
    assert steps is not None, answer
    assert steps["update"]["deviceJobStatistics"]["succeededCount"] == 1
    assert steps["update"]["status"] == "completed"
    assert steps["method"]["deviceJobStatistics"]["failedCount"] == 1
    assert steps["tags"] == {"site": "south"}
    assert set(steps["listed"]) >= {f"{prefix}-update", f"{prefix}-method"}
    assert steps["cancelled"] == "cancelled"
    assert [row["status"] for row in steps["rows"]] == ["completed"]
    assert steps["taken"] == 409
