"""What administrators inject, as devices meet it at their hub, over each kind of transport."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest

from homeport.faults import ClockShift, Drop, FaultLab, Latency, Outage, ServerFault, Target, Throttle
from homeport.hub.served_hub import ServedHub
from homeport.proto.amqp import Accepted, Condition, Detached, Properties, Rejected, Symbol, decode_message
from homeport.proto.amqp import Delivery as AmqpDelivery
from homeport.proto.mqtt import PubAck, Publish
from tests.unit.hub.amqp_client import (
    EVENTS,
    KEY,
    TOKEN,
    TWIN,
    HubClient,
    connected,
    receiving,
    refusal,
    sending,
    stored,
    text,
)
from tests.unit.hub.clients import Device, RestClient, device_token, dialled
from tests.unit.hub.conftest import Line, ManualClock, settle, until

TOPIC = "devices/d1/messages/events/"
PATH = "/devices/d1/messages/events"
D1 = Target(devices=frozenset({"d1"}))


@pytest.fixture
async def device(hub: ServedHub, mqtt: Line) -> AsyncIterator[Device]:
    async with dialled(mqtt.port, mqtt.context) as device:
        await device.connect("d1", TOKEN)
        yield device


@pytest.fixture
async def client(hub: ServedHub, amqp: Line) -> AsyncIterator[HubClient]:
    async with connected(amqp) as client:
        await client.start()
        assert await client.put_token(TOKEN) == 200
        yield client


async def ask_https(rest: RestClient) -> tuple[int, str]:
    answer = await rest("POST", PATH, body=b"x", policy=None, Authorization=TOKEN)
    return answer.status_code, answer.headers.get("iothub-errorcode", "")


@asynccontextmanager
async def running_lab(lab: FaultLab) -> AsyncIterator[None]:
    """Let faults begin and end by themselves, while the block runs."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(lab.run())
        await settle()
        yield
        task.cancel()


# ---------------------------------------------------------------- latency


async def test_telemetry_waits_and_keeps_its_order(
    device: Device, hub: ServedHub, lab: FaultLab, clock: ManualClock
) -> None:
    lab.start(Latency(least=1, most=9), D1, seed=5)
    for number in range(6):
        device.say(Publish(topic=TOPIC, payload=b"%d" % number, qos=1, packet_id=number + 1))
    await until(lambda: len(lab.history()) == 6)
    assert await stored(hub) == []
    for _ in range(9):
        clock.pass_seconds(1)
        await settle()
    assert [(await device.expect(PubAck)).packet_id for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    assert [each.body for each in await stored(hub)] == [b"%d" % number for number in range(6)]


async def test_a_twin_comes_late(client: HubClient, lab: FaultLab, clock: ManualClock) -> None:
    up = await sending(client, TWIN)
    await receiving(client, TWIN)
    lab.start(Latency(least=3, most=3), D1)
    client.message(
        up,
        text(" ", message_annotations={Symbol("operation"): "GET"}, properties=Properties(correlation_id="1")),
    )
    await until(lab.history)
    clock.pass_seconds(3)
    answer = decode_message((await client.until(AmqpDelivery)).data)
    assert (answer.message_annotations or {})["status"] == 200
    assert [each.point for each in lab.history()] == ["twin"]


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("effect", "status", "code"),
    [
        (Throttle(), 429, "ThrottlingException"),
        (ServerFault(status=500), 500, "ServerError"),
        (ServerFault(status=503), 503, "ServiceUnavailable"),
        (Outage(status=404), 404, "GenericNotFound"),
    ],
)
async def test_requests_are_refused(
    rest: RestClient, hub: ServedHub, lab: FaultLab, effect: Throttle, status: int, code: str
) -> None:
    lab.start(effect, D1)
    assert await ask_https(rest) == (status, code)
    assert await stored(hub) == []
    lab.stop("f-1")
    assert await ask_https(rest) == (204, "")
    assert len(lab.history()) == 1  # a request is one occasion, whatever it asks for


@pytest.mark.parametrize(
    ("effect", "condition"),
    [
        (Throttle(), "com.microsoft:device-container-throttled"),
        (ServerFault(status=500), Condition.INTERNAL_ERROR),
    ],
)
async def test_links_and_messages_are_refused(
    client: HubClient, hub: ServedHub, lab: FaultLab, effect: Throttle, condition: str
) -> None:
    events = await sending(client, EVENTS)
    lab.start(effect, D1)
    client.message(events, text("x"))
    rejected = await client.outcome()
    assert isinstance(rejected, Rejected)
    assert rejected.error is not None
    assert rejected.error.condition == condition
    assert "f-1" in (rejected.error.description or "")
    # Others on the connection go on.
    assert await client.put_token(device_token("d2", KEY)) == 200
    other = await sending(client, "/devices/d2/messages/events")
    client.message(other, text("y"))
    assert isinstance(await client.outcome(), Accepted)
    assert await stored(hub) == []


async def test_a_connection_is_refused(mqtt: Line, amqp: Line, hub: ServedHub, lab: FaultLab) -> None:
    lab.start(ServerFault(), D1)
    async with dialled(mqtt.port, mqtt.context) as device:
        assert (await device.connect("d1", TOKEN)).return_code == 3
    async with dialled(mqtt.port, mqtt.context) as device:
        assert (await device.connect("d2", device_token("d2", KEY))).return_code == 0
    async with connected(amqp) as client:
        await client.start()
        assert await client.put_token(TOKEN) == 200
        client.sender(EVENTS)
        assert (await refusal(client)).condition == Condition.INTERNAL_ERROR
    assert [each.point for each in lab.history()] == ["connect", "connect"]


async def test_throttled_telemetry_ends_an_mqtt_connection_and_a_twin_is_told(device: Device, lab: FaultLab) -> None:
    await device.subscribe("$iothub/twin/res/#")
    lab.start(Throttle(), D1)
    await device.publish("$iothub/twin/GET/?$rid=7", qos=0)
    answer = await device.expect(Publish)
    assert answer.topic == "$iothub/twin/res/429/?$rid=7"
    device.say(Publish(topic=TOPIC, payload=b"x", qos=1, packet_id=1))
    assert await device.hear() is None


# ---------------------------------------------------------------- clock


@pytest.mark.parametrize(("shift", "code"), [(-3000, 0), (0, 0), (3000, 5)])
async def test_tokens_are_judged_by_a_clock_that_is_wrong(
    hub: ServedHub, mqtt: Line, lab: FaultLab, clock: ManualClock, shift: int, code: int
) -> None:
    expiry = int(clock.now().timestamp()) + 1800
    if shift:
        lab.start(ClockShift(seconds=shift), D1)
    async with dialled(mqtt.port, mqtt.context) as device:
        assert (await device.connect("d1", device_token("d1", KEY, expiry))).return_code == code
        (session,) = [*hub.sessions] or [None]
        if session is not None:
            # The connection lasts as long as it would by the wrong clock.
            assert session.expires_at is not None
            lasts = session.expires_at - clock.now()
            assert timedelta(seconds=1800 - shift) <= lasts <= timedelta(seconds=1800 - shift + 600)
    async with dialled(mqtt.port, mqtt.context) as device:
        assert (await device.connect("d2", device_token("d2", KEY, expiry))).return_code == 0


async def test_cbs_judges_by_the_same_clock(hub: ServedHub, amqp: Line, lab: FaultLab, clock: ManualClock) -> None:
    expiry = int(clock.now().timestamp()) + 1800
    lab.start(ClockShift(seconds=3000), D1)
    async with connected(amqp) as client:
        await client.start()
        assert await client.put_token(device_token("d1", KEY, expiry)) == 401
        assert await client.put_token(device_token("d2", KEY, expiry)) == 200


# ---------------------------------------------------------------- drops and outages


@pytest.mark.parametrize("orderly", [True, False])
async def test_an_mqtt_connection_is_cut(device: Device, hub: ServedHub, lab: FaultLab, orderly: bool) -> None:
    lab.start(Drop(orderly=orderly), D1)
    try:
        assert await device.hear() is None
    except ConnectionError:
        assert not orderly
    await until(lambda: len(hub.sessions) == 0)
    (told,) = lab.history()
    assert (told.device_id, told.transport, told.point) == ("d1", "mqtt", "session")


async def test_an_orderly_drop_leaves_the_others_on_the_connection(
    client: HubClient, hub: ServedHub, lab: FaultLab
) -> None:
    events = await sending(client, EVENTS)
    assert await client.put_token(device_token("d2", KEY)) == 200
    other = await sending(client, "/devices/d2/messages/events")
    lab.start(Drop(orderly=True), D1)
    gone = await client.until(Detached)
    assert gone.link is events
    assert gone.error is not None
    assert gone.error.condition == Condition.DETACH_FORCED
    await until(lambda: [each.device_id for each in hub.sessions] == ["d2"])
    client.message(other, text("y"))
    assert isinstance(await client.outcome(), Accepted)


async def test_a_cut_takes_the_whole_connection(client: HubClient, hub: ServedHub, lab: FaultLab) -> None:
    await sending(client, EVENTS)
    assert await client.put_token(device_token("d2", KEY)) == 200
    await sending(client, "/devices/d2/messages/events")
    lab.start(Drop(), D1)
    assert b"\x00S\x18" not in await client.rest()
    await until(lambda: len(hub.sessions) == 0)


async def test_an_outage_cuts_and_keeps_out(
    device: Device, mqtt: Line, hub: ServedHub, lab: FaultLab, clock: ManualClock
) -> None:
    async with running_lab(lab):
        lab.start(Outage(), Target(hubs=frozenset({hub.name})), delay=5, duration=10)
        await device.publish(TOPIC, b"x")
        clock.pass_seconds(5)
        await settle()
        with suppress(ConnectionError):  # a cut may be a reset
            assert await device.hear() is None
        await until(lambda: len(hub.sessions) == 0)
        async with dialled(mqtt.port, mqtt.context) as again:
            assert (await again.connect("d1", TOKEN)).return_code == 3
        clock.pass_seconds(10)
        async with dialled(mqtt.port, mqtt.context) as again:
            assert (await again.connect("d1", TOKEN)).return_code == 0
    assert [each.point for each in reversed(lab.history())] == ["session", "connect"]
