"""Faults begin, cut connections, end and leave a history; everything kept is bounded."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from homeport.faults import Drop, FaultLab, Latency, Occasion, Outage, Place, Point, State, Target, Throttle
from homeport.faults import lab as module
from tests.unit.hub.conftest import ManualClock, settle


class Wire:
    """A hub's connections; what is cut comes back at once."""

    def __init__(self, *identities: str) -> None:
        self.identities = list(identities)
        self.cuts: list[tuple[str, bool]] = []

    def connected(self) -> list[str]:
        return self.identities

    def cut(self, identity: str, *, orderly: bool) -> str | None:
        if identity == "gone":
            return None
        self.cuts.append((identity, orderly))
        return "mqtt"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def lab(clock: ManualClock) -> AsyncIterator[FaultLab]:
    lab = FaultLab(clock, bytes)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(lab.run())
        await settle()
        yield lab
        running.cancel()


def occasion(device_id: str = "a") -> Occasion:
    return Occasion(place=Place.HUB, point=Point.SEND, device_id=device_id, hub="hub1", transport="mqtt")


def refused(lab: FaultLab) -> bool:
    return lab.ask(occasion()).refusal is not None


async def pass_seconds(clock: ManualClock, seconds: float) -> None:
    clock.pass_seconds(seconds)
    await settle()


async def test_from_start_to_end(lab: FaultLab, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    assert not refused(lab)
    standing = lab.start(Throttle(), Target(), delay=5, duration=10, by="anna")
    assert (standing.fault.id, standing.fault.seed, lab.state(standing)) == ("f-1", 0, State.WAITING)
    assert not refused(lab)
    await pass_seconds(clock, 5)
    assert lab.state(standing) is State.ACTIVE
    assert refused(lab)
    assert "f-1 begins: 429, retry after 5 s, all devices, seed 0" in caplog.text
    await pass_seconds(clock, 10)
    assert lab.state(standing) is State.ENDED
    assert not refused(lab)
    assert "f-1 has ended; it was injected once" in caplog.text
    assert [each.fault.id for each in lab.all()] == ["f-1"]
    assert lab.get("f-1") is standing
    (told,) = lab.history()
    assert (told.fault_id, told.kind, told.device_id, told.hub, told.point) == ("f-1", "throttle", "a", "hub1", "send")
    assert (told.transport, told.detail) == ("mqtt", "refused with 429")


async def test_it_can_be_stopped(lab: FaultLab, clock: ManualClock) -> None:
    lab.start(Throttle(), Target())
    lab.start(Latency(least=1, most=1), Target(), delay=60)
    assert refused(lab)
    assert lab.stop("f-1") is not None
    assert lab.stop("f-2") is not None
    assert (lab.stop("f-1"), lab.stop("f-9"), lab.get("f-9")) == (None, None, None)
    assert not refused(lab)
    await pass_seconds(clock, 100)
    assert lab.ask(occasion()).delay == 0


async def test_drops_come_in_rounds(lab: FaultLab, clock: ManualClock) -> None:
    wire, other = Wire("b", "a", "a/m", "gone"), Wire("a")
    lab.attend("Hub1", wire)
    lab.attend("hub2", other)
    target = Target(hubs=frozenset({"hub1"}), devices=frozenset({"a", "gone"}))
    lab.start(Drop(interval=10, orderly=True), target, delay=1, duration=25)
    assert wire.cuts == []
    for seconds in (1, 9, 1, 10, 10, 10):
        await pass_seconds(clock, seconds)
    assert wire.cuts == [("a", True), ("a/m", True)] * 3
    assert other.cuts == []
    assert [each.fault.id for each in lab.all()] == ["f-1"]
    assert lab.all()[0].injected == 6


async def test_a_drop_without_rounds_is_over_at_once(lab: FaultLab) -> None:
    wire = Wire("a")
    lab.attend("hub1", wire)
    standing = lab.start(Drop(), Target())
    assert wire.cuts == [("a", False)]
    assert lab.state(standing) is State.ENDED


async def test_the_rounds_of_a_seed_can_be_had_again(lab: FaultLab, clock: ManualClock) -> None:
    played: list[Any] = []
    for _ in range(2):
        wire = Wire(*(f"d{number}" for number in range(20)))
        lab.attend("hub1", wire)
        lab.start(Drop(interval=1), Target(), duration=9.5, probability=0.5, seed=3)
        for _ in range(10):
            await pass_seconds(clock, 1)
        played.append(wire.cuts)
    assert played[0] == played[1]
    assert 50 < len(played[0]) < 150


async def test_an_outage_cuts_its_devices_once(lab: FaultLab, clock: ManualClock) -> None:
    wire = Wire("a", "b")
    lab.attend("hub1", wire)
    lab.start(Outage(devices=False), Target(), duration=5)
    assert wire.cuts == []
    lab.start(Outage(), Target(), duration=5)
    await pass_seconds(clock, 2)
    assert wire.cuts == [("a", False), ("b", False)]
    assert refused(lab)
    assert lab.in_force(Place.PROVISIONING, "a") == [
        "fault f-1: provisioning cannot reach all hubs",
        "fault f-2: provisioning cannot reach all hubs",
    ]
    await pass_seconds(clock, 3)
    assert not refused(lab)


async def test_everything_is_bounded(lab: FaultLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_COUNTED", 3)
    for _ in range(module.MAX_FAULTS):
        lab.start(Throttle(), Target(), probability=0, delay=60)
    with pytest.raises(ValueError, match="100 faults"):
        lab.start(Throttle(), Target())
    for number in range(module.MAX_FAULTS):
        lab.stop(f"f-{number + 1}")
    standing = lab.start(Latency(least=1, most=1), Target())
    for number in range(module.MAX_HISTORY + 10):
        lab.ask(occasion(f"d{number}"))
    assert len(standing.numbers) == 3
    assert standing.injected == module.MAX_HISTORY + 10
    assert len(lab.history(limit=10**9)) == module.MAX_HISTORY
    lab.stop(standing.fault.id)
    assert len(lab.all()) == module.MAX_ENDED


async def test_the_history_can_be_narrowed(lab: FaultLab) -> None:
    lab.start(Throttle(), Target(devices=frozenset({"a", "b"})))
    lab.start(Latency(least=1, most=1), Target(devices=frozenset({"c"})))
    for device_id in ("a", "b", "a/m", "c"):
        lab.ask(occasion(device_id))
    lab.note_message("a", "hub1", "amqp", "KillTcp")
    assert [each.device_id for each in lab.history()] == ["a", "c", "a/m", "b", "a"]
    assert [each.device_id for each in lab.history(fault_id="f-1", device_id="a")] == ["a/m", "a"]
    assert [each.detail for each in lab.history(device_id="a", limit=1)] == ["KillTcp"]
