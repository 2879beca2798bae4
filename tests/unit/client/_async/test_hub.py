"""The client of a whole hub: what it sends and how it reads what comes back. Real hubs are in tests/conformance."""

import ssl
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from homeport.client import (
    BadRequestError,
    BulkDevice,
    Configuration,
    ConfigurationContent,
    Device,
    DeviceAuthentication,
    DeviceSymmetricKey,
    NotFoundError,
    ProvisioningServiceError,
    TransportError,
)
from homeport.client._async.hub import HubClient
from tests.unit.client.scripted import ScriptedService, Step

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
VERSION = "?api-version=2021-04-12"
JOB: dict[str, Any] = {
    "jobId": "j1",
    "type": "scheduleUpdateTwin",
    "status": "running",
    "queryCondition": "*",
    "createdTime": "2026-01-01T00:00:00.0000000Z",
    "deviceJobStatistics": {"deviceCount": 3, "failedCount": 1, "succeededCount": 1, "runningCount": 1},
}
CONFIGURATION: dict[str, Any] = {
    "id": "c1",
    "schemaVersion": "1.0",
    "labels": {},
    "content": {"deviceContent": {"properties.desired.a": 1}, "moduleContent": None, "modulesContent": None},
    "targetCondition": "*",
    "priority": 3,
    "systemMetrics": {"results": {"targetedCount": 2}, "queries": {"targetedCount": "select …"}},
    "metrics": {"results": {}, "queries": {}},
    "etag": "MQ==",
}
TWIN = {"deviceId": "d1", "etag": "e", "tags": {}, "properties": {"desired": {}, "reported": {}}}


def client(service: ScriptedService, ca_file: Path) -> HubClient:
    text = f"HostName={service.authority};SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}"
    return HubClient.create_from_connection_string(text, ca_file=ca_file)


async def test_an_identity_is_written_as_it_is_given(server_context: ssl.SSLContext, ca_file: Path) -> None:
    authentication = {
        "type": "sas",
        "symmetricKey": {"primaryKey": "a2V5", "secondaryKey": "a2V5"},
        "x509Thumbprint": None,
    }
    device = {"deviceId": "d1", "etag": "AQ==", "status": "enabled", "authentication": authentication}
    written = {"deviceId": "d1", "status": "disabled", "statusReason": "lost", "authentication": authentication}
    steps = [
        Step(method="GET", path=f"/devices/d1{VERSION}", body=device),
        Step(method="PUT", path=f"/devices/d1{VERSION}", body=device, expects=written),
        Step(method="PUT", path=f"/devices/d1{VERSION}", body=device),
        Step(method="PUT", path=f"/devices/d1/modules/m%231{VERSION}", body=device | {"moduleId": "m#1"}),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as hub:
            read = await hub.get_device("d1")
            await hub.replace_device(replace(read, status="disabled", status_reason="lost"))
            await hub.replace_device(read, force=True)
            assert (await hub.create_module("d1", "m#1")).module_id == "m#1"
        matches = [each.headers.get("if-match") for each in service.requests]
    assert matches == [None, '"AQ=="', "*", None]


async def test_making_keys_is_not_repeated(server_context: ssl.SSLContext, ca_file: Path) -> None:
    steps = [Step(method="PUT", path=f"/devices/d1{VERSION}", status=0)]
    service = ScriptedService(steps, server_context)
    with service, pytest.raises(TransportError, match="PUT to localhost"):
        async with client(service, ca_file) as hub:
            await hub.create_device("d1")


async def test_a_bulk_result_and_a_refusal_are_told_apart(server_context: ssl.SSLContext, ca_file: Path) -> None:
    result = {
        "isSuccessful": False,
        "errors": [{"deviceId": "d1", "moduleId": None, "errorCode": "DeviceNotFound", "errorStatus": "d1"}],
        "warnings": [],
    }
    refused = {"Message": "ErrorCode:ArgumentInvalid;no array", "ExceptionMessage": ""}
    sent = [{"id": "d1", "importMode": "update", "eTag": "AQ=="}]
    steps = [
        Step(method="POST", path=f"/devices{VERSION}", status=400, body=result, expects=sent),
        Step(method="POST", path=f"/devices{VERSION}", status=400, body=refused),
        Step(method="POST", path=f"/devices{VERSION}", status=400, text="<html>"),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as hub:
            told = await hub.bulk([BulkDevice(id="d1", import_mode="update", etag="AQ==")])  # type: ignore[arg-type]
            assert [each.error_code for each in told.errors] == ["DeviceNotFound"]
            for words in ("no array", "gave no reason"):
                with pytest.raises(BadRequestError, match=words):
                    await hub.bulk([BulkDevice(id="d1")])


async def test_a_method_is_called_once(server_context: ssl.SSLContext, ca_file: Path) -> None:
    call = {
        "methodName": "ring",
        "payload": None,
        "responseTimeoutInSeconds": 10,
        "connectTimeoutInSeconds": 5,
    }
    path = f"/twins/d1/modules/m/methods{VERSION}"
    inner = '{"errorCode":504101,"trackingId":"t","message":"Timed out waiting for the response from device."}'
    steps = [
        Step(method="POST", path=path, body={"status": 201, "payload": [1]}, expects=call),
        Step(method="POST", path=path, status=504, body={"Message": inner, "ExceptionMessage": ""}),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as hub:
            result = await hub.call_method("d1", "ring", module_id="m", response_timeout=10, connect_timeout=5)
            assert (result.status, result.payload) == (201, [1])
            with pytest.raises(ProvisioningServiceError) as late:
                await hub.call_method("d1", "ring", module_id="m", response_timeout=10, connect_timeout=5)
    assert (late.value.status, late.value.code) == (504, 504101)


async def test_twins(server_context: ssl.SSLContext, ca_file: Path) -> None:
    steps = [
        Step(method="PATCH", path=f"/twins/d1{VERSION}", body=TWIN, expects={"tags": {"a": None}}),
        Step(
            method="PUT",
            path=f"/twins/d1{VERSION}",
            body=TWIN,
            expects={"tags": {}, "properties": {"desired": {"b": 1}}},
        ),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as hub:
            await hub.update_twin("d1", tags={"a": None}, etag="AQ==")
            await hub.replace_twin("d1", tags={}, desired={"b": 1})
        assert [each.headers.get("if-match") for each in service.requests] == ['"AQ=="', None]


async def test_commands(server_context: ssl.SSLContext, ca_file: Path) -> None:
    path = f"/digitaltwins/d1/components/c/commands/blink{VERSION}"
    path += "&responseTimeoutInSeconds=30&connectTimeoutInSeconds=0"
    steps = [
        Step(method="POST", path=path, body={"ok": True}, headers={"x-ms-command-statuscode": "202"}, expects={"n": 1})
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as hub:
            answered = await hub.call_command("d1", "blink", {"n": 1}, component="c")
    assert (answered.status, answered.payload) == (202, {"ok": True})


async def test_jobs(server_context: ssl.SSLContext, ca_file: Path) -> None:
    start = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    twin = {
        "jobId": "j1",
        "type": "scheduleUpdateTwin",
        "queryCondition": "tags.a = 1",
        "updateTwin": {"etag": "*", "tags": {"b": 2}},
        "startTime": "2026-01-01T00:00:00Z",
        "maxExecutionTimeInSeconds": 60,
    }
    method = {
        "jobId": "j2",
        "type": "scheduleDeviceMethod",
        "queryCondition": "*",
        "cloudToDeviceMethod": {"methodName": "ring", "payload": None, "connectTimeoutInSeconds": 3},
    }
    steps = [
        Step(method="PUT", path=f"/jobs/v2/j1{VERSION}", body=JOB, expects=twin),
        Step(method="PUT", path=f"/jobs/v2/j2{VERSION}", body=JOB, expects=method),
        Step(method="GET", path=f"/jobs/v2/no{VERSION}", body={"jobId": "no", "type": "unknown", "status": "unknown"}),
        Step(method="POST", path=f"/jobs/v2/j1/cancel{VERSION}", body=JOB | {"status": "cancelled"}),
        Step(
            method="GET",
            path=f"/jobs/v2/query{VERSION}&jobStatus=running",
            body=[JOB],
            headers={"x-ms-continuation": "next"},
        ),
        Step(method="GET", path=f"/jobs/v2/query{VERSION}&jobStatus=running", body=[]),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as hub:
            job = await hub.schedule_twin_update("j1", "tags.a = 1", tags={"b": 2}, start_time=start, max_seconds=60)
            await hub.schedule_method("j2", "*", "ring", connect_timeout=3)
            with pytest.raises(NotFoundError, match="no job no"):
                await hub.get_job("no")
            assert (await hub.cancel_job("j1")).has_ended
            assert [each.job_id async for each in hub.jobs(status="running")] == ["j1"]
    assert job.created_time == datetime(2026, 1, 1, tzinfo=UTC)
    assert job.device_job_statistics is not None
    assert job.device_job_statistics.ended_count == 2
    assert not job.has_ended


async def test_outcomes_are_asked_for_by_a_query(server_context: ssl.SSLContext, ca_file: Path) -> None:
    query = r"SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'it\'s' AND devices.jobs.status = 'failed'"
    part = {
        "deviceId": "d1",
        "jobId": "it's",
        "jobType": "scheduleDeviceMethod",
        "status": "failed",
        "error": {"code": "DeviceNotOnline", "description": "not there"},
    }
    steps = [Step(method="POST", path=f"/devices/query{VERSION}", body=[part], expects={"query": query})]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as hub:
            (found,) = [each async for each in hub.device_jobs("it's", status="failed")]
    assert found.error is not None
    assert found.error.code == "DeviceNotOnline"


async def test_configurations(server_context: ssl.SSLContext, ca_file: Path) -> None:
    written = {
        "id": "c1",
        "schemaVersion": "1.0",
        "labels": {},
        "content": {"deviceContent": {"properties.desired.a": 1}},
        "targetCondition": "*",
        "priority": 3,
        "metrics": {"queries": {}},
    }
    path = f"/configurations/c1{VERSION}"
    steps = [
        Step(method="PUT", path=path, body=CONFIGURATION, expects=written),
        Step(method="PUT", path=path, body=CONFIGURATION, expects=written | {"priority": 4}),
        Step(method="PUT", path=path, body=CONFIGURATION),
        Step(method="DELETE", path=path, status=204),
        Step(method="DELETE", path=path, status=204),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as hub:
            content = ConfigurationContent(device_content={"properties.desired.a": 1})
            made = await hub.create_configuration(
                Configuration(id="c1", content=content, target_condition="*", priority=3)
            )
            await hub.update_configuration(replace(made, priority=4))
            await hub.update_configuration(made, force=True)
            await hub.delete_configuration("c1")
            await hub.delete_configuration("c1", etag="MQ==")
        matches = [each.headers.get("if-match") for each in service.requests]
    assert matches == [None, '"MQ=="', "*", None, '"MQ=="']
    assert made.system_metrics.results == {"targetedCount": 2}


async def test_feedback_is_taken_under_a_lock(server_context: ssl.SSLContext, ca_file: Path) -> None:
    base = "/messages/serviceBound/feedback"
    record = {
        "originalMessageId": "m1",
        "description": "Expired",
        "statusCode": "Expired",
        "deviceGenerationId": "1",
        "deviceId": "d1",
        "enqueuedTimeUtc": "2026-01-01T00:00:00.0000000Z",
    }
    files = "/messages/serviceBound/filenotifications"
    told = {"deviceId": "d1", "blobUri": "https://b/x", "blobName": "x", "blobSizeInBytes": 3}
    steps = [
        Step(method="GET", path=base + VERSION, status=204),
        Step(method="GET", path=base + VERSION, body=[record], headers={"ETag": '"lock-1"'}),
        Step(method="POST", path=f"{base}/lock-1/abandon{VERSION}", status=204),
        Step(method="DELETE", path=f"{base}/lock-1{VERSION}", status=204),
        Step(method="GET", path=files + VERSION, body=told, headers={"ETag": '"lock-2"'}),
        Step(method="DELETE", path=f"{files}/lock-2{VERSION}", status=204),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as hub:
            assert await hub.receive_feedback() is None
            batch = await hub.receive_feedback()
            assert batch is not None
            assert [each.status_code for each in batch.records] == ["Expired"]
            await hub.abandon_feedback(batch)
            await hub.complete_feedback(batch)
            delivery = await hub.receive_file_notification()
            assert delivery is not None
            assert delivery.notification.blob_size_in_bytes == 3
            await hub.complete_file_notification(delivery)


async def test_a_purge_tells_how_many(server_context: ssl.SSLContext, ca_file: Path) -> None:
    answer = {"deviceId": "d1", "moduleId": None, "totalMessagesPurged": 7}
    service = ScriptedService(
        [Step(method="DELETE", path=f"/devices/d1/commands{VERSION}", body=answer)], server_context
    )
    with service:
        async with client(service, ca_file) as hub:
            assert await hub.purge_messages("d1") == 7


def test_keys_stay_out_of_reprs() -> None:
    keys = {"primary_key": "c2VjcmV0", "secondary_key": "c2VjcmV0"}
    device = Device(device_id="d", authentication=DeviceAuthentication(symmetric_key=DeviceSymmetricKey(**keys)))
    assert "c2VjcmV0" not in repr(device)


async def test_imports_and_exports(server_context: ssl.SSLContext, ca_file: Path) -> None:
    url = "https://a.example/c?sig=secret"
    job = {"jobId": "t1", "type": "export", "status": "running", "progress": 40}
    exported = {
        "type": "export",
        "outputBlobContainerUri": url,
        "excludeKeysInExport": True,
        "includeConfigurations": False,
    }
    imported = {
        "type": "import",
        "inputBlobContainerUri": url,
        "inputBlobName": "d.txt",
        "outputBlobContainerUri": url,
        "includeConfigurations": False,
    }
    steps = [
        Step(method="POST", path=f"/jobs/create{VERSION}", body=job, expects=exported),
        Step(method="POST", path=f"/jobs/create{VERSION}", body=job | {"type": "import"}, expects=imported),
        Step(method="GET", path=f"/jobs{VERSION}", body=[job]),
        Step(method="GET", path=f"/jobs/t1{VERSION}", body=job | {"status": "completed", "progress": 100}),
        Step(method="DELETE", path=f"/jobs/t1{VERSION}", status=204),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as hub:
            assert (await hub.export_devices(url, exclude_keys=True)).progress == 40
            assert not (await hub.import_devices(url, blob_name="d.txt")).has_ended
            assert [each.job_id for each in await hub.transfer_jobs()] == ["t1"]
            assert (await hub.get_transfer_job("t1")).has_ended
            await hub.cancel_transfer_job("t1")
