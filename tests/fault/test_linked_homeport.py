"""One Homeport is a hub of another: devices register here and live there, over the registry REST API."""

import asyncio
import json
from pathlib import Path
from typing import Any

from azure.iot.device.aio import IoTHubDeviceClient, ProvisioningDeviceClient

from homeport.client import ReprovisionPolicy
from tests.fault.actors import PATIENCE, KeyDevice, Operator, Place, initial_twin, network
from tests.server import HomeportServer

FACTORY, PLANT = "127.0.65.1", "127.0.65.2"
"""The one devices are made to ask, and the one they are to live in."""


async def link(factory: HomeportServer, plant: Operator) -> None:
    info = plant.info
    arguments = ("--ca-file", info.ca_file, "--connection-string", info.hub_connection_strings["hub1"])
    await asyncio.to_thread(factory.run, "hub", "link", "--name", "plant", *arguments)


async def registered(operator: Operator, registration_id: str, key: str) -> Any:
    client = ProvisioningDeviceClient.create_from_symmetric_key(
        FACTORY,
        registration_id,
        operator.info.id_scope,
        key,
        server_verification_cert=Path(operator.info.ca_file).read_text(),
    )
    result = await client.register()
    assert result.status == "assigned", result
    return result.registration_state


async def test_a_device_registers_here_lives_there_and_comes_back(tmp_path: Path) -> None:
    with HomeportServer(tmp_path / "factory", (FACTORY,)) as server, HomeportServer(tmp_path / "plant", (PLANT,)):
        async with Operator(tmp_path / "factory") as here, Operator(tmp_path / "plant") as there:
            await link(server, there)
            key = await here.enroll_key(
                "traveller",
                iot_hubs=[PLANT],
                initial_twin=initial_twin(interval=5),
                reprovision_policy=ReprovisionPolicy(update_hub_assignment=True, migrate_device_data=True),
            )

            state = await registered(here, "traveller", key)
            assert (state.assigned_hub, state.sub_status) == (PLANT, "initialAssignment")
            client = IoTHubDeviceClient.create_from_symmetric_key(
                key, PLANT, state.device_id, server_verification_cert=Path(there.info.ca_file).read_text()
            )
            await client.connect()
            try:
                await client.send_message(json.dumps({"temperature": 21.5}))
                await client.patch_twin_reported_properties({"battery": 80})
                twin = await client.get_twin()
                assert twin["desired"]["interval"] == 5
            finally:
                await client.shutdown()
            assert await there.hub("hub1").telemetry_count("traveller") == 1
            assert await here.homes("traveller") == {}

            await here.send_to("traveller", FACTORY)
            state = await registered(here, "traveller", key)
            assert (state.assigned_hub, state.sub_status) == (FACTORY, "deviceDataMigrated")
            assert await there.homes("traveller") == {}
            [home] = (await here.homes("traveller")).values()
            assert (home.tags, home.desired, home.reported) == ({"site": "north"}, {"interval": 5}, {"battery": 80})

            await here.send_to("traveller", PLANT)
            state = await registered(here, "traveller", key)
            assert (state.assigned_hub, state.sub_status) == (PLANT, "deviceDataMigrated")
            assert await here.homes("traveller") == {}
            [home] = (await there.homes("traveller")).values()
            assert (home.tags, home.desired, home.reported) == ({"site": "north"}, {"interval": 5}, {"battery": 80})


async def test_a_plant_that_lost_power_gets_its_device_when_it_is_back(tmp_path: Path) -> None:
    with HomeportServer(tmp_path / "factory", (FACTORY,), env={"HOMEPORT_REGISTER_BUDGET": "0.3"}) as server:
        plant = HomeportServer(tmp_path / "plant", (PLANT,))
        async with Operator(tmp_path / "factory") as here:
            with plant:
                async with Operator(tmp_path / "plant") as there:
                    await link(server, there)
                key = await here.enroll_key("patient", iot_hubs=[PLANT])
                plant.kill()
            place = Place.of(here.info)
            async with network(place) as http, asyncio.timeout(PATIENCE):
                device = KeyDevice(registration_id="patient", key=key, place=place, http=http)
                answer = await device.register()
                assert answer.outcome == "assigning"
                with plant:
                    assert (await device.finished(answer)).state["assignedHub"] == PLANT
                    async with Operator(tmp_path / "plant") as there:
                        assert list(await there.homes("patient")) == [PLANT]
