"""Cloud-to-device messages from the queue to a device over MQTT (contract hub.md 13.5, 13.10, 19)."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from homeport.hub.errors import HubCode, HubError
from homeport.hub.hubs import Hubs
from homeport.hub.identities import IdentityWrite
from homeport.hub.messages import MAX_BYTES, MAX_QUEUED
from homeport.hub.model import CloudMessage, DeviceStatus, QueueSettings, SasAuthentication
from homeport.hub.served_hub import ServedHub
from homeport.proto.mqtt import Disconnect, PubAck, Publish, Unsubscribe
from tests.unit.hub.clients import Device, RestClient, device_token, dialled
from tests.unit.hub.conftest import Line, MakeHubs, ManualClock, running, settle, until

KEYS = SasAuthentication(primary_key=b"1" * 32, secondary_key=b"2" * 32)
TOKEN = device_token("d1", b"1" * 32)
BOUND = "devices/d1/messages/devicebound/#"


@pytest.fixture
async def device(hub: ServedHub, mqtt: Line) -> Any:
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    async with dialled(mqtt.port, mqtt.context) as device:
        yield device


async def send(hub: ServedHub, clock: ManualClock, text: str = "hello", life: float = 3600, **parts: Any) -> int:
    now = clock.now()
    message = CloudMessage(body=text.encode(), enqueued_at=now, expires_at=now + timedelta(seconds=life), **parts)
    return await hub.messages.send("d1", message)


async def waiting(hub: ServedHub) -> int:
    return (await hub.messages.counts(["d1"])).get("d1", 0)


async def test_what_waited_and_what_comes_later(device: Device, hub: ServedHub, clock: ManualClock) -> None:
    await send(hub, clock, "first", properties={"key": "v alue"})
    await device.connect("d1", TOKEN)
    await device.subscribe(BOUND)
    first = await device.expect(Publish)
    await send(hub, clock, "second")
    second = await device.expect(Publish)
    assert [first.payload, second.payload] == [b"first", b"second"]
    assert (first.qos, first.dup) == (1, False)
    assert first.topic.startswith("devices/d1/messages/devicebound/%24.to=%2Fdevices%2Fd1%2Fmessages%2FdeviceBound&")
    assert first.topic.endswith("&key=v%20alue")
    assert await waiting(hub) == 2
    device.say(PubAck(packet_id=first.packet_id), PubAck(packet_id=second.packet_id))
    await drained(hub)


async def drained(hub: ServedHub) -> None:
    for _ in range(200):
        await settle()
        if await waiting(hub) == 0:
            return
    raise AssertionError("messages are still waiting")


async def test_at_quality_0_sent_is_done(device: Device, hub: ServedHub, clock: ManualClock) -> None:
    await device.connect("d1", TOKEN)
    from homeport.proto.mqtt import SubAck, Subscribe, Subscription

    device.say(Subscribe(subscriptions=(Subscription(topic_filter=BOUND, qos=0),)))
    await device.expect(SubAck)
    await send(hub, clock)
    assert (await device.expect(Publish)).qos == 0
    await drained(hub)


async def test_what_was_not_acknowledged_comes_again(device: Device, hub: ServedHub, clock: ManualClock) -> None:
    await device.connect("d1", TOKEN, clean_session=False)
    await device.subscribe(BOUND)
    await send(hub, clock, "again")
    await send(hub, clock, "later")
    assert not (await device.expect(Publish)).dup
    await device.expect(Publish)
    await device.leave(orderly=False)
    await until(lambda: len(hub.sessions) == 0)
    async with dialled(*device.dialled_with) as back:
        # The subscription lived on, so nothing need be asked for.
        assert (await back.connect("d1", TOKEN, clean_session=False)).session_present
        first, second = await back.expect(Publish), await back.expect(Publish)
        assert [(m.payload, m.dup) for m in (first, second)] == [(b"again", True), (b"later", True)]
        back.say(PubAck(packet_id=first.packet_id), PubAck(packet_id=second.packet_id))
        await drained(hub)


async def test_acknowledged_and_gone_at_once_is_done(
    device: Device, hub: ServedHub, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the connection interrupts the work beside it; what it had learnt must not be lost."""
    whole, begun = hub.messages.settle, asyncio.Event()

    async def interrupted(*arguments: Any) -> None:
        monkeypatch.setattr(hub.messages, "settle", whole)
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(hub.messages, "settle", interrupted)
    await device.connect("d1", TOKEN)
    await device.subscribe(BOUND)
    await send(hub, clock)
    first = await device.expect(Publish)
    device.say(PubAck(packet_id=first.packet_id))
    await begun.wait()
    device.say(Disconnect())
    await drained(hub)


async def test_a_new_connection_takes_over_what_the_old_one_held(
    device: Device, hub: ServedHub, clock: ManualClock
) -> None:
    await device.connect("d1", TOKEN)
    await device.subscribe(BOUND)
    await send(hub, clock, "mine")
    await device.expect(Publish)
    async with dialled(*device.dialled_with) as newer:
        await newer.connect("d1", TOKEN)
        await newer.subscribe(BOUND)
        taken = await newer.expect(Publish)
        assert taken.payload == b"mine"
        newer.say(PubAck(packet_id=taken.packet_id))
        await drained(hub)


async def test_unsubscribed_nothing_comes(device: Device, hub: ServedHub, clock: ManualClock) -> None:
    await device.connect("d1", TOKEN)
    await device.subscribe(BOUND)
    from homeport.proto.mqtt import UnsubAck

    device.say(Unsubscribe(topic_filters=(BOUND,)))
    await device.expect(UnsubAck)
    await send(hub, clock)
    await settle()
    await device.publish("devices/d1/messages/events/")  # answered first, were there something before it
    assert await waiting(hub) == 1


async def test_limits_of_a_queue(hub: ServedHub, clock: ManualClock) -> None:
    with pytest.raises(HubError) as stranger:
        await send(hub, clock)
    assert stranger.value.code is HubCode.DEVICE_NOT_FOUND
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    with pytest.raises(HubError) as large:
        await send(hub, clock, "x" * (MAX_BYTES + 1))
    assert large.value.code is HubCode.MESSAGE_TOO_LARGE
    for number in range(MAX_QUEUED):
        assert await send(hub, clock, life=10 + number) == number + 1
    with pytest.raises(HubError) as full:
        await send(hub, clock)
    assert full.value.code is HubCode.QUEUE_FULL
    clock.pass_seconds(11)  # two are gone by then
    assert await send(hub, clock) == MAX_QUEUED + 1
    assert await waiting(hub) == MAX_QUEUED - 1
    await hub.registry.update(
        IdentityWrite(device_id="d1", authentication=KEYS, status=DeviceStatus.DISABLED), expected_etag=None
    )
    with pytest.raises(HubError) as disabled:
        await send(hub, clock)
    assert disabled.value.code is HubCode.DEVICE_NOT_FOUND


async def test_too_many_deliveries_end_a_message(hub: ServedHub, clock: ManualClock) -> None:
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    await send(hub, clock, life=100_000)
    for count in range(QueueSettings().max_deliveries):
        delivery = await hub.messages.receive("d1", life=timedelta(seconds=60), of_connection=False)
        assert delivery is not None
        assert delivery.queued.delivery_count == count
        clock.pass_seconds(60)
    assert await hub.messages.receive("d1", life=timedelta(seconds=60), of_connection=False) is None
    assert await waiting(hub) == 0


async def test_a_device_created_anew_finds_nothing(hub: ServedHub, clock: ManualClock) -> None:
    for device_id in ("d1", "d10"):
        await hub.registry.create(IdentityWrite(device_id=device_id, authentication=KEYS))
        now = clock.now()
        message = CloudMessage(body=b"", enqueued_at=now, expires_at=now + timedelta(hours=1))
        await hub.messages.send(device_id, message)
    await hub.registry.delete("d1", expected_etag=None)
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    assert await hub.messages.counts(["d1", "d10"]) == {"d10": 1}


async def test_purge_and_counts_over_rest(rest: RestClient, hub: ServedHub, clock: ManualClock) -> None:
    await rest("PUT", "/devices/d1", {"deviceId": "d1"})
    for _ in range(3):
        await send(hub, clock)
    for path in ("/devices/d1", "/twins/d1"):
        assert (await rest("GET", path)).json()["cloudToDeviceMessageCount"] == 3
    assert (await rest("GET", "/devices")).json()[0]["cloudToDeviceMessageCount"] == 3
    (twin,) = (await rest("POST", "/devices/query", {"query": "SELECT * FROM devices"})).json()
    assert twin["cloudToDeviceMessageCount"] == 3
    purged = await rest("DELETE", "/devices/d1/commands")
    assert (purged.status_code, purged.json()) == (
        200,
        {"deviceId": "d1", "moduleId": None, "totalMessagesPurged": 3},
    )
    assert (await rest("GET", "/devices/d1")).json()["cloudToDeviceMessageCount"] == 0
    assert (await rest("DELETE", "/devices/nobody/commands")).status_code == 404
    assert (await rest("DELETE", "/devices/d1/commands", policy="registryRead")).status_code == 401


async def test_what_another_process_queues_is_delivered(
    device: Device, hub: ServedHub, make_hubs: MakeHubs, clock: ManualClock
) -> None:
    other: Hubs = make_hubs()
    await other.load(alone=False)
    elsewhere = other.get("hub")
    assert elsewhere is not None
    await device.connect("d1", TOKEN)
    await device.subscribe(BOUND)
    async with running(elsewhere):
        await send(elsewhere, clock, "from afar")
        assert (await device.expect(Publish)).payload == b"from afar"
