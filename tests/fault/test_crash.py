"""Kill -9 at every step of a registration, and at random moments: what was acknowledged stays, nothing stays half done.

The killed server and its successor are real processes on one data directory.
"""

import asyncio
import random
import shutil
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from homeport.client import DeviceCapabilities, ReprovisionPolicy, derive_device_key
from homeport.hub.model import Device
from homeport.store import open_stores
from tests.fault.actors import KeyDevice, MqttDevice, Operator, Place, initial_twin, network
from tests.fault.dying_server import program
from tests.server import HomeportServer, ServerFailedError

ADDRESSES = ("127.0.61.1", "127.0.61.2")
ALPHA, BETA = ADDRESSES
"""The hosts of the two hubs."""

REPORTED = {"battery": 80}

STEPS_OF_A_MOVE = ("open", "read", "provision", "save:1", "remove", "save:2")
STEPS_OF_A_FIRST_REGISTRATION = ("open", "provision", "save:1")
"""Of an Edge device: its system modules are writes of their own."""
MOMENTS = ("before", "after")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """A data directory left by a server that stopped, and the keys of its devices.

    `mover` lives on alpha, where its twin has changed on both sides, and is to move to beta; `newcomer` and `gateway`,
    an Edge device, have never registered. The others have been told their homes.
    """

    data: Path
    keys: Mapping[str, str]
    acknowledged: Mapping[str, list[tuple[str, str]]]
    """Hub and generation of the other devices' identities."""

    def copied(self, folder: Path) -> Path:
        data = folder / "data"
        shutil.copytree(self.data, data)
        return data


async def _build(data: Path) -> Plant:
    with HomeportServer(data, ADDRESSES) as server:
        async with Operator(data) as operator, network(Place.of(operator.info)) as http:
            await operator.admin.create_hub("beta", host_names=[BETA])
            place = Place.of(operator.info)
            group_key = await operator.enroll_group("others", initial_twin=initial_twin(interval=1))
            keys = {f"other-{number}": derive_device_key(group_key, f"other-{number}") for number in range(5)}
            keys["newcomer"] = await operator.enroll_key(
                "newcomer", iot_hubs=[BETA], initial_twin=initial_twin(interval=5)
            )
            keys["gateway"] = await operator.enroll_key(
                "gateway",
                iot_hubs=[BETA],
                initial_twin=initial_twin(interval=5),
                capabilities=DeviceCapabilities(iot_edge=True),
            )
            keys["mover"] = await operator.enroll_key(
                "mover",
                iot_hubs=[ALPHA],
                initial_twin=initial_twin(interval=5),
                reprovision_policy=ReprovisionPolicy(update_hub_assignment=True, migrate_device_data=True),
            )
            for name in keys.keys() - {"newcomer", "gateway"}:
                answer = await KeyDevice(registration_id=name, key=keys[name], place=place, http=http).register()
                assert answer.outcome == "assigned"
            async with MqttDevice(ALPHA, "mover", keys["mover"], place.trust()) as mover:
                await mover.report(**REPORTED)
            assert (await operator.homes("mover"))[ALPHA].reported == REPORTED
            await operator.change_desired("hub1", "mover", interval=7)
            await operator.send_to("mover", BETA)
            homes = await operator.all_homes()
            del homes["mover"]
        assert server.stop() == 0
    return Plant(data=data, keys=keys, acknowledged=homes)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return asyncio.run(_build(tmp_path_factory.mktemp("crash") / "plant"))


async def dies_while_registering(plant: Plant, data: Path, device: str, step: str, moment: str) -> None:
    """Run a server that dies at this step, and let the device ask it."""
    with HomeportServer(data, ADDRESSES, program=program(step, moment)) as server:
        async with Operator(data) as operator, network(Place.of(operator.info)) as http:
            asking = KeyDevice(registration_id=device, key=plant.keys[device], place=Place.of(operator.info), http=http)
            with pytest.raises(httpx.TransportError):
                await asking.register()
        assert await asyncio.to_thread(server.wait) == -signal.SIGKILL


async def homes_on_disk(data: Path, device_id: str) -> dict[str, Device]:
    """Look into the database that the dead server left."""
    async with open_stores(data / "homeport.db", read_only=True) as stores:
        found = {}
        for hub in await stores.hubs.all():
            device = await stores.devices(hub.name).get(device_id)
            if device is not None:
                found[hub.host_names[0]] = device
        return found


async def check_the_others(plant: Plant, operator: Operator) -> None:
    """Whoever had been told a home still has it, with the very same identity."""
    homes = await operator.all_homes()
    assert {device: homes.get(device) for device in plant.acknowledged} == plant.acknowledged
    for device, [(hub, _)] in plant.acknowledged.items():
        state = await operator.registration(device)
        assert state is not None
        assert (state.status, state.assigned_hub, state.device_id) == ("assigned", hub, device)
        assert (await operator.homes(device))[hub].desired == {"interval": 1}
    await check_the_audit(operator, plant.acknowledged)


async def check_the_audit(operator: Operator, acknowledged: Iterable[str]) -> None:
    """The chain holds, and tells how each registration ended that was acknowledged."""
    verdict = await operator.admin.verify_audit()
    assert verdict.ok, verdict.reason
    told = {entry.subject async for entry in operator.admin.audit() if entry.kind.startswith("device.")}
    assert {f"devices/{device}" for device in acknowledged} <= told


async def register_again(plant: Plant, operator: Operator, device: str) -> str:
    """Let the device ask again, as it does; return its hub."""
    place = Place.of(operator.info)
    async with network(place) as http:
        asking = KeyDevice(registration_id=device, key=plant.keys[device], place=place, http=http)
        answer = await asking.finished(await asking.register())
    assert answer.outcome == "assigned"
    return str(answer.state["assignedHub"])


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("step", STEPS_OF_A_MOVE)
async def test_a_device_that_moves_is_never_homeless(plant: Plant, tmp_path: Path, step: str, moment: str) -> None:
    data = plant.copied(tmp_path)
    await dies_while_registering(plant, data, "mover", step, moment)

    at_the_cut = await homes_on_disk(data, "mover")
    assert any(home.twin.reported.content == REPORTED for home in at_the_cut.values())

    with HomeportServer(data, ADDRESSES):
        async with Operator(data) as operator:
            state = await operator.settled("mover")
            assert state is not None
            assert state.status == "assigned"
            begun = (step, moment) != ("open", "before")
            homes = await operator.homes("mover")
            assert list(homes) == [BETA if begun else ALPHA]
            assert state.assigned_hub in homes
            await check_the_others(plant, operator)

            assert await register_again(plant, operator, "mover") == BETA
            homes = await operator.homes("mover")
            assert list(homes) == [BETA]
            home = homes[BETA]
            assert (home.tags, home.desired, home.reported) == ({"site": "north"}, {"interval": 7}, REPORTED)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_first_registration_is_one_write(plant: Plant, tmp_path: Path, moment: str) -> None:
    data = plant.copied(tmp_path)
    await dies_while_registering(plant, data, "newcomer", "conclude", moment)

    assert bool(await homes_on_disk(data, "newcomer")) is (moment == "after")
    with HomeportServer(data, ADDRESSES):
        async with Operator(data) as operator:
            state = await operator.registration("newcomer")
            if moment == "before":
                assert state is None
            else:
                assert state is not None
                assert (state.status, state.assigned_hub) == ("assigned", BETA)
                assert (await operator.homes("newcomer"))[BETA].desired == {"interval": 5}
                await check_the_audit(operator, ["newcomer"])
            await check_the_others(plant, operator)

            assert await register_again(plant, operator, "newcomer") == BETA
            assert list(await operator.homes("newcomer")) == [BETA]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("step", STEPS_OF_A_FIRST_REGISTRATION)
async def test_a_first_registration_leaves_no_trace_or_a_home(
    plant: Plant, tmp_path: Path, step: str, moment: str
) -> None:
    data = plant.copied(tmp_path)
    await dies_while_registering(plant, data, "gateway", step, moment)

    with HomeportServer(data, ADDRESSES):
        async with Operator(data) as operator:
            state = await operator.settled("gateway")
            homes = await operator.homes("gateway")
            if state is None:
                # Until its outcome is written, nothing of a first assignment to a hub of ours need last.
                assert (step, moment) != (STEPS_OF_A_FIRST_REGISTRATION[-1], "after")
                assert homes == {}
            else:
                assert (step, moment) != ("open", "before")
                assert (state.status, state.assigned_hub) == ("assigned", BETA)
                assert list(homes) == [BETA]
                assert homes[BETA].desired == {"interval": 5}
            await check_the_others(plant, operator)

            assert await register_again(plant, operator, "gateway") == BETA
            assert list(await operator.homes("gateway")) == [BETA]


# ---------------------------------------------------------------- the first start


@pytest.mark.parametrize(
    ("step", "moment"), [("identity", "after"), ("make hub", "after"), ("link", "before"), ("link", "after")]
)
async def test_a_first_start_that_died_is_finished_by_the_next(tmp_path: Path, step: str, moment: str) -> None:
    data = tmp_path / "data"
    dying = HomeportServer(data, ADDRESSES, program=program(step, moment))
    with pytest.raises(ServerFailedError):
        dying.start()
    assert dying.wait() == -signal.SIGKILL
    with HomeportServer(data, ADDRESSES) as server:
        async with Operator(data) as operator:
            assert [(hub.name, hub.host_name) for hub in await operator.admin.hubs()] == [("hub1", ALPHA)]
            key = await operator.enroll_key("first")
            async with network(Place.of(operator.info)) as http:
                device = KeyDevice(registration_id="first", key=key, place=Place.of(operator.info), http=http)
                assert (await device.register()).outcome == "assigned"
            # Once in a service's life only: who unlinks the first hub does not meet it again.
            await operator.admin.unlink_hub("hub1")
        assert server.stop() == 0
    with HomeportServer(data, ADDRESSES):
        async with Operator(data) as operator:
            assert await operator.admin.hubs() == []


# ---------------------------------------------------------------- at any moment

KILLS = 10
TASKS = 10
SEED = 20260730


async def _register_until_the_cut(device: KeyDevice, told: dict[str, str]) -> bool:
    """Note what the device was told; return False when the server has gone."""
    try:
        answer = await device.register()
    except httpx.TransportError:
        return False
    assert answer.outcome == "assigned", answer
    told[device.registration_id] = str(answer.state["assignedHub"])
    return True


async def _busy_until_the_cut(
    server: HomeportServer, operator: Operator, group_key: str, life: float
) -> dict[str, str]:
    """Register one device after the other through ten connections, until the server is killed; what was told."""
    told: dict[str, str] = {}
    place = Place.of(operator.info)
    first = len(await operator.all_homes())
    async with network(place) as http:

        async def busy(task: int) -> None:
            for number in range(1000):
                name = f"dev-{first}-{task}-{number}"
                device = KeyDevice(registration_id=name, key=derive_device_key(group_key, name), place=place, http=http)
                if not await _register_until_the_cut(device, told):
                    return

        async with asyncio.TaskGroup() as tasks:
            for task in range(TASKS):
                tasks.create_task(busy(task))
            await asyncio.sleep(life)
            server.kill()
    return told


async def test_whatever_was_acknowledged_survives_random_kills(tmp_path: Path) -> None:
    data = tmp_path / "data"
    chance = random.Random(SEED)
    told: dict[str, str] = {}
    group_key = ""
    for _ in range(KILLS):
        with HomeportServer(data, ADDRESSES) as server:
            async with Operator(data) as operator:
                if not group_key:
                    await operator.admin.create_hub("beta", host_names=[BETA])
                    group_key = await operator.enroll_group("all")
                told |= await _busy_until_the_cut(server, operator, group_key, chance.uniform(0.1, 0.6))
    assert len(told) > KILLS, "the server had work to do"
    with HomeportServer(data, ADDRESSES) as server:
        async with Operator(data) as operator:
            states = {str(state.registration_id): state async for state in operator.admin.registrations()}
            for name in states:
                await operator.settled(name)
            states = {str(state.registration_id): state async for state in operator.admin.registrations()}
            homes = await operator.all_homes()
    assert {name: states[name].assigned_hub for name in told} == told
    assert {state.status for state in states.values()} == {"assigned"}
    assert {name: [hub for hub, _ in places] for name, places in homes.items()} == {
        name: [state.assigned_hub] for name, state in states.items()
    }, "every registration has one home, and nobody else has one"
