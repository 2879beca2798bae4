"""What every bus keeps: events reach whoever listens, once, in order, of the kinds asked for."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from homeport.bus import (
    Bus,
    ConnectionChanged,
    DesiredChanged,
    DeviceChanged,
    Event,
    HintsLost,
    HubAuthoritiesChanged,
    HubsChanged,
    MessageQueued,
    NodesChanged,
    PartitionOwned,
    PassWanted,
    RegistrationFinished,
    RegistrationOpened,
    SessionOpened,
    TelemetryStored,
    TwinChanged,
)

PATIENCE = 20.0

CARRIED: Sequence[Event] = (
    HubsChanged(name="one"),
    DeviceChanged(hub="one", device_id="d/m"),
    ConnectionChanged(hub="one", device_id="Größe"),
    TelemetryStored(hub="one", stream="", device_id="d", partition=3, offset=2**40),
    MessageQueued(hub="one", target="d/m"),
    SessionOpened(hub="one", device_id="d", node="right", at=datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)),
    DesiredChanged(hub="one", device_id="d", version=7, change={"a": {"b": None, "c": [1.5, "x"]}}),
    PassWanted(hub="one"),
    PartitionOwned(hub="one", stream="s", group="$Default", partition=3, epoch=2**40, node="left"),
    HubAuthoritiesChanged(hub="one"),
    TwinChanged(hub="one", device_id="d"),
    NodesChanged(node="left"),
)
LOCAL: Sequence[Event] = (
    RegistrationOpened(registration_id="r"),
    RegistrationFinished(registration_id="r"),
    HintsLost(since=datetime(2026, 1, 1, tzinfo=UTC)),
)


async def heard(bus: Bus, publishing: Bus, events: Sequence[Event], *kinds: type[Event]) -> list[Event]:
    """Publish events and a last one, and return what a listener to these kinds hears before that."""
    end = HubsChanged(name="the end")
    got: list[Event] = []
    async with bus.subscribe(*kinds, HubsChanged) as listening, asyncio.timeout(PATIENCE):
        for event in (*events, end):
            await publishing.publish(event)
        async for event in listening:
            if event == end:
                return got
            got.append(event)
    raise AssertionError("a subscription does not end by itself")


@pytest.mark.parametrize("event", CARRIED, ids=lambda event: type(event).__name__)
async def test_an_event_arrives_as_it_was(ends: tuple[Bus, Bus], event: Event) -> None:
    publishing, listening = ends
    assert await heard(listening, publishing, [event], type(event)) == [event]


async def test_events_come_in_order(ends: tuple[Bus, Bus]) -> None:
    publishing, listening = ends
    events = [MessageQueued(hub="one", target=str(number)) for number in range(500)]
    assert await heard(listening, publishing, events, MessageQueued) == events


async def test_only_the_kinds_asked_for_come(ends: tuple[Bus, Bus]) -> None:
    publishing, listening = ends
    assert await heard(listening, publishing, CARRIED, PassWanted) == [HubsChanged(name="one"), PassWanted(hub="one")]


async def test_everyone_who_listens_hears(ends: tuple[Bus, Bus]) -> None:
    publishing, listening = ends
    event = DeviceChanged(hub="one", device_id="d")
    async with asyncio.timeout(PATIENCE), listening.subscribe(DeviceChanged) as first:
        async with listening.subscribe(DeviceChanged) as second:
            await publishing.publish(event)
            assert await anext(aiter(first)) == event
            assert await anext(aiter(second)) == event
        await publishing.publish(event)
        assert await anext(aiter(first)) == event


async def test_a_slow_reader_loses_the_oldest_and_holds_nobody_up(ends: tuple[Bus, Bus]) -> None:
    publishing, listening = ends
    async with asyncio.timeout(PATIENCE), listening.subscribe(MessageQueued) as slow:
        async with listening.subscribe(MessageQueued) as quick:
            for number in range(3000):
                await publishing.publish(MessageQueued(hub="one", target=str(number)))
                if listening is publishing:
                    await anext(aiter(quick))
            if listening is not publishing:
                while await anext(aiter(quick)) != MessageQueued(hub="one", target="2999"):
                    pass
        first = await anext(aiter(slow))
        assert isinstance(first, MessageQueued)
        assert int(first.target) > 0
        while first != MessageQueued(hub="one", target="2999"):
            first = await anext(aiter(slow))
