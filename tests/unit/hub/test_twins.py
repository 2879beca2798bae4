"""Twins over the embedded store: versions, etags, who is told (contract hub.md 6, 13.6)."""

import asyncio
from typing import Any

import pytest

from homeport.hub.errors import HubCode, HubError
from homeport.hub.identities import IdentityWrite
from homeport.hub.model import JsonObject
from homeport.hub.served_hub import ServedHub


@pytest.fixture
async def twins(hub: ServedHub) -> Any:
    await hub.registry.create(IdentityWrite(device_id="d1"))
    return hub.twins


async def test_merging_and_replacing(twins: Any) -> None:
    device = await twins.patch("d1", tags={"site": "A"}, desired={"x": {"y": 1}}, expected_version=None)
    assert (device.twin.version, device.twin.desired.version) == (2, 2)
    device = await twins.patch("d1", tags=None, desired={"x": {"z": 2}}, expected_version=2)
    assert device.twin.desired.content == {"x": {"y": 1, "z": 2}}
    device = await twins.replace("d1", tags=None, desired={"only": True}, expected_version=3)
    assert (device.twin.tags, device.twin.desired.content, device.twin.version) == ({}, {"only": True}, 4)
    assert (await twins.get("d1")).twin == device.twin


async def test_expected_versions(twins: Any) -> None:
    with pytest.raises(HubError) as caught:
        await twins.patch("d1", tags={"a": 1}, desired=None, expected_version=7)
    assert caught.value.code is HubCode.PRECONDITION_FAILED
    with pytest.raises(HubError) as caught:
        await twins.report("d1", {"a": 1}, expected_version=7)
    assert caught.value.code is HubCode.PRECONDITION_FAILED
    with pytest.raises(HubError) as caught:
        await twins.patch("nobody", tags={"a": 1}, desired=None, expected_version=None)
    assert caught.value.code is HubCode.DEVICE_NOT_FOUND


async def test_many_writers_lose_nothing(twins: Any) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(twins.patch("d1", tags={f"t{number}": 1}, desired=None, expected_version=None))
            group.create_task(twins.report("d1", {f"r{number}": 1}))
    twin = (await twins.get("d1")).twin
    assert twin.tags == {f"t{number}": 1 for number in range(4)}
    assert twin.reported.content == {f"r{number}": 1 for number in range(4)}
    assert (twin.version, twin.reported.version) == (5, 5)


async def test_reporting_leaves_the_etag_alone(twins: Any) -> None:
    before = (await twins.get("d1")).twin
    after = await twins.report("d1", {"a": 1})
    assert after.etag == before.etag
    assert (await twins.report("d1", {})).reported.version == 2


async def test_devices_are_told_what_changed(twins: Any) -> None:
    told: list[tuple[JsonObject, int]] = []

    def listener(change: JsonObject, version: int) -> None:
        told.append((change, version))

    twins.listen("d1", listener)
    await twins.patch("d1", tags={"a": 1}, desired={"x": 1, "gone": None}, expected_version=None)
    await twins.patch("d1", tags={"a": 2}, desired=None, expected_version=None)
    await twins.replace("d1", tags=None, desired={"y": {"n": None, "m": 1}}, expected_version=None)
    assert told == [({"x": 1, "gone": None}, 2), ({"y": {"m": 1}}, 3)]
    twins.forget("d1", lambda change, version: None)
    await twins.patch("d1", tags=None, desired={"z": 1}, expected_version=None)
    twins.forget("d1", listener)
    await twins.patch("d1", tags=None, desired={"z": 2}, expected_version=None)
    assert told[2:] == [({"z": 1}, 4)]


async def test_a_model_is_recorded_without_a_version(twins: Any) -> None:
    await twins.announce_model("d1", "dtmi:a:b;1")
    twin = (await twins.get("d1")).twin
    assert (twin.model_id, twin.version) == ("dtmi:a:b;1", 1)
