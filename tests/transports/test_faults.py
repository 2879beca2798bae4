"""The fault lab through its API, and what it does to registrations; every record of an attempt says so."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from homeport.app.build import build
from homeport.app.config import Config
from homeport.app.directory import DataDirectory
from homeport.clock import SystemClock
from homeport.security import sas
from tests.transports.serving import Answer, Server, serving

KEY = bytes(32)
VERSION = "?api-version=2019-03-31"
ENROLLMENT = {
    "attestation": {
        "type": "symmetricKey",
        "symmetricKey": {"primaryKey": sas.encode_key(KEY), "secondaryKey": sas.encode_key(KEY)},
    },
}


class Service:
    """A whole service that listens to nobody else, its operator, and its devices."""

    def __init__(self, server: Server, token: str, scope: str) -> None:
        self._server = server
        self._scope = scope
        self._headers = {"Authorization": f"Bearer {token}"}

    async def ask(self, method: str, path: str, body: Any = None) -> Answer:
        return await self._server.ask(method, path, body, self._headers)

    async def start(self, **fault: Any) -> dict[str, Any]:
        answer = await self.ask("POST", "/homeport/faults", fault)
        assert answer.status == 201, answer.body
        document: dict[str, Any] = answer.document
        return document

    async def enroll(self, device: str) -> None:
        path = f"/enrollments/{device}?api-version=2021-10-01"
        assert (await self.ask("PUT", path, {**ENROLLMENT, "registrationId": device})).status == 200

    async def register(self, device: str, *, lasts: int = 600) -> Answer:
        now = int(SystemClock().now().timestamp())
        resource = sas.encode_resource(f"{self._scope}/registrations/{device}")
        return await self._server.ask(
            "PUT",
            f"/{self._scope}/registrations/{device}/register{VERSION}",
            {"registrationId": device},
            {"Authorization": sas.sign(resource, KEY, now + lasts, "registration")},
        )

    async def standing(self, device: str, wanted: str) -> dict[str, Any]:
        """Wait until the device's registration has this status."""
        async with asyncio.timeout(10):
            while True:
                answer = await self.ask("GET", f"/registrations/{device}?api-version=2021-10-01")
                document: dict[str, Any] = answer.document
                if document.get("status") == wanted:
                    return document
                await asyncio.sleep(0.02)

    async def why(self, device: str) -> dict[str, Any]:
        """Return the newest attempt."""
        document: dict[str, Any] = (await self.ask("GET", f"/homeport/why/{device}?limit=1")).document[0]
        return document

    async def history(self, query: str = "") -> list[dict[str, Any]]:
        document: list[dict[str, Any]] = (await self.ask("GET", f"/homeport/faults/history{query}")).document
        return document


@asynccontextmanager
async def running(folder: Path, *, fault_lab: bool) -> AsyncIterator[Service]:
    config = Config(data=folder, bind=("127.0.0.1",), fault_lab=fault_lab)
    with DataDirectory(folder) as directory:
        async with build(config, directory) as parts:
            site = parts.sites.resolve(None, "localhost", "127.0.0.1")
            async with serving(*site.http) as server, asyncio.TaskGroup() as tasks:
                background = [tasks.create_task(run()) for run in parts.background]
                yield Service(server, directory.portal_token(), parts.identity.id_scope)
                for task in background:
                    task.cancel()


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running(tmp_path, fault_lab=True) as service:
        await service.enroll("dev-1")
        await service.enroll("dev-2")
        yield service


async def test_without_the_option_the_lab_is_closed_and_says_so(tmp_path: Path) -> None:
    async with running(tmp_path, fault_lab=False) as service:
        for method, path, body in (
            ("GET", "/homeport/faults", None),
            ("POST", "/homeport/faults", {"kind": "throttle"}),
            ("GET", "/homeport/faults/f-1", None),
            ("DELETE", "/homeport/faults/f-1", None),
            ("GET", "/homeport/faults/history", None),
            ("GET", "/homeport/faults/messages", None),
            ("PUT", "/homeport/faults/messages/hub1", {"enabled": True}),
        ):
            answer = await service.ask(method, path, body)
            assert answer.status == 404, (method, path)
            assert "--fault-lab" in answer.document["message"]


async def test_a_fault_from_its_start_to_its_end(service: Service) -> None:
    told = await service.start(kind="latency", at="provisioning", prefix="dev-", minimumMs=1, maximumMs=3, seed=2**53)
    assert (told["id"], told["state"], told["seed"], told["prefix"]) == ("f-1", "active", 2**53, "dev-")
    assert told["description"] == "1 to 3 ms late"
    assert (await service.ask("GET", "/homeport/faults")).document == [told]
    assert (await service.ask("GET", "/homeport/faults/f-1")).document == told
    assert (await service.register("DEV-1")).status == 202
    assert (await service.ask("DELETE", "/homeport/faults/f-1")).status == 204
    assert (await service.ask("DELETE", "/homeport/faults/f-1")).status == 204
    ended = (await service.ask("GET", "/homeport/faults/f-1")).document
    assert (ended["state"], ended["injected"]) == ("ended", 1)
    (done,) = await service.history()
    assert (done["faultId"], done["deviceId"], done["point"], done["transport"]) == (
        "f-1",
        "dev-1",
        "register",
        "https",
    )
    assert done["detail"].endswith("ms late")
    assert (await service.ask("DELETE", "/homeport/faults/f-9")).status == 404


async def test_a_late_registration_says_so_in_its_record(service: Service) -> None:
    await service.start(kind="latency", at="provisioning", devices=["dev-1"], minimumMs=1)
    assert (await service.register("dev-1")).document["status"] in {"assigned", "assigning"}
    record = await service.why("dev-1")
    assert {"name": "fault lab", "passed": True, "detail": "fault f-1: 1 ms late"} in record["checks"]
    assert (await service.register("dev-2")).status == 202
    assert "fault lab" not in {check["name"] for check in (await service.why("dev-2"))["checks"]}


@pytest.mark.parametrize(
    ("fault", "status", "code", "retry_after"),
    [
        ({"kind": "throttle"}, 429, 429001, "5"),
        ({"kind": "throttle", "retryAfterSeconds": 9}, 429, 429001, "9"),
        ({"kind": "error"}, 503, 503000, "5"),
        ({"kind": "error", "status": 500}, 500, 500000, None),
    ],
)
async def test_a_refused_registration(
    service: Service, fault: dict[str, Any], status: int, code: int, retry_after: str | None
) -> None:
    await service.start(at="provisioning", devices=["dev-1"], **fault)
    answer = await service.register("dev-1")
    assert (answer.status, answer.document["errorCode"], answer.headers.get("retry-after")) == (
        status,
        code,
        retry_after,
    )
    assert "f-1" in answer.document["message"]
    record = await service.why("dev-1")
    assert (record["outcome"], record["code"], record["trackingId"]) == (
        "refused",
        code,
        answer.document["trackingId"],
    )
    assert record["reason"].startswith("Fault lab:")
    assert "homeport fault stop" in record["advice"]
    assert (await service.register("dev-2")).status == 202


async def test_a_wrong_clock(service: Service) -> None:
    await service.start(kind="clock", at="provisioning", devices=["dev-1"], shiftSeconds=7200)
    assert (await service.register("dev-1")).status == 401
    assert {"name": "fault lab", "passed": True, "detail": "fault f-1: clock 7200 s fast"} in (
        await service.why("dev-1")
    )["checks"]
    assert (await service.register("dev-1", lasts=10_000)).status == 202
    assert (await service.register("dev-2")).status == 202


@pytest.mark.parametrize(("status", "ends"), [(404, "failed"), (503, "assigning")])
async def test_a_hub_that_provisioning_cannot_reach(service: Service, status: int, ends: str) -> None:
    await service.start(kind="outage", hubs=["HUB1"], sides=["provisioning"], status=status)
    assert (await service.register("dev-1")).status == 202
    await service.standing("dev-1", ends)
    record = await service.why("dev-1")
    assert {"name": "fault lab", "passed": True, "detail": "fault f-1: provisioning cannot reach hub1"} in record[
        "checks"
    ]
    async with asyncio.timeout(10):
        while not (done := await service.history("?deviceId=dev-1&fault=f-1")):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert {(each["point"], each["hub"]) for each in done} == {("link", "hub1")}
    checked = (await service.ask("POST", "/homeport/hubs/hub1/check")).document["health"]
    assert "f-1" in checked["detail"]


async def test_a_query_finds_whom_a_fault_means(service: Service) -> None:
    assert (await service.register("dev-1")).status == 202
    await service.standing("dev-1", "assigned")
    told = await service.start(kind="throttle", query="deviceId = 'dev-1'")
    assert (told["devices"], told["deviceCount"], told["query"]) == (["dev-1"], 1, "deviceId = 'dev-1'")
    told = await service.start(kind="throttle", query="tags.line = 1", hubs=["hub1"])
    assert (told["devices"], told["deviceCount"]) == ([], 0)
    answer = await service.ask("POST", "/homeport/faults", {"kind": "throttle", "query": "deviceId ="})
    assert (answer.status, answer.document["errorCode"]) == (400, 400005)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({}, "kind"),
        ({"kind": "flood"}, "kind is none of"),
        ({"kind": "latency"}, "minimumMs is missing"),
        ({"kind": "latency", "minimumMs": -1}, "minimumMs"),
        ({"kind": "latency", "minimumMs": 10, "maximumMs": 5}, "maximumMs"),
        ({"kind": "latency", "minimumMs": 10, "status": 500}, "has no status"),
        ({"kind": "error", "status": 418}, "status is none of"),
        ({"kind": "clock"}, "shiftSeconds"),
        ({"kind": "clock", "shiftSeconds": 1e300}, "shiftSeconds"),
        ({"kind": "drop", "intervalSeconds": 0}, "intervalSeconds"),
        ({"kind": "drop", "at": "provisioning"}, "at hubs"),
        ({"kind": "throttle", "at": "home"}, "neither hub nor provisioning"),
        ({"kind": "throttle", "retryAfterSeconds": 0}, "retryAfterSeconds"),
        ({"kind": "throttle", "probability": 1.5}, "probability"),
        ({"kind": "throttle", "seed": -1}, "seed"),
        ({"kind": "throttle", "durationSeconds": 1e12}, "durationSeconds"),
        ({"kind": "throttle", "startInSeconds": -5}, "startInSeconds"),
        ({"kind": "throttle", "devices": []}, "devices"),
        ({"kind": "throttle", "devices": [""]}, "devices"),
        ({"kind": "throttle", "devices": ["a"], "query": "true"}, "not both"),
        ({"kind": "throttle", "prefix": ""}, "prefix"),
        ({"kind": "throttle", "hubs": []}, "hubs"),
        ({"kind": "throttle", "hubs": ["nowhere"]}, "no hub 'nowhere'"),
        ({"kind": "throttle", "hubs": ["hub1"], "at": "provisioning"}, "hubs only say"),
        ({"kind": "outage", "sides": []}, "sides"),
        ({"kind": "outage", "sides": ["moon"]}, "sides"),
        ({"kind": "throttle", "devices": "dev-1"}, "devices"),
    ],
)
async def test_what_cannot_be_started(service: Service, document: dict[str, Any], says: str) -> None:
    answer = await service.ask("POST", "/homeport/faults", document)
    assert answer.status == 400
    assert says in answer.document["message"]
    assert (await service.ask("GET", "/homeport/faults")).document == []


async def test_more_than_a_process_takes(service: Service) -> None:
    for _ in range(100):
        await service.start(kind="throttle", devices=["x"])
    answer = await service.ask("POST", "/homeport/faults", {"kind": "throttle"})
    assert (answer.status, answer.document["errorCode"]) == (400, 400006)


async def test_switches_of_hubs_are_kept_and_everything_else_ends_with_the_process(tmp_path: Path) -> None:
    async with running(tmp_path, fault_lab=True) as service:
        path = "/homeport/faults/messages"
        assert (await service.ask("GET", path)).document == [{"hub": "hub1", "enabled": False}]
        switched = await service.ask("PUT", f"{path}/HUB1", {"enabled": True})
        assert (switched.status, switched.document["enabled"]) == (200, True)
        assert (await service.ask("PUT", f"{path}/nowhere", {"enabled": True})).status == 404
        assert (await service.ask("PUT", f"{path}/hub1", {})).status == 400
        await service.start(kind="throttle")
    async with running(tmp_path, fault_lab=True) as service:
        assert (await service.ask("GET", path)).document == [{"hub": "hub1", "enabled": True}]
        assert (await service.ask("GET", "/homeport/faults")).document == []


async def test_the_history_is_asked_for_in_bounds(service: Service) -> None:
    for limit in ("0", "1001", "x", "-1"):
        assert (await service.ask("GET", f"/homeport/faults/history?limit={limit}")).status == 400
    assert await service.history("?limit=1000") == []


def test_documents_are_what_the_reference_says() -> None:
    page = json.loads((Path(__file__).parents[2] / "docs" / "reference" / "openapi.json").read_text())
    assert {path for path in page["paths"] if path.startswith("/homeport/faults")} == {
        "/homeport/faults",
        "/homeport/faults/{faultId}",
        "/homeport/faults/history",
        "/homeport/faults/messages",
        "/homeport/faults/messages/{name}",
    }
