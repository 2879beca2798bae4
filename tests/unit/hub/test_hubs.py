"""Hubs at run time: created, found, noticed in other processes (contract hub.md 1, 2.1)."""

import pytest

from homeport.bus import HubsChanged, LocalBus
from homeport.hub.hubs import RELOAD_SECONDS, Hubs
from homeport.hub.identities import IdentityWrite
from homeport.hub.model import ConnectionState
from homeport.hub.served_hub import ServedHub
from homeport.store import Stores
from homeport.values import replace
from tests.unit.hub.conftest import MakeHubs, ManualClock, running, settle, until


async def test_a_new_hub_has_the_default_policies(hub: ServedHub) -> None:
    rights = {policy.name: set(policy.rights) for policy in hub.hub.policies}
    everything = {"RegistryRead", "RegistryWrite", "ServiceConnect", "DeviceConnect"}
    assert rights == {
        "iothubowner": everything,
        "service": {"ServiceConnect"},
        "device": {"DeviceConnect"},
        "registryRead": {"RegistryRead"},
        "registryReadWrite": {"RegistryRead", "RegistryWrite"},
    }
    keys = {key for policy in hub.hub.policies for key in (policy.primary_key, policy.secondary_key)}
    assert len(keys) == 10
    assert {len(key) for key in keys} == {32}


@pytest.mark.parametrize("host", ["hub.example.com", "HUB.example.com:443", "localhost.", "localhost:8883"])
async def test_hubs_are_found_by_any_name(hubs: Hubs, hub: ServedHub, host: str) -> None:
    assert hubs.find(host) is hub
    assert hubs.get("hub") is hub
    assert hubs.find("other.example.com") is None


@pytest.mark.parametrize(
    ("name", "hosts"),
    [
        ("hub", ["new.example.com"]),
        ("hub2", ["HUB.example.com"]),
        ("", ["new.example.com"]),
        ("a b", ["new.example.com"]),
        ("x" * 51, ["new.example.com"]),
        ("hub2", []),
        ("hub2", ["new.example.com:443"]),
        ("hub2", ["https://new.example.com"]),
        ("hub2", [""]),
    ],
)
async def test_names_that_cannot_be(hubs: Hubs, hub: ServedHub, name: str, hosts: list[str]) -> None:
    with pytest.raises(ValueError):
        await hubs.create(name, hosts)
    assert list(hubs) == [hub]


async def test_a_second_process_notices(hubs: Hubs, make_hubs: MakeHubs) -> None:
    opened: list[str] = []
    second = make_hubs(opened=lambda served: opened.append(served.name))
    async with running(second):
        created = await hubs.create("hub2", ["127.0.0.2"])
        await until(lambda: opened == ["hub2"])
        served = second.get("hub2")
        assert served is not None
        await created.registry.create(IdentityWrite(device_id="d1"))
        assert (await served.registry.get("d1")).device_id == "d1"


async def test_a_lost_hint_costs_a_poll(hubs: Hubs, make_hubs: MakeHubs, clock: ManualClock) -> None:
    deaf = make_hubs(bus=LocalBus())
    async with running(deaf):
        await hubs.create("hub2", ["127.0.0.2"])
        await settle()
        assert deaf.get("hub2") is None
        clock.pass_seconds(RELOAD_SECONDS)
        await until(lambda: deaf.get("hub2") is not None)


async def test_changed_policies_are_taken_over(
    hub: ServedHub, make_hubs: MakeHubs, stores: Stores, bus: LocalBus
) -> None:
    second = make_hubs()
    await second.load(alone=False)
    known = second.get("hub")
    assert known is not None
    async with running(second):
        await stores.hubs.replace(replace(hub.hub, policies=hub.hub.policies[:1]))
        await bus.publish(HubsChanged(name="hub"))
        await until(lambda: len(known.audience().policies) == 1)
    assert second.get("hub") is known


@pytest.mark.parametrize("alone", [True, False])
async def test_who_starts_alone_knows_that_nobody_is_connected(
    hub: ServedHub, make_hubs: MakeHubs, clock: ManualClock, alone: bool
) -> None:
    await hub.registry.create(IdentityWrite(device_id="d1"))
    await hub.devices.touch(states={"d1": ConnectionState.CONNECTED}, activity={}, now=clock.now())
    second = make_hubs()
    await second.load(alone=alone)
    served = second.get("hub")
    assert served is not None
    state = (await served.registry.get("d1")).connection_state
    assert state is (ConnectionState.DISCONNECTED if alone else ConnectionState.CONNECTED)
