"""Tokens on an AMQP connection: CBS, SASL, expiry (contract hub.md 2.6, 2.7, 15)."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from homeport.hub.identities import IdentityWrite
from homeport.hub.model import DeviceStatus, SasAuthentication
from homeport.hub.served_hub import ServedHub
from homeport.proto.amqp import (
    PLAIN,
    AmqpValue,
    Attached,
    Closed,
    Condition,
    Data,
    Detached,
    Int,
    Message,
    PlainCredentials,
    Properties,
    SaslCode,
    ULong,
    plain,
)
from homeport.security import sas
from tests.unit.hub.amqp_client import HubClient, connected
from tests.unit.hub.clients import FOREVER, device_token, service_token
from tests.unit.hub.conftest import Line, ManualClock, settle

KEY = b"1" * 32
KEYS = SasAuthentication(primary_key=KEY, secondary_key=b"2" * 32)
TOKEN = device_token("d1", KEY)


@pytest.fixture
async def client(hub: ServedHub, amqp: Line) -> AsyncIterator[HubClient]:
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    async with connected(amqp) as client:
        await client.start()
        yield client


@pytest.mark.parametrize("message_id", [ULong(0), UUID(int=7), "link:1", b"id"])
async def test_the_answer_repeats_the_id_with_its_type(client: HubClient, message_id: Any) -> None:
    answer = await client.ask_cbs(TOKEN, message_id=message_id)
    assert answer.properties is not None
    assert answer.properties.correlation_id == message_id
    assert type(answer.properties.correlation_id) is type(message_id)
    status = (answer.application_properties or {})["status-code"]
    assert (type(status), status) == (Int, 200)
    assert (answer.application_properties or {})["status-description"]
    assert answer.body == AmqpValue(None)


@pytest.mark.parametrize("kind", ["azure-devices.net:sastoken", "SERVICEBUS.windows.net:sastoken", "jwt", None])
async def test_the_token_speaks_for_itself(client: HubClient, kind: str | None) -> None:
    answer = await client.ask_cbs(Data((TOKEN.encode(),)), type=kind, name=None)
    assert (answer.application_properties or {})["status-code"] == 200


@pytest.mark.parametrize(
    ("token", "status"),
    [
        ("nonsense", 400),
        ("Bearer eyJh.e30.x", 400),
        ("", 400),
        (device_token("d1", b"x" * 32), 401),
        (device_token("nobody", KEY), 401),
        (device_token("d1", KEY, 1000000000), 401),
        (sas.sign("localhost", KEY, FOREVER), 401),
        (sas.sign("elsewhere/devices/d1", KEY, FOREVER), 401),
        (sas.sign("localhost", KEY, FOREVER, "nopolicy"), 401),
        (sas.sign("localhost", KEY, FOREVER, "service"), 401),
    ],
)
async def test_what_is_refused(client: HubClient, token: str, status: int) -> None:
    assert await client.put_token(token) == status
    assert await client.put_token(TOKEN) == 200  # the connection stays


async def test_a_disabled_device_is_refused(client: HubClient, hub: ServedHub) -> None:
    disabled = IdentityWrite(device_id="d1", authentication=KEYS, status=DeviceStatus.DISABLED)
    await hub.registry.update(disabled, expected_etag=None)
    assert await client.put_token(TOKEN) == 401


async def test_policies_sign_in_both_ways(client: HubClient, hub: ServedHub) -> None:
    assert await client.put_token(service_token(hub, "service")) == 200
    policy = next(each for each in hub.hub.policies if each.name == "service")
    as_text = sas.encode_key(policy.primary_key).encode()
    resource = sas.encode_resource("sb://localhost/events/consumergroups/$default")
    assert await client.put_token(sas.sign(resource, as_text, FOREVER, "service")) == 200


async def test_other_operations_and_bodies(client: HubClient) -> None:
    answer = await client.ask_cbs(TOKEN, operation="delete-token")
    assert (answer.application_properties or {})["status-code"] == 400
    answer = await client.ask_cbs(AmqpValue(Int(5)))
    assert (answer.application_properties or {})["status-code"] == 400


async def test_an_answer_needs_a_way_back(hub: ServedHub, amqp: Line) -> None:
    async with connected(amqp) as client:
        await client.open()
        await client.begin()
        cbs = client.sender("$cbs")
        await client.attached()
        client.message(cbs, Message(properties=Properties(message_id="1"), body=AmqpValue(TOKEN)))
        outcome = await client.outcome()
        assert outcome.error.condition == "com.microsoft:argument-error"


async def test_links_of_strangers_are_few(client: HubClient) -> None:
    for number in range(30):
        client.sender("/" * (number + 1) + "$cbs")
        await client.attached()
    client.sender("/" * 40 + "$cbs")
    gone = await client.until(Detached)
    assert gone.error is not None
    assert gone.error.condition == "com.microsoft:device-container-throttled"
    assert await client.put_token(TOKEN) == 200


async def test_unknown_addresses(client: HubClient) -> None:
    client.sender("nowhere/at/all")
    await client.until(Attached)
    gone = await client.until(Detached)
    assert gone.error is not None
    assert gone.error.condition == Condition.NOT_FOUND
    assert "com.microsoft:tracking-id" in (gone.error.info or {})


async def test_nobody_stays_for_a_minute(client: HubClient, clock: ManualClock) -> None:
    await client.put_token("nonsense")
    clock.pass_seconds(61)
    client.sender("/$cbs")
    closed = await client.until(Closed)
    assert closed.error is not None
    assert closed.error.condition == Condition.UNAUTHORIZED_ACCESS


async def test_the_end_of_the_last_token_is_the_end(client: HubClient, clock: ManualClock) -> None:
    now = int(clock.now().timestamp())
    assert await client.put_token(device_token("d1", KEY, now + 100)) == 200
    clock.pass_seconds(200)
    assert await client.put_token(device_token("d1", KEY, now + 1000)) == 200
    clock.pass_seconds(300)
    await settle()
    assert await client.put_token(device_token("d1", KEY, now + 1100)) == 200
    clock.pass_seconds(1000)
    closed = await client.until(Closed)
    assert closed.error is not None
    assert closed.error.condition == Condition.UNAUTHORIZED_ACCESS


# ---------------------------------------------------------------- SASL


async def sasl(line: Line, mechanism: str, response: bytes) -> SaslCode:
    async with connected(line, mechanisms=(mechanism,)) as client:
        code = await client.sasl(mechanism, response)
        if code is SaslCode.OK:
            await client.start()
        return code


@pytest.mark.parametrize("mechanism", ["ANONYMOUS", "MSSBCBS", "EXTERNAL"])
async def test_mechanisms_that_prove_nothing(amqp: Line, mechanism: str) -> None:
    assert await sasl(amqp, mechanism, b"somebody") is SaslCode.OK


@pytest.mark.parametrize(
    ("user", "policy", "code"),
    [
        ("service@sas.root.hub", "service", SaslCode.OK),
        ("service@sas.root.localhost", "service", SaslCode.OK),
        ("iothubowner@sas.root.hub", "service", SaslCode.AUTH),
        ("d1@sas.hub", None, SaslCode.OK),
        ("d1@hub", None, SaslCode.OK),
        ("d1@hub", "device", SaslCode.OK),
        ("d2@sas.hub", None, SaslCode.AUTH),
        ("d1/modules/m1@sas.hub", None, SaslCode.AUTH),
        ("d1@sas.elsewhere", None, SaslCode.AUTH),
        ("d1", None, SaslCode.AUTH),
    ],
)
async def test_plain(hub: ServedHub, amqp: Line, user: str, policy: str | None, code: SaslCode) -> None:
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    token = TOKEN if policy is None else service_token(hub, policy)
    assert await sasl(amqp, PLAIN, plain(PlainCredentials(authentication_id=user, password=token))) is code
