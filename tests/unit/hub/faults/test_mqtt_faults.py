"""Fault injection messages over MQTT: no acknowledgement, and the end that was asked for (contract hub.md 28)."""

from collections.abc import AsyncIterator

import pytest

from homeport.faults import FaultLab, Kind
from homeport.hub.hubs import Hubs
from homeport.hub.served_hub import ServedHub
from homeport.proto.mqtt import PubAck, Publish
from tests.unit.hub.amqp_client import TOKEN, stored
from tests.unit.hub.clients import Device, dialled
from tests.unit.hub.conftest import NAME, Line, ManualClock, settle, until

EVENTS = "devices/d1/messages/events/"


@pytest.fixture
async def device(hub: ServedHub, mqtt: Line) -> AsyncIterator[Device]:
    async with dialled(mqtt.port, mqtt.context) as device:
        await device.connect("d1", TOKEN)
        yield device


def fault(kind: str, delay: int = 5) -> str:
    return (
        f"{EVENTS}AzIoTHub_FaultOperationType={kind}&AzIoTHub_FaultOperationCloseReason=boom"
        f"&AzIoTHub_FaultOperationDelayInSecs={delay}"
    )


async def ends(device: Device) -> bool:
    try:
        return await device.hear() is None
    except ConnectionError:
        return True


@pytest.mark.parametrize(
    "kind", ["KillTcp", "ShutDownMqtt", "InvokeThrottling", "InvokeMaxMessageQuota", "InvokeAuthError"]
)
async def test_the_connection_ends_after_the_delay(
    device: Device, hub: ServedHub, lab: FaultLab, clock: ManualClock, mqtt: Line, kind: str
) -> None:
    device.say(Publish(topic=fault(kind), payload=b" ", qos=1, packet_id=7))
    device.say(Publish(topic=EVENTS, payload=b"x", qos=1, packet_id=8))
    # The fault's own PUBACK is left out, and those behind it do not wait for it.
    assert (await device.expect(PubAck)).packet_id == 8
    clock.pass_seconds(4)
    await settle()
    assert len(hub.sessions) == 1
    clock.pass_seconds(1)
    assert await ends(device)
    await until(lambda: len(hub.sessions) == 0)
    (done,) = lab.history()
    assert (done.kind, done.device_id, done.hub, done.transport) == (Kind.MESSAGE, "d1", NAME, "mqtt")
    assert kind in done.detail
    async with dialled(mqtt.port, mqtt.context) as again:
        assert (await again.connect("d1", TOKEN)).return_code == 0
        await again.publish(EVENTS, b"back")
    assert [each.body for each in await stored(hub)] == [b" ", b"x", b"back"]


@pytest.mark.parametrize("kind", ["KillAmqpSession", "Nonsense"])
async def test_what_means_nothing_here_is_telemetry(device: Device, lab: FaultLab, kind: str) -> None:
    await device.publish(fault(kind, 0), b"x")
    await device.publish(EVENTS, b"y")
    assert lab.history() == []


async def test_without_its_switch_a_hub_obeys_nobody(device: Device, hubs: Hubs, lab: FaultLab) -> None:
    await hubs.obey_fault_messages(NAME, wanted=False)
    await device.publish(fault("KillTcp", 0), b"x")
    await device.publish(EVENTS, b"y")
    assert lab.history() == []


async def test_a_pending_fault_dies_with_its_connection(
    device: Device, hub: ServedHub, lab: FaultLab, clock: ManualClock
) -> None:
    device.say(Publish(topic=fault("KillTcp"), payload=b"", qos=0))
    await device.publish(EVENTS, b"x")
    await device.leave()
    await until(lambda: len(hub.sessions) == 0)
    clock.pass_seconds(10)
    await settle()
    assert lab.history() == []
