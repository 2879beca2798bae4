"""Digital twins from a service's request to the twin and the device behind them (contract hub.md 12)."""

from typing import Any

import pytest

from homeport.hub.identities import IdentityWrite
from homeport.hub.methods import MethodAnswer, MethodCall, MethodListener
from homeport.hub.served_hub import ServedHub
from tests.unit.hub.clients import RestClient

NOW = "2024-06-01T12:00:00.0000000Z"
PATH = "/digitaltwins/d"


@pytest.fixture(autouse=True)
async def device(hub: ServedHub) -> None:
    await hub.registry.create(IdentityWrite(device_id="d"))


def step(op: str, path: str, *value: Any) -> dict[str, Any]:
    return {"op": op, "path": path, **({"value": value[0]} if value else {})}


async def desired(rest: RestClient) -> dict[str, Any]:
    section = (await rest("GET", "/twins/d")).json()["properties"]["desired"]
    return {name: value for name, value in section.items() if not name.startswith("$")}


async def test_any_device_has_one(rest: RestClient) -> None:
    answer = await rest("GET", PATH)
    assert answer.json() == {"$dtId": "d", "$metadata": {"$model": ""}}
    assert answer.headers["ETag"] == '"AAAAAAAAAAE="'
    gone = await rest("GET", "/digitaltwins/gone")
    assert (gone.status_code, gone.headers["iothub-errorcode"]) == (404, "DeviceNotFound")


async def test_what_is_reported_desired_and_acknowledged(rest: RestClient, hub: ServedHub) -> None:
    await hub.twins.announce_model("d", "dtmi:com:example:Thing;1")
    wanted = {"target": 21, "only": 1, "room": {"__t": "c", "limit": 5}}
    await hub.twins.patch("d", tags=None, desired=wanted, expected_version=None)
    await hub.twins.report(
        "d",
        {
            "temp": 20,
            "target": {"value": 21, "ac": 200, "av": 2, "ad": "done"},
            "odd": {"value": 1, "ac": 2, "av": 3, "more": 4},
            "room": {"__t": "c", "light": True, "limit": {"value": 5, "ac": 202, "av": 2}},
        },
    )
    document = (await rest("GET", PATH)).json()
    wants = {"desiredVersion": 2, "lastUpdateTime": NOW}
    assert document == {
        "$dtId": "d",
        "$metadata": {
            "$model": "dtmi:com:example:Thing;1",
            "temp": {"lastUpdateTime": NOW},
            "odd": {"lastUpdateTime": NOW},
            "only": {"desiredValue": 1, **wants},
            "target": {
                "desiredValue": 21,
                **wants,
                "ackValue": 21,
                "ackVersion": 2,
                "ackCode": 200,
                "ackDescription": "done",
            },
        },
        "temp": 20,
        "target": 21,
        "odd": {"value": 1, "ac": 2, "av": 3, "more": 4},
        "room": {
            "$metadata": {
                "light": {"lastUpdateTime": NOW},
                "limit": {
                    "desiredValue": 5,
                    **wants,
                    "ackValue": 5,
                    "ackVersion": 2,
                    "ackCode": 202,
                    "ackDescription": "",
                },
            },
            "light": True,
            "limit": 5,
        },
    }


async def test_patches_write_desired_properties(rest: RestClient, hub: ServedHub) -> None:
    told: list[tuple[Any, int]] = []
    hub.twins.listen("d", lambda change, version: told.append((change, version)))
    steps = [
        step("add", "/target", {"a": 1, "b": 2}),
        step("add", "/room", {"$metadata": {}, "limit": 5}),
        step("add", "/hall/limit", 7),
    ]
    answer = await rest("PATCH", PATH, steps)
    assert (answer.status_code, answer.content, answer.headers["Location"]) == (202, b"", PATH)
    room, hall = {"__t": "c", "limit": 5}, {"__t": "c", "limit": 7}
    assert await desired(rest) == {"target": {"a": 1, "b": 2}, "room": room, "hall": hall}
    stale = await rest("PATCH", PATH, [step("remove", "/target")], If_Match='"AAAAAAAAAAE="')
    assert (stale.status_code, stale.headers["iothub-errorcode"]) == (412, "PreconditionFailed")
    # A replaced object is not merged with the old one.
    steps = [step("replace", "/target", {"c": 3}), step("replace", "/room/limit", 6), step("remove", "/hall/limit")]
    assert (await rest("PATCH", PATH, steps, If_Match=answer.headers["ETag"])).status_code == 202
    assert await desired(rest) == {"target": {"c": 3}, "room": {"__t": "c", "limit": 6}, "hall": {"__t": "c"}}
    assert (await rest("PATCH", PATH, [step("remove", "/hall"), step("remove", "/gone/x")])).status_code == 202
    assert await desired(rest) == {"target": {"c": 3}, "room": {"__t": "c", "limit": 6}}
    assert [version for _, version in told] == [2, 3, 4]
    assert told[1][0] == {"target": {"a": None, "b": None, "c": 3}, "room": {"limit": 6}, "hall": {"limit": None}}


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ({"op": "add"}, "InvalidDigitalTwinJsonPatch"),
        ([], "InvalidDigitalTwinJsonPatch"),
        ([{"op": "add"}], "InvalidDigitalTwinJsonPatch"),
        ([step("test", "/a", 1)], "InvalidDigitalTwinPatch"),
        ([step("add", "/a")], "InvalidDigitalTwinPatch"),
        ([step("add", "/a", None)], "InvalidDigitalTwinPatch"),
        ([step("add", "a", 1)], "InvalidDigitalTwinPatchPath"),
        ([step("add", "/a/b/c", 1)], "InvalidDigitalTwinPatchPath"),
        ([step("add", "/$metadata/a", 1)], "InvalidDigitalTwinPatchPath"),
        ([step("add", "/", 1)], "InvalidDigitalTwinPatchPath"),
        ([step("add", "/plain/a", 1)], "InvalidDigitalTwinPatchPath"),
        ([step("replace", "/room", {"x": 1})], "InvalidDigitalTwinPayload"),
        ([step("add", "/a", {"b.c": 1})], "ArgumentInvalid"),
    ],
)
async def test_what_is_refused(rest: RestClient, hub: ServedHub, patch: Any, code: str) -> None:
    await hub.twins.report("d", {"plain": 1, "room": {"__t": "c"}})
    refused = await rest("PATCH", PATH, patch)
    assert (refused.status_code, refused.headers["iothub-errorcode"]) == (400, code)
    assert await desired(rest) == {}


async def test_commands_are_methods(rest: RestClient, hub: ServedHub) -> None:
    heard: list[MethodCall] = []

    def deliver(call: MethodCall) -> None:
        heard.append(call)
        listener.answer(call.request_id, MethodAnswer(status=207, payload=b'{"out": 1.0}'))

    listener: MethodListener = hub.methods.listen("d", deliver)
    root = await rest("POST", f"{PATH}/commands/reboot?responseTimeoutInSeconds=5&connectTimeoutInSeconds=0", {"in": 1})
    assert (root.status_code, root.content) == (200, b'{"out": 1.0}')
    assert root.headers["x-ms-command-statuscode"] == "207"
    assert root.headers["x-ms-request-id"]
    assert (await rest("POST", f"{PATH}/components/room/commands/heat")).status_code == 200
    assert [(call.name, call.payload) for call in heard] == [("reboot", b'{"in":1}'), ("room*heat", b"null")]


async def test_commands_that_reach_nobody(rest: RestClient) -> None:
    away = await rest("POST", f"{PATH}/commands/reboot")
    assert (away.status_code, away.headers["iothub-errorcode"]) == (404, "DeviceNotOnline")
    for odd in ("responseTimeoutInSeconds=1", "connectTimeoutInSeconds=x"):
        assert (await rest("POST", f"{PATH}/commands/reboot?{odd}")).status_code == 400
    assert (await rest("POST", f"{PATH}/commands/reboot", body=b"{")).status_code == 400
    assert (await rest("POST", f"{PATH}/commands/reboot", policy="registryReadWrite")).status_code == 401
