"""Scheduled jobs from a service's request to what came of every device (contract hub.md 9)."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from homeport.hub.identities import IdentityWrite
from homeport.hub.leased_work import LEASE
from homeport.hub.methods import MethodAnswer, MethodCall, MethodListener
from homeport.hub.model import DeviceStatus
from homeport.hub.served_hub import ServedHub
from tests.unit.hub.clients import RestClient
from tests.unit.hub.conftest import MakeHubs, ManualClock, running, until

TWIN = {"type": "scheduleUpdateTwin", "updateTwin": {"etag": "*", "tags": {"seen": True}}, "queryCondition": "*"}
METHOD = {
    "type": "scheduleDeviceMethod",
    "cloudToDeviceMethod": {"methodName": "m", "payload": {"in": 1}, "responseTimeoutInSeconds": 5},
    "queryCondition": "*",
}
ENDS = {"completed", "failed", "cancelled"}


@pytest.fixture
async def devices(hub: ServedHub) -> list[str]:
    names = ["a", "b", "c"]
    for name in names:
        await hub.registry.create(IdentityWrite(device_id=name))
    return names


async def job(rest: RestClient, job_id: str = "j") -> dict[str, Any]:
    document: dict[str, Any] = (await rest("GET", f"/jobs/v2/{job_id}")).json()
    return document


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what the runner is about to bring about."""
    async with asyncio.timeout(10):
        while not await holds():  # noqa: ASYNC110  # what is waited for is read over HTTP
            await asyncio.sleep(0.01)


async def ended(rest: RestClient, job_id: str = "j") -> dict[str, Any]:
    """Wait for a job's end."""

    async def has_ended() -> bool:
        return (await job(rest, job_id))["status"] in ENDS

    await eventually(has_ended)
    return await job(rest, job_id)


async def rows(rest: RestClient, more: str = "", size: int = 100) -> list[dict[str, Any]]:
    text = f"SELECT * FROM devices.jobs{more}"
    headers = {"x_ms_max_item_count": str(size)}
    found: list[dict[str, Any]] = []
    while True:
        answer = await rest("POST", "/devices/query", {"query": text}, **headers)  # type: ignore[arg-type]  # headers
        assert (answer.status_code, answer.headers.get("x-ms-item-type")) == (200, "DeviceJob"), answer.text
        found += answer.json()
        if "x-ms-continuation" not in answer.headers:
            return found
        headers["x_ms_continuation"] = answer.headers["x-ms-continuation"]


def answering(hub: ServedHub, device_id: str, payload: bytes = b'{"out": 2}') -> list[MethodCall]:
    """Connect a device, as far as methods go; returns the calls it gets."""
    heard: list[MethodCall] = []

    def deliver(call: MethodCall) -> None:
        heard.append(call)
        listener.answer(call.request_id, MethodAnswer(status=200, payload=payload))

    listener: MethodListener = hub.methods.listen(device_id, deliver)
    return heard


async def test_a_twin_update(rest: RestClient, hub: ServedHub, devices: list[str]) -> None:
    await hub.registry.create(IdentityWrite(device_id="d"))
    update = {"etag": '"*"', "tags": {"seen": True}, "properties": {"desired": {"x": {"y": 1}}}}
    created = await rest(
        "PUT", "/jobs/v2/j", {**TWIN, "jobId": "j", "updateTwin": update, "queryCondition": "deviceId != 'd'"}
    )
    assert created.status_code == 200, created.text
    document = created.json()
    assert (document["status"], document["type"], document["jobId"]) == ("queued", "scheduleUpdateTwin", "j")
    assert document["updateTwin"] == {**update, "etag": "*"}
    assert "endTime" not in document
    document = await ended(rest)
    assert document["status"] == "completed"
    assert document["maxExecutionTimeInSeconds"] == 3600
    assert document["deviceJobStatistics"] == {
        "deviceCount": 3,
        "failedCount": 0,
        "succeededCount": 3,
        "runningCount": 0,
        "pendingCount": 0,
    }
    # Java throws when it finds both of a pair.
    assert not document.keys() & {"jobType", "createdDateTimeUtc", "startTimeUtc", "endTimeUtc"}
    for name in devices:
        twin = (await rest("GET", f"/twins/{name}")).json()
        assert (twin["tags"], twin["properties"]["desired"]["x"]) == ({"seen": True}, {"y": 1})
    assert (await rest("GET", "/twins/d")).json()["tags"] == {}


async def test_a_method_and_what_each_device_said(rest: RestClient, hub: ServedHub, devices: list[str]) -> None:
    heard = answering(hub, "a")
    answering(hub, "b", b"{nothing")
    await hub.registry.update(IdentityWrite(device_id="c", status=DeviceStatus.DISABLED), expected_etag=None)
    created = await rest("PUT", "/jobs/v2/j", METHOD)
    assert created.json()["cloudToDeviceMethod"] == {
        "methodName": "m",
        "payload": {"in": 1},
        "responseTimeoutInSeconds": 5,
        "connectTimeoutInSeconds": 0,
    }
    document = await ended(rest)
    assert (document["status"], document["deviceJobStatistics"]["failedCount"]) == ("completed", 2)
    assert [(call.name, call.payload) for call in heard] == [("m", b'{"in":1}')]
    found = {row["deviceId"]: row for row in await rows(rest)}
    assert found["a"]["outcome"] == {"deviceMethodResponse": {"status": 200, "payload": {"out": 2}}}
    assert (found["a"]["jobId"], found["a"]["jobType"], found["a"]["status"]) == ("j", METHOD["type"], "completed")
    assert found["b"]["error"]["code"] == "GenericBadGateway"
    assert found["c"]["error"]["code"] == "DeviceNotFound"
    assert "outcome" not in found["c"]
    assert found.keys() == {*devices}


async def test_parts_are_queried(rest: RestClient, hub: ServedHub, devices: list[str]) -> None:
    answering(hub, "a")
    for name in ("j", "k"):
        await rest("PUT", f"/jobs/v2/{name}", METHOD)
        await ended(rest, name)
    every = [(row["jobId"], row["deviceId"]) for row in await rows(rest)]
    assert every == [(job, device) for job in ("j", "k") for device in devices]
    for size in (1, 2, 6):
        assert [(row["jobId"], row["deviceId"]) for row in await rows(rest, size=size)] == every
    failed = " WHERE devices.jobs.jobId = 'k' AND devices.jobs.status = 'failed'"
    assert [(row["jobId"], row["deviceId"]) for row in await rows(rest, failed, size=1)] == [("k", "b"), ("k", "c")]
    said = " WHERE outcome.deviceMethodResponse.payload.out = 2 AND jobId IN ['k', 'nowhere']"
    assert [row["deviceId"] for row in await rows(rest, said)] == ["a"]
    top = await rest("POST", "/devices/query", {"query": "SELECT TOP 2 * FROM devices.jobs"})
    assert (len(top.json()), "x-ms-continuation" in top.headers) == (2, False)
    counted = await rest("POST", "/devices/query", {"query": "SELECT COUNT() AS n FROM devices.jobs"})
    assert counted.status_code == 400


async def test_modules_have_jobs_too(rest: RestClient, hub: ServedHub, devices: list[str]) -> None:
    await hub.registry.create(IdentityWrite(device_id="a/m"))
    await rest("PUT", "/jobs/v2/j", {**TWIN, "queryCondition": "FROM devices.modules WHERE moduleId = 'm'"})
    await ended(rest)
    assert [(row["deviceId"], row["moduleId"]) for row in await rows(rest)] == [("a", "m")]
    assert (await rest("GET", "/twins/a/modules/m")).json()["tags"] == {"seen": True}


async def test_a_job_begins_at_its_time(
    rest: RestClient, hub: ServedHub, clock: ManualClock, devices: list[str]
) -> None:
    start = (clock.now() + timedelta(minutes=1)).isoformat()
    created = await rest("PUT", "/jobs/v2/j", {**TWIN, "startTime": start})
    assert (created.json()["status"], created.json()["startTime"]) == ("scheduled", "2024-06-01T12:01:00.0000000Z")
    hub.job_runner.wake()
    await asyncio.sleep(0.05)
    assert (await rest("GET", "/jobs/v2/j")).json()["status"] == "scheduled"
    await hub.registry.create(IdentityWrite(device_id="late"))  # before the start is in time
    clock.pass_seconds(60)
    hub.job_runner.wake()
    assert (await ended(rest))["deviceJobStatistics"]["succeededCount"] == 4


async def test_time_runs_out(rest: RestClient, hub: ServedHub, clock: ManualClock, devices: list[str]) -> None:
    heard: list[MethodCall] = []
    hub.methods.listen("a", heard.append)
    await rest("PUT", "/jobs/v2/j", {**METHOD, "maxExecutionTimeInSeconds": 7, "queryCondition": "deviceId = 'a'"})
    await until(lambda: heard)
    assert (await rest("GET", "/jobs/v2/j")).json()["deviceJobStatistics"]["runningCount"] == 1
    clock.pass_seconds(7)
    document = await ended(rest)
    assert (document["status"], document["failureReason"]) == ("failed", "The job's execution time was over.")
    (row,) = await rows(rest)
    assert (row["status"], row["error"]["code"]) == ("failed", "JobExecutionTimeExceeded")


async def test_cancelling(rest: RestClient, hub: ServedHub, clock: ManualClock, devices: list[str]) -> None:
    start = (clock.now() + timedelta(minutes=1)).isoformat()
    await rest("PUT", "/jobs/v2/j", {**TWIN, "startTime": start})
    cancelled = await rest("POST", "/jobs/v2/j/cancel", {})
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    clock.pass_seconds(90)
    hub.job_runner.wake()
    await asyncio.sleep(0.05)
    assert (await rest("GET", "/jobs/v2/j")).json()["status"] == "cancelled"
    assert (await rest("GET", "/twins/a")).json()["tags"] == {}
    again = await rest("POST", "/jobs/v2/j/cancel")
    assert again.json()["status"] == "cancelled"


async def test_what_is_under_way_when_a_job_is_cancelled_is_told(
    rest: RestClient, hub: ServedHub, clock: ManualClock, devices: list[str]
) -> None:
    heard: list[MethodCall] = []
    listener = hub.methods.listen("a", heard.append)
    await rest("PUT", "/jobs/v2/j", {**METHOD, "queryCondition": "deviceId = 'a'"})
    await until(lambda: heard)
    assert (await rest("POST", "/jobs/v2/j/cancel")).json()["status"] == "cancelled"
    assert [row["status"] for row in await rows(rest)] == ["canceled"]
    clock.pass_seconds(LEASE.total_seconds() / 2)  # the lease holds as long as something is under way
    listener.answer(heard[0].request_id, MethodAnswer(status=207, payload=b"1"))

    async def is_told() -> bool:
        return (await rows(rest))[0]["status"] == "completed"

    await eventually(is_told)
    assert (await rest("GET", "/jobs/v2/j")).json()["status"] == "cancelled"


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "export"},
        {"type": "scheduleDeviceMethod"},
        {"updateTwin": None},
        {"updateTwin": {"etag": "*"}},
        {"updateTwin": {"tags": {"a": 1}}},
        {"updateTwin": {"etag": "AAAAAAAAAAE=", "tags": {"a": 1}}},
        {"updateTwin": {"etag": "*", "tags": {"a.b": 1}}},
        {"queryCondition": None},
        {"queryCondition": "tags.x ="},
        {"queryCondition": "nonsense = 1"},
        {"startTime": "tomorrow"},
        {"maxExecutionTimeInSeconds": 0},
        {"jobId": "another"},
    ],
)
async def test_what_is_refused(rest: RestClient, changes: dict[str, Any]) -> None:
    refused = await rest("PUT", "/jobs/v2/j", {**TWIN, **changes})
    assert (refused.status_code, refused.headers["iothub-errorcode"]) == (400, "ArgumentInvalid")
    assert (await rest("GET", "/jobs/v2/j")).json()["status"] == "unknown"


async def test_unknown_taken_and_forbidden(rest: RestClient, devices: list[str]) -> None:
    unknown = await rest("GET", "/jobs/v2/nowhere")
    assert (unknown.status_code, unknown.json()) == (200, {"jobId": "nowhere", "type": "unknown", "status": "unknown"})
    gone = await rest("POST", "/jobs/v2/nowhere/cancel")
    assert (gone.status_code, gone.headers["iothub-errorcode"]) == (404, "JobNotFound")
    await rest("PUT", "/jobs/v2/j", TWIN)
    taken = await rest("PUT", "/jobs/v2/j", TWIN)
    assert (taken.status_code, taken.headers["iothub-errorcode"]) == (409, "JobAlreadyExists")
    assert (await rest("PUT", "/jobs/v2/k", TWIN, policy="registryReadWrite")).status_code == 401
    assert (await rest("PUT", "/jobs/v2/query", TWIN)).status_code == 405
    assert (await rest("PUT", "/jobs/v2/a%2Fb", TWIN)).status_code == 400


async def test_jobs_are_listed(rest: RestClient, devices: list[str]) -> None:
    for name in ("j1", "j2", "j3"):
        await rest("PUT", f"/jobs/v2/{name}", TWIN)
        await ended(rest, name)

    async def listed(query: str = "", **headers: str) -> tuple[list[str], str | None]:
        answer = await rest("GET", f"/jobs/v2/query{query}", **headers)  # type: ignore[arg-type]  # headers only
        assert (answer.status_code, answer.headers.get("x-ms-item-type")) == (200, "JobResponse")
        return [each["jobId"] for each in answer.json()], answer.headers.get("x-ms-continuation")

    assert await listed() == (["j1", "j2", "j3"], None)
    ids, token = await listed("?jobType=ScheduleUpdateTwin&jobStatus=Completed", x_ms_max_item_count="2")
    assert (ids, token is None) == (["j1", "j2"], False)
    assert await listed("?jobType=ScheduleUpdateTwin&jobStatus=Completed", x_ms_continuation=str(token)) == (
        ["j3"],
        None,
    )
    assert await listed("?jobStatus=running") == ([], None)
    assert await listed("?jobType=export") == ([], None)


async def test_another_runner_goes_on(
    rest: RestClient, hub: ServedHub, make_hubs: MakeHubs, clock: ManualClock, devices: list[str]
) -> None:
    heard: list[MethodCall] = []
    hub.methods.listen("a", heard.append)
    await rest("PUT", "/jobs/v2/j", METHOD)

    async def only_a_is_left() -> bool:
        return bool(heard) and (await job(rest))["deviceJobStatistics"]["failedCount"] == 2

    await eventually(only_a_is_left)
    # Another process starts, the only one: whoever holds leases is dead.
    hubs = make_hubs()
    await hubs.load(alone=True)
    other = hubs.get(hub.name)
    assert other is not None
    async with running(other):
        assert (await ended(rest))["status"] == "completed"
    (row,) = await rows(rest, " WHERE deviceId = 'a'")
    assert row["error"]["code"] == "JobInterrupted"
    assert len(heard) == 1
