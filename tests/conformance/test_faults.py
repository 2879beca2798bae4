"""Fault injection messages as Microsoft's suites send them, by stock clients (contract hub.md 28); one hub here."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from azure.iot.device import Message
from azure.iot.device.aio import IoTHubDeviceClient

from homeport.faults import FaultLab, Injection
from homeport.hub.errors import HubError
from homeport.hub.faults import FaultType
from homeport.security import sas
from tests.conformance.hub_at_home import CLOCK, KEY, Home, running_home
from tests.conformance.processes import Process, running
from tests.conformance.test_amqp_peers import AVAILABLE, HERE, SYSTEM_PYTHON

pytestmark = pytest.mark.conformance

SDK = "Node: azure-iot-device"
FOREVER = 4102444800
DELAY = 1
AT_ONCE = 4
"""Devices in processes of their own at the same time."""

AMQP = [
    *(each for each in FaultType if each.startswith("KillAmqp")),
    FaultType.KILL_TCP,
    FaultType.SHUT_DOWN_AMQP,
]
MQTT = [FaultType.KILL_TCP, FaultType.SHUT_DOWN_MQTT]
KINDS = {
    "amqp": AMQP,
    "amqp-ws": [*AMQP[:2], FaultType.KILL_TCP, FaultType.SHUT_DOWN_AMQP],
    "mqtt": MQTT,
    "mqtt-ws": MQTT,
}
transports = pytest.mark.parametrize("transport", KINDS)


def fault(kind: str) -> dict[str, Any]:
    return {
        "AzIoTHub_FaultOperationType": str(kind),
        "AzIoTHub_FaultOperationCloseReason": " severs the TCP connection ",
        "AzIoTHub_FaultOperationDelayInSecs": DELAY,
    }


@pytest.fixture
def lab() -> FaultLab:
    return FaultLab(CLOCK, os.urandom)


@pytest.fixture
async def home(tmp_path: Path, lab: FaultLab) -> AsyncIterator[Home]:
    async with running_home(tmp_path, faults=lab) as home:
        yield home


@pytest.fixture
async def turn() -> asyncio.Semaphore:
    return asyncio.Semaphore(AT_ONCE)


async def happened(lab: FaultLab, device_id: str, kind: str) -> Injection:
    """Wait until the hub has done it."""
    async with asyncio.timeout(20):
        while not (done := lab.history(device_id=device_id)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert kind in done[-1].detail
    return done[-1]


async def called(home: Home, device_id: str) -> int:
    """Call the device, again if its connection ended during the call: the SDK may be about to give the old one up."""
    async with asyncio.timeout(30):
        while True:
            with suppress(HubError):
                call = home.hub.methods.call(device_id, "m", b"1", connect_timeout=20, response_timeout=20)
                return (await call).status


async def heard(device: Process, event: str, **wanted: Any) -> None:
    """Pass over everything but the loss of the connection, until this event."""
    while True:
        told = await device.next()
        assert told["event"] not in {"disconnect", "failed"}, told
        if told["event"] == event and wanted.items() <= told.items():
            return


@pytest.mark.node
@transports
@pytest.mark.matrix(sdk=SDK, feature="fault injection, no retries: disconnect is told")
async def test_without_retries_a_device_is_told(
    home: Home, lab: FaultLab, turn: asyncio.Semaphore, transport: str
) -> None:
    async def one(kind: FaultType) -> None:
        async with (
            turn,
            home.device(transport, messages=True, method="m", twin={"a": 1}, noRetry=True) as (
                device_id,
                device,
            ),
        ):
            device.tell(text="fault", properties=fault(kind))
            await device.expect("disconnect")
            assert (await happened(lab, device_id, kind)).transport == transport

    async with asyncio.TaskGroup() as tasks:
        for kind in KINDS[transport]:
            tasks.create_task(one(kind))


@pytest.mark.node
@transports
@pytest.mark.matrix(sdk=SDK, feature="fault injection, with retries: nothing is lost")
async def test_with_retries_everything_gets_through(
    home: Home, lab: FaultLab, turn: asyncio.Semaphore, transport: str
) -> None:
    async def one(kind: FaultType) -> None:
        async with turn, home.device(transport, messages=True, method="m", twin={"a": 1}) as (device_id, device):
            device.tell(text="fault", properties=fault(kind))
            before = home.hub.sessions.current(device_id)
            await happened(lab, device_id, kind)
            async with asyncio.timeout(20):
                # Over MQTT the SDK gives up on what it is told before it knows of the loss: it is to come back first.
                while transport in {"mqtt", "mqtt-ws"} and home.hub.sessions.current(device_id) in {before, None}:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            device.tell(text="after")
            await heard(device, "said", text="after")
            assert await called(home, device_id) == 201
            await home.send(device_id, "complete this")
            await home.waiting(device_id, 0)
            await home.hub.twins.patch(device_id, tags=None, desired={"kind": kind}, expected_version=None)
            await heard(device, "desired", change={"kind": kind, "$version": 2})

    async with asyncio.TaskGroup() as tasks:
        for kind in KINDS[transport]:
            tasks.create_task(one(kind))


@pytest.mark.parametrize("kind", MQTT)
@pytest.mark.parametrize("websockets", [False, True])
@pytest.mark.matrix(sdk="Python: azure-iot-device", feature="fault injection: it comes back")
async def test_the_python_client_comes_back(home: Home, lab: FaultLab, kind: str, websockets: bool) -> None:
    device_id = await home.enrol()
    client = IoTHubDeviceClient.create_from_symmetric_key(
        base64.b64encode(KEY).decode(),
        "localhost",
        device_id,
        server_verification_cert=Path(home.ca_file).read_text(),
        websockets=websockets,
    )
    loop, states = asyncio.get_running_loop(), list[bool]()
    back = asyncio.Event()

    def changed() -> None:
        states.append(client.connected)
        if states[-2:] == [False, True]:
            loop.call_soon_threadsafe(back.set)

    client.on_connection_state_change = changed  # type: ignore[assignment]  # the SDK declares an argument, and gives none
    await client.connect()
    message = Message("fault")
    message.custom_properties.update(fault(kind))
    # It is never acknowledged: the client sends it again with each connection, and loses that, too.
    sending = loop.create_task(client.send_message(message))
    try:
        async with asyncio.timeout(30):
            await back.wait()
            await client.send_message("after")
        assert states[:2] == [True, False]
        await happened(lab, device_id, kind)
        assert not sending.done()
    finally:
        await client.shutdown()
        with suppress(Exception):
            await sending
    bodies = [each.telemetry.body for each in await home.hub.telemetry.log.latest(device_id=device_id, limit=100)]
    assert b"after" in bodies


@pytest.mark.matrix(
    sdk="AMQP 1.0 libraries", feature="Qpid Proton: KillAmqpSession reaches one of two devices", transport="amqp"
)
async def test_a_killed_session_is_one_devices_own(home: Home, lab: FaultLab) -> None:
    if not AVAILABLE["Qpid Proton"]():
        pytest.skip("Qpid Proton is not installed")
    devices = [await home.enrol() for _ in range(2)]
    tokens = [sas.sign(sas.encode_resource(f"localhost/devices/{each}"), KEY, FOREVER) for each in devices]
    wanted = {
        "host": "localhost",
        "devices": list(zip(devices, tokens, strict=True)),
        "fault": fault("KillAmqpSession"),
        "ca": home.ca_file,
    }
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    async with running([str(SYSTEM_PYTHON), str(HERE / "amqp" / "proton_faults.py")], environment, wanted) as pool:
        seen: list[dict[str, Any]] = []
        while not seen or seen[-1]["event"] != "closed":
            seen.append(await pool.next())
    assert [each for each in seen if each["event"] not in {"cbs", "sent"}] == [
        {"event": "session", "device": devices[0], "condition": "amqp:link:detach-forced"},
        {"event": "closed"},
    ]
    assert sorted(each["text"] for each in seen if each["event"] == "sent") == ["back", "fault", "still here"]
    assert [each.device_id for each in lab.history()] == [devices[0]]
