"""Configurations from a service's request to what stands in twins (contract hub.md 11)."""

from typing import Any

import pytest

from homeport.hub.identities import IdentityWrite, InitialTwin
from homeport.hub.served_hub import ServedHub
from tests.unit.hub.clients import RestClient
from tests.unit.hub.conftest import ManualClock, settle

CONTENT = {"deviceContent": {"properties.desired.interval": 60}}
CONFIGURATION = {
    "id": "c",
    "content": CONTENT,
    "targetCondition": "tags.site = 'north'",
    "priority": 10,
}
SIX_METRICS = {str(number): "SELECT * FROM devices" for number in range(6)}
AGENT = {"schemaVersion": "1.1", "modules": {"camera": {"type": "docker"}}}
DEPLOYMENT = {"modulesContent": {"$edgeAgent": {"properties.desired": AGENT}, "camera": {"properties.desired.fps": 5}}}


async def add(hub: ServedHub, name: str, site: str = "north", **write: Any) -> None:
    await hub.registry.create(IdentityWrite(device_id=name, **write), InitialTwin(tags={"site": site}))


async def twin(rest: RestClient, path: str) -> dict[str, Any]:
    document: dict[str, Any] = (await rest("GET", f"/twins/{path}")).json()
    return document


def content(section: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in section.items() if not name.startswith("$")}


async def desired(rest: RestClient, path: str) -> dict[str, Any]:
    return content((await twin(rest, path))["properties"]["desired"])


async def count(rest: RestClient, text: str) -> int:
    return len((await rest("POST", "/devices/query", {"query": text})).json())


async def test_the_life_of_a_configuration(rest: RestClient, hub: ServedHub) -> None:
    created = await rest("PUT", "/configurations/c", {**CONFIGURATION, "labels": {"env": "prod"}})
    assert created.status_code == 200, created.text
    document = created.json()
    assert created.headers["ETag"] == '"MQ=="'
    assert (document["etag"], document["schemaVersion"], document["labels"]) == ("MQ==", "1.0", {"env": "prod"})
    assert document["content"] == {
        "deviceContent": {"properties.desired.interval": 60},
        "moduleContent": None,
        "modulesContent": None,
    }
    for answer in (
        await rest("PUT", "/configurations/c", CONFIGURATION),
        await rest("PUT", "/configurations/c", CONFIGURATION, If_Match="MQ=="),  # without quotes it is read as absent
    ):
        assert (answer.status_code, answer.headers["iothub-errorcode"]) == (409, "ConfigurationAlreadyExists")
    stale = await rest("PUT", "/configurations/c", CONFIGURATION, If_Match='"Mg=="')
    assert (stale.status_code, stale.headers["iothub-errorcode"]) == (412, "PreconditionFailed")
    other = {**CONFIGURATION, "priority": 11, "content": {"deviceContent": {"properties.desired.other": 1}}}
    for number, if_match in enumerate(('"MQ=="', "*", '"*"'), start=2):
        updated = await rest("PUT", "/configurations/c", other, If_Match=if_match)
        assert (updated.status_code, updated.json()["priority"]) == (200, 11), number
        # The content stays.
        assert updated.json()["content"] == document["content"]
    without = await rest("PUT", "/configurations/c", {**CONFIGURATION, "content": None}, If_Match="*")
    assert (without.status_code, without.headers["iothub-errorcode"]) == (400, "InvalidConfigurationContent")
    assert [each["id"] for each in (await rest("GET", "/configurations?top=5")).json()] == ["c"]
    assert (await rest("DELETE", "/configurations/c", If_Match='"MQ=="')).status_code == 412
    assert (await rest("DELETE", "/configurations/c")).status_code == 204
    gone = await rest("GET", "/configurations/c")
    assert (gone.status_code, gone.headers["iothub-errorcode"]) == (404, "ConfigurationNotFound")
    assert (await rest("DELETE", "/configurations/c")).status_code == 404
    assert (await rest("PUT", "/configurations/c", CONFIGURATION, If_Match="*")).status_code == 404


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"content": {}}, "InvalidConfigurationContent"),
        ({"content": {"deviceContent": {"tags.x": 1}}}, "InvalidConfigurationContent"),
        ({"content": {"deviceContent": {"properties.desired.a..b": 1}}}, "InvalidConfigurationContent"),
        ({"content": {"deviceContent": {"properties.desired": 1}}}, "InvalidConfigurationContent"),
        ({"content": {"deviceContent": {"properties.desired.x": "y" * 5000}}}, "InvalidConfigurationContent"),
        ({"content": {**DEPLOYMENT, **CONTENT}}, "InvalidConfigurationContent"),
        ({"targetCondition": "tags.site ="}, "InvalidConfigurationTargetCondition"),
        ({"targetCondition": "status = 'enabled'"}, "InvalidConfigurationTargetCondition"),
        ({"targetCondition": "FROM devices.modules WHERE moduleId = 'm'"}, "InvalidConfigurationTargetCondition"),
        ({"metrics": {"queries": {"x": "SELECT nothing"}}}, "InvalidConfigurationCustomMetricsQuery"),
        ({"metrics": {"queries": SIX_METRICS}}, "InvalidConfigurationCustomMetricsQuery"),
        ({"priority": -1}, "ArgumentInvalid"),
        ({"id": "other"}, "ArgumentInvalid"),
    ],
)  # fmt: skip
async def test_what_is_refused(rest: RestClient, changes: dict[str, Any], code: str) -> None:
    refused = await rest("PUT", "/configurations/c", {**CONFIGURATION, **changes})
    assert (refused.status_code, refused.headers.get("iothub-errorcode")) == (400, code), refused.text


@pytest.mark.parametrize("name", ["UPPER", "a b", "a%26b", "a%7Cb", "x" * 129])
async def test_ids(rest: RestClient, name: str) -> None:
    assert (await rest("PUT", f"/configurations/{name}", {**CONFIGURATION, "id": None})).status_code == 400


async def test_targets_get_the_content(rest: RestClient, hub: ServedHub) -> None:
    await add(hub, "a")
    await add(hub, "b", "south")
    metric = "SELECT deviceId FROM devices WHERE configurations.[[c]].status = 'Applied'"
    await rest("PUT", "/configurations/c", {**CONFIGURATION, "metrics": {"queries": {"done": metric}}})
    await hub.deployer.look()
    assert await desired(rest, "a") == {"interval": 60}
    assert (await twin(rest, "a"))["configurations"] == {"c": {"status": "Applied"}}
    assert "configurations" not in await twin(rest, "b")
    assert await desired(rest, "b") == {}
    await hub.deployer.look()
    document = (await rest("GET", "/configurations/c")).json()
    assert document["systemMetrics"]["results"] == {"targetedCount": 1, "appliedCount": 1}
    assert document["metrics"] == {"results": {"done": 1}, "queries": {"done": metric}}
    for query in document["systemMetrics"]["queries"].values():
        assert await count(rest, query) == 1
    # Looking again writes nothing.
    before = await twin(rest, "a")
    await hub.deployer.look()
    assert await twin(rest, "a") == before


async def test_the_higher_priority_wins_and_its_end_gives_way(rest: RestClient, hub: ServedHub) -> None:
    await add(hub, "a")
    await rest("PUT", "/configurations/c", CONFIGURATION)
    high = {"content": {"deviceContent": {"properties.desired.interval": 5}}, "targetCondition": "*", "priority": 20}
    await rest("PUT", "/configurations/high", high)
    await hub.deployer.look()
    assert await desired(rest, "a") == {"interval": 5}
    assert (await twin(rest, "a"))["configurations"] == {"c": {"status": "Targeted"}, "high": {"status": "Applied"}}
    results = (await rest("GET", "/configurations/c")).json()["systemMetrics"]["results"]
    assert results == {"targetedCount": 1, "appliedCount": 0}
    await rest("DELETE", "/configurations/high")
    await hub.deployer.look()
    assert await desired(rest, "a") == {"interval": 60}
    await rest("DELETE", "/configurations/c")
    await hub.deployer.look()
    # What was written stays; what it was written by is shown no more.
    assert await desired(rest, "a") == {"interval": 60}
    assert "configurations" not in await twin(rest, "a")


async def test_no_condition_selects_nothing(rest: RestClient, hub: ServedHub) -> None:
    await add(hub, "a")
    created = await rest("PUT", "/configurations/c", {**CONFIGURATION, "targetCondition": ""})
    await hub.deployer.look()
    assert await desired(rest, "a") == {}
    assert await count(rest, created.json()["systemMetrics"]["queries"]["targetedCount"]) == 0


async def test_modules(rest: RestClient, hub: ServedHub) -> None:
    await add(hub, "a")
    for name in ("a/m", "a/n"):
        await hub.registry.create(IdentityWrite(device_id=name))
    wanted = {
        "content": {"moduleContent": {"properties.desired.x": {"y": 1}}},
        "targetCondition": "FROM devices.modules WHERE moduleId = 'm'",
    }
    created = await rest("PUT", "/configurations/c", wanted)
    await hub.deployer.look()
    assert await desired(rest, "a/modules/m") == {"x": {"y": 1}}
    assert [await desired(rest, each) for each in ("a/modules/n", "a")] == [{}, {}]
    for query in created.json()["systemMetrics"]["queries"].values():
        assert await count(rest, query) == 1


async def test_a_deployment_and_a_layer(rest: RestClient, hub: ServedHub) -> None:
    await add(hub, "edge", iot_edge=True)
    await add(hub, "plain")
    base = {"content": DEPLOYMENT, "targetCondition": "tags.site = 'north'", "priority": 1}
    created = await rest("PUT", "/configurations/base", base)
    assert created.status_code == 200, created.text
    layer = {"modulesContent": {"$edgeAgent": {"properties.desired.modules.audio": {"type": "docker"}}}}
    await rest("PUT", "/configurations/layer", {"content": layer, "targetCondition": "*", "priority": 2})
    await hub.deployer.look()
    modules = {"camera": {"type": "docker"}, "audio": {"type": "docker"}}
    assert await desired(rest, "edge/modules/$edgeAgent") == {**AGENT, "modules": modules}
    assert await desired(rest, "edge/modules/camera") == {"fps": 5}
    assert await desired(rest, "edge") == {}
    assert (await twin(rest, "edge/modules/$edgeAgent"))["configurations"] == {
        "base": {"status": "Applied"},
        "layer": {"status": "Applied"},
    }
    made = {each["moduleId"]: each["managedBy"] for each in (await rest("GET", "/devices/edge/modules")).json()}
    assert made == {"$edgeAgent": "iotEdge", "$edgeHub": "iotEdge", "camera": "iotEdge", "audio": "iotEdge"}
    assert (await rest("GET", "/devices/plain/modules")).json() == []
    # The agent says that it has done it.
    version = (await twin(rest, "edge/modules/$edgeAgent"))["properties"]["desired"]["$version"]
    await hub.twins.report("edge/$edgeAgent", {"lastDesiredVersion": version, "lastDesiredStatus": {"code": 200}})
    await rest("DELETE", "/configurations/layer")
    await hub.deployer.look()
    # Without its layer a module goes, and the agent has not said anything of that yet.
    assert {each["moduleId"] for each in (await rest("GET", "/devices/edge/modules")).json()} == made.keys() - {"audio"}
    assert await desired(rest, "edge/modules/$edgeAgent") == AGENT
    await hub.twins.report("edge/$edgeAgent", {"lastDesiredVersion": version + 1, "lastDesiredStatus": {"code": 406}})
    await hub.deployer.look()
    document = (await rest("GET", "/configurations/base")).json()
    assert document["systemMetrics"]["results"] == {
        "targetedCount": 1,
        "appliedCount": 1,
        "reportedSuccessfulCount": 0,
        "reportedFailedCount": 1,
    }
    for name, query in document["systemMetrics"]["queries"].items():
        assert await count(rest, query) == document["systemMetrics"]["results"][name], query


async def test_content_for_one_edge_device(rest: RestClient, hub: ServedHub) -> None:
    await add(hub, "edge", iot_edge=True)
    await add(hub, "plain")
    path = "/devices/edge/applyConfigurationContent"
    assert (await rest("POST", path, DEPLOYMENT)).status_code == 204
    assert await desired(rest, "edge/modules/$edgeAgent") == AGENT
    assert await desired(rest, "edge/modules/camera") == {"fps": 5}
    assert (await rest("POST", path, CONFIGURATION["content"])).status_code == 400
    assert (await rest("POST", "/devices/plain/applyConfigurationContent", DEPLOYMENT)).status_code == 400
    assert (await rest("POST", "/devices/gone/applyConfigurationContent", DEPLOYMENT)).status_code == 404


async def test_queries_are_tried(rest: RestClient) -> None:
    good = {"targetCondition": "tags.a = 1", "customMetricQueries": {"x": "SELECT * FROM devices"}}
    answer = await rest("POST", "/configurations/testQueries", good)
    assert answer.json() == {"targetConditionError": None, "customMetricQueryErrors": {}}
    bad = {"targetCondition": "tags.a =", "customMetricQueries": {"x": "SELECT", "y": "SELECT * FROM devices"}}
    answer = await rest("POST", "/configurations/testQueries", bad)
    assert answer.json()["targetConditionError"]
    assert answer.json()["customMetricQueryErrors"].keys() == {"x"}


async def test_changes_are_followed(rest: RestClient, hub: ServedHub, clock: ManualClock) -> None:
    await add(hub, "a", "south")
    await rest("PUT", "/configurations/c", CONFIGURATION)

    async def follow(path: str) -> dict[str, Any]:
        for _ in range(200):
            await settle()
            clock.pass_seconds(1)
            if found := await desired(rest, path):
                return found
        raise AssertionError(f"{path} was not configured")

    await rest("PATCH", "/twins/a", {"tags": {"site": "north"}})
    assert await follow("a") == {"interval": 60}
    await add(hub, "new")
    assert await follow("new") == {"interval": 60}


async def test_who_may(rest: RestClient) -> None:
    for method, path in (("GET", "/configurations"), ("PUT", "/configurations/c"), ("DELETE", "/configurations/c")):
        assert (await rest(method, path, CONFIGURATION, policy="registryReadWrite")).status_code == 401
    assert (await rest("GET", "/configurations", policy="service")).status_code == 200
