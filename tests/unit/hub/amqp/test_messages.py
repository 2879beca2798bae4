"""Cloud-to-device messages over AMQP, and their outcomes (contract hub.md 16.4)."""

import asyncio
from typing import Any

import pytest

from homeport.hub.identities import IdentityWrite
from homeport.hub.served_hub import ServedHub
from homeport.proto.amqp import (
    ACCEPTED,
    RELEASED,
    Close,
    Data,
    Delivery,
    Detach,
    Disposed,
    Disposition,
    Flow,
    Modified,
    Properties,
    Rejected,
    SenderSettleMode,
    Timestamp,
    ULong,
    decode_message,
)
from tests.unit.hub.amqp_client import (
    BOUND,
    KEY,
    KEYS,
    TOKEN,
    HubClient,
    cloud_message,
    connected,
    receiving,
)
from tests.unit.hub.clients import device_token
from tests.unit.hub.conftest import Line, ManualClock, until


async def test_a_message_to_the_device(device: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    sent = cloud_message(
        clock,
        system={"mid": "m-1", "cid": "c", "uid": "me", "ct": "text/plain", "ce": "utf-8", "ctime": "then"},
        properties={"colour": "red"},
    )
    number = await hub.messages.send("d1", sent)
    link = await receiving(device, BOUND)
    arrived = await device.until(Delivery)
    assert not arrived.settled
    message = decode_message(arrived.data)
    annotations = message.message_annotations or {}
    assert annotations["x-opt-lock-token"].bytes_le == arrived.tag
    assert (annotations["x-opt-sequence-number"], type(annotations["x-opt-sequence-number"])) == (number, ULong)
    assert annotations["iothub-enqueuedtime"] == Timestamp.of(clock.now())
    assert annotations["iothub-deliverycount"] == 0
    assert message.properties == Properties(
        message_id="m-1",
        user_id=b"me",
        to="/devices/d1/messages/deviceBound",
        correlation_id="c",
        content_type="text/plain",
        content_encoding="utf-8",
        absolute_expiry_time=Timestamp.of(sent.expires_at),
    )
    assert message.application_properties == {"colour": "red", "iothub-creation-time-utc": "then"}
    assert message.body == Data((b"hello",))

    device.send(Disposition(link=link, delivery_id=arrived.delivery_id, state=ACCEPTED, settled=False))
    answer = await device.until(Disposed)
    assert (answer.state, answer.settled) == (ACCEPTED, True)
    assert await hub.messages.counts(["d1"]) == {}


@pytest.mark.parametrize("given_back", [RELEASED, Modified(delivery_failed=True)])
async def test_messages_come_again(device: HubClient, hub: ServedHub, clock: ManualClock, given_back: Any) -> None:
    await hub.messages.send("d1", cloud_message(clock))
    link = await receiving(device, BOUND)
    first = await device.until(Delivery)
    device.send(Disposition(link=link, delivery_id=first.delivery_id, state=given_back))
    second = await device.until(Delivery)
    assert second.tag != first.tag
    assert (decode_message(second.data).message_annotations or {})["iothub-deliverycount"] == 1
    device.send(Disposition(link=link, delivery_id=second.delivery_id, state=Rejected()))
    await until_empty(hub)


async def until_empty(hub: ServedHub) -> None:
    async with asyncio.timeout(5):
        while await hub.messages.counts(["d1"]):  # noqa: ASYNC110  # it happens in a store's thread
            await asyncio.sleep(0.001)


async def test_no_more_than_there_is_credit_for(device: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    for number in range(3):
        await hub.messages.send("d1", cloud_message(clock, str(number).encode()))
    link = await receiving(device, BOUND, credit=2)
    arrived = [await device.until(Delivery) for _ in range(2)]
    assert [decode_message(each.data).data for each in arrived] == [b"0", b"1"]
    assert await device.put_token(TOKEN) == 200  # nothing came before the answer
    device.send(Flow(link=link, credit=1))
    third = await device.until(Delivery)
    assert decode_message(third.data).data == b"2"


async def test_a_lock_that_is_over(device: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    await hub.messages.send("d1", cloud_message(clock))
    link = await receiving(device, BOUND)
    first = await device.until(Delivery)
    clock.pass_seconds(61)
    second = await device.until(Delivery)
    device.send(Disposition(link=link, delivery_id=first.delivery_id, state=ACCEPTED, settled=False))
    late = await device.until(Disposed)
    assert isinstance(late.state, Rejected)
    assert late.state.error is not None
    assert late.state.error.condition == "com.microsoft:message-lock-lost"
    device.send(Disposition(link=link, delivery_id=second.delivery_id, state=ACCEPTED))
    await until_empty(hub)


async def test_a_client_that_wants_no_part_in_settlement(device: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    await hub.messages.send("d1", cloud_message(clock))
    await receiving(device, BOUND, snd_settle_mode=SenderSettleMode.SETTLED)
    assert (await device.until(Delivery)).settled
    await until_empty(hub)


@pytest.mark.parametrize("how", ["detached", "closed", "replaced", "displaced"])
async def test_what_was_not_settled_comes_back(
    device: HubClient, hub: ServedHub, amqp: Line, clock: ManualClock, how: str
) -> None:
    await hub.messages.send("d1", cloud_message(clock))
    link = await receiving(device, BOUND)
    await device.until(Delivery)
    if how == "replaced":
        await receiving(device, f"/{BOUND}")
        again = await device.until(Delivery)
    else:
        if how == "detached":
            device.send(Detach(link=link))
        elif how == "closed":
            await device.leave()
            await until(lambda: len(hub.sessions) == 0)
        async with connected(amqp) as newer:
            await newer.start()
            assert await newer.put_token(TOKEN) == 200
            await receiving(newer, BOUND)
            again = await newer.until(Delivery)
    assert (decode_message(again.data).message_annotations or {})["iothub-deliverycount"] == 1


@pytest.mark.parametrize("how", ["detached", "closed"])
async def test_an_outcome_counts_though_the_client_leaves(
    device: HubClient, hub: ServedHub, clock: ManualClock, how: str
) -> None:
    await hub.messages.send("d1", cloud_message(clock))
    link = await receiving(device, BOUND)
    arrived = await device.until(Delivery)
    device.engine.send(Disposition(link=link, delivery_id=arrived.delivery_id, state=ACCEPTED))
    device.send(Detach(link=link) if how == "detached" else Close())
    await until_empty(hub)


async def test_messages_to_modules(nobody: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    await hub.registry.create(IdentityWrite(device_id="d1/m1", authentication=KEYS))
    assert await nobody.put_token(device_token("d1/modules/m1", KEY)) == 200
    await hub.messages.send("d1/m1", cloud_message(clock))
    await receiving(nobody, "/devices/d1/modules/m1/messages/deviceBound")
    message = decode_message((await nobody.until(Delivery)).data)
    assert message.properties is not None
    assert message.properties.to == "/devices/d1/modules/m1/messages/deviceBound"
