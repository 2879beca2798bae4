"""Modules: identities of their own on a device, over REST, MQTT and HTTPS (contract hub.md 4.2, 13.8)."""

from datetime import timedelta
from typing import Any

import pytest

from homeport.hub.model import CloudMessage, ConnectionState
from homeport.hub.served_hub import ServedHub
from homeport.proto.mqtt import Publish
from homeport.security import sas
from tests.unit.hub.clients import FOREVER, Device, RestClient, device_token, dialled
from tests.unit.hub.conftest import Line, ManualClock, until

KEY = "MTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTE="  # 32 ones
SAS = {"type": "sas", "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY}}


def module_token(device_id: str, module_id: str, key: bytes = b"1" * 32) -> str:
    return sas.sign(sas.encode_resource(f"localhost/devices/{device_id}/modules/{module_id}"), key, FOREVER)


async def create(rest: RestClient, *modules: str, device_id: str = "d1", **of_device: Any) -> None:
    await rest("PUT", f"/devices/{device_id}", {"deviceId": device_id, **of_device})
    for module_id in modules:
        answer = await rest(
            "PUT",
            f"/devices/{device_id}/modules/{module_id}",
            {"deviceId": device_id, "moduleId": module_id, "authentication": SAS},
        )
        assert answer.status_code == 200, answer.text


async def test_life_of_a_module(rest: RestClient) -> None:
    await create(rest, "m1")
    made = await rest("GET", "/devices/d1/modules/m1")
    document = made.json()
    assert (document["deviceId"], document["moduleId"], document["managedBy"]) == ("d1", "m1", None)
    assert document["authentication"]["symmetricKey"]["primaryKey"] == KEY
    assert made.headers["ETag"] == document["etag"]
    assert "status" not in document
    path = "/devices/d1/modules/m1"
    again = await rest("PUT", path, {"moduleId": "m1"})
    assert (again.status_code, again.headers["iothub-errorcode"]) == (409, "ModuleAlreadyExistsOnDevice")
    changed = await rest("PUT", path, {"moduleId": "m1", "managedBy": "me"}, If_Match='"*"')
    assert changed.json()["managedBy"] == "me"
    # What was left out is new.
    assert changed.json()["authentication"]["symmetricKey"]["primaryKey"] != KEY
    assert [each["moduleId"] for each in (await rest("GET", "/devices/d1/modules")).json()] == ["m1"]
    assert (await rest("DELETE", path)).status_code == 400
    assert (await rest("DELETE", path, If_Match=document["etag"])).status_code == 412
    assert (await rest("DELETE", path, If_Match="*")).status_code == 204
    gone = await rest("GET", path)
    assert (gone.status_code, gone.headers["iothub-errorcode"]) == (404, "ModuleNotFound")
    assert (await rest("GET", "/devices/d1/modules")).json() == []


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/devices/gone/modules/m", {}, 404, "DeviceNotFound"),
        ("/devices/d1/modules/$edgeAgent", {}, 400, "ArgumentInvalid"),
        ("/devices/d1/modules/a%2Fb", {}, 400, "ArgumentInvalid"),
        ("/devices/d1/modules/m", {"moduleId": "n"}, 400, "ArgumentInvalid"),
        ("/devices/d1/modules/m", {"deviceId": "d2"}, 400, "ArgumentInvalid"),
        ("/devices/d1/modules/m", {"authentication": {"type": "what"}}, 400, "ArgumentInvalid"),
    ],
)
async def test_what_cannot_be_made(rest: RestClient, path: str, body: Any, status: int, code: str) -> None:
    await create(rest)
    answer = await rest("PUT", path, body)
    assert (answer.status_code, answer.headers["iothub-errorcode"]) == (status, code)
    assert (await rest("GET", "/devices/gone/modules")).status_code == 404


async def test_a_device_has_a_limit_of_modules(rest: RestClient) -> None:
    await create(rest, *(f"m{number}" for number in range(50)))
    full = await rest("PUT", "/devices/d1/modules/more", {})
    assert (full.status_code, full.headers["iothub-errorcode"]) == (413, "TooManyModulesOnDevice")
    assert len((await rest("GET", "/devices/d1/modules")).json()) == 50


async def test_an_edge_device_has_its_system_modules(rest: RestClient) -> None:
    await create(rest, capabilities={"iotEdge": True})
    modules = {each["moduleId"]: each for each in (await rest("GET", "/devices/d1/modules")).json()}
    assert set(modules) == {"$edgeAgent", "$edgeHub"}
    for module in modules.values():
        assert (module["managedBy"], module["authentication"]["type"]) == ("iotEdge", "none")
    # The device gives them keys.
    given = await rest("PUT", "/devices/d1/modules/$edgeHub", {"authentication": SAS}, If_Match="*")
    assert given.json()["authentication"]["type"] == "sas"


async def test_devices_and_modules_are_told_apart(rest: RestClient) -> None:
    await create(rest, "m1", "m2")
    await create(rest, "m1", device_id="d10")
    await rest("PATCH", "/twins/d1/modules/m2", {"tags": {"site": "north"}, "properties": {"desired": {"n": 1}}})
    assert sorted(each["deviceId"] for each in (await rest("GET", "/devices")).json()) == ["d1", "d10"]
    assert (await rest("GET", "/statistics/devices")).json()["totalDeviceCount"] == 2

    async def ask(text: str) -> list[Any]:
        answer = await rest("POST", "/devices/query", {"query": text}, x_ms_max_item_count="2")
        rows: list[Any] = answer.json()
        while token := answer.headers.get("x-ms-continuation"):
            answer = await rest("POST", "/devices/query", {"query": text}, x_ms_continuation=token)
            rows += answer.json()
        return rows

    assert [row["deviceId"] for row in await ask("SELECT * FROM devices")] == ["d1", "d10"]
    every = await ask("SELECT * FROM devices.modules")
    assert [(row["deviceId"], row["moduleId"]) for row in every] == [("d1", "m1"), ("d1", "m2"), ("d10", "m1")]
    chosen = await ask("SELECT deviceId, moduleId FROM devices.modules WHERE deviceId = 'd1' AND tags.site = 'north'")
    assert chosen == [{"deviceId": "d1", "moduleId": "m2"}]
    assert await ask("SELECT COUNT() AS n FROM devices.modules") == [{"n": 3}]
    twin = (await rest("GET", "/twins/d1/modules/m2")).json()
    assert (twin["deviceId"], twin["moduleId"], twin["properties"]["desired"]["n"]) == ("d1", "m2", 1)
    assert (await rest("GET", "/twins/d1")).json()["tags"] == {}
    assert (await rest("GET", "/twins/d1/modules/gone")).headers["iothub-errorcode"] == "DeviceNotFound"
    # A device takes its modules along, and no others.
    await rest("DELETE", "/devices/d1", If_Match="*")
    assert [row["deviceId"] for row in await ask("SELECT * FROM devices.modules")] == ["d10"]
    assert (await rest("GET", "/twins/d1/modules/m2")).status_code == 404


async def test_modules_in_bulk(rest: RestClient) -> None:
    await create(rest)
    answer = await rest(
        "POST",
        "/devices",
        [
            {"id": "d1", "moduleId": "m1", "importMode": "create", "authentication": SAS, "tags": {"a": 1}},
            {"id": "d1", "moduleId": "m1", "importMode": "createOrUpdate", "tags": {"b": 2}},
            {"id": "d1", "moduleId": "m2", "importMode": "update"},
        ],
    )
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert (error["deviceId"], error["moduleId"], error["errorCode"]) == ("d1", "m2", "ModuleNotFound")
    assert (await rest("GET", "/twins/d1/modules/m1")).json()["tags"] == {"a": 1, "b": 2}
    removed = await rest("POST", "/devices", [{"id": "d1", "moduleId": "m1", "importMode": "delete"}])
    assert removed.json()["isSuccessful"]
    assert (await rest("GET", "/devices/d1")).status_code == 200


# ---------------------------------------------------------------- connected


@pytest.fixture
async def module(rest: RestClient, mqtt: Line) -> Any:
    await create(rest, "m1")
    async with dialled(mqtt.port, mqtt.context) as module:
        assert (await module.connect("d1/m1", module_token("d1", "m1"))).return_code == 0
        yield module


async def test_a_module_has_a_connection_of_its_own(
    module: Device, rest: RestClient, hub: ServedHub, mqtt: Line
) -> None:
    assert (await hub.registry.get("d1")).connection_state is ConnectionState.DISCONNECTED
    assert (await hub.registry.get("d1/m1")).connection_state is ConnectionState.CONNECTED
    assert (await rest("GET", "/devices/d1/modules/m1")).json()["connectionState"] == "Connected"
    assert (await rest("GET", "/statistics/service")).json() == {"connectedDeviceCount": 0}
    base = "devices/d1/modules/m1"
    await module.publish(f"{base}/messages/events/%24.on=out&a=b", b"x")
    (stored,) = await hub.telemetry.log.latest(device_id="d1", limit=9)
    told = stored.telemetry
    assert (told.annotations["iothub-connection-device-id"], told.annotations["iothub-connection-module-id"]) == (
        "d1",
        "m1",
    )
    assert '"scope":"module"' in told.annotations["iothub-connection-auth-method"]
    granted = await module.subscribe(f"{base}/inputs/#", f"{base}/#", f"{base}/messages/devicebound/#", "devices/d1/#")
    assert granted == (1, 1, 1, 0x80)
    async with dialled(mqtt.port, mqtt.context) as intruder:
        assert (await intruder.connect("d1/m1", device_token("d1", b"1" * 32))).return_code == 5
        assert await intruder.hear() is None
    assert len(hub.sessions) == 1


async def test_a_module_hears_its_own(module: Device, hub: ServedHub, rest: RestClient, clock: ManualClock) -> None:
    await module.subscribe("$iothub/twin/PATCH/properties/desired/#", "devices/d1/modules/m1/messages/devicebound/#")
    await rest("PATCH", "/twins/d1", {"properties": {"desired": {"of": "device"}}})
    await rest("PATCH", "/twins/d1/modules/m1", {"properties": {"desired": {"of": "module"}}})
    change: Publish = await module.expect(Publish)
    assert b'"module"' in change.payload
    now = clock.now()
    for target in ("d1", "d1/m1"):
        message = CloudMessage(body=target.encode(), enqueued_at=now, expires_at=now + timedelta(hours=1))
        await hub.messages.send(target, message)
    heard: Publish = await module.expect(Publish)
    assert heard.payload == b"d1/m1"
    assert heard.topic.startswith("devices/d1/modules/m1/messages/devicebound/%24.to=%2Fdevices%2Fd1%2Fmodules%2Fm1")


async def test_a_disabled_device_takes_its_modules_off(module: Device, rest: RestClient, hub: ServedHub) -> None:
    await rest("PUT", "/devices/d1", {"deviceId": "d1", "status": "disabled"}, If_Match="*")
    assert await module.hear() is None
    await until(lambda: len(hub.sessions) == 0)
    async with dialled(*module.dialled_with) as again:
        assert (await again.connect("d1/m1", module_token("d1", "m1"))).return_code == 5
    assert (await rest("POST", "/twins/d1/modules/m1/methods", {"methodName": "m"})).status_code == 404


async def test_a_deleted_device_takes_its_modules_off(module: Device, rest: RestClient, hub: ServedHub) -> None:
    await rest("DELETE", "/devices/d1", If_Match="*")
    assert await module.hear() is None
    assert not hub.sessions._modules


async def test_nobody_connects_as_a_module_without_keys(rest: RestClient, mqtt: Line) -> None:
    await create(rest, capabilities={"iotEdge": True})
    async with dialled(mqtt.port, mqtt.context) as device:
        answer = await device.connect("d1/$edgeHub", module_token("d1", "$edgeHub", b"\0" * 32))
        assert answer.return_code == 5


async def test_a_module_over_https(rest: RestClient, hub: ServedHub) -> None:
    await create(rest, "m1")
    headers: dict[str, Any] = {"Authorization": module_token("d1", "m1")}
    path = "/devices/d1/modules/m1/messages"
    assert (await rest("POST", f"{path}/events", body=b"x", policy=None, **headers)).status_code == 204
    (stored,) = await hub.telemetry.log.latest(device_id="d1", limit=9)
    assert stored.telemetry.annotations["iothub-connection-module-id"] == "m1"
    assert (await rest("GET", f"{path}/devicebound", policy=None, **headers)).status_code == 204
    assert (await rest("POST", "/devices/d1/messages/events", body=b"x", policy=None, **headers)).status_code == 401
