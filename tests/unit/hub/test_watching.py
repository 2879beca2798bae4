"""One reader's view of a hub, over the real log and bus: where it begins, what is counted, whose hints it follows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from homeport.bus import ConnectionChanged, LocalBus, TelemetryStored
from homeport.hub import watching
from homeport.hub.model import BUILT_IN, StoredTelemetry, Telemetry
from homeport.hub.served_hub import ServedHub
from tests.unit.hub.conftest import ManualClock


async def send(hub: ServedHub, clock: ManualClock, device_id: str, body: bytes) -> StoredTelemetry:
    now = clock.now()
    message = Telemetry(device_id=device_id, body=body, system={}, properties={}, annotations={}, enqueued_at=now)
    stored = await hub.telemetry.append(message)
    clock.pass_seconds(1)
    return stored


def watch_of(hub: ServedHub, bus: LocalBus, **narrow: Any) -> watching.Watch:
    wanted: dict[str, Any] = {"kinds": frozenset(), "telemetry": True, "device_id": None} | narrow
    return watching.Watch(hub=hub.name, log=hub.telemetry.log, bus=bus, **wanted)


@asynccontextmanager
async def gathering(watch: watching.Watch) -> AsyncIterator[None]:
    listening = asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(watch.gather(listening))
        await listening.wait()
        yield
        task.cancel()


async def told(watch: watching.Watch, begin: watching.Begin, count: int) -> list[Any]:
    """Return the first so many: bodies for messages, the rest as it is."""
    found: list[Any] = []
    async with aclosing(_messages(watch, begin)) as messages:
        async for each in messages:
            found.append(each.message.telemetry.body if isinstance(each, watching.Seen) else each)
            if len(found) == count:
                break
    return found


def _messages(watch: watching.Watch, begin: watching.Begin) -> Any:
    return watch.messages(begin)


async def test_what_retention_took_is_counted(hub: ServedHub, bus: LocalBus, clock: ManualClock) -> None:
    for number in range(5):
        await send(hub, clock, "sensor-1", b"%d" % number)
    cut = clock.now()
    await send(hub, clock, "sensor-1", b"kept")
    await hub.telemetry.log.retain(enqueued_after=cut, limit=100)
    begin = watching.Place(offsets={hub.telemetry.log.partition_of("sensor-1"): 2})
    _, missed, kept = await told(watch_of(hub, bus), begin, 3)
    assert missed == watching.Missed(count=3)
    assert kept == b"kept"


@pytest.mark.parametrize("device_id", [None, "sensor-1"])
async def test_the_last_messages_first(
    hub: ServedHub, bus: LocalBus, clock: ManualClock, device_id: str | None
) -> None:
    log = hub.telemetry.log
    for number in range(4):
        await send(hub, clock, "sensor-1", b"%d" % number)
    await send(hub, clock, "sensor-2", b"another device's")
    watch = watch_of(hub, bus, device_id=device_id)
    *past, place = await told(watch, 2, 3)
    assert past == ([b"2", b"3"] if device_id else [b"3", b"another device's"])
    read = {log.partition_of("sensor-1")} if device_id else set(range(log.partitions))
    assert set(place.offsets) == read
    again = watch_of(hub, bus, device_id=device_id)
    await send(hub, clock, "sensor-1", b"new")
    assert (await told(again, place, 2))[1] == b"new"


async def test_hints_of_other_partitions(hub: ServedHub, bus: LocalBus, clock: ManualClock) -> None:
    """Of another device, and of an endpoint that has more of them."""
    watch = watch_of(hub, bus, device_id="sensor-1")
    messages = _messages(watch, 0)
    async with gathering(watch):
        assert isinstance(await anext(messages), watching.Place)
        for partition in range(hub.telemetry.log.partitions + 1):
            hint = TelemetryStored(hub=hub.name, stream="alarms", device_id="x", partition=partition, offset=9)
            await bus.publish(hint)
        waiting = asyncio.get_running_loop().create_task(anext(messages))
        await asyncio.sleep(0.01)
        stored = await send(hub, clock, "sensor-1", b"mine")
        await bus.publish(
            TelemetryStored(
                hub=hub.name, stream=BUILT_IN, device_id="sensor-1", partition=stored.partition, offset=stored.offset
            )
        )
        assert (await waiting).message.telemetry.body == b"mine"
    await messages.aclose()


async def test_changes_beyond_measure_are_counted(
    hub: ServedHub, bus: LocalBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MAX_CHANGES", 3)
    watch = watch_of(hub, bus, kinds=frozenset({watching.Kind.CONNECTION}), telemetry=False)
    async with gathering(watch):
        for name in ("a", "b", "a", "c", "d", "a", "e"):
            await bus.publish(ConnectionChanged(hub=hub.name, device_id=name))
        await bus.publish(ConnectionChanged(hub="another", device_id="x"))
        await asyncio.sleep(0.01)
        changes: Any = watch.changes()
        seen = [await anext(changes) for _ in range(4)]
    assert seen[0] == watching.Missed(count=2)
    assert [each.device_id for each in seen[1:]] == ["a", "b", "c"]


def test_places_are_written_and_read() -> None:
    place = watching.Place(offsets={3: 7, 0: 1})
    assert str(place) == "0:1,3:7"
    assert watching.Place.parse(str(place)) == place
    for text in ("", "1", "1:", ":1", "a:1", "1:1,", "²:1"):
        with pytest.raises(ValueError, match="partition:offset"):
            watching.Place.parse(text)
