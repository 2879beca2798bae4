"""Several processes over one database: who is alive, who holds whom, and what devices are subscribed to."""

from datetime import timedelta

import pytest

from homeport.hub.model import ConnectionState, Device, KeptFilters, Outgoing
from homeport.store import Stores
from homeport.store.devices import SqlDeviceStore
from tests.contract.store.samples import NOW, device

CONNECTED, DISCONNECTED = ConnectionState.CONNECTED, ConnectionState.DISCONNECTED
SECOND = timedelta(seconds=1)
LEASE = 6 * SECOND


@pytest.fixture
def devices(stores: Stores) -> SqlDeviceStore:
    return stores.devices("Hub")


async def state(devices: SqlDeviceStore, device_id: str) -> tuple[ConnectionState, float]:
    found = await devices.get_identity(device_id)
    assert found is not None
    return found.connection_state, (found.connection_state_updated_at - NOW).total_seconds()


async def test_leases_are_renewed_and_end(stores: Stores) -> None:
    nodes = stores.nodes
    first = await nodes.beat("a", now=NOW, until=NOW + LEASE)
    assert (first.is_new, first.alive, first.buried) == (True, ["a"], {})
    assert (await nodes.beat("b", now=NOW, until=NOW + LEASE)).alive == ["a", "b"]
    later = NOW + 5 * SECOND
    again = await nodes.beat("a", now=later, until=later + LEASE)
    assert (again.is_new, again.alive, again.buried) == (False, ["a", "b"], {})
    later = NOW + 7 * SECOND
    alone = await nodes.beat("a", now=later, until=later + LEASE)
    assert (alone.is_new, alone.alive, alone.buried) == (False, ["a"], {"b": NOW})
    # Who comes back is told that it was taken for dead.
    back = await nodes.beat("b", now=later, until=later + LEASE)
    assert (back.is_new, back.alive, back.buried) == (True, ["a", "b"], {})
    await nodes.leave("a")
    left = await nodes.beat("b", now=later, until=later + LEASE)
    assert (left.alive, left.buried) == (["b"], {})


async def test_the_one_who_connected_it_last_has_it(devices: SqlDeviceStore) -> None:
    await devices.create(device("d"))

    async def touch(node: str, new: ConnectionState, seconds: float) -> tuple[ConnectionState, float]:
        at = NOW + seconds * SECOND
        await devices.touch(states={"d": new}, activity={}, now=NOW + 100 * SECOND, at={"d": at}, node=node)
        return await state(devices, "d")

    assert await touch("a", CONNECTED, 1) == (CONNECTED, 1)
    assert (await devices.elsewhere("a"), await devices.elsewhere("b")) == ([], ["d"])
    assert await touch("b", CONNECTED, 2) == (CONNECTED, 2)
    assert await touch("a", DISCONNECTED, 3) == (CONNECTED, 2), "it is another's by now"
    assert await touch("a", CONNECTED, 1) == (CONNECTED, 2), "an earlier one that is written late"
    assert (await devices.elsewhere("a"), await devices.elsewhere("b")) == (["d"], [])
    assert await devices.count_connected() == 1
    assert await touch("b", CONNECTED, 2.5) == (CONNECTED, 2), "that is no change"
    assert await touch("b", DISCONNECTED, 4) == (DISCONNECTED, 4)
    assert (await devices.elsewhere("a"), await devices.count_connected()) == ([], 0)
    assert await touch("a", CONNECTED, 1) == (CONNECTED, 1), "nobody else has it"
    assert await devices.elsewhere("b") == ["d"]


async def test_activity_does_not_change_who_has_it(devices: SqlDeviceStore) -> None:
    await devices.create(device("d"))
    await devices.touch(states={"d": CONNECTED}, activity={}, now=NOW, node="a")
    await devices.touch(states={}, activity={"d": NOW + SECOND}, now=NOW + SECOND, node="b")
    assert await devices.elsewhere("b") == ["d"]
    found = await devices.get_identity("d")
    assert found is not None
    assert found.last_activity_at == NOW + SECOND


async def test_hubs_and_modules_are_told_apart(stores: Stores, devices: SqlDeviceStore) -> None:
    await devices.create(device("d"))
    await devices.create(device("d/m"))
    await devices.touch(states={"d": CONNECTED, "d/m": CONNECTED}, activity={}, now=NOW, node="a")
    assert sorted(await devices.elsewhere("b")) == ["d", "d/m"]
    assert await devices.count_connected() == 1
    other = stores.devices("other")
    assert (await other.elsewhere("b"), await other.count_connected()) == ([], 0)


async def test_what_a_dead_process_held_is_disconnected_and_told_once(stores: Stores, devices: SqlDeviceStore) -> None:
    for name in ("dead", "moved", "alive"):
        await devices.create(device(name))
    await stores.nodes.beat("a", now=NOW, until=NOW + SECOND)
    await stores.nodes.beat("b", now=NOW, until=NOW + LEASE)
    await devices.touch(states={"dead": CONNECTED, "moved": CONNECTED}, activity={}, now=NOW, node="a")
    await devices.touch(states={"moved": CONNECTED, "alive": CONNECTED}, activity={}, now=NOW + SECOND, node="b")
    told: list[tuple[str, ConnectionState]] = []

    def tell(changed: Device, new: ConnectionState, sequence: int) -> list[Outgoing]:
        del sequence
        told.append((changed.identity.device_id, new))
        return []

    later = NOW + 2 * SECOND
    await devices.disconnect_orphans(now=later, tell=tell)
    assert told == [], "the lease is not over until somebody has seen it"
    assert (await stores.nodes.beat("b", now=later, until=later + LEASE)).buried == {"a": NOW}
    for _ in range(2):
        await devices.disconnect_orphans(now=later, tell=tell)
    assert told == [("dead", DISCONNECTED)]
    assert await state(devices, "dead") == (DISCONNECTED, 2)
    assert (await state(devices, "moved"))[0] is (await state(devices, "alive"))[0] is CONNECTED


async def test_only_what_changes_is_told(devices: SqlDeviceStore) -> None:
    await devices.create(device("d"))
    told: list[ConnectionState] = []

    def tell(changed: Device, new: ConnectionState, sequence: int) -> list[Outgoing]:
        del changed, sequence
        told.append(new)
        return []

    for node, new in (("a", CONNECTED), ("b", CONNECTED), ("a", DISCONNECTED), ("b", DISCONNECTED)):
        await devices.touch(states={"d": new}, activity={}, now=NOW, node=node, tell=tell)
    assert told == [CONNECTED, DISCONNECTED]


async def test_subscriptions_are_kept_until_the_device_is_deleted(stores: Stores, devices: SqlDeviceStore) -> None:
    subscriptions = stores.mqtt_subscriptions("Hub")
    assert await subscriptions.get("d") is None
    for name in ("d", "d/m", "e"):
        await devices.create(device(name))
        for qos in (0, 1):
            await subscriptions.put(name, KeptFilters(generation_id="g", filters={"a/#": qos, "$b/#": 0}))
    kept = await stores.mqtt_subscriptions("hUB").get("d")
    assert kept == KeptFilters(generation_id="g", filters={"a/#": 1, "$b/#": 0})
    assert await stores.mqtt_subscriptions("other").get("d") is None
    await devices.delete("d", expected_etag=None)
    assert [await subscriptions.get(name) for name in ("d", "d/m")] == [None, None]
    await subscriptions.delete("e")
    assert await subscriptions.get("e") is None
