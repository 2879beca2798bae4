"""Other people's AMQP libraries as devices of a hub: uamqp as the C client does it, Qpid Proton as the Java client."""

import asyncio
import os
from typing import Any

import pytest

from homeport.security import sas
from tests.conformance.hub_at_home import KEY, Home
from tests.conformance.processes import running
from tests.conformance.test_amqp_peers import AVAILABLE, HERE, PEERS

pytestmark = pytest.mark.conformance

SCRIPTS = {"uamqp": "uamqp_home.py", "Qpid Proton": "proton_home.py"}
FOREVER = 4102444800


@pytest.mark.parametrize("peer", SCRIPTS)
@pytest.mark.matrix(
    sdk="AMQP 1.0 libraries",
    feature="{peer} as a device: CBS, telemetry, twin, methods, cloud-to-device",
    transport="amqp",
)
async def test_a_device(home: Home, peer: str) -> None:
    if not AVAILABLE[peer]():
        pytest.skip(f"{peer} is not installed")
    device_id = await home.enrol()
    token = sas.sign(sas.encode_resource(f"localhost/devices/{device_id}"), KEY, FOREVER)
    wanted: dict[str, Any] = {"host": "localhost", "deviceId": device_id, "token": token, "ca": home.ca_file}
    # Neither this tree nor its environment is the system Python's business.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    async with running([PEERS[peer][0], str(HERE / "amqp" / SCRIPTS[peer])], environment, wanted) as device:
        await device.expect("cbs")
        assert (await device.expect("sent"))["outcome"] == "Ok"
        told = await device.expect("twin")
        assert (told["status"], told["body"]["desired"]) == (200, {"$version": 1})
        told = await device.expect("reported")
        assert (told["status"], told["version"]) == (204, 2)
        assert (await device.expect("following"))["status"] == 200
        await device.expect("ready")

        await home.hub.twins.patch(device_id, tags=None, desired={"speed": 5}, expected_version=None)
        told = await device.expect("desired")
        assert (told["version"], told["body"]) == (2, {"speed": 5, "$version": 2})

        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(
                home.hub.methods.call(device_id, "ask", b'{"in":1}', connect_timeout=10, response_timeout=10)
            )
            told = await device.expect("method")
        assert (told["name"], told["outcome"]) == ("ask", "Ok")
        assert (call.result().status, call.result().payload) == (201, b'{"said":"yes"}')

        await home.send(device_id, "hello", properties={"colour": "red"})
        told = await device.expect("message")
        assert (told["text"], told["properties"], told["tag"]) == ("hello", {"colour": "red"}, 16)
        await device.expect("closed")
        await home.waiting(device_id, 0)
    stored = await home.hub.telemetry.log.latest(device_id=device_id, limit=10)
    assert [each.telemetry.body for each in reversed(stored)] in ([b"one", b"two"], [b"one"])
