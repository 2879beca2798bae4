import asyncio
from collections.abc import Awaitable
from datetime import timedelta

import pytest

from homeport.hub.errors import HubCode, HubError
from homeport.hub.model import (
    CaAuthentication,
    ConnectionState,
    Device,
    DeviceStatus,
    RegistryStatistics,
    SelfSignedAuthentication,
    TwinSection,
)
from homeport.store import Stores
from homeport.store.devices import MAX_MODULES, SqlDeviceStore
from homeport.values import replace
from tests.contract.store.samples import NOW, device

LATER = NOW + timedelta(seconds=5)
CONNECTED, DISCONNECTED = ConnectionState.CONNECTED, ConnectionState.DISCONNECTED


@pytest.fixture
def devices(stores: Stores) -> SqlDeviceStore:
    return stores.devices("Hub")


async def known(devices: SqlDeviceStore, device_id: str) -> Device:
    found = await devices.get(device_id)
    assert found is not None
    return found


async def refused(action: Awaitable[object]) -> HubCode:
    with pytest.raises(HubError) as error:
        await action
    return error.value.code


async def test_a_device_is_read_as_it_was_created(stores: Stores, devices: SqlDeviceStore) -> None:
    for created in (
        device("a"),
        device("b", authentication=CaAuthentication(), status=DeviceStatus.DISABLED, status_reason="lost"),
        device("c", authentication=SelfSignedAuthentication(primary_thumbprint=None, secondary_thumbprint="AB")),
        device("d", iot_edge=True, device_scope="scope", parent_scopes=("x", "y"), last_activity_at=NOW),
    ):
        await devices.create(created)
        assert await known(devices, created.identity.device_id) == created
        assert await devices.get_identity(created.identity.device_id) == created.identity
    # The names of hubs do not depend on case, and each hub has its own devices.
    assert await stores.devices("hUB").get("a") == device("a")
    assert await stores.devices("other").get("a") is None


async def test_device_ids_depend_on_case(devices: SqlDeviceStore) -> None:
    await devices.create(device("dev"))
    assert await devices.get("DEV") is None
    await devices.create(device("DEV"))
    assert await refused(devices.create(device("dev"))) is HubCode.DEVICE_ALREADY_EXISTS


async def test_the_keys_of_a_twin_keep_their_order(devices: SqlDeviceStore) -> None:
    await devices.create(device("dev"))
    assert list((await known(devices, "dev")).twin.desired.content) == ["b", "a"]


async def test_one_of_many_creators_wins(pair: tuple[Stores, Stores]) -> None:
    outcomes = await asyncio.gather(
        *(pair[n % 2].devices("hub").create(device("dev", etag=str(n))) for n in range(20)), return_exceptions=True
    )
    assert outcomes.count(()) == 1
    found = await known(pair[0].devices("hub"), "dev")
    assert found.identity.etag == str(outcomes.index(()))


async def test_replacing_an_identity_leaves_what_touch_wrote(devices: SqlDeviceStore) -> None:
    await devices.create(device("dev", etag="1"))
    await devices.touch(states={"dev": CONNECTED}, activity={"dev": NOW}, now=NOW)
    await devices.replace_identity(device("dev", etag="2", status=DeviceStatus.DISABLED).identity, expected_etag="1")
    identity = (await known(devices, "dev")).identity
    assert (identity.etag, identity.status) == ("2", DeviceStatus.DISABLED)
    assert (identity.connection_state, identity.connection_state_updated_at) == (CONNECTED, NOW)
    assert identity.last_activity_at == NOW


async def test_a_stale_etag_is_refused(devices: SqlDeviceStore) -> None:
    await devices.create(device("dev", etag="1"))
    stale = device("dev", etag="2")
    assert await refused(devices.replace_identity(stale.identity, expected_etag="0")) is HubCode.PRECONDITION_FAILED
    assert await refused(devices.replace(stale, expected_etag="0")) is HubCode.PRECONDITION_FAILED
    assert await refused(devices.delete("dev", expected_etag="0")) is HubCode.PRECONDITION_FAILED
    assert await known(devices, "dev") == device("dev", etag="1")


async def test_a_missing_device_is_refused(devices: SqlDeviceStore) -> None:
    missing = device("dev")
    for action in (
        devices.replace_identity(missing.identity, expected_etag=None),
        devices.replace_twin(missing.twin, expected_version=None),
        devices.replace_twin(missing.twin, expected_version=1, reported_only=True),
        devices.replace(missing, expected_etag="e1"),
        devices.delete("dev", expected_etag=None),
    ):
        assert await refused(action) is HubCode.DEVICE_NOT_FOUND


async def test_one_of_many_writers_with_the_same_etag_wins(devices: SqlDeviceStore) -> None:
    await devices.create(device("dev", etag="0"))
    outcomes = await asyncio.gather(
        *(devices.replace_identity(device("dev", etag=f"n{n}").identity, expected_etag="0") for n in range(20)),
        return_exceptions=True,
    )
    assert outcomes.count(None) == 1


async def test_the_two_sides_of_a_twin_are_written_apart(devices: SqlDeviceStore) -> None:
    created = device("dev")
    await devices.create(created)
    reported = TwinSection(content={"r": 1}, metadata={"m": 2}, version=2)
    desired = TwinSection(content={"d": 1}, metadata={}, version=2)
    service = replace(created.twin, version=2, tags={"t": 2}, desired=desired, model_id="dtmi:x;1")
    # Both decided from the twin as it was created; neither undoes the other.
    await devices.replace_twin(replace(created.twin, reported=reported), expected_version=1, reported_only=True)
    await devices.replace_twin(service, expected_version=1)
    assert (await known(devices, "dev")).twin == replace(service, reported=reported)


async def test_a_stale_version_of_a_twin_is_refused(devices: SqlDeviceStore) -> None:
    created = device("dev")
    await devices.create(created)
    second = replace(created.twin, version=2, reported=replace(created.twin.reported, version=2))
    await devices.replace_twin(second, expected_version=1)
    await devices.replace_twin(second, expected_version=1, reported_only=True)
    assert await refused(devices.replace_twin(second, expected_version=1)) is HubCode.PRECONDITION_FAILED
    late = devices.replace_twin(second, expected_version=1, reported_only=True)
    assert await refused(late) is HubCode.PRECONDITION_FAILED
    await devices.replace_twin(replace(second, version=9), expected_version=None)
    assert (await known(devices, "dev")).twin.version == 9


async def test_identity_and_twin_are_replaced_together(devices: SqlDeviceStore) -> None:
    await devices.create(device("dev", etag="1"))
    await devices.touch(states={"dev": CONNECTED}, activity={}, now=NOW)
    created = device("dev", etag="2")
    both = replace(created, twin=replace(created.twin, version=7, reported=TwinSection(content={"x": 1}, metadata={})))
    await devices.replace(both, expected_etag="1")
    found = await known(devices, "dev")
    assert found.twin == both.twin
    assert (found.identity.etag, found.identity.connection_state) == ("2", CONNECTED)


async def test_a_deleted_device_is_gone_with_its_twin(devices: SqlDeviceStore) -> None:
    await devices.create(device("dev"))
    await devices.delete("dev", expected_etag="e1")
    assert await devices.get("dev") is None
    assert await devices.get_identity("dev") is None


async def test_listing_and_pages_are_in_the_order_of_ids(devices: SqlDeviceStore) -> None:
    # Bytes decide: upper case before lower case, "é" last.
    for device_id in ("b", "a", "B", "é", "a-1"):
        await devices.create(device(device_id))
    assert [identity.device_id for identity in await devices.list(limit=3)] == ["B", "a", "a-1"]
    first = await devices.page(after=None, limit=3)
    await devices.delete("a-1", expected_etag=None)
    second = await devices.page(after=first.after, limit=3)
    assert [each.identity.device_id for each in first.items] == ["B", "a", "a-1"]
    assert [each.identity.device_id for each in second.items] == ["b", "é"]
    assert second.after is None
    assert second.items[0] == device("b")


async def test_statistics_count_one_hub(stores: Stores, devices: SqlDeviceStore) -> None:
    assert await devices.statistics() == RegistryStatistics(total=0, enabled=0, disabled=0)
    for number in range(3):
        await devices.create(device(f"on{number}"))
    await devices.create(device("off", status=DeviceStatus.DISABLED))
    await stores.devices("other").create(device("elsewhere"))
    assert await devices.statistics() == RegistryStatistics(total=4, enabled=3, disabled=1)


async def test_touch_moves_activity_forward_only(devices: SqlDeviceStore) -> None:
    for device_id in ("a", "b"):
        await devices.create(device(device_id))
    await devices.touch(states={}, activity={"a": LATER, "b": NOW, "gone": NOW}, now=LATER)
    await devices.touch(states={}, activity={"a": NOW, "b": LATER}, now=LATER)
    for device_id in ("a", "b"):
        identity = (await known(devices, device_id)).identity
        assert identity.last_activity_at == LATER
        assert identity.connection_state is DISCONNECTED


async def test_touch_keeps_the_time_of_a_state_that_stays(devices: SqlDeviceStore) -> None:
    await devices.create(device("a"))
    await devices.touch(states={"a": CONNECTED, "gone": CONNECTED}, activity={}, now=NOW)
    await devices.touch(states={"a": CONNECTED}, activity={}, now=LATER)
    assert (await known(devices, "a")).identity.connection_state_updated_at == NOW
    await devices.touch(states={"a": DISCONNECTED}, activity={}, now=LATER)
    assert (await known(devices, "a")).identity.connection_state_updated_at == LATER


async def test_touches_that_cross_do_not_lock_each_other_out(pair: tuple[Stores, Stores]) -> None:
    ids = [f"dev{number}" for number in range(20)]
    for device_id in ids:
        await pair[0].devices("hub").create(device(device_id))
    await asyncio.gather(
        *(
            pair[number % 2]
            .devices("hub")
            .touch(
                states=dict.fromkeys(ids[number::2], CONNECTED),
                activity=dict.fromkeys(ids[: 20 - number], LATER + number * timedelta(seconds=1)),
                now=NOW,
            )
            for number in range(10)
        )
    )
    assert (await known(pair[1].devices("hub"), "dev0")).identity.last_activity_at == LATER + timedelta(seconds=9)


async def test_disconnecting_all_of_one_hub(stores: Stores, devices: SqlDeviceStore) -> None:
    other = stores.devices("other")
    for store in (devices, other):
        for device_id in ("a", "b"):
            await store.create(device(device_id))
        await store.touch(states={"a": CONNECTED}, activity={}, now=NOW)
    await devices.disconnect_all(now=LATER)
    identity = (await known(devices, "a")).identity
    assert (identity.connection_state, identity.connection_state_updated_at) == (DISCONNECTED, LATER)
    assert (await known(devices, "b")).identity == device("b").identity
    assert (await known(other, "a")).identity.connection_state is CONNECTED


async def test_modules_belong_to_their_device(devices: SqlDeviceStore) -> None:
    with pytest.raises(HubError) as orphan:
        await devices.create(device("d/m"))
    assert orphan.value.code is HubCode.DEVICE_NOT_FOUND
    for device_id in ("d", "d0", "d/b", "d/a", "d0/a"):
        await devices.create(device(device_id))
    with pytest.raises(HubError) as twice:
        await devices.create(device("d/a"))
    assert twice.value.code is HubCode.MODULE_ALREADY_EXISTS
    assert [each.device_id for each in await devices.modules("d")] == ["d/a", "d/b"]
    assert [each.device_id for each in await devices.list(limit=9)] == ["d", "d0"]
    assert [each.identity.device_id for each in (await devices.page(after=None, limit=9)).items] == ["d", "d0"]
    modules = await devices.page(after="d/a", limit=9, modules=True)
    assert [each.identity.device_id for each in modules.items] == ["d/b", "d0/a"]
    assert (await devices.statistics()).total == 2
    await devices.delete("d", expected_etag=None)
    assert await devices.get("d/a") is None
    assert await devices.modules("d") == []
    assert [each.device_id for each in await devices.modules("d0")] == ["d0/a"]
    with pytest.raises(HubError) as gone:
        await devices.delete("d/a", expected_etag=None)
    assert gone.value.code is HubCode.MODULE_NOT_FOUND


async def test_a_module_has_the_status_of_its_device(devices: SqlDeviceStore) -> None:
    await devices.create(device("d", status=DeviceStatus.DISABLED))
    await devices.create(device("d/m"))
    for identity in (await devices.get_identity("d/m"), *(await devices.modules("d"))):
        assert identity is not None
        assert identity.status is DeviceStatus.DISABLED
    whole = await devices.get("d/m")
    assert whole is not None
    assert whole.identity.status is DeviceStatus.DISABLED


async def test_a_limit_of_modules_holds_whoever_makes_them(pair: tuple[Stores, Stores]) -> None:
    stores = [each.devices("hub") for each in pair]
    await stores[0].create(device("d"))
    results = await asyncio.gather(
        *(stores[number % 2].create(device(f"d/m{number}")) for number in range(MAX_MODULES + 6)),
        return_exceptions=True,
    )
    refused = [each for each in results if isinstance(each, HubError)]
    assert len(await stores[0].modules("d")) == MAX_MODULES
    assert [each.code for each in refused] == [HubCode.TOO_MANY_MODULES] * 6
