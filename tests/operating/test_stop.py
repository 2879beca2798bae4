"""SIGTERM: what is under way ends within seconds, everybody is told goodbye, and the next start is clean."""

import asyncio
import signal
from pathlib import Path

import httpx
import pytest

from tests.fault.actors import PATIENCE, KeyDevice, MqttDevice, Operator, Place, network
from tests.fault.stand_in_hub import StandInHub
from tests.server import HomeportServer

ADDRESS, ELSEWHERE = "127.0.73.1", "127.0.73.9"


async def test_a_busy_server_drains_and_the_next_one_goes_on(tmp_path: Path) -> None:
    """Connected devices, idle connections, a request under way and an operation that waits for its hub."""
    server = HomeportServer(tmp_path / "data", (ADDRESS,), env={"HOMEPORT_REGISTER_BUDGET": "1", "HOMEPORT_DRAIN": "3"})
    async with StandInHub.at(ELSEWHERE).opened() as hub:
        with server:
            async with Operator(server.data) as operator, network(Place.of(operator.info)) as http:
                await operator.admin.link_hub(
                    "elsewhere", connection_string=hub.connection_string, ca_certificates=hub.ca.certificate.decode()
                )
                place = Place.of(operator.info)
                at_home = KeyDevice(
                    registration_id="home", key=await operator.enroll_key("home", iot_hubs=[ADDRESS]), place=place,
                    http=http,
                )  # fmt: skip
                waiting = KeyDevice(
                    registration_id="waiting", key=await operator.enroll_key("waiting", iot_hubs=[ELSEWHERE]),
                    place=place, http=http,
                )  # fmt: skip
                assert (await at_home.register()).outcome == "assigned"
                hub.hold()
                async with (
                    asyncio.timeout(PATIENCE),
                    MqttDevice(ADDRESS, "home", at_home.key, place.trust()) as connected,
                    asyncio.TaskGroup() as tasks,
                ):
                    asked = tasks.create_task(waiting.register())
                    await hub.asked.wait()
                    stopped = tasks.create_task(asyncio.to_thread(server.stop))
                    await connected.ended()
                answer, status = asked.result(), stopped.result()
        assert status == 0
        assert answer.outcome == "assigning", "the request under way was answered"
        assert "Traceback" not in server.log.read_text()
        await hub.recover()
        with server:
            async with Operator(server.data) as operator, network(place) as http:
                waiting.http = http
                assert (await waiting.finished(answer)).outcome == "assigned"
                assert (await operator.hub("hub1").get_device("home")).connection_state == "Disconnected"
            assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_server_stops_at_once_and_refuses_connections(tmp_path: Path, number: signal.Signals) -> None:
    with HomeportServer(tmp_path / "data", (ADDRESS,)) as server:
        place = Place.of(Operator(server.data).info)
        url = f"https://{ADDRESS}/homeport/health"
        async with network(place) as http:
            assert (await http.get(url)).status_code == 200
        server.send_signal(number)
        assert await asyncio.to_thread(server.wait) == 0
        async with network(place) as http:
            with pytest.raises(httpx.ConnectError):
                await http.get(url)
