"""The service REST API over the real HTTP server (contract hub.md 3 to 6, 8, 22)."""

import base64
from typing import Any

import pytest

from homeport.hub.frontends.service import ServiceFrontEnd
from homeport.hub.served_hub import ServedHub
from tests.unit.hub.clients import RestClient
from tests.unit.hub.conftest import Calls, ManualClock

KEY = base64.b64encode(b"k" * 32).decode()
KEYS = {"symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY}}


async def create(rest: RestClient, device_id: str = "d1", **members: object) -> dict[str, object]:
    answer = await rest("PUT", f"/devices/{device_id}", {"deviceId": device_id} | members)
    assert answer.status_code == 200, answer.text
    document: dict[str, object] = answer.json()
    return document


async def test_create_get_update_delete(rest: RestClient) -> None:
    created = await create(rest, authentication=KEYS)
    got = await rest("GET", "/devices/d1")
    assert got.json() == created
    assert got.headers["ETag"] == created["etag"]
    assert got.headers["Content-Type"] == "application/json; charset=utf-8"
    assert (await rest("PUT", "/devices/d1", created)).status_code == 409
    quoted = f'"{created["etag"]}"'
    updated = await rest("PUT", "/devices/d1", created | {"status": "disabled"}, If_Match=quoted)
    assert updated.status_code == 200
    assert updated.json()["authentication"]["symmetricKey"]["primaryKey"] == KEY
    assert updated.json()["statusUpdatedTime"] != "0001-01-01T00:00:00Z"
    assert (await rest("PUT", "/devices/d1", created, If_Match=quoted)).status_code == 412
    assert (await rest("PUT", "/devices/d2", {"deviceId": "d2"}, If_Match="*")).status_code == 404
    assert (await rest("DELETE", "/devices/d1")).status_code == 400
    deleted = await rest("DELETE", "/devices/d1", If_Match='"*"')
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert "Content-Type" not in deleted.headers
    assert (await rest("GET", "/devices/d1")).status_code == 404


async def test_an_error_is_what_sdks_read(rest: RestClient) -> None:
    answer = await rest("GET", "/devices/nobody")
    assert answer.status_code == 404
    assert answer.headers["iothub-errorcode"] == "DeviceNotFound"
    body = answer.json()
    assert body["Message"] == "ErrorCode:DeviceNotFound;nobody"
    assert body["ExceptionMessage"].startswith("Tracking ID:")


@pytest.mark.parametrize("path", ["/devices/a%25b%23c%3Fd", "/DEVICES/a%25b%23c%3Fd/"])
async def test_ids_are_decoded_once(rest: RestClient, hub: ServedHub, path: str) -> None:
    assert (await rest("PUT", path, {"deviceId": "a%b#c?d"})).status_code == 200
    assert (await hub.registry.get("a%b#c?d")).device_id == "a%b#c?d"


@pytest.mark.parametrize(
    ("headers", "policy", "code"),
    [
        ({}, None, "IotHubUnauthorized"),
        ({"Authorization": "Bearer x"}, None, "IotHubUnauthorized"),
        ({}, "service", "IotHubUnauthorizedAccess"),
        ({}, "registryRead", "IotHubUnauthorizedAccess"),
    ],
)
async def test_who_may_not_write(rest: RestClient, headers: dict[str, Any], policy: str | None, code: str) -> None:
    answer = await rest("PUT", "/devices/d1", {"deviceId": "d1"}, policy=policy, **headers)
    assert answer.status_code == 401
    assert answer.headers["iothub-errorcode"] == code


@pytest.mark.parametrize(
    ("method", "path", "policy", "status"),
    [
        ("GET", "/devices/d1", "registryRead", 200),
        ("GET", "/devices/d1", "service", 401),
        ("GET", "/twins/d1", "service", 200),
        ("GET", "/twins/d1", "registryReadWrite", 401),
        ("GET", "/statistics/devices", "registryRead", 200),
        ("GET", "/statistics/devices", "device", 401),
        ("GET", "/statistics/service", "service", 200),
        ("GET", "/devices/", "registryReadWrite", 200),
    ],
)
async def test_rights(rest: RestClient, method: str, path: str, policy: str, status: int) -> None:
    await create(rest)
    assert (await rest(method, path, policy=policy)).status_code == status


@pytest.mark.parametrize("version", [None, "", "latest"])
async def test_versions(rest: RestClient, version: str | None) -> None:
    answer = await rest("GET", "/devices/d1", version=version)
    assert (answer.status_code, answer.headers["iothub-errorcode"]) == (400, "InvalidProtocolVersion")


async def test_listing(rest: RestClient) -> None:
    for number in range(3):
        await create(rest, f"d{number}")
    assert len((await rest("GET", "/devices?top=2")).json()) == 2
    for top in ("0", "-1", "5000", "many"):
        assert len((await rest("GET", f"/devices/?top={top}")).json()) == 3


async def test_twins(rest: RestClient) -> None:
    await create(rest)
    got = await rest("GET", "/twins/d1")
    assert got.headers["ETag"] == '"AAAAAAAAAAE="'
    patch = {"tags": {"site": "A"}, "properties": {"desired": {"x": 1}, "reported": {"ignored": 1}}}
    patched = await rest("PATCH", "/twins/d1", patch, If_Match='"AAAAAAAAAAE="')
    assert (patched.json()["version"], patched.headers["ETag"]) == (2, '"AAAAAAAAAAI="')
    assert "ignored" not in patched.json()["properties"]["reported"]
    stale = await rest("PATCH", "/twins/d1", patch, If_Match='"AAAAAAAAAAE="')
    assert stale.headers["iothub-errorcode"] == "PreconditionFailed"
    assert (await rest("PATCH", "/twins/d1", patch, If_Match="nonsense")).status_code == 412
    java = await rest("POST", "/twins/d1", {"tags": {"site": None}}, X_HTTP_Method_Override="PATCH")
    assert java.json()["tags"] == {}
    sent_back = await rest("PATCH", "/twins/d1", java.json(), If_Match="*")
    assert sent_back.status_code == 200
    replaced = await rest("PUT", "/twins/d1", {"properties": {"desired": {"only": [1]}}})
    desired = replaced.json()["properties"]["desired"]
    assert {key for key in desired if not key.startswith("$")} == {"only"}
    bad = await rest("PATCH", "/twins/d1", {"tags": {"a.b": 1}})
    assert (bad.status_code, bad.headers["iothub-errorcode"]) == (400, "ArgumentInvalid")
    assert (await rest("GET", "/twins/nobody")).status_code == 404


async def test_queries_come_in_pages(rest: RestClient) -> None:
    for number in range(5):
        await create(rest, f"d{number}")
    query = {"query": "SELECT * FROM devices"}
    seen: list[str] = []
    headers: dict[str, Any] = {"x_ms_max_item_count": "2"}
    pages = 0
    while "x_ms_continuation" not in headers or headers["x_ms_continuation"] is not None:
        answer = await rest("POST", "/devices/query", query, **headers)
        assert answer.headers["x-ms-item-type"] == "Twin"
        seen += [twin["deviceId"] for twin in answer.json()]
        headers["x_ms_continuation"] = answer.headers.get("x-ms-continuation")
        pages += 1
    assert (pages, seen) == (3, [f"d{number}" for number in range(5)])
    assert (await rest("POST", "/devices/query", query, policy="device")).status_code == 401
    assert (await rest("POST", "/devices/query", query, x_ms_continuation="made up")).status_code == 400
    assert (await rest("POST", "/devices/query", query, x_ms_max_item_count="0")).status_code == 400
    refused = await rest("POST", "/devices/query", {"query": "SELECT name FROM devices"})
    assert (refused.status_code, "'name'" in refused.json()["Message"]) == (400, True)


async def test_bulk(rest: RestClient, hub: ServedHub) -> None:
    await create(rest, "old")
    entries = [
        {
            "id": "new",
            "importMode": "Create",
            "authentication": KEYS | {"type": "sas"},
            "tags": {"t": 1},
            "properties": {"desired": {"d": 1}, "reported": {"r": 1}},
            "capabilities": {"iotEdge": False},
        },
        {"id": "old", "importMode": "updateTwin", "tags": {"t": 2}},
    ]
    answer = await rest("POST", "/devices/", entries)
    assert (answer.status_code, answer.json()) == (200, {"isSuccessful": True, "errors": [], "warnings": []})
    device = await hub.registry.read("new")
    assert device is not None
    assert (device.twin.tags, device.twin.reported.content) == ({"t": 1}, {"r": 1})

    modes = ["create", "updateIfMatchETag", "deleteIfMatchETag", "delete", "bogus"]
    entries = [{"id": "new", "importMode": mode, "eTag": "stale"} for mode in modes]
    entries.append({"id": "new", "importMode": "createOrUpdate", "status": "disabled"})
    answer = await rest("POST", "/devices", entries)
    assert answer.status_code == 400
    assert answer.headers["IotHubErrorCode"] == "BulkRegistryOperationFailure"
    assert [(error["errorCode"], error["operation"]) for error in answer.json()["errors"]] == [
        ("DeviceAlreadyExists", "create"),
        ("PreconditionFailed", "update"),
        ("PreconditionFailed", "delete"),
        ("ArgumentInvalid", "bogus"),
    ]
    assert (await hub.registry.get("new")).status.value == "disabled"
    too_many = await rest("POST", "/devices", [{"id": f"d{n}"} for n in range(101)])
    assert (too_many.status_code, too_many.headers["iothub-errorcode"]) == (413, "TooManyDevices")


async def test_statistics(rest: RestClient) -> None:
    await create(rest)
    await create(rest, "d2", status="disabled")
    assert (await rest("GET", "/statistics/devices")).json() == {
        "totalDeviceCount": 2,
        "enabledDeviceCount": 1,
        "disabledDeviceCount": 1,
    }
    assert (await rest("GET", "/statistics/service/")).json() == {"connectedDeviceCount": 0}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PATCH", "/devices/d1", 405),
        ("GET", "/jobs/v3/query", 404),
        ("GET", "/twins", 404),
    ],
)
async def test_addresses_without_an_answer(rest: RestClient, method: str, path: str, status: int) -> None:
    answer = await rest(method, path)
    assert answer.status_code == status
    assert answer.json()["Message"].startswith("ErrorCode:Generic")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff", b'{"status":5}', b'{"deviceId":"d1"' + b" " * 300_000 + b"}"]
)
async def test_bad_bodies(rest: RestClient, body: bytes) -> None:
    answer = await rest("PUT", "/devices/d1", body=body)
    assert answer.status_code == (413 if len(body) > 256 * 1024 else 400)
    assert answer.headers["iothub-errorcode"]


async def test_deep_bodies(rest: RestClient) -> None:
    await create(rest)
    for depth in (50, 5000):
        body = b'{"tags":{"a":' + b'{"a":' * depth + b"1" + b"}" * (depth + 2)
        assert (await rest("PATCH", "/twins/d1", body=body)).status_code == 400


async def test_a_fault_tells_nothing(rest: RestClient, calls: Calls) -> None:
    calls.failing = {"get_identity"}
    answer = await rest("GET", "/devices/d1")
    assert (answer.status_code, answer.headers["iothub-errorcode"]) == (500, "ServerError")
    assert "fire" not in answer.text


@pytest.mark.parametrize(
    ("path", "owned"),
    [
        ("/devices", True),
        ("/Devices/d1", True),
        ("/twins/d1/methods", True),
        ("/jobs/v2/x", True),
        ("/devices/d1/messages/events", False),
        ("/devices/d1/Files", False),
        ("/enrollments/x", False),
        ("/devicesx", False),
        ("/", False),
        ("", False),
    ],
)
def test_what_is_the_service_apis(hub: ServedHub, clock: ManualClock, path: str, owned: bool) -> None:
    front_end = ServiceFrontEnd(hub="hub", audience=hub.audience, service=hub.service, clock=clock)
    assert front_end.owns("GET", path) is owned


async def test_rows_of_columns_and_groups(rest: RestClient) -> None:
    for number in range(7):
        device_id = f"d{number}"
        await rest("PUT", f"/devices/{device_id}", {"deviceId": device_id})
        tags = {"site": "north" if number % 2 else "south", "n": number}
        await rest("PATCH", f"/twins/{device_id}", {"tags": tags})

    async def ask(text: str, size: int = 100) -> tuple[str, list[Any]]:
        headers: dict[str, Any] = {"x_ms_max_item_count": str(size)}
        rows: list[Any] = []
        while True:
            answer = await rest("POST", "/devices/query", {"query": text}, **headers)
            assert answer.status_code == 200, answer.text
            rows += answer.json()
            if "x-ms-continuation" not in answer.headers:
                return answer.headers["x-ms-item-type"], rows
            headers["x_ms_continuation"] = answer.headers["x-ms-continuation"]

    north = "SELECT deviceId, tags.n AS n FROM devices WHERE tags.site = 'north'"
    for size in (1, 2, 100):
        assert await ask(north, size) == ("Raw", [{"deviceId": f"d{n}", "n": n} for n in (1, 3, 5)])
    assert await ask(north.replace("SELECT", "SELECT TOP 2"), 1) == (
        "Raw",
        [{"deviceId": "d1", "n": 1}, {"deviceId": "d3", "n": 3}],
    )
    groups = "SELECT tags.site, COUNT() AS n, MAX(tags.n) AS top FROM devices GROUP BY tags.site"
    for size in (1, 100):
        assert await ask(groups, size) == (
            "Raw",
            [{"site": "south", "n": 4, "top": 6}, {"site": "north", "n": 3, "top": 5}],
        )
    kind, twins = await ask("SELECT * FROM devices WHERE deviceId IN ['d6', 'gone', 'd2'] AND tags.n > 1")
    assert (kind, [twin["deviceId"] for twin in twins]) == ("Twin", ["d2", "d6"])
    assert await ask("SELECT COUNT() AS n FROM devices WHERE status = 'disabled'") == ("Raw", [{"n": 0}])
    # Without a condition nobody looks at the devices, and the answer is the same.
    (counted,) = (await ask("SELECT COUNT() AS n FROM devices WHERE IS_DEFINED(deviceId)"))[1]
    assert counted["n"] > 0
    assert await ask("SELECT COUNT() AS n, COUNT() AS m FROM devices") == ("Raw", [counted | {"m": counted["n"]}])
