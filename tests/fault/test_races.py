"""Many at once: the same device through many connections, devices against an operator who shuts the door."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from homeport.client import derive_device_key
from tests.fault.actors import PATIENCE, Answer, KeyDevice, Operator, Place, network
from tests.server import HomeportServer

ADDRESSES = ("127.0.62.1", "127.0.62.2")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HomeportServer]:
    with HomeportServer(tmp_path / "data", ADDRESSES) as running:
        yield running
        assert running.stop() == 0


async def test_a_hundred_calls_of_one_device_give_one_identity(server: HomeportServer) -> None:
    async with Operator(server.data) as operator:
        await operator.admin.create_hub("beta", host_names=[ADDRESSES[1]])
        key = await operator.enroll_key("same")
        place = Place.of(operator.info)
        async with network(place) as http:
            device = KeyDevice(registration_id="same", key=key, place=place, http=http)
            answers = await asyncio.gather(*(device.register() for _ in range(100)))
            assert {(answer.status, answer.outcome) for answer in answers} == {(202, "assigned")}
            [hub] = {answer.state["assignedHub"] for answer in answers}
            assert len({answer.state["createdDateTimeUtc"] for answer in answers}) == 1
            state = await operator.registration("same")
            latest = await device.operation(max(answers, key=_updated).operation_id)
        assert state is not None
        assert (state.assigned_hub, state.status) == (hub, "assigned")
        assert (latest.status, latest.state["etag"]) == (200, state.etag)
        assert list(await operator.homes("same")) == [hub]


def _updated(answer: Answer) -> str:
    return str(answer.state["lastUpdatedDateTimeUtc"])


ENOUGH = 20


@dataclass(slots=True)
class Door:
    """What the operator has been told is in force, and who came while it was."""

    state: str = "open"
    calls: list[tuple[str, str, Answer]] = field(default_factory=list)
    """The door's state when the call began, the device, the answer."""
    crowd: asyncio.Event = field(default_factory=asyncio.Event)
    """Enough devices have come while the door was in its present state."""

    def came(self, before: str, name: str, answer: Answer) -> None:
        self.calls.append((before, name, answer))
        if len(self.seen(self.state)) >= ENOUGH:
            self.crowd.set()

    def seen(self, state: str) -> set[str]:
        return {name for before, name, _ in self.calls if before == state}

    def outcomes(self, state: str) -> set[str]:
        return {_outcome(answer) for before, _, answer in self.calls if before == state}

    async def turn(self, state: str) -> None:
        """Go into another state once enough devices have met this one."""
        await self.crowd.wait()
        self.crowd.clear()
        self.state = state


async def test_nobody_comes_in_once_the_door_is_shut(server: HomeportServer) -> None:
    """Calls that begin after the operator's change was acknowledged meet the changed enrollment, and no other."""
    door = Door()
    async with Operator(server.data) as operator:
        group_key = await operator.enroll_group("crowd")
        place = Place.of(operator.info)
        async with asyncio.timeout(PATIENCE), network(place) as http, asyncio.TaskGroup() as tasks:

            async def keep_coming(task: int) -> None:
                for number in count():
                    if door.state == "nobody is looking":
                        return
                    name = f"dev-{task}-{number}"
                    key = derive_device_key(group_key, name)
                    before = door.state
                    device = KeyDevice(registration_id=name, key=key, place=place, http=http)
                    door.came(before, name, await device.register())

            for task in range(8):
                tasks.create_task(keep_coming(task))
            await door.crowd.wait()
            group = await operator.service.get_enrollment_group("crowd")
            group.provisioning_status = "disabled"
            await operator.service.create_or_update_enrollment_group(group)
            await door.turn("disabled")
            await door.crowd.wait()
            await operator.service.delete_enrollment_group("crowd")
            await door.turn("deleted")
            await door.turn("nobody is looking")

        # One that began before either change may be judged after both.
        assert "assigned" in door.outcomes("open") <= {"assigned", "disabled", "401"}
        assert door.outcomes("disabled") <= {"disabled", "401"}
        assert door.outcomes("deleted") == {"401"}
        came_in = {name for _, name, answer in door.calls if _outcome(answer) == "assigned"}
        assert set(await operator.all_homes()) == came_in


class Rival:
    """An operator who changes one device's enrollment."""

    def __init__(self, operator: Operator) -> None:
        self._service = operator.service

    async def delete(self, registration_id: str) -> None:
        await self._service.delete_individual_enrollment(registration_id)

    async def disable(self, registration_id: str) -> None:
        enrollment = await self._service.get_individual_enrollment(registration_id)
        enrollment.provisioning_status = "disabled"
        await self._service.create_or_update_individual_enrollment(enrollment)

    async def move(self, registration_id: str) -> None:
        enrollment = await self._service.get_individual_enrollment(registration_id)
        enrollment.iot_hubs = [ADDRESSES[1]]
        await self._service.create_or_update_individual_enrollment(enrollment)


@pytest.mark.parametrize(("act", "afterwards"), [("delete", "401"), ("disable", "disabled"), ("move", "assigned")])
async def test_an_enrollment_is_changed_while_its_device_registers(
    server: HomeportServer, act: str, afterwards: str
) -> None:
    """Whatever comes first: one home at most, the one that was told, and from then on what the operator wants."""
    async with Operator(server.data) as operator:
        await operator.admin.create_hub("beta", host_names=[ADDRESSES[1]])
        rival, place = Rival(operator), Place.of(operator.info)
        first, second = ADDRESSES
        async with network(place) as http:

            async def race(number: int) -> tuple[str, set[str]]:
                name = f"dev-{number}"
                key = await operator.enroll_key(name, iot_hubs=[first])
                device = KeyDevice(registration_id=name, key=key, place=place, http=http)

                async def come_later(place_in_line: int) -> Answer:
                    await asyncio.sleep(place_in_line / 200)
                    return await device.register()

                async def interfere() -> None:
                    await asyncio.sleep(number / 500)
                    await getattr(rival, act)(name)

                *answers, _ = await asyncio.gather(*map(come_later, range(4)), interfere())
                outcomes = {_outcome(answer) for answer in answers if answer is not None}
                assert outcomes <= {"assigned", afterwards}
                told = {answer.state["assignedHub"] for answer in answers if answer and _outcome(answer) == "assigned"}
                assert told <= ({first, second} if act == "move" else {first})

                last = await device.register()
                assert _outcome(last) == afterwards
                if act == "move":
                    assert last.state["assignedHub"] == second
                return name, {second} if act == "move" else told

            for name, homes in await asyncio.gather(*map(race, range(12))):
                assert set(await operator.homes(name)) == homes


def _outcome(answer: Answer) -> str:
    return answer.outcome if answer.status == 202 else str(answer.status)
