"""Devices over AMQP, with the real server between them and the hub (contract hub.md 16)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from homeport.hub.errors import HubError
from homeport.hub.hubs import ServedHub
from homeport.hub.model import CloudMessage, ConnectionState, DeviceStatus, SasAuthentication
from homeport.hub.registry import IdentityWrite
from homeport.proto.amqp import (
    ACCEPTED,
    BATCH_FORMAT,
    RELEASED,
    Accepted,
    AmqpValue,
    Attached,
    Close,
    Condition,
    Data,
    Delivery,
    Detach,
    Disposed,
    Disposition,
    Flow,
    Int,
    Link,
    Message,
    Modified,
    Properties,
    Rejected,
    SenderSettleMode,
    Symbol,
    Timestamp,
    ULong,
    decode_message,
    encode_message,
)
from tests.unit.hub.amqp_client import HubClient, connected, refusal, text
from tests.unit.hub.clients import Device, device_token, dialled, service_token
from tests.unit.hub.conftest import Line, ManualClock, settle, until

KEY = b"1" * 32
KEYS = SasAuthentication(primary_key=KEY, secondary_key=b"2" * 32)
TOKEN = device_token("d1", KEY)
EVENTS, BOUND = "/devices/d1/messages/events", "/devices/d1/messages/devicebound"
TWIN, METHODS = "/devices/d1/twin", "/devices/d1/methods/devicebound"


@pytest.fixture
async def nobody(hub: ServedHub, amqp: Line) -> AsyncIterator[HubClient]:
    """A connection on which nothing is proven."""
    for device_id in ("d1", "d2"):
        await hub.registry.create(IdentityWrite(device_id=device_id, authentication=KEYS))
    async with connected(amqp) as client:
        await client.start()
        yield client


@pytest.fixture
async def device(nobody: HubClient) -> HubClient:
    """A connection with a token of d1."""
    assert await nobody.put_token(TOKEN) == 200
    return nobody


async def sending(client: HubClient, address: str, **options: Any) -> Link:
    link = client.sender(address, **options)
    await client.attached()
    assert link.open
    return link


async def receiving(client: HubClient, address: str, **options: Any) -> Link:
    link = client.receiver(address, **options)
    await client.until(Attached)
    return link


async def stored(hub: ServedHub, device_id: str = "d1") -> list[Any]:
    newest = await hub.telemetry.log.latest(device_id=device_id, limit=100)
    return [each.telemetry for each in reversed(newest)]


async def state(hub: ServedHub, device_id: str = "d1") -> ConnectionState:
    return (await hub.registry.get(device_id)).connection_state


def cloud_message(clock: ManualClock, body: bytes = b"hello", **fields: Any) -> CloudMessage:
    now = clock.now()
    return CloudMessage(body=body, enqueued_at=now, expires_at=now + timedelta(hours=1), **fields)


# ---------------------------------------------------------------- coming and going


async def test_the_state_follows_the_links_of_the_device(device: HubClient, hub: ServedHub) -> None:
    assert await state(hub) is ConnectionState.DISCONNECTED
    first = await sending(device, EVENTS)
    second = await receiving(device, BOUND)
    assert await state(hub) is ConnectionState.CONNECTED
    device.send(Detach(link=first))
    await sending(device, TWIN)
    device.send(Detach(link=second))
    assert await state(hub) is ConnectionState.CONNECTED
    await device.leave()
    await until(lambda: len(hub.sessions) == 0)
    assert await state(hub) is ConnectionState.DISCONNECTED


async def test_the_last_link_ends_the_session(device: HubClient, hub: ServedHub) -> None:
    link = await sending(device, EVENTS)
    assert len(hub.sessions) == 1
    device.send(Detach(link=link))
    await until(lambda: len(hub.sessions) == 0)
    await sending(device, f"amqps://localhost:5671{EVENTS}")
    assert len(hub.sessions) == 1


async def test_links_need_a_proof(nobody: HubClient, hub: ServedHub) -> None:
    nobody.sender(EVENTS)
    assert (await refusal(nobody)).condition == Condition.UNAUTHORIZED_ACCESS
    assert len(hub.sessions) == 0
    assert await nobody.put_token(TOKEN) == 200
    nobody.sender("/devices/d2/messages/events")
    assert (await refusal(nobody)).condition == Condition.UNAUTHORIZED_ACCESS
    nobody.sender("/devices/d1/modules/m1/messages/events")
    assert (await refusal(nobody)).condition == Condition.UNAUTHORIZED_ACCESS


@pytest.mark.parametrize(
    "address",
    ["devices/d1/nothing", "devices/d1", "devices//messages/events", "devices/d1/modules/m1", "devices/ä/twin"],
)
async def test_addresses_of_nothing(device: HubClient, address: str) -> None:
    device.sender(address)
    assert (await refusal(device)).condition == Condition.NOT_FOUND


async def test_directions(device: HubClient, hub: ServedHub) -> None:
    device.sender(BOUND)
    assert (await refusal(device)).condition == Condition.NOT_FOUND
    device.receiver(EVENTS)
    assert (await refusal(device)).condition == Condition.NOT_FOUND
    await until(lambda: len(hub.sessions) == 0)


async def test_a_policy_token_speaks_for_any_device(nobody: HubClient, hub: ServedHub) -> None:
    assert await nobody.put_token(service_token(hub, "registryRead")) == 200
    nobody.sender(EVENTS)
    assert (await refusal(nobody)).condition == Condition.UNAUTHORIZED_ACCESS
    assert await nobody.put_token(service_token(hub, "device")) == 200
    for device_id in ("d1", "d2"):
        link = await sending(nobody, f"DEVICES/{device_id}/Messages/Events")
        nobody.message(link, text("x"))
        await nobody.outcome()
        (message,) = await stored(hub, device_id)
        assert '"scope":"hub"' in message.annotations["iothub-connection-auth-method"]


async def test_ids_are_raw_or_encoded(nobody: HubClient, hub: ServedHub) -> None:
    for device_id in ("a%41", "aA", "a+b@c"):
        await hub.registry.create(IdentityWrite(device_id=device_id, authentication=KEYS))
    assert await nobody.put_token(service_token(hub, "device")) == 200
    for address, device_id in (("a%41", "a%41"), ("a%2Bb%40c", "a+b@c"), ("a+b@c", "a+b@c")):
        link = await sending(nobody, f"devices/{address}/messages/events")
        nobody.message(link, text(address))
        await nobody.outcome()
        assert (await stored(hub, device_id))[-1].body == address.encode()


async def test_too_many_links(device: HubClient) -> None:
    for number in range(16):
        await sending(device, "/" * number + EVENTS)
    device.sender("/" * 16 + EVENTS)
    assert (await refusal(device)).condition == "com.microsoft:device-container-throttled"


# ---------------------------------------------------------------- several devices on one connection


async def test_displacement_ends_the_links_of_one_device(device: HubClient, hub: ServedHub, amqp: Line) -> None:
    assert await device.put_token(device_token("d2", KEY)) == 200
    await sending(device, EVENTS)
    await receiving(device, BOUND)
    other = await sending(device, "/devices/d2/messages/events")
    async with connected(amqp) as newer:
        await newer.start()
        assert await newer.put_token(TOKEN) == 200
        await sending(newer, EVENTS)
        assert [(await refusal(device)).condition for _ in range(2)] == [Condition.STOLEN] * 2
        device.message(other, text("still here"))
        assert isinstance(await device.outcome(), Accepted)
        assert len(hub.sessions) == 2
        # It may come back, and displaces the newer one in turn.
        device.sender(f"/{EVENTS}")
        await device.attached()
        assert (await refusal(newer)).condition == Condition.STOLEN


async def test_mqtt_and_amqp_displace_each_other(device: HubClient, hub: ServedHub, mqtt: Line) -> None:
    await sending(device, EVENTS)
    async with dialled(mqtt.port, mqtt.context) as other:
        assert isinstance(other, Device)
        assert (await other.connect("d1", TOKEN)).return_code == 0
        assert (await refusal(device)).condition == Condition.STOLEN
        await sending(device, f"/{EVENTS}")
        assert await other.hear() is None
    assert await state(hub) is ConnectionState.CONNECTED


@pytest.mark.parametrize("how", ["disabled", "deleted", "other keys"])
async def test_cut_off(device: HubClient, hub: ServedHub, how: str) -> None:
    assert await device.put_token(device_token("d2", KEY)) == 200
    await sending(device, EVENTS)
    other = await sending(device, "/devices/d2/messages/events")
    if how == "deleted":
        await hub.registry.delete("d1", expected_etag=None)
    else:
        changed = SasAuthentication(primary_key=b"3" * 32, secondary_key=b"4" * 32) if how == "other keys" else KEYS
        status = DeviceStatus.DISABLED if how == "disabled" else DeviceStatus.ENABLED
        await hub.registry.update(
            IdentityWrite(device_id="d1", authentication=changed, status=status), expected_etag=None
        )
    assert (await refusal(device)).condition == Condition.UNAUTHORIZED_ACCESS
    device.message(other, text("x"))
    assert isinstance(await device.outcome(), Accepted)
    device.sender(f"/{EVENTS}")
    assert (await refusal(device)).condition == Condition.UNAUTHORIZED_ACCESS


async def test_each_device_has_its_own_expiry(device: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    now = int(clock.now().timestamp())
    assert await device.put_token(device_token("d2", KEY, now + 100)) == 200
    await sending(device, EVENTS)
    await sending(device, "/devices/d2/messages/events")
    clock.pass_seconds(390)
    await settle()
    assert len(hub.sessions) == 2
    assert await device.put_token(device_token("d2", KEY, now + 400)) == 200  # renewed in time
    clock.pass_seconds(300)
    await settle()
    assert len(hub.sessions) == 2
    clock.pass_seconds(11)
    assert (await refusal(device)).condition == Condition.UNAUTHORIZED_ACCESS
    assert [session.device_id for session in hub.sessions] == ["d1"]


async def test_a_renewed_token_of_another_key_goes_on(device: HubClient, hub: ServedHub) -> None:
    link = await sending(device, EVENTS)
    assert await device.put_token(device_token("d1", b"2" * 32)) == 200
    rolled = SasAuthentication(primary_key=b"3" * 32, secondary_key=b"2" * 32)
    await hub.registry.update(IdentityWrite(device_id="d1", authentication=rolled), expected_etag=None)
    await settle()
    device.message(link, text("x"))
    assert isinstance(await device.outcome(), Accepted)


# ---------------------------------------------------------------- telemetry


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


# ---------------------------------------------------------------- cloud-to-device


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


# ---------------------------------------------------------------- twin


async def twin_links(client: HubClient, key: str | None = "twin:1", slashes: str = "") -> tuple[Link, Link]:
    properties = {Symbol("com.microsoft:channel-correlation-id"): key} if key else None
    up = await sending(client, slashes + TWIN, properties=properties)
    down = await receiving(client, slashes + TWIN, properties=properties, snd_settle_mode=SenderSettleMode.SETTLED)
    return up, down


def twin_request(operation: str, resource: str | None = None, body: str = " ", **more: Any) -> Message:
    annotations: dict[Any, Any] = {Symbol("operation"): operation}
    if resource is not None:
        annotations[Symbol("resource")] = resource
    annotations |= {Symbol(name): value for name, value in more.items() if name != "correlation_id"}
    return text(
        body, message_annotations=annotations, properties=Properties(correlation_id=more.get("correlation_id", "c1"))
    )


async def ask_twin(client: HubClient, link: Link, *arguments: Any, **more: Any) -> tuple[int, Message]:
    client.message(link, twin_request(*arguments, **more), settled=True)
    arrived = await client.until(Delivery)
    assert arrived.settled
    answer = decode_message(arrived.data)
    status = (answer.message_annotations or {})["status"]
    assert type(status) is Int
    return int(status), answer


REPORTED, DESIRED = "/properties/reported", "/notifications/twin/properties/desired"


@pytest.mark.parametrize("correlation_id", ["text", UUID(int=3), ULong(4)])
async def test_a_twin_is_read(device: HubClient, correlation_id: Any) -> None:
    up, _ = await twin_links(device)
    status, answer = await ask_twin(device, up, "GET", correlation_id=correlation_id)
    assert status == 200
    assert answer.properties is not None
    assert answer.properties.correlation_id == correlation_id
    assert type(answer.properties.correlation_id) is type(correlation_id)
    assert msgspec.json.decode(answer.data or b"") == {"desired": {"$version": 1}, "reported": {"$version": 1}}


async def test_reports(device: HubClient, hub: ServedHub) -> None:
    up, _ = await twin_links(device)
    status, answer = await ask_twin(device, up, "PATCH", REPORTED, '{"a":1}', version=None)
    assert status == 204
    assert (answer.message_annotations or {})["version"] == 2
    assert type((answer.message_annotations or {})["version"]) is int  # AMQP's long
    status, answer = await ask_twin(device, up, "PATCH", REPORTED, '{"a":2}', version=1)
    assert status == 412
    assert msgspec.json.decode(answer.data or b"")["errorCode"] == 412001
    status, answer = await ask_twin(device, up, "PATCH", REPORTED, "no JSON")
    assert status == 400
    assert (await hub.twins.get("d1")).twin.reported.content == {"a": 1}


async def test_desired_changes_are_followed(device: HubClient, hub: ServedHub) -> None:
    up, down = await twin_links(device)
    assert (await ask_twin(device, up, "PUT", DESIRED))[0] == 200
    await hub.twins.patch("d1", tags=None, desired={"speed": 5}, expected_version=None)
    change = decode_message((await device.until(Delivery)).data)
    assert change.properties is None
    assert change.message_annotations == {"resource": "/properties/desired", "version": 2}
    assert msgspec.json.decode(change.data or b"") == {"speed": 5, "$version": 2}
    assert (await ask_twin(device, up, "DELETE", DESIRED))[0] == 200
    await hub.twins.patch("d1", tags=None, desired={"speed": 6}, expected_version=None)
    assert (await ask_twin(device, up, "GET"))[0] == 200  # and nothing before it
    assert (await ask_twin(device, up, "PUT", DESIRED))[0] == 200
    device.send(Detach(link=down))
    await hub.twins.patch("d1", tags=None, desired={"speed": 7}, expected_version=None)
    device.message(up, twin_request("GET"))
    assert isinstance(await device.outcome(), Rejected)  # nowhere to answer


@pytest.mark.parametrize("request_", [("POST",), ("PATCH", "/tags"), ("PUT",), ("",), ("PATCH", REPORTED, "[1]")])
async def test_operations_that_are_none(device: HubClient, request_: tuple[str, ...]) -> None:
    up, _ = await twin_links(device)
    status, answer = await ask_twin(device, up, *request_)
    assert status == 400
    assert answer.properties == Properties(correlation_id="c1")


async def test_a_new_pair_ends_the_old_one(device: HubClient) -> None:
    old = await twin_links(device)
    new_up = device.sender(f"/{TWIN}", properties={Symbol("com.microsoft:channel-correlation-id"): "twin:2"})
    assert [(await refusal(device)).condition for _ in range(2)] == [Condition.STOLEN] * 2
    assert not any(link.open for link in old)
    await receiving(device, f"/{TWIN}", properties={Symbol("com.microsoft:channel-correlation-id"): "twin:2"})
    assert (await ask_twin(device, new_up, "GET"))[0] == 200


async def test_a_pair_without_a_key(device: HubClient) -> None:
    up, _ = await twin_links(device, key=None)
    assert (await ask_twin(device, up, "GET"))[0] == 200


# ---------------------------------------------------------------- methods


async def method_links(client: HubClient) -> tuple[Link, Link]:
    properties = {Symbol("com.microsoft:channel-correlation-id"): "d1"}
    return (
        await sending(client, METHODS, properties=properties),
        await receiving(client, METHODS, properties=properties),
    )


async def test_a_method(device: HubClient, hub: ServedHub) -> None:
    up, _ = await method_links(device)
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(hub.methods.call("d1", "reboot", b'{"in":5}', connect_timeout=5, response_timeout=5))
        request = decode_message((await device.until(Delivery)).data)
        assert request.application_properties == {"IoThub-methodname": "reboot"}
        assert request.data == b'{"in":5}'
        assert request.properties is not None
        correlation_id = request.properties.correlation_id
        assert isinstance(correlation_id, UUID)
        for other, status in ((UUID(int=1), Int(1)), (correlation_id, "200"), (None, Int(1))):
            device.message(
                up,
                text(
                    "{}",
                    properties=Properties(correlation_id=other),
                    application_properties={"IoThub-status": status},
                ),
            )
        device.message(
            up,
            text(
                '"done"',
                properties=Properties(correlation_id=correlation_id),
                application_properties={"IoThub-status": Int(201)},
            ),
        )
        outcomes = [await device.outcome() for _ in range(4)]
    assert [isinstance(outcome, Accepted) for outcome in outcomes] == [True, False, False, True]
    assert (call.result().status, call.result().payload) == (201, b'"done"')


async def test_methods_end_with_the_links(device: HubClient, hub: ServedHub) -> None:
    _, down = await method_links(device)
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(_failing(hub, "d1"))
        await device.until(Delivery)
        device.send(Detach(link=down))
    assert call.result() == 404104
    assert await _failing(hub, "d1") == 404103


async def _failing(hub: ServedHub, device_id: str) -> int:
    with pytest.raises(HubError) as raised:
        await hub.methods.call(device_id, "m", b"null", connect_timeout=0, response_timeout=5)
    return raised.value.code.number
