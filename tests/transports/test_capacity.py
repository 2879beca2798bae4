"""Hubs that are drained or full take no new devices, and keep those they have."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from homeport.dps.engine import Registered
from homeport.dps.hubs import Share
from homeport.dps.model import AllocationPolicy, Assignment, Registration, RegistrationStatus, ReprovisionPolicy
from homeport.dps.ports import HubRefusedError
from homeport.security.sas import derive_device_key
from tests.transports.world import GROUP_KEY, World, claim, context, evidence, new_world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with new_world(("alpha", "beta")) as fresh:
        await fresh.enroll_group("fleet")
        yield fresh


async def register(world: World, registration_id: str, **options: Any) -> Registration:
    key = derive_device_key(GROUP_KEY, registration_id)
    answer = await world.engine.register(claim(registration_id), evidence(registration_id, key), None, context())
    assert isinstance(answer, Registered)
    return answer.registration


def home(registration: Registration) -> str:
    assert registration.status is RegistrationStatus.ASSIGNED, registration.failure
    assert registration.assignment is not None
    return registration.assignment.hub


async def devices(world: World) -> dict[str, int]:
    return {standing.hub.name: standing.devices for standing in await world.hubs.standings()}


async def test_a_drained_hub_keeps_its_devices_and_takes_no_more(world: World) -> None:
    before = {name: home(await register(world, name)) for name in (f"d{number}" for number in range(20))}
    assert set(before.values()) == {"alpha.example", "beta.example"}
    await world.hubs.update("alpha", Share(draining=True))
    assert {name: home(await register(world, name)) for name in before} == before
    assert {home(await register(world, f"new{number}")) for number in range(20)} == {"beta.example"}
    await world.hubs.update("beta", Share(draining=True))
    failed = await register(world, "late")
    assert failed.status is RegistrationStatus.FAILED
    assert failed.failure is not None
    assert "alpha.example: it is drained" in failed.failure.message


async def test_a_hundred_at_once_fill_a_hub_exactly(world: World) -> None:
    await world.hubs.update("beta", Share(max_devices=7))
    homes = Counter([home(each) for each in await asyncio.gather(*(register(world, f"d{n}") for n in range(100)))])
    assert homes == {"alpha.example": 93, "beta.example": 7}
    assert await devices(world) == {"alpha": 93, "beta": 7}
    assert await world.database.linked_hubs.occupied() == {"beta.example": 7}


async def test_a_full_hub_keeps_its_devices_and_says_that_it_is_full(world: World) -> None:
    await world.hubs.update("alpha", Share(apply_allocation_policy=False))
    await world.hubs.update("beta", Share(max_devices=1))
    first = await register(world, "first")
    second = await register(world, "second")
    assert second.status is RegistrationStatus.FAILED
    assert second.failure is not None
    assert "it is full: 1 devices of at most 1" in second.failure.message
    assert home(await register(world, "first")) == home(first)
    await world.hubs.update("beta", Share(max_devices=2))
    assert home(await register(world, "second")) == "beta.example"


async def test_a_place_is_given_back_when_the_hub_refuses_or_the_record_goes(world: World) -> None:
    await world.hubs.update("alpha", Share(apply_allocation_policy=False))
    await world.hubs.update("beta", Share(max_devices=1))

    def refuse(_: str) -> None:
        raise HubRefusedError("no")

    world.hub("beta.example").before = refuse
    assert (await register(world, "unwanted")).status is RegistrationStatus.FAILED
    world.hub("beta.example").before = lambda _: None
    assert home(await register(world, "wanted")) == "beta.example"
    assert (await register(world, "other")).status is RegistrationStatus.FAILED
    await world.database.registrations.delete("wanted", expected_etag=None)
    assert home(await register(world, "other")) == "beta.example"


async def test_static_allocation_respects_both(world: World) -> None:
    policy: dict[str, Any] = {"allocation_policy": AllocationPolicy.STATIC, "iot_hubs": ("alpha.example",)}
    await world.enroll_group("pinned", **policy)
    await world.database.enrollments.delete_group("fleet", expected_etag=None)
    await world.hubs.update("alpha", Share(max_devices=1))
    assert home(await register(world, "one")) == "alpha.example"
    full = await register(world, "two")
    assert full.failure is not None
    assert "it is full" in full.failure.message
    await world.hubs.update("alpha", Share(max_devices=0, draining=True))
    drained = await register(world, "two")
    assert drained.failure is not None
    assert "it is drained" in drained.failure.message
    assert home(await register(world, "one")) == "alpha.example"


async def test_a_move_frees_a_place_and_takes_one(world: World) -> None:
    await world.hubs.update("beta", Share(apply_allocation_policy=False))
    await world.hubs.update("alpha", Share(max_devices=5))
    assert home(await register(world, "mover")) == "alpha.example"
    await world.hubs.update("beta", Share(apply_allocation_policy=True, max_devices=1))
    await world.hubs.update("alpha", Share(apply_allocation_policy=False))
    assert home(await register(world, "mover")) == "beta.example"
    assert await world.database.linked_hubs.occupied() == {"alpha.example": 0, "beta.example": 1}


async def test_a_cap_counts_the_devices_that_were_there_before_it(world: World) -> None:
    await world.hubs.update("beta", Share(apply_allocation_policy=False))
    for number in range(3):
        await register(world, f"d{number}")
    await world.hubs.update("alpha", Share(max_devices=3))
    assert (await register(world, "fourth")).status is RegistrationStatus.FAILED
    await world.hubs.update("alpha", Share(max_devices=2))
    assert home(await register(world, "d1")) == "alpha.example", "those over the limit stay"


async def test_a_device_that_never_moves_stays_on_a_drained_hub(world: World) -> None:
    policy = ReprovisionPolicy(update_hub_assignment=False, migrate_device_data=False)
    await world.database.enrollments.delete_group("fleet", expected_etag=None)
    await world.enroll_group("fleet", reprovision_policy=policy)
    first = await register(world, "still")
    for name in ("alpha", "beta"):
        await world.hubs.update(name, Share(draining=True))
    assert (await register(world, "still")).assignment == Assignment(hub=home(first), device_id="still")
