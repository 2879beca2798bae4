"""Moves between hubs over the registry REST API when one of them fails in the middle (contract dps.md 9.4).

The old identity is never removed before the new one stands; what began is taken up again; nothing is half done.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from homeport.client import ReprovisionPolicy
from tests.fault.actors import Home, KeyDevice, Operator, Place, initial_twin, network
from tests.fault.stand_in_hub import StandInHub
from tests.server import HomeportServer

HERE = "127.0.64.1"
ELSEWHERE = "127.0.64.9"
BUDGET = {"HOMEPORT_REGISTER_BUDGET": "0.3"}
INITIAL = {"interval": 5}
REPORTED = {"battery": 80}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HomeportServer]:
    with HomeportServer(tmp_path / "data", (HERE,), env=BUDGET) as running:
        yield running


@asynccontextmanager
async def settled_elsewhere(
    server: HomeportServer, *, migrate: bool = True
) -> AsyncIterator[tuple[StandInHub, Operator, KeyDevice]]:
    """A device that lives on the hub elsewhere, has reported, and is to come here."""
    async with StandInHub.at(ELSEWHERE).opened() as hub, Operator(server.data) as operator:
        await operator.admin.link_hub(
            "elsewhere", connection_string=hub.connection_string, ca_certificates=hub.ca.certificate.decode()
        )
        key = await operator.enroll_key(
            "mover",
            iot_hubs=[ELSEWHERE],
            initial_twin=initial_twin(**INITIAL),
            reprovision_policy=ReprovisionPolicy(update_hub_assignment=True, migrate_device_data=migrate),
        )
        place = Place.of(operator.info)
        async with network(place) as http:
            device = KeyDevice(registration_id="mover", key=key, place=place, http=http)
            first = await device.finished(await device.register())
            assert first.state["assignedHub"] == ELSEWHERE
            properties = {**hub.devices["mover"]["properties"], "reported": REPORTED}
            hub.devices["mover"] = {**hub.devices["mover"], "properties": properties}
            await operator.send_to("mover", HERE)
            hub.calls.clear()
            yield hub, operator, device


async def here(operator: Operator) -> Home | None:
    return (await operator.homes("mover")).get(HERE)


@pytest.mark.parametrize("collection", ["devices", "twins"])
async def test_while_the_old_hub_cannot_be_read_nothing_is_made_here(server: HomeportServer, collection: str) -> None:
    async with settled_elsewhere(server) as (hub, operator, device):
        hub.unwilling["GET", collection] = 503
        answer = await device.register()
        assert answer.outcome == "assigning"
        assert await here(operator) is None, "a twin that was not read must not be replaced by another"
        assert "mover" in hub.devices
        await hub.recover()
        final = await device.finished(answer)
        assert (final.state["assignedHub"], final.state["substatus"]) == (HERE, "deviceDataMigrated")
        home = await here(operator)
        assert home is not None
        assert (home.desired, home.reported) == (INITIAL, REPORTED)
        assert not hub.devices


@pytest.mark.parametrize("migrate", [True, False])
async def test_an_old_hub_that_will_not_let_go_has_its_device_removed_later(
    server: HomeportServer, migrate: bool
) -> None:
    async with settled_elsewhere(server, migrate=migrate) as (hub, operator, device):
        hub.unwilling["DELETE", "devices"] = 503
        answer = await device.register()
        assert answer.outcome == "assigning"
        home = await here(operator)
        assert home is not None, "the new identity stands before the old one may go"
        assert "mover" in hub.devices
        await hub.recover()
        final = await device.finished(answer)
        assert final.state["substatus"] == ("deviceDataMigrated" if migrate else "deviceDataReset")
        assert not hub.devices
        home = await here(operator)
        assert home is not None
        assert home.reported == (REPORTED if migrate else {})


async def test_a_reset_does_not_read_the_old_hub(server: HomeportServer) -> None:
    async with settled_elsewhere(server, migrate=False) as (hub, operator, device):
        final = await device.finished(await device.register())
        assert final.state["substatus"] == "deviceDataReset"
        assert [call.method for call in hub.calls] == ["DELETE"]
        home = await here(operator)
        assert home is not None
        assert (home.desired, home.reported) == (INITIAL, {})


async def test_a_new_hub_that_refuses_leaves_everything_where_it_was(server: HomeportServer) -> None:
    async with settled_elsewhere(server) as (hub, operator, device):
        final = await device.finished(await device.register())
        assert final.state["assignedHub"] == HERE
        await operator.send_to("mover", ELSEWHERE)
        hub.unwilling["POST", "devices"] = 403
        failed = await device.finished(await device.register())
        assert failed.outcome == "failed"
        home = await here(operator)
        assert home is not None
        assert (home.desired, home.reported) == (INITIAL, REPORTED)
        state = await operator.registration("mover")
        assert state is not None
        assert state.assigned_hub == HERE, "the device still lives there"


async def test_a_server_that_dies_between_the_hubs_finishes_the_move(server: HomeportServer) -> None:
    async with settled_elsewhere(server) as (hub, operator, device):
        hub.unwilling["DELETE", "devices"] = 503
        answer = await device.register()
        assert answer.outcome == "assigning"
        server.kill()
        hub.unwilling.clear()
        with server:
            final = await device.finished(answer)
            assert (final.state["assignedHub"], final.state["substatus"]) == (HERE, "deviceDataMigrated")
            assert not hub.devices
            home = await here(operator)
            assert home is not None
            assert home.reported == REPORTED


async def test_a_throttled_hub_without_retry_after_is_left_alone_for_ten_seconds(server: HomeportServer) -> None:
    """As Azure throttles (contract hub.md 22.1)."""
    async with settled_elsewhere(server) as (hub, _, device):
        hub.answer = (429, {"iothub-errorcode": "ThrottlingBacklogTimeout"})
        answer = await device.register()
        assert answer.outcome == "assigning"
        assert answer.retry_after == 5, "the most that every device SDK takes"
        assert len(hub.calls) == 1
        again = await device.operation(answer.operation_id)
        assert again.outcome == "assigning"
        assert len(hub.calls) == 1


async def test_a_hub_whose_key_was_changed_is_seen(server: HomeportServer) -> None:
    async with settled_elsewhere(server) as (hub, operator, _):
        assert (await operator.admin.check_hub("elsewhere")).health.state == "healthy"  # type: ignore[union-attr]
        hub.answer = (401, {"iothub-errorcode": "IotHubUnauthorizedAccess"})
        found = await operator.admin.check_hub("elsewhere")
        assert found.health is not None
        assert found.health.state == "unauthorized"
        assert "401 IotHubUnauthorizedAccess" in found.health.detail
        await hub.go_down()
        assert (await operator.admin.check_hub("elsewhere")).health.state == "unreachable"  # type: ignore[union-attr]
