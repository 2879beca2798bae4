"""Two server processes on one PostgreSQL database: they agree from the first start on, race, and stand in."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from homeport.client import DeviceCapabilities, derive_device_key
from tests.fault.actors import PATIENCE, KeyDevice, MqttDevice, Operator, Place, network
from tests.fault.dying_server import program
from tests.fault.stand_in_hub import StandInHub
from tests.postgres import PrivatePostgres
from tests.server import HomeportServer

pytestmark = pytest.mark.postgres

LEFT, RIGHT, ELSEWHERE = "127.0.63.1", "127.0.63.2", "127.0.63.9"


@contextmanager
def both(folder: Path, database: str, **left: Any) -> Iterator[tuple[HomeportServer, HomeportServer]]:
    """Start both at the same moment."""
    servers = (
        HomeportServer(folder / "left", (LEFT,), "--database", database, **left),
        HomeportServer(folder / "right", (RIGHT,), "--database", database),
    )
    with ExitStack() as stack, ThreadPoolExecutor() as threads:
        for server in servers:
            stack.callback(server.__exit__)
        for started in [threads.submit(server.start) for server in servers]:
            started.result()
        yield servers


@dataclass(frozen=True, slots=True)
class Pair:
    left: Operator
    right: Operator
    http: httpx.AsyncClient

    def device(self, at: Operator, name: str, key: str) -> KeyDevice:
        return KeyDevice(registration_id=name, key=key, place=Place.of(at.info), http=self.http)


@pytest.fixture
async def pair(tmp_path: Path, postgres_database: str) -> AsyncIterator[Pair]:
    with both(tmp_path, postgres_database) as (left_server, right_server):
        async with AsyncExitStack() as stack:
            left, right = [
                await stack.enter_async_context(Operator(server.data)) for server in (left_server, right_server)
            ]
            http = await stack.enter_async_context(network(Place.of(left.info)))
            yield Pair(left, right, http)
        assert (left_server.stop(), right_server.stop()) == (0, 0)


def test_they_agree_from_the_first_start(tmp_path: Path, postgres: PrivatePostgres) -> None:
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        with both(folder, postgres.new_database()) as servers:
            infos = [server.connection() for server in servers]
            secrets = [
                {
                    name: value.partition(";")[2] if name.endswith("DPS_CONNECTION_STRING") else value
                    for name, value in info.items()
                    if name not in {"HOMEPORT_GLOBAL_ENDPOINT", "HOMEPORT_CA_FILE", "HOMEPORT_PORTAL_URL"}
                }
                for info in infos
            ]
            assert secrets[0] == secrets[1]
            assert len([name for name in infos[0] if name.startswith("HOMEPORT_HUB")]) == 1
            authorities = [Path(info["HOMEPORT_CA_FILE"]).read_bytes() for info in infos]
            assert authorities[0] == authorities[1]


async def test_races_through_both_give_one_assignment(pair: Pair) -> None:
    await pair.left.admin.create_hub("beta", host_names=["beta.example"])
    group_key = await pair.right.enroll_group("all")
    names = [f"dev-{number}" for number in range(20)]
    devices = [
        pair.device(at, name, derive_device_key(group_key, name))
        for name in names
        for at in (pair.left, pair.right)
        for _ in range(3)
    ]

    async def through(device: KeyDevice) -> tuple[str, str]:
        answer = await device.register()
        if answer.outcome == "assigning":
            # The operation may have been followed by another call's; registering again joins the latest.
            answer = await device.finished(await device.register())
        assert answer.outcome == "assigned", answer
        return device.registration_id, str(answer.state["assignedHub"])

    told = set(await asyncio.gather(*(through(device) for device in devices)))
    assert len(told) == len(names), "every device heard of one hub only"
    hubs = {hub.host_name: hub.name for hub in await pair.left.admin.hubs()}
    for name, host in told:
        for operator in (pair.left, pair.right):
            state = await operator.registration(name)
            assert state is not None
            assert (state.status, state.assigned_hub) == ("assigned", host)
    assert {host for _, host in told} == set(hubs)


async def test_a_hub_made_through_one_is_served_by_the_other(pair: Pair) -> None:
    await pair.left.admin.create_hub("gamma", host_names=["gamma.example"])
    key = await pair.left.enroll_key("guest", iot_hubs=["gamma.example"])
    device = pair.device(pair.right, "guest", key)
    answer = await device.finished(await device.register())
    assert (answer.outcome, answer.state["assignedHub"]) == ("assigned", "gamma.example")
    # The process at the other address has a certificate for the new hub, and takes its devices.
    trust = Place.of(pair.right.info).trust()
    async with asyncio.timeout(PATIENCE), MqttDevice("gamma.example", "guest", key, trust, address=RIGHT) as connected:
        connected.send(b"hello")
        assert await connected.acknowledged()
    assert "gamma" in pair.right.info.hub_connection_strings


async def test_what_a_hub_put_off_is_carried_out_by_one_of_them(pair: Pair) -> None:
    """Operations that failed for now are anybody's: both look for them when their time has come."""
    async with StandInHub.at(ELSEWHERE).opened() as hub:
        hub.answer = (503, {})
        await pair.left.admin.link_hub(
            "elsewhere", connection_string=hub.connection_string, ca_certificates=hub.ca.certificate.decode()
        )
        group_key = await pair.right.enroll_group("all", iot_hubs=[ELSEWHERE])
        names = [f"dev-{number}" for number in range(40)]
        devices = [
            pair.device(at, name, derive_device_key(group_key, name))
            for name in names
            for at in (pair.left, pair.right)
        ]
        answers = await asyncio.gather(*(device.register() for device in devices))
        assert {answer.outcome for answer in answers} == {"assigning"}
        assert len({answer.operation_id for answer in answers}) == len(names)
        assert hub.creations == []

        await hub.recover()
        states = [await pair.right.settled(name) for name in names]
        assert [(state.status, state.assigned_hub) for state in states if state] == [("assigned", ELSEWHERE)] * 40
        assert sorted(hub.devices) == sorted(names)
        assert len(hub.creations) == len(names), "nobody was taken there twice"


async def test_one_finishes_what_the_other_died_over(tmp_path: Path, postgres_database: str) -> None:
    with both(tmp_path, postgres_database, program=program("provision", "after")) as (left, right):
        async with Operator(left.data) as dying, Operator(right.data) as living:
            # An Edge device: its registration is more than one write, so there is something to finish.
            edge = DeviceCapabilities(iot_edge=True)
            key = await living.enroll_key("survivor", capabilities=edge)
            async with network(Place.of(living.info)) as http:
                asking = KeyDevice(registration_id="survivor", key=key, place=Place.of(dying.info), http=http)
                with pytest.raises(httpx.TransportError):
                    await asking.register()
                assert await asyncio.to_thread(left.wait) == -signal.SIGKILL

                state = await living.settled("survivor")
                assert state is not None
                assert state.status == "assigned"
                device = KeyDevice(registration_id="survivor", key=key, place=Place.of(living.info), http=http)
                answer = await device.register()
            assert answer.outcome == "assigned"
            assert answer.state["assignedHub"] == state.assigned_hub
        assert right.stop() == 0
