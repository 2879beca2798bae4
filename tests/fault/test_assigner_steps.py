"""The process dies at every step of an assignment; the next one finishes it, and nothing told is ever untrue."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from homeport.dps.engine import Registered
from homeport.dps.model import Registration, RegistrationStatus, Substatus
from homeport.store.stores import Stores, open_stores
from homeport.values import replace
from tests.transports.world import (
    FakeLinks,
    ManualClock,
    PowerCut,
    World,
    claim,
    context,
    evidence,
    process,
    reported,
    twin,
)

LEASE = timedelta(seconds=10)

POINTS = ["open", "read", "provision", "save 1", "remove", "save 2"]
"""Every call to store or hub on the way of a device that moves, in order."""


def dies_at(world: World, point: str, moment: str) -> None:
    """Cut the power just before or just after one call."""
    name, _, number = point.partition(" ")
    if name in {"open", "save"}:
        store = world.database.registrations
        original: Callable[..., Any] = getattr(store, name)
        calls = iter(range(1, 100))

        async def cut(*arguments: Any, **options: Any) -> Any:
            here = not number or next(calls) == int(number)
            if here and moment == "before":
                raise PowerCut
            result = await original(*arguments, **options)
            if here:
                raise PowerCut
            return result

        setattr(store, name, cut)
        return

    def power_cut(call: str) -> None:
        if call == name:
            raise PowerCut

    for hub in world.links.hubs.values():
        setattr(hub, moment, power_cut)


def repaired(world: World) -> None:
    for name in ("open", "save"):
        vars(world.database.registrations).pop(name, None)
    for hub in world.links.hubs.values():
        hub.before = hub.after = lambda _: None


async def register(world: World) -> Registration:
    proof = evidence("dev-1", now=world.clock.now())
    answer = await world.engine.register(claim("dev-1"), proof, None, context())
    assert isinstance(answer, Registered)
    return answer.registration


async def dying_register(world: World) -> Registration | None:
    """Register with a process that dies on the way; what it answered, if it came to that."""
    loop = asyncio.get_running_loop()
    run = loop.create_task(world.assigner.run())
    await asyncio.sleep(0)
    call = loop.create_task(register(world))
    try:
        await asyncio.wait((run, call), return_when=asyncio.FIRST_COMPLETED, timeout=10)
        return call.result() if call.done() and call.exception() is None else None
    except PowerCut:
        return None
    finally:
        for task in (call, run):
            task.cancel()
        await asyncio.gather(call, run, return_exceptions=True)


async def prepared(database: Stores) -> World:
    """A device that lives on alpha, has reported, and is to move to beta."""
    world = process(database, FakeLinks(), ManualClock(), lease=LEASE)
    for name in ("alpha", "beta"):
        await world.link_hub(name)
        world.hub(f"{name}.example")
    await world.enroll("dev-1", iot_hubs=("alpha.example",), initial_twin=twin(interval=5))
    async with world.running():
        assert (await register(world)).status is RegistrationStatus.ASSIGNED
    reported(world.hub("alpha.example"), "dev-1", battery=80)
    stored = await database.enrollments.get_individual("dev-1")
    assert stored is not None
    await database.enrollments.replace_individual(replace(stored, iot_hubs=("beta.example",)), expected_etag=None)
    return process(database, world.links, world.clock, lease=LEASE)


def check_nothing_told_is_untrue(world: World, told: Registration | None) -> None:
    """Whoever heard `assigned` finds identity and twin at its hub."""
    if told is not None and told.status is RegistrationStatus.ASSIGNED:
        assert told.assignment is not None
        device = world.hub(told.assignment.hub).devices[told.assignment.device_id]
        assert device.twin.reported == {"battery": 80}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("point", POINTS)
async def test_a_move_survives_a_power_cut(point: str, moment: str) -> None:
    async with open_stores(":memory:") as database:
        world = await prepared(database)
        dies_at(world, point, moment)
        told = await dying_register(world)
        assert told is None, "the cut came before the answer"
        repaired(world)
        at_the_cut = await database.registrations.get("dev-1")
        assert at_the_cut is not None
        check_nothing_told_is_untrue(world, at_the_cut)
        # While the twin is under way it is at the old hub, at the new one, or at both; never nowhere.
        homes = [hub.devices["dev-1"] for hub in world.links.hubs.values() if "dev-1" in hub.devices]
        assert any(home.twin.reported == {"battery": 80} for home in homes)

        world.clock.advance(seconds=LEASE.total_seconds() + 1)
        next_process = process(database, world.links, world.clock, lease=LEASE)
        async with next_process.running():
            final = await register(next_process)
        check_nothing_told_is_untrue(next_process, final)
        assert final.status is RegistrationStatus.ASSIGNED
        assert final.assignment is not None
        assert final.assignment.hub == "beta.example"
        assert next_process.hub("alpha.example").devices == {}
        assert list(next_process.hub("beta.example").devices) == ["dev-1"]
        twin_there = next_process.hub("beta.example").devices["dev-1"].twin
        assert (twin_there.desired, twin_there.reported) == ({"interval": 5}, {"battery": 80})
        stored = await database.registrations.get("dev-1")
        assert stored == final


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("point", ["open", "provision", "save 1"])
async def test_a_first_registration_survives_a_power_cut_without_the_device_asking_again(
    point: str, moment: str
) -> None:
    async with open_stores(":memory:") as database:
        world = process(database, FakeLinks(), ManualClock(), lease=LEASE)
        await world.link_hub("alpha")
        world.hub("alpha.example")
        await world.enroll("dev-1", initial_twin=twin(interval=5))
        dies_at(world, point, moment)
        assert await dying_register(world) is None
        repaired(world)
        world.clock.advance(seconds=LEASE.total_seconds() + 1)
        next_process = process(database, world.links, world.clock, lease=LEASE)
        async with next_process.running():
            stored = await database.registrations.get("dev-1")
            if stored is None:
                assert (point, moment) == ("open", "before"), "what was opened is never forgotten"
                return
            final = await next_process.assigner.outcome(stored, 5)
        assert final.status is RegistrationStatus.ASSIGNED
        assert final.substatus is Substatus.INITIAL_ASSIGNMENT
        assert next_process.hub("alpha.example").devices["dev-1"].twin.desired == {"interval": 5}


async def test_a_process_that_lost_its_lease_does_not_overwrite_the_outcome() -> None:
    async with open_stores(":memory:") as database:
        slow = process(database, FakeLinks(), ManualClock(), lease=LEASE, patience=0.3)
        await slow.link_hub("alpha")
        await slow.enroll("dev-1")
        slow.hub("alpha.example").delay = 0.15
        async with slow.running():
            registering = asyncio.get_running_loop().create_task(register(slow))
            await asyncio.sleep(0.03)
            slow.clock.advance(seconds=LEASE.total_seconds() + 1)
            fast_links = FakeLinks()
            fast = process(database, fast_links, slow.clock, lease=LEASE)
            async with fast.running():
                stored = await database.registrations.get("dev-1")
                assert stored is not None
                taken_over = await fast.assigner.outcome(stored, 5)
            told = await registering
        assert told == taken_over
        assert await database.registrations.get("dev-1") == taken_over
