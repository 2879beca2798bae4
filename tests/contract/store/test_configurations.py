"""Every ConfigurationStore keeps configurations apart, under their versions, and a trace of deleted ones."""

from datetime import UTC, datetime
from typing import Any

import pytest

from homeport.hub.errors import HubCode, HubError
from homeport.hub.model import Configuration, ConfigurationContent, ConfigurationResults
from homeport.store import Stores
from homeport.values import replace

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RESULTS = ConfigurationResults(system={"targetedCount": 3}, custom={"x": 1})


def configuration(name: str = "c", **changes: Any) -> Configuration:
    values: dict[str, Any] = {
        "schema_version": "1.0",
        "labels": {"env": "é"},
        "content": ConfigurationContent(device={"properties.desired.a": [1.5, {"b": None}]}),
        "target_condition": "tags.x = 'y'",
        "priority": 5,
        "metrics": {"x": "SELECT deviceId FROM devices"},
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Configuration(configuration_id=name, **(values | changes))


async def test_configurations_are_read_as_they_were_written(stores: Stores) -> None:
    store, other = stores.configurations("hub"), stores.configurations("other")
    edge = configuration("edge", content=ConfigurationContent(modules={"m": {"properties.desired": {"x": {}}}}))
    for each in (edge, configuration()):
        await store.create(each, limit=9)
    assert await store.all() == [configuration(), edge]
    assert await store.get("edge") == edge
    assert [await store.get("nowhere"), await other.get("c"), await other.all()] == [None, None, []]
    with pytest.raises(HubError) as refused:
        await store.create(configuration(), limit=9)
    assert refused.value.code is HubCode.CONFIGURATION_ALREADY_EXISTS


async def test_there_is_room_for_so_many(stores: Stores) -> None:
    store = stores.configurations("hub")
    await store.create(configuration("a"), limit=1)
    with pytest.raises(HubError) as refused:
        await store.create(configuration("b"), limit=1)
    assert refused.value.code is HubCode.TOO_MANY_CONFIGURATIONS
    assert await store.get("b") is None
    await store.delete("a", expected_version=None)
    await store.create(configuration("b"), limit=1)


async def test_versions_are_expected(stores: Stores) -> None:
    store = stores.configurations("hub")
    await store.create(configuration(), limit=9)
    await store.record({"c": RESULTS}, rid_of=())
    changed = configuration(priority=9, version=2)
    assert await store.replace(changed, expected_version=1)
    assert not await store.replace(configuration(version=3), expected_version=1)
    assert await store.get("c") == replace(changed, results=RESULTS)
    assert not await store.delete("c", expected_version=1)
    assert await store.delete("c", expected_version=2)
    assert not await store.delete("c", expected_version=None)


async def test_a_deleted_one_leaves_a_trace_until_twins_are_rid_of_it(stores: Stores) -> None:
    store = stores.configurations("hub")
    for name in ("a", "b", "c"):
        await store.create(configuration(name), limit=9)
        await store.record({name: RESULTS}, rid_of=())
    for name in ("a", "b"):
        await store.delete(name, expected_version=None)
    assert [await store.get("a"), await store.traces()] == [None, ["a", "b"]]
    await store.create(configuration("b"), limit=9)
    assert await store.get("b") == configuration("b"), "a new one has no results"
    # What was deleted and made anew while a pass went on is there still.
    await store.record({"a": RESULTS, "c": ConfigurationResults()}, rid_of=["a", "b"])
    assert await store.traces() == []
    assert await store.all() == [configuration("b"), configuration("c")]
