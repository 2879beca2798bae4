"""How many devices each hub has, counted by whoever writes; and limits that hold however many register at once."""

import asyncio
from typing import Any

import pytest

from homeport.dps.model import AddressRange, AllocationPolicy, AllocationSettings, Assignment, Region, RegionLatency
from homeport.dps.ports import HubFullError
from homeport.store import Stores
from homeport.store.migration import scripts
from homeport.store.stores import open_database
from homeport.values import replace
from tests.contract.store.samples import LEASE, NOW, finished, linked, registration

HUB = "hub.example.net"


def to(hub: str, registration_id: str) -> Assignment:
    return Assignment(hub=hub, device_id=registration_id)


async def open_one(
    stores: Stores, registration_id: str, hub: str = HUB, room: int | None = None, **options: Any
) -> None:
    opened = registration(registration_id, target=to(hub, registration_id), **options)
    await stores.registrations.open(opened, expected_etag=None, room=room)


async def test_devices_count_at_the_hub_they_are_on_their_way_to(stores: Stores) -> None:
    for number in range(3):
        await open_one(stores, f"a{number}", "A.example.net")
    await open_one(stores, "b", "b.example.net")
    await stores.registrations.open(registration("undecided", target=None, spec=None), expected_etag=None)
    assert await stores.registrations.devices_by_hub() == {"a.example.net": 3, "b.example.net": 1}
    await stores.registrations.delete("a1", expected_etag=None)
    assert await stores.registrations.devices_by_hub() == {"a.example.net": 2, "b.example.net": 1}


async def test_only_capped_hubs_are_counted_all_the_time(stores: Stores) -> None:
    await stores.linked_hubs.put(linked("hub"), create=True)
    await open_one(stores, "before")
    assert await stores.linked_hubs.occupied() == {}
    await stores.linked_hubs.put(linked("hub", max_devices=5), create=False)
    assert await stores.linked_hubs.occupied() == {HUB: 1}
    await open_one(stores, "after")
    assert await stores.linked_hubs.occupied() == {HUB: 2}
    await stores.linked_hubs.put(linked("hub", max_devices=9), create=False)
    assert await stores.linked_hubs.occupied() == {HUB: 2}
    await stores.linked_hubs.put(linked("hub"), create=False)
    assert await stores.linked_hubs.occupied() == {}


async def test_a_hub_that_is_unlinked_is_counted_no_more(stores: Stores) -> None:
    await stores.linked_hubs.put(linked("hub", max_devices=5), create=True)
    await stores.linked_hubs.delete("hub")
    assert await stores.linked_hubs.occupied() == {}
    await open_one(stores, "there")
    await stores.linked_hubs.put(linked("hub", max_devices=5), create=True)
    assert await stores.linked_hubs.occupied() == {HUB: 1}


async def test_the_limit_is_exact(stores: Stores) -> None:
    await stores.linked_hubs.put(linked("hub", max_devices=5), create=True)
    results = await asyncio.gather(
        *(open_one(stores, f"d{number}", room=5) for number in range(40)), return_exceptions=True
    )
    refused = [result for result in results if result is not None]
    assert len(refused) == 35
    assert all(isinstance(each, HubFullError) for each in refused)
    assert await stores.linked_hubs.occupied() == {HUB: 5}
    assert await stores.registrations.devices_by_hub() == {HUB: 5}


async def test_the_limit_is_exact_between_processes(pair: tuple[Stores, Stores]) -> None:
    one, other = pair
    await one.linked_hubs.put(linked("hub", max_devices=4), create=True)
    results = await asyncio.gather(
        *(open_one(pair[number % 2], f"d{number}", room=4) for number in range(24)), return_exceptions=True
    )
    assert len([result for result in results if result is None]) == 4
    assert await other.linked_hubs.occupied() == {HUB: 4}


async def test_counting_begins_exactly_while_devices_register(pair: tuple[Stores, Stores]) -> None:
    one, other = pair
    await one.linked_hubs.put(linked("hub"), create=True)

    async def cap() -> None:
        await asyncio.sleep(0.01)
        await other.linked_hubs.put(linked("hub", max_devices=1000), create=False)

    await asyncio.gather(cap(), *(open_one(pair[number % 2], f"d{number}") for number in range(60)))
    assert await one.linked_hubs.occupied() == {HUB: 60}


async def test_moves_between_capped_hubs_keep_both_counts(stores: Stores) -> None:
    for name in ("a", "b"):
        await stores.linked_hubs.put(linked(name, max_devices=50), create=True)
    records = []
    for number in range(8):
        registration_id = f"d{number}"
        hub = f"{'ab'[number % 2]}.example.net"
        opened = registration(
            registration_id, target=to(hub, registration_id), lease_owner="p", lease_until=NOW + LEASE
        )
        await stores.registrations.open(opened, expected_etag=None)
        await stores.registrations.save(finished(opened, etag="done"), lease_owner="p")
        records.append(finished(opened, etag="done"))

    async def move(number: int) -> None:
        record = records[number]
        hub = f"{'ba'[number % 2]}.example.net"
        operation = registration(record.registration_id, operation="op2", target=to(hub, "x")).operation
        again = replace(record, operation=operation, etag="again")
        await stores.registrations.open(again, expected_etag="done", room=50)

    await asyncio.gather(*(move(number) for number in range(8)))
    assert await stores.linked_hubs.occupied() == {"a.example.net": 4, "b.example.net": 4}


async def test_an_answer_may_find_the_hub_full(stores: Stores) -> None:
    await stores.linked_hubs.put(linked("hub", max_devices=1), create=True)
    await open_one(stores, "first", room=1)
    asking = registration("second", target=None, spec=None, lease_owner="p", lease_until=NOW + LEASE)
    await stores.registrations.open(asking, expected_etag=None)
    answered = replace(asking, operation=replace(asking.operation, target=to(HUB, "second")), etag="e2")
    with pytest.raises(HubFullError):
        await stores.registrations.save(answered, lease_owner="p", room=1)
    assert await stores.registrations.get("second") == asking
    assert await stores.linked_hubs.occupied() == {HUB: 1}


async def test_settings_are_seen_by_every_process(pair: tuple[Stores, Stores]) -> None:
    one, other = pair
    assert await other.allocation.get() == AllocationSettings()
    settings = AllocationSettings(
        default_policy=AllocationPolicy.GEO_LATENCY,
        regions=(Region(name="eu", latitude=52.4, longitude=4.9), Region(name="us")),
        addresses=(AddressRange(prefix="10.0.0.0/8", region="eu"),),
        latencies=(RegionLatency(between=("eu", "us"), milliseconds=90.0),),
    )
    await one.allocation.put(settings)
    assert await other.allocation.get() == settings
    await other.allocation.put(AllocationSettings())
    assert await one.allocation.get() == AllocationSettings()


async def test_records_of_older_versions_are_counted_from_the_start(shared: str) -> None:
    database = await open_database(shared)
    stores = Stores.over(database)
    await open_one(stores, "open", "A.example.net")
    opened = registration("done", target=to("b.example.net", "done"), lease_owner="p", lease_until=NOW + LEASE)
    await stores.registrations.open(opened, expected_etag=None)
    await stores.registrations.save(finished(opened), lease_owner="p")
    # As the version before left it: the column was not there.
    script = next(script for script in scripts() if script.name == "0006_allocation.sql")
    fill = script.text.partition("UPDATE registrations")[2].partition(";\n")[0]
    await database.execute("UPDATE registrations SET home_key = NULL")
    await database.execute(f"UPDATE registrations{fill}")
    assert await stores.registrations.devices_by_hub() == {"a.example.net": 1, "b.example.net": 1}
    await database.close()
