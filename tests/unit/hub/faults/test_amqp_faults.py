"""Fault injection messages over AMQP: each ends exactly what it names (contract hub.md 28.2 to 28.4)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from homeport.faults import FaultLab
from homeport.hub.hubs import Hubs
from homeport.hub.served_hub import ServedHub
from homeport.proto.amqp import (
    BATCH_FORMAT,
    Accepted,
    Closed,
    Condition,
    Data,
    Detach,
    Detached,
    Ended,
    Int,
    Link,
    Message,
    Rejected,
    Session,
    ULong,
    encode_message,
)
from tests.unit.hub.amqp_client import (
    BOUND,
    EVENTS,
    KEY,
    METHODS,
    TOKEN,
    TWIN,
    HubClient,
    cloud_message,
    connected,
    receiving,
    sending,
    stored,
    text,
)
from tests.unit.hub.clients import device_token
from tests.unit.hub.conftest import NAME, Line, ManualClock, settle, until


@pytest.fixture
async def device(hub: ServedHub, amqp: Line) -> AsyncIterator[HubClient]:
    async with connected(amqp) as client:
        await client.start()
        assert await client.put_token(TOKEN) == 200
        yield client


def fault(kind: str, delay: Any = 5, duration: Any = None) -> Message:
    properties = {
        "AzIoTHub_FaultOperationType": kind,
        "AzIoTHub_FaultOperationCloseReason": "boom",
        "AzIoTHub_FaultOperationDelayInSecs": delay,
        "AzIoTHub_FaultOperationDurationInSecs": duration,
    }
    return text("x", application_properties=properties)


async def begin(device: HubClient, link: Link, clock: ManualClock, message: Message, seconds: float = 5) -> None:
    """Send a fault, which is accepted at once, and let its delay pass."""
    device.message(link, message)
    assert isinstance(await device.outcome(), Accepted)
    await settle()
    clock.pass_seconds(seconds)


@dataclass
class Everything:
    """All links of d1 on one session."""

    events: Link
    bound: Link
    twin_up: Link
    twin_down: Link
    methods_up: Link
    methods_down: Link


async def everything(device: HubClient) -> Everything:
    return Everything(
        events=await sending(device, EVENTS),
        bound=await receiving(device, BOUND),
        twin_up=await sending(device, TWIN),
        twin_down=await receiving(device, TWIN),
        methods_up=await sending(device, METHODS),
        methods_down=await receiving(device, METHODS),
    )


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("KillAmqpD2CLink", "events"),
        ("KillAmqpC2DLink", "bound"),
        ("KillAmqpc2dLink", "bound"),
        ("KillAmqpTwinLinkReq", "twin_up"),
        ("KillAmqpTwinLinkResp", "twin_down"),
        ("KillAmqpMethodReqLink", "methods_down"),
        ("KillAmqpMethodRespLink", "methods_up"),
    ],
)
async def test_one_link_ends_and_no_other(
    device: HubClient, hub: ServedHub, clock: ManualClock, lab: FaultLab, kind: str, name: str
) -> None:
    links = await everything(device)
    await begin(device, links.events, clock, fault(kind))
    gone = await device.until(Detached)
    assert gone.link is getattr(links, name)
    assert gone.closed
    assert gone.error is not None
    assert (gone.error.condition, gone.error.description) == (Condition.DETACH_FORCED, "boom")
    await settle()
    others = [link for each, link in vars(links).items() if each != name]
    assert all(link.open for link in [*others, device.cbs])
    assert len(hub.sessions) == 1
    assert [(each.device_id, each.hub, each.transport) for each in lab.history()] == [("d1", NAME, "amqp")]
    again = await sending(device, EVENTS) if name == "events" else links.events
    device.message(again, text("y"))
    assert isinstance(await device.outcome(), Accepted)
    assert [each.body for each in await stored(hub)] == [b"x", b"y"]


async def test_messages_come_on_a_new_link_after_theirs_was_killed(
    device: HubClient, hub: ServedHub, clock: ManualClock
) -> None:
    events, _ = await sending(device, EVENTS), await receiving(device, BOUND)
    await begin(device, events, clock, fault("KillAmqpC2DLink"))
    await device.until(Detached)
    await hub.messages.send("d1", cloud_message(clock))
    await receiving(device, BOUND)
    assert (await device.received()).body == Data((b"hello",))


@pytest.mark.parametrize(("kind", "sends"), [("KillAmqpCBSLinkReq", True), ("KillAmqpCBSLinkResp", False)])
async def test_one_link_to_cbs(device: HubClient, clock: ManualClock, kind: str, sends: bool) -> None:
    events = await sending(device, EVENTS)
    await begin(device, events, clock, fault(kind))
    gone = await device.until(Detached)
    assert (gone.link is device.cbs) is sends
    assert device.cbs.open is not sends
    assert events.open
    if sends:
        device.cbs = await sending(device, "$cbs")
    else:
        await receiving(device, "$cbs")
    assert await device.put_token(TOKEN) == 200


async def second_device(client: HubClient, *, session: Session | None = None) -> Link:
    """Attach telemetry of d2: on a session of its own, or on this one."""
    assert await client.put_token(device_token("d2", KEY)) == 200
    if session is None:
        await client.begin()
    return await sending(client, "/devices/d2/messages/events")


async def test_a_session_ends_and_the_other_devices_see_nothing(
    device: HubClient, hub: ServedHub, clock: ManualClock
) -> None:
    cbs_session = device.session
    mine = await device.begin()
    events, bound = await sending(device, EVENTS), await receiving(device, BOUND)
    other = await second_device(device)
    await begin(device, events, clock, fault("KillAmqpSession"))
    gone = await device.until(Ended)
    assert gone.session is mine
    assert gone.error is not None
    assert gone.error.description == "boom"
    assert (events.open, bound.open) == (False, False)
    assert (other.open, device.cbs.open) == (True, True)
    await until(lambda: [each.device_id for each in hub.sessions] == ["d2"])
    device.message(other, text("still here"))
    assert isinstance(await device.outcome(), Accepted)
    # And d1 comes back on a new session of the same connection.
    device.session = cbs_session
    await device.begin()
    back = await sending(device, EVENTS)
    device.message(back, text("back"))
    assert isinstance(await device.outcome(), Accepted)
    assert [each.body for each in await stored(hub, "d2")] == [b"still here"]


async def test_one_session_for_all_ends_for_all(device: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    """The C client's way: whoever is on the session loses it."""
    events = await sending(device, EVENTS)
    other = await second_device(device, session=device.session)
    await begin(device, events, clock, fault("KillAmqpSession"))
    await device.until(Ended)
    assert (events.open, other.open) == (False, False)
    await until(lambda: len(hub.sessions) == 0)
    await device.begin()
    await device.open_cbs()
    assert await device.put_token(TOKEN) == 200


async def test_kill_tcp_reaches_the_connection_and_all_its_devices(
    device: HubClient, hub: ServedHub, clock: ManualClock
) -> None:
    events = await sending(device, EVENTS)
    await second_device(device)
    assert len(hub.sessions) == 2
    await begin(device, events, clock, fault("KillTcp"))
    assert b"\x00S\x18" not in await device.rest()  # no CLOSE
    await until(lambda: len(hub.sessions) == 0)


@pytest.mark.parametrize(
    ("kind", "condition"), [("ShutDownAmqp", None), ("KillAmqpConnection", Condition.CONNECTION_FORCED)]
)
async def test_the_connection_is_closed(
    device: HubClient, hub: ServedHub, clock: ManualClock, kind: str, condition: str | None
) -> None:
    events = await sending(device, EVENTS)
    await begin(device, events, clock, fault(kind))
    closed = await device.until(Closed)
    assert (closed.error and closed.error.condition) == condition
    assert await device.hear() is None
    await until(lambda: len(hub.sessions) == 0)


@pytest.mark.parametrize(
    ("kind", "condition"),
    [
        ("InvokeThrottling", "com.microsoft:device-container-throttled"),
        ("InvokeMaxMessageQuota", Condition.RESOURCE_LIMIT_EXCEEDED),
        ("InvokeAuthError", Condition.UNAUTHORIZED_ACCESS),
    ],
)
async def test_telemetry_is_rejected_for_a_while(
    device: HubClient, hub: ServedHub, clock: ManualClock, kind: str, condition: str
) -> None:
    events, bound = await sending(device, EVENTS), await receiving(device, BOUND)
    other = await second_device(device)

    async def send(link: Link) -> Any:
        device.message(link, text("y"))
        return await device.outcome()

    device.message(events, fault(kind, delay=Int(5), duration=ULong(20)))  # Node's numbers
    assert isinstance(await device.outcome(), Accepted)
    assert isinstance(await send(events), Accepted)
    await settle()
    clock.pass_seconds(5)
    await settle()
    rejected = await send(events)
    assert isinstance(rejected, Rejected)
    assert rejected.error is not None
    assert (rejected.error.condition, rejected.error.description) == (condition, "boom")
    assert isinstance(await send(other), Accepted)
    assert bound.open
    await hub.messages.send("d1", cloud_message(clock))
    assert (await device.received()).body == Data((b"hello",))
    clock.pass_seconds(20)
    assert isinstance(await send(events), Accepted)
    assert len(await stored(hub)) == 3


async def test_a_fault_on_the_outside_of_a_batch(device: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    """The C client sends everything in batches, and the properties stand outside (28.1)."""
    events = await sending(device, EVENTS)
    outside = fault("ShutDownAmqp").application_properties
    batch = Message(application_properties=outside, body=Data((encode_message(text("one")),)))
    device.message(events, batch, message_format=BATCH_FORMAT)
    assert isinstance(await device.outcome(), Accepted)
    await settle()
    clock.pass_seconds(5)
    await device.until(Closed)
    assert [each.body for each in await stored(hub)] == [b"one"]


async def test_each_fault_counts_on_its_own(device: HubClient, clock: ManualClock, lab: FaultLab) -> None:
    events, bound = await sending(device, EVENTS), await receiving(device, BOUND)
    await begin(device, events, clock, fault("KillAmqpC2DLink", delay=3), seconds=0)
    await begin(device, events, clock, fault("KillAmqpD2CLink", delay="5"), seconds=3)
    assert (await device.until(Detached)).link is bound
    clock.pass_seconds(2)
    assert (await device.until(Detached)).link is events
    assert len(lab.history()) == 2


async def test_without_its_switch_a_hub_obeys_nobody(
    device: HubClient, hubs: Hubs, hub: ServedHub, clock: ManualClock, lab: FaultLab
) -> None:
    await hubs.obey_fault_messages(NAME, wanted=False)
    events = await sending(device, EVENTS)
    await begin(device, events, clock, fault("KillTcp"))
    device.message(events, text("y"))
    assert isinstance(await device.outcome(), Accepted)
    assert len(await stored(hub)) == 2
    assert lab.history() == []


async def test_a_pending_fault_of_a_device_that_left(device: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    """A pending fault of a device that has left the connection finds nothing, and breaks nothing."""
    events = await sending(device, EVENTS)
    other = await second_device(device)
    device.message(events, fault("KillAmqpD2CLink"))
    assert isinstance(await device.outcome(), Accepted)
    device.send(Detach(link=events))
    await until(lambda: [each.device_id for each in hub.sessions] == ["d2"])
    clock.pass_seconds(5)
    await settle()
    device.message(other, text("y"))
    assert isinstance(await device.outcome(), Accepted)
