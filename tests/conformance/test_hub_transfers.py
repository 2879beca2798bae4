"""Imports and exports through Microsoft's service SDKs, by the built-in store and by an account (hub.md 10)."""

import asyncio
from typing import Any

import httpx
import pytest
from aiohttp import web
from azure.iot.hub import IoTHubJobManager, IoTHubRegistryManager
from azure.iot.hub.models import JobProperties
from msrest.exceptions import HttpOperationError

from tests.blob_account import BlobAccount, blob_account
from tests.conformance.conftest import Service
from tests.conformance.test_node import run
from tests.conformance.test_python_provisioning import unique

pytestmark = pytest.mark.conformance

PYTHON, NODE = "Python: azure-iot-hub", "Node: azure-iothub"


@pytest.fixture
def registry(service: Service) -> IoTHubRegistryManager:
    return IoTHubRegistryManager.from_connection_string(service.values["HOMEPORT_HUB_CONNECTION_STRING"])


@pytest.fixture
def jobs(service: Service) -> IoTHubJobManager:
    return IoTHubJobManager.from_connection_string(service.values["HOMEPORT_HUB_CONNECTION_STRING"])


async def ended(jobs: IoTHubJobManager, job_id: str) -> Any:
    for _ in range(300):
        found = await asyncio.to_thread(jobs.get_import_export_job, job_id)
        if found.status in {"completed", "failed", "cancelled"}:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"{job_id} does not end")


def writable(service: Service) -> str:
    """Return the address that the operator is told of the built-in store."""
    return service.server.run("hub", "files", "hub1", "--writable").stdout.splitlines()[-1]


@pytest.mark.matrix(sdk=PYTHON, feature="import and export jobs", transport="https")
async def test_python_with_the_built_in_store(
    service: Service, registry: IoTHubRegistryManager, jobs: IoTHubJobManager
) -> None:
    device_id = unique("exported")
    made = await asyncio.to_thread(registry.create_device_with_sas, device_id, "", "", "enabled")
    container = writable(service)
    asked = JobProperties(type="export", output_blob_container_uri=container, exclude_keys_in_export=False)
    job = await asyncio.to_thread(jobs.create_import_export_job, asked)
    done = await ended(jobs, job.job_id)
    assert (done.status, done.progress, done.failure_reason) == ("completed", 100, None)
    assert done.output_blob_container_uri is None
    url = container.replace("/uploads?", "/uploads/devices.txt?")
    async with httpx.AsyncClient(verify=service.values["HOMEPORT_CA_FILE"]) as client:
        text = (await client.get(url)).text
    assert made.authentication.symmetric_key.primary_key in text
    await asyncio.to_thread(registry.delete_device, device_id)
    asked = JobProperties(type="import", input_blob_container_uri=container, output_blob_container_uri=container)
    job = await asyncio.to_thread(jobs.create_import_export_job, asked)
    assert (await ended(jobs, job.job_id)).status == "completed"
    back = await asyncio.to_thread(registry.get_device, device_id)
    assert back.authentication.symmetric_key.primary_key == made.authentication.symmetric_key.primary_key
    assert job.job_id in {one.job_id for one in await asyncio.to_thread(jobs.get_import_export_jobs)}
    await asyncio.to_thread(jobs.cancel_import_export_job, job.job_id)
    with pytest.raises(HttpOperationError):
        await asyncio.to_thread(jobs.get_import_export_job, "nobody")


class HeldAccount(BlobAccount):
    """It gives out nothing, so that a job on it stays under way."""

    async def answer(self, request: web.BaseRequest) -> web.Response:
        if request.method == "GET":
            await asyncio.sleep(3600)
        return await super().answer(request)


@pytest.mark.matrix(sdk=NODE, feature="import and export jobs", transport="https")
async def test_node_with_an_account(service: Service, registry: IoTHubRegistryManager) -> None:
    device_id = unique("exported")
    await asyncio.to_thread(registry.create_device_with_sas, device_id, "", "", "enabled")
    async with blob_account() as account, blob_account(HeldAccount()) as held:
        held.blobs["devices.txt"] = b"{}\n"
        told = await asyncio.to_thread(
            run,
            service,
            "transfers.cjs",
            {
                "connectionString": service.values["HOMEPORT_HUB_CONNECTION_STRING"],
                "container": account.url,
                "held": held.url,
                "deviceId": device_id,
            },
        )
        assert "error" not in told, told
        steps = told["steps"]
        assert (steps["exported"]["status"], steps["imported"]["status"]) == ("completed", "completed")
        assert device_id.encode() in account.blobs["devices.txt"]
        assert steps["back"] == device_id
        assert steps["second"] == [403, "TooManyDevicesError"]  # what Node makes of every 403
        assert steps["cancelled"] == "cancelled"
        assert {steps["held"], steps["imported"]["jobId"]} <= set(steps["listed"])
        assert steps["refused"][0] == 400
