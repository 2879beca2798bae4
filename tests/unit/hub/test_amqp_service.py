"""Services over AMQP: messages to devices, feedback, notifications of files (contract hub.md 18)."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from homeport.hub.identities import IdentityWrite
from homeport.hub.message_lock import Settlement
from homeport.hub.messages import Delivery as Taken
from homeport.hub.model import BlobProperties, DeviceStatus, SasAuthentication
from homeport.hub.served_hub import ServedHub
from homeport.proto.amqp import (
    ACCEPTED,
    PLAIN,
    RELEASED,
    Accepted,
    AmqpValue,
    Attached,
    Condition,
    Data,
    Delivery,
    Detach,
    Detached,
    Disposed,
    Disposition,
    Error,
    Link,
    Message,
    Modified,
    PlainCredentials,
    Properties,
    Rejected,
    SaslCode,
    Symbol,
    Timestamp,
    decode_message,
    plain,
)
from homeport.security import sas
from tests.unit.hub.amqp_client import HubClient, connected, refusal, text
from tests.unit.hub.clients import FOREVER, device_token, service_token
from tests.unit.hub.conftest import Line, ManualClock, settle

KEY = b"1" * 32
KEYS = SasAuthentication(primary_key=KEY, secondary_key=b"2" * 32)
BOUND = "/messages/devicebound"
FEEDBACK, FILES = "/messages/serviceBound/feedback", "/messages/serviceBound/filenotifications"


@pytest.fixture
async def nobody(hub: ServedHub, amqp: Line) -> AsyncIterator[HubClient]:
    for device_id in ("d1", "d2", "a#b%c", "d1/m"):
        await hub.registry.create(IdentityWrite(device_id=device_id, authentication=KEYS))
    async with connected(amqp) as client:
        await client.start()
        yield client


@pytest.fixture
async def service(nobody: HubClient, hub: ServedHub) -> HubClient:
    """A connection with a token of the policy `service`."""
    assert await nobody.put_token(service_token(hub, "service")) == 200
    return nobody


async def sending(client: HubClient, address: str = BOUND) -> Link:
    link = client.sender(address)
    await client.attached()
    assert link.open
    return link


async def receiving(client: HubClient, address: str, credit: int = 10) -> Link:
    link = client.receiver(address, credit)
    await client.until(Attached)
    return link


async def outcome(client: HubClient, link: Link, message: Message) -> Any:
    client.message(link, message)
    return (await client.until(Disposed)).state


def to(target: str = "d1", value: str | bytes = "hi", **more: Any) -> Message:
    properties = {"to": f"/devices/{target}/messages/deviceBound"} | more.pop("properties", {})
    return text(value, properties=Properties(**properties), **more)


async def take(hub: ServedHub, target: str = "d1") -> Taken:
    delivery = await hub.messages.receive(target, life=timedelta(minutes=1), of_connection=False)
    assert delivery is not None
    return delivery


async def complete(hub: ServedHub, settlement: Settlement = Settlement.COMPLETE, target: str = "d1") -> None:
    await hub.messages.settle(target, (await take(hub, target)).token, settlement)


async def tick(clock: ManualClock, seconds: float = 1) -> None:
    """Let time pass, and let those go on that have slept so long."""
    await settle()
    clock.pass_seconds(seconds)
    await settle()


async def delivered(client: HubClient, clock: ManualClock, seconds: float = 1) -> Delivery:
    """Wait for what is delivered as time passes."""
    waiting = asyncio.ensure_future(client.until(Delivery))  # noqa: TID251, RUF100
    while not waiting.done():
        await tick(clock, seconds)
        await asyncio.sleep(0.001)
    delivery: Delivery = await waiting
    return delivery


# ---------------------------------------------------------------- messages to devices


async def test_a_message_with_everything(service: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    link = await sending(service)
    expiry = clock.now() + timedelta(minutes=7)
    message = to(
        value=b"\x00\xff",
        properties={
            "message_id": "m1",
            "correlation_id": "c1",
            "user_id": b"me",
            "content_type": Symbol("application/json"),
            "content_encoding": Symbol("utf-8"),
            "absolute_expiry_time": Timestamp.of(expiry),
        },
        application_properties={"iothub-ack": "full", "plant": "north", "number": 7, "flag": True},
    )
    assert await outcome(service, link, message) == ACCEPTED
    taken = (await take(hub)).message
    assert taken.body == b"\x00\xff"
    assert dict(taken.system) == {"mid": "m1", "cid": "c1", "uid": "me", "ct": "application/json", "ce": "utf-8"}
    assert dict(taken.properties) == {"plant": "north", "number": "7", "flag": "true"}
    assert (taken.acknowledgement.value, taken.enqueued_at, taken.expires_at) == ("full", clock.now(), expiry)


@pytest.mark.parametrize(
    "address", ["/messages/devicebound", "messages/deviceBound", "amqps://localhost:5671/messages/deviceBound"]
)
async def test_the_spellings_of_the_address(service: HubClient, hub: ServedHub, address: str) -> None:
    assert await outcome(service, await sending(service, address), to()) == ACCEPTED
    assert (await take(hub)).message.body == b"hi"


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("/devices/d1/messages/devicebound", "d1"),
        ("devices/d1/messages/deviceBound", "d1"),
        ("/devices/d1/modules/m/messages/devicebound", "d1/m"),
        ("/devices/a#b%c/messages/devicebound", "a#b%c"),
        ("/devices/a%23b%25c/messages/devicebound", "a#b%c"),
    ],
)
async def test_whom_a_message_is_for(service: HubClient, hub: ServedHub, address: str, target: str) -> None:
    link = await sending(service)
    assert await outcome(service, link, to(properties={"to": address})) == ACCEPTED
    assert (await take(hub, target)).message.body == b"hi"


async def test_when_a_message_expires(service: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    link = await sending(service)
    hour, days = timedelta(hours=1), timedelta(days=2)
    for wanted, life in ((None, hour), (Timestamp(0), hour), (Timestamp.of(clock.now() + 9 * days), days)):
        assert await outcome(service, link, to(properties={"absolute_expiry_time": wanted})) == ACCEPTED
        assert (await take(hub)).message.expires_at == clock.now() + life
    # One that is over already is taken, and never delivered.
    past = Timestamp.of(clock.now() - hour)
    assert await outcome(service, link, to("d2", properties={"absolute_expiry_time": past})) == ACCEPTED
    assert await hub.messages.receive("d2", life=hour, of_connection=False) is None


@pytest.mark.parametrize(
    ("message", "condition"),
    [
        (to("nobody"), "amqp:not-found"),
        (to("d1/modules/nobody"), "amqp:not-found"),
        (text("x"), "com.microsoft:argument-error"),
        (text("x", properties=Properties(to="/devices/d1")), "com.microsoft:argument-error"),
        (to("a/b/c"), "com.microsoft:argument-error"),
        (to("é"), "com.microsoft:argument-error"),
        (to("d1", b"x" * 65537), "amqp:link:message-size-exceeded"),
        (to(application_properties={"iothub-ack": "maybe"}), "com.microsoft:argument-error"),
        (to(application_properties={"a": [1]}), "com.microsoft:argument-error"),
        (Message(properties=to().properties, body=AmqpValue(7)), "com.microsoft:argument-error"),
    ],
)
async def test_what_is_rejected(service: HubClient, hub: ServedHub, message: Message, condition: str) -> None:
    link = await sending(service)
    state = await outcome(service, link, message)
    assert isinstance(state, Rejected)
    assert state.error is not None
    assert state.error.condition == condition
    assert state.error.description
    assert await hub.messages.counts(["d1"]) == {}
    assert await outcome(service, link, to()) == ACCEPTED  # the link stays


async def test_no_message_for_who_is_disabled(service: HubClient, hub: ServedHub) -> None:
    disabled = IdentityWrite(device_id="d1", authentication=KEYS, status=DeviceStatus.DISABLED)
    await hub.registry.update(disabled, expected_etag=None)
    state = await outcome(service, await sending(service), to())
    assert isinstance(state, Rejected)
    assert state.error is not None
    assert state.error.condition == Condition.NOT_FOUND


async def test_a_queue_holds_fifty_in_their_order(service: HubClient, hub: ServedHub) -> None:
    link = await sending(service)
    for number in range(51):
        service.message(link, to(value=str(number)))
    states = [(await service.until(Disposed)).state for _ in range(51)]
    assert [type(state) for state in states].count(Accepted) == 50
    (rejected,) = (state for state in states if isinstance(state, Rejected))
    assert rejected.error is not None
    assert rejected.error.condition == Condition.RESOURCE_LIMIT_EXCEEDED
    assert [(await take(hub)).message.body for _ in range(50)] == [str(number).encode() for number in range(50)]


# ---------------------------------------------------------------- who may


@pytest.mark.parametrize("address", [BOUND, FEEDBACK, FILES])
@pytest.mark.parametrize("policy", [None, "device", "registryRead"])
async def test_who_may_not(nobody: HubClient, hub: ServedHub, address: str, policy: str | None) -> None:
    if policy is not None:
        assert await nobody.put_token(service_token(hub, policy)) == 200
    if address == BOUND:
        nobody.sender(address)
    else:
        nobody.receiver(address)
    assert (await refusal(nobody)).condition == Condition.UNAUTHORIZED_ACCESS


async def test_a_device_is_no_service(nobody: HubClient) -> None:
    assert await nobody.put_token(device_token("d1", KEY)) == 200
    nobody.receiver(FEEDBACK)
    assert (await refusal(nobody)).condition == Condition.UNAUTHORIZED_ACCESS


async def test_a_token_for_just_these_messages(nobody: HubClient, hub: ServedHub) -> None:
    key = next(each.primary_key for each in hub.hub.policies if each.name == "service")
    assert await nobody.put_token(sas.sign("localhost/messages/devicebound", key, FOREVER, "service")) == 200
    assert await outcome(nobody, await sending(nobody), to()) == ACCEPTED
    nobody.receiver(FEEDBACK)
    assert (await refusal(nobody)).condition == Condition.UNAUTHORIZED_ACCESS


@pytest.mark.parametrize("user", ["service@sas.root.hub", "service@sas.root.localhost"])
async def test_the_token_may_come_with_sasl(amqp: Line, hub: ServedHub, user: str) -> None:
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    credentials = PlainCredentials(authentication_id=user, password=service_token(hub, "service"))
    async with connected(amqp, mechanisms=(PLAIN,)) as client:
        assert await client.sasl(PLAIN, plain(credentials)) is SaslCode.OK
        await client.open()
        await client.begin()
        assert await outcome(client, await sending(client), to()) == ACCEPTED


async def test_links_end_with_their_token(nobody: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    key = next(each.primary_key for each in hub.hub.policies if each.name == "service")
    expiry = int(clock.now().timestamp()) + 60
    assert await nobody.put_token(sas.sign("localhost", key, expiry, "service")) == 200
    await sending(nobody)
    await receiving(nobody, FEEDBACK)
    assert await nobody.put_token(device_token("d1", KEY)) == 200  # something else holds the connection
    await tick(clock, 60 + 300 + 1)
    assert {(await refusal(nobody)).condition for _ in range(2)} == {Condition.UNAUTHORIZED_ACCESS}


@pytest.mark.parametrize("address", ["/messages/devicebound/x", "/messages/serviceBound", "/messages/serviceBound/x"])
@pytest.mark.parametrize("way", ["sender", "receiver"])
async def test_addresses_that_are_none(service: HubClient, address: str, way: str) -> None:
    getattr(service, way)(address)
    assert (await refusal(service)).condition == Condition.NOT_FOUND


async def test_directions_that_are_none(service: HubClient) -> None:
    service.receiver(BOUND)
    assert (await refusal(service)).condition == Condition.NOT_FOUND
    service.sender(FEEDBACK)
    assert (await refusal(service)).condition == Condition.NOT_FOUND


# ---------------------------------------------------------------- feedback


async def ended(service: HubClient, hub: ServedHub, *message_ids: str, ack: str = "full") -> None:
    """Send messages to d1 and complete them there."""
    link = await sending(service)
    for message_id in message_ids:
        message = to(properties={"message_id": message_id}, application_properties={"iothub-ack": ack})
        assert await outcome(service, link, message) == ACCEPTED
        await complete(hub)
    service.send(Detach(link=link))
    await service.until(Detached)


async def test_feedback_as_every_sdk_reads_it(service: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    await ended(service, hub, "m1", "m2")
    told_at = clock.now()
    await receiving(service, FEEDBACK)
    delivery = await delivered(service, clock)
    assert clock.now() - told_at >= timedelta(seconds=15)
    message = decode_message(delivery.data)
    assert message.properties is not None
    assert message.properties.content_type == "application/vnd.microsoft.iothub.feedback.json"
    assert message.properties.user_id == b"hub"
    at = (message.message_annotations or {})[Symbol("iothub-enqueuedtime")]
    assert isinstance(at, Timestamp)
    assert at.moment() > told_at
    assert delivery.tag is not None
    assert len(delivery.tag) == 16
    assert isinstance(message.body, Data)
    generation = (await hub.registry.get("d1")).generation_id
    assert json.loads(b"".join(message.body.parts)) == [
        {
            "originalMessageId": message_id,
            "description": "Success",
            "statusCode": "Success",
            "deviceGenerationId": generation,
            "deviceId": "d1",
            "enqueuedTimeUtc": "2024-06-01T12:00:00.0000000Z",
        }
        for message_id in ("m1", "m2")
    ]


async def test_sixty_four_records_do_not_wait(service: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    await ended(service, hub, *(str(number) for number in range(65)))
    await receiving(service, FEEDBACK)
    delivery = await service.until(Delivery)  # no time has passed
    body = decode_message(delivery.data).body
    assert isinstance(body, Data)
    assert len(json.loads(body.parts[0])) == 64


@pytest.mark.parametrize("ack", ["none", "negative"])
async def test_success_is_told_to_who_wants_to_hear(
    service: HubClient, hub: ServedHub, clock: ManualClock, ack: str
) -> None:
    await ended(service, hub, "m1", ack=ack)
    await ended(service, hub, "m2", ack="positive")
    await receiving(service, FEEDBACK)
    body = decode_message((await delivered(service, clock)).data).body
    assert isinstance(body, Data)
    assert [record["originalMessageId"] for record in json.loads(body.parts[0])] == ["m2"]


@pytest.mark.parametrize(
    ("state", "again"),
    [
        (ACCEPTED, False),
        (Rejected(error=Error(condition="x:y", description="", info={})), False),
        (RELEASED, True),
        (Modified(delivery_failed=True), True),
    ],
)
async def test_outcomes(service: HubClient, hub: ServedHub, clock: ManualClock, state: Any, again: bool) -> None:
    await ended(service, hub, "m1")
    link = await receiving(service, FEEDBACK, credit=1)
    delivery = await delivered(service, clock)
    service.send(Disposition(link=link, delivery_id=delivery.delivery_id, state=state, settled=False))
    answered = await service.until(Disposed)
    assert (answered.state, answered.settled) == (state, True)
    waiting = await hub.feedback.take(patient=False)
    assert (waiting is not None) is again


async def test_what_a_link_leaves_behind_comes_back(service: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    await ended(service, hub, "m1")
    link = await receiving(service, FEEDBACK)
    await delivered(service, clock)
    service.send(Detach(link=link))
    await settle()
    async with asyncio.timeout(5):
        while (batch := await hub.feedback.take(patient=False)) is None:  # noqa: ASYNC110  # a store's thread gives it back
            await asyncio.sleep(0.001)
    assert len(batch.notices) == 1


async def test_an_outcome_counts_though_its_link_ends_at_once(
    service: HubClient, hub: ServedHub, clock: ManualClock
) -> None:
    await ended(service, hub, "m1")
    link = await receiving(service, FEEDBACK)
    delivery = await delivered(service, clock)
    service.send(
        Disposition(link=link, delivery_id=delivery.delivery_id, state=ACCEPTED, settled=True), Detach(link=link)
    )
    await service.until(Detached)
    await service.leave()
    clock.pass_seconds(61)  # a lock that was left would be over
    assert await hub.feedback.take(patient=False) is None


async def test_ten_deliveries_are_enough(service: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    await ended(service, hub, "m1")
    for _ in range(10):
        batch = await hub.feedback.take(patient=False)
        assert batch is not None
        await hub.feedback.settle(str(batch.token), Settlement.ABANDON)
    assert await hub.feedback.take(patient=False) is None


async def test_a_lock_lasts_a_minute(service: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    await ended(service, hub, "m1")
    link = await receiving(service, FEEDBACK, credit=1)
    delivery = await delivered(service, clock)
    clock.pass_seconds(60)
    service.send(Disposition(link=link, delivery_id=delivery.delivery_id, state=ACCEPTED, settled=False))
    answered = (await service.until(Disposed)).state
    assert isinstance(answered, Rejected)
    assert answered.error is not None
    assert answered.error.condition == "com.microsoft:message-lock-lost"
    assert await hub.feedback.take(patient=False) is not None


async def test_no_credit_no_feedback(service: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    await ended(service, hub, "m1")
    link = await receiving(service, FEEDBACK, credit=0)
    for _ in range(20):
        await tick(clock)
    assert await hub.feedback.take(patient=False) is not None
    assert link.open


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("address", [FILES, "amqps://localhost/messages/servicebound/fileuploadnotifications"])
async def test_a_file_is_told_at_once(service: HubClient, hub: ServedHub, clock: ManualClock, address: str) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"hello"

    for name in ("x", "y"):
        ticket = await hub.files.uploads.begin("d1", name, host="localhost")
        await hub.files.container.put(
            ticket.blob_name, content(), BlobProperties(), limit=9, md5=None, check=lambda present: None
        )
        await hub.files.uploads.complete("d1", ticket.correlation_id, success=True)
    link = await receiving(service, address)
    for name in ("x", "y"):
        delivery = await service.until(Delivery)
        message = decode_message(delivery.data)
        assert message.properties is not None
        assert message.properties.content_type == "application/vnd.microsoft.iothub.filenotification.json"
        assert isinstance(message.body, Data)
        told = json.loads(message.body.parts[0])
        assert (told["deviceId"], told["blobName"], told["blobSizeInBytes"]) == ("d1", f"d1/{name}", 5)
        assert told["blobUri"] == f"https://localhost/uploads/d1/{name}"
        assert delivery.tag == UUID(bytes_le=delivery.tag or b"").bytes_le
        service.send(Disposition(link=link, delivery_id=delivery.delivery_id, state=ACCEPTED, settled=True))
    await tick(clock)
    assert await hub.files.notifications.take(patient=False) is None
