"""How a hub keeps cloud-to-device messages and feedback, when it was told otherwise (contract hub.md 19, 23)."""

from datetime import timedelta
from typing import Any

import pytest

from homeport.errors import Code, HomeportError
from homeport.hub.identities import IdentityWrite
from homeport.hub.message_lock import Settlement
from homeport.hub.model import (
    Acknowledgement,
    CloudMessage,
    FeedbackSettings,
    QueueSettings,
    SasAuthentication,
)
from homeport.hub.served_hub import ServedHub
from homeport.proto.amqp import Accepted, Data, Message, Properties
from homeport.security.callers import SYSTEM
from homeport.values import replace
from tests.unit.hub.amqp_client import connected, sending
from tests.unit.hub.clients import RestClient, device_token, service_token
from tests.unit.hub.conftest import Line, ManualClock

KEYS = SasAuthentication(primary_key=b"1" * 32, secondary_key=b"2" * 32)
TOLD = "/messages/serviceBound/feedback"
SETTINGS = QueueSettings(
    default_life=timedelta(minutes=2),
    max_deliveries=2,
    lock=timedelta(seconds=5),
    feedback=FeedbackSettings(life=timedelta(minutes=1), lock=timedelta(seconds=7), max_deliveries=1),
)


@pytest.fixture
async def set_hub(hub: ServedHub) -> ServedHub:
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    await hub.queues.put(SETTINGS, if_match=None, by=SYSTEM)
    return hub


async def send(hub: ServedHub, clock: ManualClock, **fields: Any) -> None:
    now = clock.now()
    await hub.messages.send(
        "d1", CloudMessage(body=b"x", enqueued_at=now, expires_at=now + timedelta(days=1), **fields)
    )


async def test_the_lock_over_https(set_hub: ServedHub, rest: RestClient, clock: ManualClock) -> None:
    await send(set_hub, clock)
    token = device_token("d1", b"1" * 32)

    async def receive() -> int:
        path = "/devices/d1/messages/deviceBound"
        return (await rest("GET", path, policy=None, Authorization=token)).status_code

    assert [await receive(), await receive()] == [200, 204]
    clock.pass_seconds(5)
    assert [await receive(), await receive()] == [200, 204]
    clock.pass_seconds(5)
    # It was delivered as often as it may be.
    assert await receive() == 204
    assert await set_hub.messages.counts(["d1"]) == {}


async def test_the_default_life(set_hub: ServedHub, amqp: Line, clock: ManualClock) -> None:
    async with connected(amqp) as client:
        await client.start()
        assert await client.put_token(service_token(set_hub, "service")) == 200
        link = await sending(client, "/messages/devicebound")
        to = Properties(to="/devices/d1/messages/devicebound")
        client.message(link, Message(properties=to, body=Data((b"x",))))
        assert isinstance(await client.outcome(), Accepted)
        await client.leave()
    clock.pass_seconds(119)
    delivery = await set_hub.messages.receive("d1", life=timedelta(seconds=1), of_connection=False)
    assert delivery is not None
    await set_hub.messages.settle("d1", delivery.token, Settlement.ABANDON)
    clock.pass_seconds(1)
    assert await set_hub.messages.receive("d1", life=None, of_connection=False) is None


@pytest.mark.parametrize("by", ["deliveries", "life"])
async def test_feedback(set_hub: ServedHub, rest: RestClient, clock: ManualClock, by: str) -> None:
    await send(set_hub, clock, system={"mid": "m"}, acknowledgement=Acknowledgement.FULL)
    await set_hub.messages.purge("d1")
    if by == "life":
        clock.pass_seconds(61)
        await set_hub.feedback.expire()
        assert (await rest("GET", TOLD)).status_code == 204
        return
    assert (await rest("GET", TOLD)).status_code == 200
    clock.pass_seconds(7)
    # The lock is over, and one delivery was all there may be.
    assert (await rest("GET", TOLD)).status_code == 204


FEEDBACK = SETTINGS.feedback


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (replace(SETTINGS, default_life=timedelta(seconds=59)), "defaultTtlAsIso8601 is from PT1M to P2D."),
        (replace(SETTINGS, default_life=timedelta(days=2, seconds=1)), "defaultTtlAsIso8601"),
        (replace(SETTINGS, max_deliveries=0), "maxDeliveryCount is from 1 to 100."),
        (replace(SETTINGS, max_deliveries=101), "maxDeliveryCount"),
        (replace(SETTINGS, lock=timedelta(seconds=4)), "lockDurationAsIso8601 is from PT5S to PT5M."),
        (replace(SETTINGS, lock=timedelta(seconds=301)), "lockDurationAsIso8601"),
        (replace(SETTINGS, feedback=replace(FEEDBACK, lock=timedelta(0))), "feedback.lockDurationAsIso8601"),
        (replace(SETTINGS, feedback=replace(FEEDBACK, life=timedelta(days=3))), "feedback.ttlAsIso8601"),
        (replace(SETTINGS, feedback=replace(FEEDBACK, max_deliveries=101)), "feedback.maxDeliveryCount"),
    ],
)
async def test_bounds(hub: ServedHub, wrong: QueueSettings, told: str) -> None:
    with pytest.raises(HomeportError, match=told) as refused:
        await hub.queues.put(wrong, if_match=None, by=SYSTEM)
    assert refused.value.code is Code.INVALID_REQUEST
    assert await hub.queues.get() == QueueSettings()


async def test_waiting_messages_in_conditions(rest: RestClient, hub: ServedHub, clock: ManualClock) -> None:
    for name in ("d1", "d2", "d3"):
        await hub.registry.create(IdentityWrite(device_id=name, authentication=KEYS))
    for _ in range(2):
        await send(hub, clock)

    async def query(text: str) -> Any:
        return (await rest("POST", "/devices/query", {"query": text})).json()

    found = await query("SELECT * FROM devices WHERE cloudToDeviceMessageCount > 1")
    assert [twin["deviceId"] for twin in found] == ["d1"]
    named = "SELECT deviceId, cloudToDeviceMessageCount FROM devices WHERE deviceId IN ['d1', 'd2']"
    assert [row["cloudToDeviceMessageCount"] for row in await query(named)] == [2, 0]
    grouped = "SELECT cloudToDeviceMessageCount, COUNT() AS n FROM devices GROUP BY cloudToDeviceMessageCount"
    assert sorted((row["cloudToDeviceMessageCount"], row["n"]) for row in await query(grouped)) == [(0, 2), (2, 1)]
