"""What a hub tells of its own: every change, however it was made, where routes want it (contract hub.md 21.2)."""

import json
from typing import Any

import pytest

from homeport.hub.authentication import Accepted, DeviceKey
from homeport.hub.errors import HubError
from homeport.hub.identities import IdentityWrite
from homeport.hub.model import (
    BUILT_IN,
    Enrichment,
    EventStreamEndpoint,
    MessageSource,
    Route,
    SasAuthentication,
    StoredTelemetry,
)
from homeport.hub.routing.settings import fallback_route
from homeport.hub.served_hub import ServedHub
from homeport.hub.sessions import STATE_DELAY
from homeport.security.callers import SYSTEM
from tests.unit.hub.clients import RestClient, device_token, dialled
from tests.unit.hub.conftest import Calls, Line, ManualClock, running, settle, until

KEY = b"k" * 32
KEYS = SasAuthentication(primary_key=KEY, secondary_key=b"2" * 32)
MODEL = "dtmi:com:example:Thermostat;1"


async def tell(hub: ServedHub, *sources: MessageSource) -> None:
    """Send these sources to the built-in endpoint; what devices say goes there as well, by the fallback route."""
    for source in sources:
        await put_route(hub, Route(name=source.value, source=source, endpoints=(BUILT_IN,)))


async def put_route(hub: ServedHub, route: Route) -> None:
    await hub.routing.routes.put(route.name, lambda _: route, by=SYSTEM)


async def put_enrichment(hub: ServedHub, enrichment: Enrichment) -> None:
    await hub.routing.enrichments.put(enrichment.key, lambda _: enrichment, by=SYSTEM)


async def told(hub: ServedHub, device_id: str = "d1") -> list[StoredTelemetry]:
    """Return what the built-in endpoint has of a device, the oldest first."""
    return list(reversed(await hub.telemetry.log.latest(device_id=device_id, limit=100)))


def operation(stored: StoredTelemetry) -> str:
    return stored.telemetry.properties["opType"] or ""


def body(stored: StoredTelemetry) -> Any:
    return json.loads(stored.telemetry.body)


async def test_nothing_is_told_that_no_route_wants(hub: ServedHub, clock: ManualClock) -> None:
    await hub.registry.create(IdentityWrite(device_id="d1"))
    await hub.twins.patch("d1", tags={"a": 1}, desired={"b": 1}, expected_version=None)
    await hub.twins.report("d1", {"c": 1})
    await hub.registry.delete("d1", expected_etag=None)
    assert await told(hub) == []


async def test_the_lives_of_devices_and_modules(hub: ServedHub, clock: ManualClock) -> None:
    await tell(hub, MessageSource.DEVICE_LIFECYCLE)
    await hub.registry.create(IdentityWrite(device_id="d1", iot_edge=True))
    await hub.registry.create(IdentityWrite(device_id="d1/m"))
    await hub.registry.delete("d1/m", expected_etag=None)
    await hub.registry.delete("d1", expected_etag=None)
    events = await told(hub)
    assert [(operation(each), each.telemetry.properties.get("moduleId")) for each in events] == [
        ("createDeviceIdentity", None),
        ("createModuleIdentity", "$edgeAgent"),
        ("createModuleIdentity", "$edgeHub"),
        ("createModuleIdentity", "m"),
        ("deleteModuleIdentity", "m"),
        ("deleteModuleIdentity", "$edgeAgent"),
        ("deleteModuleIdentity", "$edgeHub"),
        ("deleteDeviceIdentity", None),
    ]
    first, module = events[0].telemetry, events[3].telemetry
    assert dict(first.properties) == {
        "hubName": "hub",
        "deviceId": "d1",
        "operationTimestamp": "2024-06-01T12:00:00.0000000Z",
        "opType": "createDeviceIdentity",
        "iothub-message-schema": "deviceLifecycleNotification",
    }
    assert {key: first.system[key] for key in ("ct", "ce", "uid")} == {
        "ct": "application/json",
        "ce": "utf-8",
        "uid": "hub",
    }
    assert first.system["cid"]
    assert dict(first.annotations) == {
        "iothub-connection-device-id": "d1",
        "iothub-message-source": "deviceLifecycleEvents",
    }
    assert module.properties["iothub-message-schema"] == "moduleLifecycleNotification"
    assert module.annotations["iothub-connection-module-id"] == "m"
    assert (body(events[0])["deviceId"], body(events[0])["version"]) == ("d1", 1)
    assert set(body(events[0])["properties"]) == {"desired", "reported"}
    assert "primaryKey" not in first.body.decode()


async def test_a_provisioned_device_is_told_once(hub: ServedHub) -> None:
    await tell(hub, MessageSource.DEVICE_LIFECYCLE, MessageSource.TWIN_CHANGES)
    for tags in ({"a": 1}, {"a": 1}, {"a": 2}):
        await hub.registry.provision("d1", KEYS, iot_edge=None, tags=tags, desired={}, overwrite_twin=True)
    assert [operation(each) for each in await told(hub)] == ["createDeviceIdentity", "replaceTwin"]


async def test_changes_of_twins_tell_what_was_written(hub: ServedHub) -> None:
    await hub.registry.create(IdentityWrite(device_id="d1"))
    await hub.twins.patch("d1", tags={"old": 1}, desired={"x": {"y": 1, "z": 1}}, expected_version=None)
    await tell(hub, MessageSource.TWIN_CHANGES)
    await hub.twins.patch("d1", tags={"site": "A", "old": None}, desired=None, expected_version=None)
    await hub.twins.patch("d1", tags=None, desired={"x": {"y": 2}, "w": None}, expected_version=None)
    await hub.twins.report("d1", {"fw": {"v": "1"}})
    await hub.twins.replace("d1", tags={"only": True}, desired={}, expected_version=None)
    await hub.twins.report("d1", {})
    tags, desired, reported, replaced = await told(hub)
    at = {"$lastUpdated": "2024-06-01T12:00:00.0000000Z"}
    assert body(tags) == {"version": 3, "tags": {"site": "A", "old": None}}
    assert body(desired) == {
        "version": 4,
        "properties": {
            "desired": {
                "x": {"y": 2},
                "w": None,
                "$metadata": {
                    **at,
                    "$lastUpdatedVersion": 3,
                    "x": {**at, "$lastUpdatedVersion": 3, "y": {**at, "$lastUpdatedVersion": 3}},
                },
                "$version": 3,
            }
        },
    }
    assert body(reported) == {
        "version": 4,
        "properties": {
            "reported": {
                "fw": {"v": "1"},
                "$metadata": {**at, "fw": {**at, "v": at}},
                "$version": 2,
            }
        },
    }
    assert [operation(each) for each in (tags, desired, reported, replaced)] == ["updateTwin"] * 3 + ["replaceTwin"]
    whole = body(replaced)
    assert (whole["tags"], whole["version"], whole["properties"]["reported"]["fw"]) == ({"only": True}, 5, {"v": "1"})
    assert tags.telemetry.properties["iothub-message-schema"] == "twinChangeNotification"
    assert tags.telemetry.annotations["iothub-message-source"] == "twinChangeEvents"


async def test_a_change_that_was_refused_is_not_told(hub: ServedHub) -> None:
    await hub.registry.create(IdentityWrite(device_id="d1"))
    await tell(hub, MessageSource.TWIN_CHANGES, MessageSource.DEVICE_LIFECYCLE)
    for refused in (
        hub.twins.patch("d1", tags={"a": 1}, desired=None, expected_version=9),
        hub.twins.report("d1", {"a": 1}, expected_version=9),
        hub.registry.create(IdentityWrite(device_id="d1")),
        hub.registry.delete("d1", expected_etag="no"),
        hub.registry.create(IdentityWrite(device_id="none/m")),
    ):
        with pytest.raises(HubError):
            await refused
    assert await told(hub) == []


async def test_over_rest_jobs_and_configurations_alike(hub: ServedHub, rest: RestClient) -> None:
    await hub.registry.create(IdentityWrite(device_id="d1"))
    await tell(hub, MessageSource.TWIN_CHANGES, MessageSource.JOB_LIFECYCLE)
    await rest("PATCH", "/twins/d1", {"tags": {"by": "rest"}})
    job = {"type": "scheduleUpdateTwin", "updateTwin": {"etag": "*", "tags": {"by": "job"}}, "queryCondition": "*"}
    await rest("PUT", "/jobs/v2/j1", {"jobId": "j1", "startTime": "", "maxExecutionTimeInSeconds": 60, **job})

    async def operations() -> list[str]:
        return [operation(each) for each in await told(hub)]

    for _ in range(500):
        if len(await operations()) == 3:
            break
        await settle()
    assert await operations() == ["updateTwin", "updateTwin", "scheduleUpdateTwin"]
    ended = (await told(hub))[2]
    assert (body(ended)["jobId"], body(ended)["status"]) == ("j1", "completed")
    assert ended.telemetry.properties["iothub-message-schema"] == "jobLifecycleNotification"
    assert ended.telemetry.annotations["iothub-message-source"] == "deviceJobLifecycleEvents"


async def test_a_digital_twin_tells_a_json_patch(hub: ServedHub) -> None:
    await hub.registry.create(IdentityWrite(device_id="d1"))
    await tell(hub, MessageSource.DIGITAL_TWIN_CHANGES)
    await hub.twins.report("d1", {"plain": 1})
    assert await told(hub) == []
    await hub.twins.announce_model("d1", MODEL)
    await hub.twins.report("d1", {"temp": 20, "a/b": 1})
    await hub.twins.patch("d1", tags={"a": 1}, desired=None, expected_version=None)
    await hub.twins.report("d1", {"temp": 21, "a/b": None})
    first, second = await told(hub)
    assert {(step["op"], step["path"]) for step in body(first)} >= {("add", "/temp"), ("add", "/a~1b")}
    assert {"op": "replace", "path": "/temp", "value": 21} in body(second)
    assert {"op": "remove", "path": "/a~1b"} in body(second)
    assert first.telemetry.system["ct"] == "application/json-patch+json"
    assert first.telemetry.annotations["dt-dataschema"] == MODEL


async def connected(hub: ServedHub, clock: ManualClock, identity: str) -> None:
    session = await hub.sessions.open(
        await hub.registry.get(identity), Accepted(proof=DeviceKey(key=KEY), expires_at=None), lambda: None
    )
    await hub.sessions.flush()
    clock.pass_seconds(1)
    await hub.sessions.leave(session)
    await hub.sessions.flush()


async def test_connections_are_told_with_growing_numbers(hub: ServedHub, clock: ManualClock) -> None:
    await tell(hub, MessageSource.CONNECTION_STATE)
    for identity in ("d1", "d1/m"):
        await hub.registry.create(IdentityWrite(device_id=identity, authentication=KEYS))
        for _ in range(2):
            await connected(hub, clock, identity)
    events = await told(hub)
    assert [(operation(each), each.telemetry.properties.get("moduleId")) for each in events] == [
        (kind, module) for module in (None, "m") for kind in ("deviceConnected", "deviceDisconnected") * 2
    ]
    numbers = [body(each)["sequenceNumber"] for each in events]
    assert all(len(number) == 64 and int(number, 16) for number in numbers)
    assert numbers[:4] == sorted(set(numbers[:4]))
    assert events[0].telemetry.properties["iothub-message-schema"] == "deviceConnectionStateNotification"


async def test_who_comes_back_at_once_was_never_gone(hub: ServedHub, clock: ManualClock, calls: Calls) -> None:
    await tell(hub, MessageSource.CONNECTION_STATE)
    identity = await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    accepted = Accepted(proof=DeviceKey(key=KEY), expires_at=None)
    async with running(hub):
        for _ in range(3):
            session = await hub.sessions.open(identity, accepted, lambda: None)
            await hub.sessions.leave(session)
        await hub.sessions.open(identity, accepted, lambda: None)
        await settle()
        clock.pass_seconds(STATE_DELAY)
        await until(lambda: "touch" in calls)
        await hub.sessions.flush()
        assert [operation(each) for each in await told(hub)] == ["deviceConnected"]


async def test_a_process_that_starts_tells_who_is_not_there_any_more(
    hub: ServedHub, make_hubs: Any, clock: ManualClock
) -> None:
    await tell(hub, MessageSource.CONNECTION_STATE)
    identity = await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    await hub.sessions.open(identity, Accepted(proof=DeviceKey(key=KEY), expires_at=None), lambda: None)
    await hub.sessions.flush()
    await make_hubs().load()
    assert [operation(each) for each in await told(hub)] == ["deviceConnected", "deviceDisconnected"]


async def test_https_makes_no_connection(hub: ServedHub, rest: RestClient, clock: ManualClock) -> None:
    await tell(hub, MessageSource.CONNECTION_STATE)
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    answer = await rest(
        "POST",
        "/devices/d1/messages/events",
        {"a": 1},
        policy=None,
        Authorization=device_token("d1", KEY),
    )
    assert answer.status_code == 204, answer.text
    await hub.sessions.flush()
    assert len(await told(hub)) == 1


async def test_what_devices_say_goes_where_routes_want_it(hub: ServedHub, mqtt: Line) -> None:
    endpoints = hub.routing.endpoints
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    await hub.twins.patch("d1", tags={"site": "A"}, desired=None, expected_version=None)
    await endpoints.put("hot", lambda _: EventStreamEndpoint(name="hot"), by=SYSTEM)
    await endpoints.put("cold", lambda _: EventStreamEndpoint(name="cold"), by=SYSTEM)
    source = MessageSource.DEVICE_MESSAGES
    routes = (
        Route(name="hot", source=source, condition="level = 'hot'", endpoints=("hot",)),
        Route(name="alarm", source=source, condition="$body.t > 50", endpoints=("hot", BUILT_IN)),
        Route(name="site", source=source, condition="$twin.tags.site = 'B'", endpoints=("cold",)),
    )
    for route in routes:
        await put_route(hub, route)
    await put_enrichment(hub, Enrichment(key="site", value="$twin.tags.site", endpoints=("hot",)))
    async with dialled(mqtt.port, mqtt.context) as device:
        await device.connect("d1", device_token("d1", KEY))
        topic = "devices/d1/messages/events/"
        await device.publish(f"{topic}level=hot", b"1")
        await device.publish(f"{topic}$.ct=application%2Fjson&$.ce=utf-8&level=hot", b'{"t": 60}')
        await device.publish(f"{topic}level=low", b"3")
        await hub.twins.patch("d1", tags={"site": "B"}, desired=None, expected_version=None)
        await device.publish(topic, b"4")
        await device.leave()
    found = {}
    for name in (BUILT_IN, "hot", "cold"):
        log = (await hub.streams.open(name)).log
        found[name] = [each.telemetry for each in reversed(await log.latest(device_id="d1", limit=10))]
    bodies = {name: [each.body for each in messages] for name, messages in found.items()}
    assert bodies == {"hot": [b"1", b'{"t": 60}'], "cold": [b"4"], BUILT_IN: [b'{"t": 60}', b"3"]}
    assert [each.properties for each in found["hot"]] == [{"level": "hot", "site": "A"}] * 2
    assert found[BUILT_IN][0].properties == {"level": "hot"}


async def test_without_the_fallback_a_message_is_taken_and_dropped(hub: ServedHub, mqtt: Line) -> None:
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    await put_route(hub, fallback_route(enabled=False))
    async with dialled(mqtt.port, mqtt.context) as device:
        await device.connect("d1", device_token("d1", KEY))
        await device.publish("devices/d1/messages/events/", b"lost")
        await put_route(hub, fallback_route(enabled=True))
        await device.publish("devices/d1/messages/events/", b"kept")
        await device.leave()
    assert [each.telemetry.body for each in await told(hub)] == [b"kept"]


async def test_many_messages_keep_their_order_while_the_twin_is_read(hub: ServedHub, mqtt: Line) -> None:
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    await put_enrichment(hub, Enrichment(key="site", value="$twin.tags.site", endpoints=(BUILT_IN,)))
    async with dialled(mqtt.port, mqtt.context) as device:
        await device.connect("d1", device_token("d1", KEY))
        for number in range(50):
            await device.publish("devices/d1/messages/events/", str(number).encode(), qos=0)
        await device.publish("devices/d1/messages/events/", b"50")
        await device.leave()
    assert [int(each.telemetry.body) for each in await told(hub)] == list(range(51))
