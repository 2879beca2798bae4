"""Register against an operator who changes the enrollment at any moment: the outcome is that of one order or the other.

The moments are the engine's and the assigner's calls to store and hub; nothing else lets anybody in between.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from homeport.dps.engine import Registered
from homeport.dps.model import EnrollmentGroup, IndividualEnrollment, LinkedHub, ProvisioningStatus
from homeport.errors import HomeportError
from homeport.security.sas import derive_device_key
from homeport.store.enrollments import SqlEnrollmentStore
from homeport.store.registrations import SqlRegistrationStore
from homeport.values import replace
from tests.transports.world import (
    GROUP_KEY,
    KEY,
    OTHER_KEY,
    FakeLinks,
    World,
    claim,
    context,
    evidence,
    new_world,
    process,
    symmetric,
)

DEVICE = "dev-1"
NEW_KEY = bytes(range(50, 82))
Act = Callable[[World], Awaitable[None]]


@dataclass(slots=True)
class Moments:
    """Counts the calls that others may come before, and lets them in before the call number `at`."""

    at: int | None = None
    act: Callable[[], Awaitable[None]] | None = None
    passed: int = 0

    async def one_more(self) -> None:
        here, self.passed = self.passed, self.passed + 1
        if here == self.at and self.act is not None:
            await self.act()


@dataclass(slots=True)
class Interrupted:
    """A port with a moment before each call. The search for work is no part of a registration."""

    port: object
    moments: Moments

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.port, name)
        if name == "claim" or not inspect.iscoroutinefunction(method):
            return method

        async def call(*arguments: Any, **options: Any) -> Any:
            await self.moments.one_more()
            return await method(*arguments, **options)

        return call


@dataclass(slots=True)
class InterruptedLinks(FakeLinks):
    links: FakeLinks
    moments: Moments
    hubs: dict[str, Any] = field(default_factory=dict)

    def link(self, hub: LinkedHub) -> Any:
        return Interrupted(self.links.link(hub), self.moments)


@asynccontextmanager
async def interruptible(world: World, moments: Moments) -> AsyncIterator[World]:
    """A process of the service beside the world's, over the same database and hubs."""
    database = replace(
        world.database,
        enrollments=cast("SqlEnrollmentStore", Interrupted(world.database.enrollments, moments)),
        registrations=cast("SqlRegistrationStore", Interrupted(world.database.registrations, moments)),
    )
    async with process(database, InterruptedLinks(world.links, moments), world.clock).running() as other:
        yield other


async def call(world: World, key: bytes) -> str:
    """Register and say how that went."""
    try:
        answer = await world.engine.register(
            claim(DEVICE), evidence(DEVICE, key, now=world.clock.now()), None, context()
        )
    except HomeportError as error:
        return str(int(error.code))
    assert isinstance(answer, Registered)
    home = answer.registration.assignment
    return f"{answer.registration.status.value} {home.hub if home else None}"


async def left_behind(world: World) -> Mapping[str, object]:
    """Return what stands in record and hubs."""
    record = await world.database.registrations.get(DEVICE)
    return {
        "record": record and (record.status.value, record.assignment and record.assignment.hub),
        "open": record is not None and record.operation.lease_owner is not None,
        "homes": {
            host: hub.specs[DEVICE].credential for host, hub in world.links.hubs.items() if DEVICE in hub.devices
        },
    }


# ---------------------------------------------------------------- the operator


async def delete(world: World) -> None:
    if await world.database.enrollments.get_individual(DEVICE) is not None:
        await world.enrollments.delete_individual(DEVICE, if_match=None)
    else:
        await world.enrollments.delete_group("fleet", if_match=None)


async def disable(world: World) -> None:
    await change(world, provisioning_status=ProvisioningStatus.DISABLED)


async def send_elsewhere(world: World) -> None:
    await change(world, iot_hubs=("beta.example",))


async def roll_keys(world: World) -> None:
    await change(world, attestation=symmetric(NEW_KEY, NEW_KEY))


async def change(world: World, **fields: Any) -> None:
    def build_individual(stored: IndividualEnrollment | None) -> IndividualEnrollment:
        assert stored is not None
        return replace(stored, etag=f"{stored.etag}+", **fields)

    def build_group(stored: EnrollmentGroup | None) -> EnrollmentGroup:
        assert stored is not None
        return replace(stored, etag=f"{stored.etag}+", **fields)

    if await world.database.enrollments.get_individual(DEVICE) is not None:
        await world.enrollments.put_individual(DEVICE, build_individual, if_match="*")
    else:
        await world.enrollments.put_group("fleet", build_group, if_match="*")


async def forget(world: World) -> None:
    """Delete the record; whoever comes too early finds none."""
    with suppress(HomeportError):
        await world.enrollments.delete_registration(DEVICE, if_match=None)


@asynccontextmanager
async def enrolled(kind: str) -> AsyncIterator[tuple[World, bytes]]:
    """Yield a service that takes the device to alpha, and the device's key."""
    async with new_world(("alpha", "beta")) as world:
        if kind == "individual":
            await world.enroll(DEVICE, symmetric(KEY, OTHER_KEY), iot_hubs=("alpha.example",))
            yield world, KEY
        else:
            await world.enroll_group("fleet", iot_hubs=("alpha.example",))
            yield world, derive_device_key(GROUP_KEY, DEVICE)


@pytest.mark.parametrize("act", [delete, disable, send_elsewhere, roll_keys])
@pytest.mark.parametrize("kind", ["individual", "group"])
async def test_a_change_comes_before_or_after_a_registration(kind: str, act: Act) -> None:
    async with enrolled(kind) as (world, key):
        first = (await call(world, key), (await left_behind(world)))
    async with enrolled(kind) as (world, key):
        await act(world)
        last = (await call(world, key), (await left_behind(world)))
    assert first != last

    moment, seen = 0, []
    while True:
        async with enrolled(kind) as (world, key):
            moments = Moments(moment, lambda world=world: act(world))  # type: ignore[misc]  # the loop's own world
            async with interruptible(world, moments) as here:
                answer = await call(here, key)
                result = (answer, await left_behind(world))
        if moments.passed <= moment:
            break
        assert result in (first, last), f"at moment {moment}"
        seen.append(result == first)
        moment += 1
    # What is changed before the enrollment is read counts, and what is changed later does not.
    assert seen == sorted(seen)
    assert set(seen) == {False, True}


@pytest.mark.parametrize("kind", ["individual", "group"])
@pytest.mark.parametrize("rolled", [True, False])
async def test_who_was_let_in_before_a_change_does_not_come_after_who_was_let_in_later(
    kind: str, *, rolled: bool
) -> None:
    """Between two steps of one call the enrollment is changed and another call begins, perhaps with the new key."""
    moment = 0
    while True:
        async with enrolled(kind) as (world, key):
            new_key = key
            if rolled:
                new_key = NEW_KEY if kind == "individual" else derive_device_key(NEW_KEY, DEVICE)
            later: list[asyncio.Task[str]] = []

            async def change_and_register(
                world: World = world, key: bytes = new_key, later: list[asyncio.Task[str]] = later
            ) -> None:
                keys = {"attestation": symmetric(NEW_KEY, NEW_KEY)} if rolled else {}
                await change(world, iot_hubs=("beta.example",), **keys)
                later.append(tasks.create_task(call(world, key)))
                # Long enough for the whole call, unless it waits for the one that it came in between of.
                await asyncio.wait(later, timeout=0.1)

            moments = Moments(moment, change_and_register)
            async with interruptible(world, moments) as here, asyncio.TaskGroup() as tasks:
                answer = await call(here, key)
            state = await left_behind(world)
        if moments.passed <= moment:
            break
        told = later[0].result()
        if rolled:
            assert answer in ("assigned alpha.example", "401002"), f"at moment {moment}"
            assert told == "assigned beta.example", f"at moment {moment}"
        else:
            # A call that comes while an operation is open shares it, and one that lost shares the winner's.
            assert answer == told or told == "assigned beta.example", f"at moment {moment}"
        assert state["record"] == tuple(told.split()), f"at moment {moment}"
        moment += 1
    assert moment > 3


async def test_a_record_deleted_meanwhile_leaves_no_operation_open() -> None:
    moment = 0
    while True:
        async with enrolled("individual") as (world, key):
            moments = Moments(moment, lambda world=world: forget(world))  # type: ignore[misc]  # the loop's own world
            async with interruptible(world, moments) as here:
                answer = await call(here, key)
                state = await left_behind(world)
                again = await call(world, key)
        if moments.passed <= moment:
            break
        assert answer in ("assigned alpha.example", "assigning None"), f"at moment {moment}"
        assert state["record"] in (None, ("assigned", "alpha.example")), f"at moment {moment}"
        assert again == "assigned alpha.example"
        moment += 1
    assert moment > 3
