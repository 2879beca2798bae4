"""The registry over the embedded store: what the hosted one does, and provisioning (contract hub.md 4)."""

import pytest

from homeport.bus import DeviceChanged, LocalBus
from homeport.hub.errors import HubCode, HubError
from homeport.hub.identities import IdentityWrite, InitialTwin
from homeport.hub.model import (
    CaAuthentication,
    ConnectionState,
    DeviceStatus,
    SasAuthentication,
    SelfSignedAuthentication,
)
from homeport.hub.registry import Registry
from homeport.hub.served_hub import ServedHub
from tests.unit.hub.conftest import Calls, ManualClock

KEYS = SasAuthentication(primary_key=b"1" * 32, secondary_key=b"2" * 32)
THUMBPRINT = SelfSignedAuthentication(primary_thumbprint="A" * 64, secondary_thumbprint=None)


@pytest.fixture
def registry(hub: ServedHub) -> Registry:
    return hub.registry


def code(caught: pytest.ExceptionInfo[HubError]) -> HubCode:
    return caught.value.code


async def test_a_new_device(registry: Registry, clock: ManualClock) -> None:
    created = await registry.create(IdentityWrite(device_id="d1"))
    assert await registry.get("d1") == created
    keys = created.authentication
    assert isinstance(keys, SasAuthentication)
    assert (len(keys.primary_key), len(keys.secondary_key)) == (32, 32)
    assert keys.primary_key != keys.secondary_key
    assert created.connection_state is ConnectionState.DISCONNECTED
    assert len(created.generation_id) == 18
    assert created.generation_id.isdigit()


async def test_ids_are_case_sensitive(registry: Registry) -> None:
    await registry.create(IdentityWrite(device_id="d1"))
    await registry.create(IdentityWrite(device_id="D1"))
    with pytest.raises(HubError) as caught:
        await registry.create(IdentityWrite(device_id="d1"))
    assert code(caught) is HubCode.DEVICE_ALREADY_EXISTS


async def test_a_created_again_device_is_another_generation(registry: Registry, clock: ManualClock) -> None:
    first = await registry.create(IdentityWrite(device_id="d1"))
    await registry.delete("d1", expected_etag=first.etag)
    clock.pass_seconds(1)
    second = await registry.create(IdentityWrite(device_id="d1"))
    assert second.generation_id > first.generation_id
    with pytest.raises(HubError) as caught:
        await registry.get("gone")
    assert code(caught) is HubCode.DEVICE_NOT_FOUND


async def test_an_update_replaces_everything(registry: Registry, clock: ManualClock) -> None:
    first = await registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    clock.pass_seconds(5)
    disabled = IdentityWrite(
        device_id="d1", authentication=THUMBPRINT, status=DeviceStatus.DISABLED, status_reason="lost"
    )
    second = await registry.update(disabled, expected_etag=first.etag)
    assert second.etag != first.etag
    assert second.generation_id == first.generation_id
    assert (second.authentication, second.status_reason) == (THUMBPRINT, "lost")
    assert second.status_updated_at == clock.now()
    clock.pass_seconds(5)
    third = await registry.update(IdentityWrite(device_id="d1"), expected_etag=None)
    assert third.status is DeviceStatus.ENABLED
    assert third.status_reason is None
    assert isinstance(third.authentication, SasAuthentication)
    assert third.authentication != KEYS


async def test_updates_and_deletes_name_what_they_expect(registry: Registry) -> None:
    first = await registry.create(IdentityWrite(device_id="d1"))
    await registry.update(IdentityWrite(device_id="d1"), expected_etag=first.etag)
    with pytest.raises(HubError) as caught:
        await registry.update(IdentityWrite(device_id="d1"), expected_etag=first.etag)
    assert code(caught) is HubCode.PRECONDITION_FAILED
    with pytest.raises(HubError) as caught:
        await registry.delete("d1", expected_etag=first.etag)
    assert code(caught) is HubCode.PRECONDITION_FAILED
    with pytest.raises(HubError) as caught:
        await registry.update(IdentityWrite(device_id="d2"), expected_etag=None)
    assert code(caught) is HubCode.DEVICE_NOT_FOUND
    await registry.delete("d1", expected_etag=None)


async def test_every_change_is_announced(registry: Registry, bus: LocalBus) -> None:
    async with bus.subscribe(DeviceChanged) as events:
        await registry.create(IdentityWrite(device_id="d1"))
        await registry.update(IdentityWrite(device_id="d1"), expected_etag=None)
        await registry.delete("d1", expected_etag=None)
        assert [await anext(events) for _ in range(3)] == [DeviceChanged(hub="hub", device_id="d1")] * 3


async def test_the_edge_hierarchy(registry: Registry) -> None:
    edge = await registry.create(IdentityWrite(device_id="edge", iot_edge=True, device_scope="ms-azure-iot-edge://x"))
    assert edge.device_scope == f"ms-azure-iot-edge://edge-{edge.generation_id}"
    leaf = await registry.create(IdentityWrite(device_id="leaf", device_scope=edge.device_scope))
    assert leaf.parent_scopes == (edge.device_scope,)
    child = await registry.create(
        IdentityWrite(device_id="child", iot_edge=True, parent_scopes=(edge.device_scope or "",))
    )
    assert child.parent_scopes == (edge.device_scope,)
    late = await registry.update(IdentityWrite(device_id="leaf", iot_edge=True), expected_etag=None)
    assert late.device_scope == "ms-azure-iot-edge://leaf"
    again = await registry.update(IdentityWrite(device_id="edge", iot_edge=True), expected_etag=None)
    assert again.device_scope == edge.device_scope
    with pytest.raises(HubError) as caught:
        await registry.create(IdentityWrite(device_id="odd", device_scope="elsewhere"))
    assert code(caught) is HubCode.INVALID_DEVICE_SCOPE


async def test_statistics_and_listing(registry: Registry) -> None:
    for number in range(5):
        status = DeviceStatus.DISABLED if number == 0 else DeviceStatus.ENABLED
        await registry.create(IdentityWrite(device_id=f"d{number}", status=status))
    counts = await registry.statistics()
    assert (counts.total, counts.enabled, counts.disabled) == (5, 4, 1)
    assert len(await registry.list(3)) == 3
    page = await registry.page(after=None, limit=3)
    assert [device.identity.device_id for device in page.items] == ["d0", "d1", "d2"]
    assert page.after is not None
    rest = await registry.page(after=page.after, limit=3)
    assert [device.identity.device_id for device in rest.items] == ["d3", "d4"]
    assert rest.after is None


# ---------------------------------------------------------------- provisioning


async def provision(registry: Registry, **wishes: object) -> None:
    wished: dict[str, object] = {"iot_edge": None, "tags": {}, "desired": {}} | wishes
    authentication = wished.pop("authentication", KEYS)
    await registry.provision("d1", authentication, **wished)  # type: ignore[arg-type]  # the call itself checks names


async def test_provisioning_a_new_device_is_one_write(hub: ServedHub, calls: Calls) -> None:
    calls.clear()
    await provision(hub.registry, tags={"site": "A"}, desired={"x": 1}, reported={"y": 2})
    assert calls == ["create"]
    device = await hub.registry.read("d1")
    assert device is not None
    assert device.identity.authentication == KEYS
    assert (device.twin.tags, device.twin.desired.content, device.twin.reported.content) == (
        {"site": "A"},
        {"x": 1},
        {"y": 2},
    )


async def test_repeating_it_writes_nothing(hub: ServedHub, calls: Calls) -> None:
    await provision(hub.registry, tags={"site": "A"}, desired={"x": 1})
    before = await hub.registry.read("d1")
    calls.clear()
    await provision(hub.registry, tags={"site": "A"}, desired={"x": 1})
    await provision(hub.registry, tags={"site": "A"}, desired={"x": 1}, overwrite_twin=True)
    assert calls == ["create", "get"] * 2  # create found the device there
    assert await hub.registry.read("d1") == before


async def test_taking_over_keeps_twin_status_and_generation(registry: Registry) -> None:
    first = await registry.create(
        IdentityWrite(device_id="d1", status=DeviceStatus.DISABLED, iot_edge=True), InitialTwin(tags={"old": 1})
    )
    await provision(registry, authentication=THUMBPRINT, tags={"new": 1})
    device = await registry.read("d1")
    assert device is not None
    assert device.identity.authentication == THUMBPRINT
    assert device.identity.status is DeviceStatus.DISABLED
    assert device.identity.iot_edge
    assert device.identity.generation_id == first.generation_id
    assert device.identity.etag != first.etag
    assert device.twin.tags == {"old": 1}


async def test_resetting_the_twin(registry: Registry, calls: Calls) -> None:
    await registry.create(
        IdentityWrite(device_id="d1", authentication=KEYS),
        InitialTwin(tags={"old": 1}, desired={"old": {"a": 1}}, reported={"kept": 1}),
    )
    calls.clear()
    await provision(registry, tags={"new": 1}, desired={"old": {"b": 2}}, overwrite_twin=True)
    assert calls == ["create", "get", "replace"]
    device = await registry.read("d1")
    assert device is not None
    assert (device.twin.tags, device.twin.desired.content) == ({"new": 1}, {"old": {"b": 2}})
    assert device.twin.reported.content == {"kept": 1}
    await provision(registry, tags={"new": 1}, desired={"old": {"b": 2}}, reported={"r": {}}, overwrite_twin=True)
    device = await registry.read("d1")
    assert device is not None
    assert device.twin.reported.content == {"r": {}}


async def test_provisioning_with_a_twin_that_breaks_the_rules(registry: Registry) -> None:
    with pytest.raises(HubError) as caught:
        await provision(registry, tags={"a.b": 1})
    assert code(caught) is HubCode.ARGUMENT_INVALID
    assert await registry.read("d1") is None


async def test_certificate_authority_is_taken_over_too(registry: Registry) -> None:
    await registry.create(IdentityWrite(device_id="d1", authentication=CaAuthentication()))
    await provision(registry, iot_edge=True)
    device = await registry.read("d1")
    assert device is not None
    assert device.identity.authentication == KEYS
    assert device.identity.device_scope == "ms-azure-iot-edge://d1"


async def test_removing_is_repeatable(registry: Registry) -> None:
    await provision(registry)
    await registry.remove("d1")
    await registry.remove("d1")
    assert await registry.read("d1") is None
