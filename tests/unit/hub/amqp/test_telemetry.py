"""Telemetry over AMQP (contract hub.md 16.3)."""

from typing import Any
from uuid import UUID

import pytest

from homeport.hub.identities import IdentityWrite
from homeport.hub.served_hub import ServedHub
from homeport.proto.amqp import (
    BATCH_FORMAT,
    Accepted,
    AmqpValue,
    Condition,
    Data,
    Int,
    Message,
    Properties,
    Rejected,
    Symbol,
    Timestamp,
    ULong,
    encode_message,
)
from tests.unit.hub.amqp_client import EVENTS, KEY, KEYS, TWIN, HubClient, receiving, refusal, sending, stored, text
from tests.unit.hub.clients import device_token
from tests.unit.hub.conftest import ManualClock


async def test_a_message_with_everything(device: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    link = await sending(device, EVENTS, properties={Symbol("com.microsoft:model-id"): "dtmi:a:b;1"})
    device.message(
        link,
        Message(
            message_annotations={
                Symbol("iothub-interface-id"): "i",
                Symbol("dt-subject"): "s",
                Symbol("Diagnostic-Id"): "12",
                Symbol("x-opt-other"): "no",
            },
            properties=Properties(
                message_id=UUID(int=1),
                user_id=b"me",
                to="anywhere",
                correlation_id=ULong(7),
                content_type="application/json",
                content_encoding="utf-8",
                absolute_expiry_time=Timestamp.of(clock.now()),
            ),
            application_properties={
                "plant": "north & south",
                "count": Int(5),
                "level": 1.5,
                "on": True,
                "none": None,
                "raw": b"\xff",
                "iothub-creation-time-utc": "2024-01-01T00:00:00Z",
                "iothub-message-schema": "sch",
                "iothub-outputname": "out",
            },
            body=Data((b"one, ", b"two")),
        ),
    )
    assert isinstance(await device.outcome(), Accepted)
    (message,) = await stored(hub)
    assert message.body == b"one, two"
    assert message.properties == {
        "plant": "north & south",
        "count": "5",
        "level": "1.5",
        "on": "true",
        "none": None,
        "raw": "/w==",
    }
    assert message.system == {
        "mid": str(UUID(int=1)),
        "cid": "7",
        "uid": "me",
        "to": "anywhere",
        "ct": "application/json",
        "ce": "utf-8",
        "exp": "2024-06-01T12:00:00.0000000Z",
        "ctime": "2024-01-01T00:00:00Z",
        "schema": "sch",
        "on": "out",
        "ifid": "i",
        "sub": "s",
        "diagid": "12",
    }
    assert message.annotations["dt-dataschema"] == "dtmi:a:b;1"
    assert message.annotations["dt-subject"] == "s"
    assert message.annotations["iothub-creation-time-utc"] == "2024-01-01T00:00:00Z"
    assert message.annotations["iothub-connection-device-id"] == "d1"
    assert (await hub.twins.get("d1")).twin.model_id == "dtmi:a:b;1"


async def test_a_model_that_is_named_late(device: HubClient, hub: ServedHub) -> None:
    first = await sending(device, EVENTS)
    await receiving(device, TWIN, properties={Symbol("com.microsoft:model-id"): "dtmi:a:b;1"})
    device.message(first, text("x"))
    await device.outcome()
    assert (await stored(hub))[0].annotations["dt-dataschema"] == "dtmi:a:b;1"


@pytest.mark.parametrize(
    ("body", "expected"),
    [(AmqpValue("text"), b"text"), (AmqpValue(b"bytes"), b"bytes"), (AmqpValue(None), b""), (None, b"")],
)
async def test_other_bodies(device: HubClient, hub: ServedHub, body: Any, expected: bytes) -> None:
    link = await sending(device, EVENTS)
    device.message(link, Message(body=body))
    assert isinstance(await device.outcome(), Accepted)
    assert [message.body for message in await stored(hub)] == [expected]


@pytest.mark.parametrize(
    ("message", "condition"),
    [
        (Message(body=AmqpValue({"a": 1})), "com.microsoft:argument-error"),
        (text("x", application_properties={"a": [1]}), "com.microsoft:argument-error"),
        (b"no AMQP", Condition.DECODE_ERROR),
    ],
)
async def test_what_cannot_be_stored(device: HubClient, hub: ServedHub, message: Any, condition: str) -> None:
    link = await sending(device, EVENTS)
    device.message(link, message)
    outcome = await device.outcome()
    assert isinstance(outcome, Rejected)
    assert outcome.error is not None
    assert outcome.error.condition == condition
    device.message(link, text("fine"))
    assert isinstance(await device.outcome(), Accepted)
    assert [each.body for each in await stored(hub)] == [b"fine"]


async def test_the_largest_message(device: HubClient, hub: ServedHub) -> None:
    link = await sending(device, EVENTS)
    device.message(link, text("x" * (256 * 1024 - 100)))
    assert isinstance(await device.outcome(), Accepted)
    link.peer_max_message_size = 0  # a client that does not look at what was announced
    device.message(link, text("x" * 256 * 1024))
    assert (await refusal(device)).condition == Condition.MESSAGE_SIZE_EXCEEDED
    assert len(await stored(hub)) == 1


async def test_batches_keep_the_order(device: HubClient, hub: ServedHub) -> None:
    link = await sending(device, EVENTS)
    for first in range(0, 9, 3):
        batch = Data(tuple(encode_message(text(str(first + more))) for more in range(2)))
        device.message(link, Message(body=batch), message_format=BATCH_FORMAT)
        device.message(link, text(str(first + 2)))
    outcomes = [await device.outcome() for _ in range(6)]
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert [message.body for message in await stored(hub)] == [str(number).encode() for number in range(9)]


async def test_a_batch_is_stored_whole_or_not_at_all(device: HubClient, hub: ServedHub) -> None:
    link = await sending(device, EVENTS)
    good = encode_message(text("good"))
    for parts in ((good, b"bad"), (good, encode_message(Message(body=AmqpValue([1]))))):
        device.message(link, Message(body=Data(parts)), message_format=BATCH_FORMAT)
        assert isinstance(await device.outcome(), Rejected)
    device.message(link, Message(body=AmqpValue("x")), message_format=BATCH_FORMAT)
    assert isinstance(await device.outcome(), Rejected)
    assert await stored(hub) == []


async def test_nothing_is_accepted_that_was_not_stored(device: HubClient, hub: ServedHub, calls: Any) -> None:
    link = await sending(device, EVENTS)
    calls.failing.add("append")
    device.message(link, text("x"))
    outcome = await device.outcome()
    assert isinstance(outcome, Rejected)
    assert outcome.error is not None
    assert outcome.error.condition == Condition.INTERNAL_ERROR


async def test_modules_send_for_their_device(nobody: HubClient, hub: ServedHub) -> None:
    await hub.registry.create(IdentityWrite(device_id="d1/m1", authentication=KEYS))
    assert await nobody.put_token(device_token("d1/modules/m1", KEY)) == 200
    link = await sending(nobody, "/devices/d1/modules/m1/messages/events")
    await receiving(nobody, "/devices/d1/modules/m1/messages/events")
    nobody.message(link, text("from a module"))
    assert isinstance(await nobody.outcome(), Accepted)
    (message,) = await stored(hub)
    assert message.annotations["iothub-connection-module-id"] == "m1"
    nobody.sender(EVENTS)
    assert (await refusal(nobody)).condition == Condition.UNAUTHORIZED_ACCESS
