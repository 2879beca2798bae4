"""The endpoints of a hub: names, settings, consumer groups, retention, and reading a partition's end together."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.hub.errors import HubCode, HubError
from homeport.hub.event_streams import Crowded, Receiver, Receivers, Stolen, first_offset, read_selector
from homeport.hub.event_streams.positions import At, Latest, Since
from homeport.hub.event_streams.receivers import Admitted, judge
from homeport.hub.event_streams.streams import LOOK_AGAIN, MAX_GROUPS, MAX_STREAMS, RETAIN_EVERY
from homeport.hub.hubs import Hubs
from homeport.hub.model import BUILT_IN, Telemetry
from homeport.hub.partition_tail import MAX_EVENTS
from homeport.hub.served_hub import ServedHub
from homeport.hub.telemetry import HINT_INTERVAL
from tests.unit.hub.conftest import HOST, NAME, Calls, MakeHubs, ManualClock, running, settle, until


def telemetry(device_id: str, body: bytes, at: datetime) -> Telemetry:
    return Telemetry(device_id=device_id, body=body, system={}, properties={}, annotations={}, enqueued_at=at)


async def refused(work: Any) -> HubCode:
    with pytest.raises(HubError) as raised:
        await work
    return raised.value.code


# ---------------------------------------------------------------- selectors


@pytest.mark.parametrize(
    ("text", "position"),
    [
        (None, At(0)),
        ("amqp.annotation.x-opt-offset > '-1'", At(0)),
        ("amqp.annotation.x-opt-offset >= '-1'", At(0)),
        ("amqp.annotation.x-opt-offset > '41'", At(42)),
        ("amqp.annotation.x-opt-offset >= '41'", At(41)),
        ("amqp.annotation.x-opt-offset > '@latest'", Latest()),
        ("amqp.annotation.x-opt-offset >= '@latest'", Latest(inclusive=True)),
        ("amqp.annotation.x-opt-sequence-number > '7'", At(8)),
        ("amqp.annotation.x-opt-sequence-number >= 7", At(7)),
        ("amqp.annotation.x-opt-enqueued-time > '1500'", Since(datetime.fromtimestamp(1.501, UTC))),
        ("amqp.annotation.x-opt-enqueued-time >= '1500'", Since(datetime.fromtimestamp(1.5, UTC))),
        ("amqp.annotation.x-opt-enqueuedtimeutc > 1500", Since(datetime.fromtimestamp(1.501, UTC))),
        ("  AMQP.annotation.x-opt-offset>'3' ", At(4)),
    ],
)
def test_selectors(text: str | None, position: object) -> None:
    assert read_selector(text) == position


@pytest.mark.parametrize(
    "text",
    [
        "",
        "amqp.annotation.x-opt-offset < '3'",
        "amqp.annotation.x-opt-offset > 'three'",
        "amqp.annotation.x-opt-offset > '3",
        "amqp.annotation.x-opt-partition-key > '3'",
        "amqp.annotation.x-opt-offset > '3' AND true",
        "amqp.annotation.x-opt-offset > '" + "9" * 30 + "'",
        "amqp.annotation.x-opt-offset > " + " " * 60_000 + "'",
    ],
)
def test_what_is_no_selector(text: str) -> None:
    with pytest.raises(HubError) as raised:
        read_selector(text)
    assert raised.value.code is HubCode.ARGUMENT_INVALID


@given(st.text(max_size=80))
def test_a_selector_is_read_or_refused(text: str) -> None:
    for candidate in (text, f"amqp.annotation.x-opt-enqueued-time >= '{text}'"):
        with suppress(HubError):
            assert read_selector(candidate) is not None


# ---------------------------------------------------------------- receivers

EPOCHS = st.one_of(st.none(), st.integers(min_value=0, max_value=5))


def make_receiver(epoch: int | None, left: list[Receiver]) -> Receiver:
    made = Receiver(epoch, lambda _: left.append(made))
    return made


@given(st.lists(EPOCHS, max_size=30))
def test_a_partition_has_one_owner_or_few_who_share(arrivals: Sequence[int | None]) -> None:
    """Whoever comes in whatever order: the owner is the newest of the highest epoch, or five share."""
    receivers = Receivers()
    present: dict[Receiver, int | None] = {}
    left: list[Receiver] = []
    for epoch in arrivals:
        left.clear()
        receiver = make_receiver(epoch, left)
        verdict = receivers.admit("S", "G", 0, receiver)
        before = dict(present)
        for each in left:
            del present[each]
        if verdict is None:
            present[receiver] = epoch
        else:
            assert not left
        owners = [each for each in present.values() if each is not None]
        assert len(owners) <= 1
        assert not owners or len(present) == 1
        assert len(present) <= 5
        match verdict:
            case Stolen(epoch=owner):
                assert owner in before.values()
                assert epoch is None or epoch < owner
            case Crowded():
                assert epoch is None
                assert list(before.values()) == [None] * 5


def test_who_leaves_makes_room() -> None:
    receivers = Receivers()
    readers = [Receiver(None, lambda _: None) for _ in range(6)]
    assert [receivers.admit("s", "g", 0, each) for each in readers] == [None] * 5 + [Crowded()]
    receivers.leave("S", "G", 0, readers[0])
    receivers.leave("s", "g", 0, readers[0])
    assert receivers.admit("s", "G", 0, readers[5]) is None
    assert receivers.admit("s", "other", 0, readers[0]) is None
    assert judge([None, None], 0) == Admitted(range(2))


# ---------------------------------------------------------------- endpoints and groups


async def test_the_built_in_endpoint_has_the_hubs_name(hub: ServedHub) -> None:
    (built_in,) = await hub.streams.all()
    assert (built_in.name, built_in.partitions, built_in.retention) == (BUILT_IN, 4, timedelta(days=1))
    assert (await hub.streams.find(NAME.upper())) == built_in
    assert await hub.streams.find(BUILT_IN) == built_in
    assert await hub.streams.find("nothing") is None


async def test_a_hub_that_is_called_like_an_address(make_hubs: MakeHubs) -> None:
    served = await make_hubs().create("Devices", ["devices.example.com"])
    assert served.streams.event_hub_name == "Devices-events"
    assert await served.streams.find("devices-events") is not None
    assert await served.streams.find("devices") is None


async def test_endpoints_of_another_process(make_hubs: MakeHubs, clock: ManualClock) -> None:
    here, there = make_hubs(), make_hubs()
    one = await here.create(NAME, [HOST])
    await there.load(alone=False)
    other = there.get(NAME)
    assert other is not None
    await one.streams.create("alarms", partitions=2)
    stream = await other.streams.open("Alarms")
    await stream.append(telemetry("d", b"1", clock.now()))
    assert (await (await one.streams.open("alarms")).log.count("d")) == 1
    await one.streams.configure("alarms", retention=timedelta(days=7), max_bytes=1 << 30)
    assert (await other.streams.settings("alarms")).max_bytes == 1 << 30
    await other.streams.remove("alarms")
    assert await refused(one.streams.settings("alarms")) is HubCode.OPERATION_NOT_FOUND
    clock.pass_seconds(1)
    await other.streams.create("alarms")
    assert await (await one.streams.open("alarms")).log.count("d") == 0


async def test_what_no_endpoint_may_be(hub: ServedHub) -> None:
    for name in ("", "a/b", "-a", "x" * 51, NAME, "events", "Messages", "devices", "$default"):
        assert await refused(hub.streams.create(name)) is HubCode.ARGUMENT_INVALID
    for settings in (
        {"partitions": 0},
        {"partitions": 33},
        {"retention": timedelta(hours=1)},
        {"retention": timedelta(days=8)},
        {"max_bytes": 5},
    ):
        assert await refused(hub.streams.create("fine", **settings)) is HubCode.ARGUMENT_INVALID
    for number in range(MAX_STREAMS):
        await hub.streams.create(f"stream-{number}")
    assert await refused(hub.streams.create("one-more")) is HubCode.ARGUMENT_INVALID
    assert await refused(hub.streams.create("STREAM-0")) is HubCode.ARGUMENT_INVALID
    assert await refused(hub.streams.remove("events")) is HubCode.ARGUMENT_INVALID
    assert await refused(hub.streams.remove("nothing")) is HubCode.OPERATION_NOT_FOUND


async def test_consumer_groups(hub: ServedHub) -> None:
    streams = hub.streams
    made = await streams.create_group("Billing")
    assert await streams.create_group("billing") == made
    assert [group.name for group in await streams.groups()] == ["$Default", "Billing"]
    assert await streams.create_group("$default") == (await streams.groups())[0]
    assert await streams.has_group(BUILT_IN, "BILLING")
    assert await streams.has_group(BUILT_IN, "$DEFAULT")
    assert not await streams.has_group(BUILT_IN, "other")
    for number in range(MAX_GROUPS - 1):
        await streams.create_group(f"group-{number}")
    assert await refused(streams.create_group("one-more")) is HubCode.ARGUMENT_INVALID
    assert await refused(streams.create_group("no/group")) is HubCode.ARGUMENT_INVALID
    assert await refused(streams.remove_group("$Default")) is HubCode.ARGUMENT_INVALID
    await streams.remove_group("BILLING")
    assert await refused(streams.remove_group("billing")) is HubCode.OPERATION_NOT_FOUND


# ---------------------------------------------------------------- reading and retention


async def read_all(hub: ServedHub, device: str = "d") -> list[int]:
    partition = (await hub.telemetry.log.latest(device_id=device, limit=1))[0].partition
    wake, offset, found = asyncio.Event(), 0, []
    with hub.telemetry.reading(partition, wake) as tail:
        while events := await tail.read(offset, 100):
            found += [int(event.telemetry.body) for event in events]
            offset = events[-1].offset + 1
    return found


async def test_the_past_and_what_comes_are_read_without_a_gap(hub: ServedHub, clock: ManualClock, calls: Calls) -> None:
    for number in range(300):
        await hub.telemetry.append(telemetry("d", b"%d" % number, clock.now()))
    partition = (await hub.telemetry.log.latest(device_id="d", limit=1))[0].partition
    wake = asyncio.Event()
    with hub.telemetry.reading(partition, wake) as tail:
        assert len(await tail.read(0, 50)) == 50
        del calls[:]
        assert [int(event.telemetry.body) for event in await tail.read(40, 500)] == list(range(40, 64))
        assert "read" not in calls, "what was read for one is there for all"
        assert len(await tail.read(64, 500)) == 236, "small events are read many at a time"
        for number in range(300, 310):
            await hub.telemetry.append(telemetry("d", b"%d" % number, clock.now()))
        assert wake.is_set()
        del calls[:]
        assert [event.offset for event in await tail.read(300, 500)] == list(range(300, 310))
        assert calls == [], "what comes in here is not read from the database"
    assert await read_all(hub) == list(range(310))


async def test_readers_at_the_end_look_once_for_all(hub: ServedHub, clock: ManualClock, calls: Calls) -> None:
    await hub.telemetry.append(telemetry("d", b"0", clock.now()))
    partition = (await hub.telemetry.log.latest(device_id="d", limit=1))[0].partition
    with hub.telemetry.reading(partition, asyncio.Event()) as tail:
        del calls[:]
        assert [len(await tail.read(1, 10)) for _ in range(3)] == [0, 0, 0]
        assert calls == ["read"]
        hub.telemetry.wake_readers()
        assert [len(await tail.read(1, 10)) for _ in range(3)] == [0, 0, 0]
        assert calls == ["read"] * 2
        # What was stored while somebody looked is not taken for the end.
        looking = asyncio.get_running_loop().create_task(tail.read(1, 10))
        hub.telemetry.heard(partition)
        await looking
        await hub.telemetry.log.append(telemetry("d", b"1", clock.now()))
        hub.telemetry.heard(partition)
        assert len(await tail.read(1, 10)) == 1


async def test_large_events_are_read_few_at_a_time(hub: ServedHub, clock: ManualClock) -> None:
    for _ in range(70):
        await hub.telemetry.append(telemetry("d", bytes(250_000), clock.now()))
    partition = (await hub.telemetry.log.latest(device_id="d", limit=1))[0].partition
    with hub.telemetry.reading(partition, asyncio.Event()) as tail:
        assert len(await tail.read(0, 500)) == 64
        assert len(await tail.read(64, 500)) == 4


async def test_a_tail_is_bounded_and_forgotten(hub: ServedHub, clock: ManualClock) -> None:
    await hub.telemetry.append(telemetry("d", b"0", clock.now()))
    partition = (await hub.telemetry.log.latest(device_id="d", limit=1))[0].partition
    with hub.telemetry.reading(partition, asyncio.Event()) as tail:
        await asyncio.gather(
            *(hub.telemetry.append(telemetry("d", b"%d" % n, clock.now())) for n in range(MAX_EVENTS + 50))
        )
        assert len(tail._recent) == MAX_EVENTS
        for _ in range(20):
            await hub.telemetry.append(telemetry("d", bytes(200_000), clock.now()))
        assert tail._bytes <= 1 << 20
        assert len(tail.at_hand(MAX_EVENTS + 70, 10)) == 1
    assert not hub.telemetry._tails


async def test_what_another_process_stores_wakes_readers(make_hubs: MakeHubs, clock: ManualClock) -> None:
    here, there = make_hubs(), make_hubs()
    one = await here.create(NAME, [HOST])
    await there.load(alone=False)
    other = there.get(NAME)
    assert other is not None
    async with running(one), running(other):
        await one.telemetry.append(telemetry("d", b"0", clock.now()))
        partition = (await one.telemetry.log.latest(device_id="d", limit=1))[0].partition
        wake = asyncio.Event()
        with one.telemetry.reading(partition, wake) as tail:
            # One process's and another's, in turns: what is pushed here has gaps, what is read has none.
            for number in range(1, 10):
                where = (one, other)[number % 2]
                await where.telemetry.append(telemetry("d", b"%d" % number, clock.now()))
                assert [int(event.telemetry.body) for event in await tail.read(number, 10)] == [number]
            wake.clear()
            await other.telemetry.append(telemetry("d", b"10", clock.now()))
            await settle()
            clock.pass_seconds(HINT_INTERVAL)
            await until(wake.is_set)
            wake.clear()
            clock.pass_seconds(LOOK_AGAIN)
            await until(wake.is_set)
    assert await read_all(one) == list(range(11))


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 3), st.integers(0, 2)), max_size=40),
    st.integers(0, 130),
)
def test_positions_are_what_a_plain_look_finds(arrivals: list[tuple[str, int, int]], at: int) -> None:
    """The law of the log: offsets without gaps, each device's order, and positions by time, for any history."""
    from homeport.store import open_stores

    async def work() -> None:
        start = datetime(2024, 1, 1, tzinfo=UTC)
        async with open_stores(":memory:") as stores:
            log = stores.events("hub", partitions=2)
            now, kept = start, 0
            for number, (device, passed, dropped) in enumerate(arrivals):
                now += timedelta(seconds=passed)
                await log.append(telemetry(device, b"%d" % number, now))
                if dropped == 2:
                    kept = max(kept, int((now - start).total_seconds()) - 20)
                    while await log.retain(enqueued_after=start + timedelta(seconds=kept), limit=3):
                        pass
            wanted = start + timedelta(seconds=at)
            for partition in range(2):
                held = await log.read(partition, offset=0, limit=1000)
                state = await log.state(partition)
                assert [each.offset for each in held] == list(range(state.begin, state.end))
                numbers = [int(each.telemetry.body) for each in held]
                assert numbers == sorted(numbers)
                assert all(arrivals[n][0] == each.telemetry.device_id for n, each in zip(numbers, held, strict=True))
                plain = next((each.offset for each in held if each.telemetry.enqueued_at >= wanted), state.end)
                assert await first_offset(log, partition, Since(wanted)) == plain
                assert await first_offset(log, partition, Latest()) == state.end
                newest = state.end - 1 if held else state.end
                assert await first_offset(log, partition, Latest(inclusive=True)) == newest

    asyncio.run(work())


async def test_old_events_go_by_themselves(hub: ServedHub, clock: ManualClock) -> None:
    await hub.streams.configure(BUILT_IN, retention=timedelta(days=2))
    for _ in range(3):
        await hub.telemetry.append(telemetry("d", b"old", clock.now()))
    clock.pass_seconds(timedelta(days=1.5).total_seconds())
    await hub.telemetry.append(telemetry("d", b"new", clock.now()))
    async with running(hub):
        await settle()
        assert await hub.telemetry.log.count("d") == 4
        clock.pass_seconds(timedelta(days=1).total_seconds())
        await until_counted(hub, clock, 1)


async def test_a_limit_by_size(hub: ServedHub, clock: ManualClock) -> None:
    await hub.streams.configure(BUILT_IN, max_bytes=1 << 20)
    for _ in range(50):
        await hub.telemetry.append(telemetry("d", bytes(100_000), clock.now()))
    async with running(hub):
        await settle()
        clock.pass_seconds(RETAIN_EVERY)
        await until_counted(hub, clock, 10)
    await hub.streams.configure(BUILT_IN, max_bytes=0)
    assert (await hub.streams.settings(BUILT_IN)).max_bytes is None


async def until_counted(hub: ServedHub, clock: ManualClock, expected: int) -> None:
    async with asyncio.timeout(5):
        while await hub.telemetry.log.count("d") != expected:
            clock.pass_seconds(1)
            await asyncio.sleep(0.001)


async def test_hubs_have_streams_of_their_own(hubs: Hubs, clock: ManualClock) -> None:
    one, two = await hubs.create("one", ["one.example.com"]), await hubs.create("two", ["two.example.com"])
    await one.streams.create("alarms")
    await one.telemetry.append(telemetry("d", b"1", clock.now()))
    assert await two.telemetry.log.count("d") == 0
    assert await refused(two.streams.open("alarms")) is HubCode.OPERATION_NOT_FOUND
