"""Decisions are a law: the seed and a device's own calls decide, and nothing else."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.faults import (
    ClockShift,
    Drop,
    Fault,
    Latency,
    Occasion,
    Outage,
    Place,
    Point,
    ServerFault,
    State,
    Target,
    Throttle,
    Verdict,
)
from homeport.faults.decisions import chance, decide, shift_of
from homeport.values import replace

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def fault(effect: Any, *, target: Target | None = None, probability: float = 1.0, seed: int = 7) -> Fault:
    return Fault(
        id="f-1",
        effect=effect,
        target=target or Target(),
        probability=probability,
        seed=seed,
        starts_at=NOW,
        ends_at=None,
    )


def occasion(device_id: str, point: Point = Point.SEND, **more: Any) -> Occasion:
    return Occasion(**{"place": Place.HUB, "point": point, "device_id": device_id, "hub": "hub1", **more})


def counting() -> Callable[[Occasion], Callable[[Fault], int]]:
    numbers: Counter[tuple[str, str, Point]] = Counter()

    def counter(asked: Occasion) -> Callable[[Fault], int]:
        def number(fault: Fault) -> int:
            key = (fault.id, asked.device_id, asked.point)
            numbers[key] += 1
            return numbers[key] - 1

        return number

    return counter


def play(faults: Sequence[Fault], calls: Sequence[tuple[str, Point]]) -> list[tuple[str, Verdict]]:
    number = counting()
    asked = [occasion(device_id, point) for device_id, point in calls]
    return [(each.device_id, decide(faults, each, number(each))) for each in asked]


effects = st.sampled_from([Latency(least=0.1, most=2), Throttle(), ServerFault(status=500), Outage()])
faults = st.builds(
    fault, effects, probability=st.floats(min_value=0, max_value=1), seed=st.integers(min_value=0, max_value=2**63 - 1)
)
calls = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([Point.SEND, Point.CONNECT])), max_size=40)


@given(st.lists(faults, max_size=3), calls)
def test_the_same_seed_and_the_same_calls_give_the_same_decisions(made: list[Fault], asked: Any) -> None:
    unique = [replace(each, id=f"f-{place}") for place, each in enumerate(made)]
    assert play(unique, asked) == play(unique, asked)


@given(faults, calls)
def test_devices_do_not_disturb_each_others_sequences(made: Fault, asked: Any) -> None:
    together = [verdict for device_id, verdict in play([made], asked) if device_id == "a"]
    alone = [verdict for _, verdict in play([made], [each for each in asked if each[0] == "a"])]
    assert together == alone


@given(faults, calls)
def test_a_fault_started_again_with_its_seed_decides_the_same(made: Fault, asked: Any) -> None:
    def shapes(fault: Fault) -> list[tuple[float, int | None]]:
        played = play([fault], asked)
        return [(verdict.delay, verdict.refusal.status if verdict.refusal else None) for _, verdict in played]

    later = replace(made, id="f-99", starts_at=NOW + timedelta(days=1), by="somebody else")
    assert shapes(made) == shapes(later)


@given(st.integers(min_value=0), st.text(), st.integers(min_value=0))
def test_a_chance_lies_between_0_and_1(seed: int, text: str, number: int) -> None:
    assert 0 <= chance(seed, text, number) < 1


@pytest.mark.parametrize("probability", [0, 0.1, 0.5, 0.9, 1])
def test_probabilities_are_met(probability: float) -> None:
    verdicts = play([fault(Throttle(), probability=probability)], [("a", Point.SEND)] * 4000)
    share = sum(verdict.refusal is not None for _, verdict in verdicts) / 4000
    assert share == probability if probability in (0, 1) else abs(share - probability) < 0.03


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_delays_stay_between_their_bounds(seed: int) -> None:
    verdicts = play([fault(Latency(least=0.2, most=0.9), seed=seed)], [("a", Point.SEND)] * 10)
    assert all(0.2 <= verdict.delay <= 0.9 for _, verdict in verdicts)
    assert len({verdict.delay for _, verdict in verdicts}) > 1


def test_delays_add_up_and_one_refusal_is_enough() -> None:
    made = [fault(Latency(least=1, most=1)), fault(Latency(least=2, most=2)), fault(Throttle()), fault(ServerFault())]
    verdict = decide(made, occasion("a"), lambda _: 0)
    assert verdict.delay == 3
    assert verdict.refusal is not None
    assert (verdict.refusal.status, verdict.refusal.retry_after) == (429, 5)
    assert [each.kind for each, _ in verdict.injected] == ["latency", "latency", "throttle"]


@pytest.mark.parametrize(
    ("target", "asked", "meant"),
    [
        (Target(), occasion("a"), True),
        (Target(devices=frozenset({"a"})), occasion("a"), True),
        (Target(devices=frozenset({"a"})), occasion("a/m"), True),
        (Target(devices=frozenset({"a/m"})), occasion("a"), False),
        (Target(devices=frozenset({"a"})), occasion("A"), False),
        (Target(devices=frozenset({"a"})), occasion("ab"), False),
        (Target(devices=frozenset()), occasion("a"), False),
        (Target(prefix="line-"), occasion("line-1"), True),
        (Target(prefix="line-"), occasion("LINE-1"), False),
        (Target(prefix="line-", devices=frozenset({"x"})), occasion("x"), False),
        (Target(hubs=frozenset({"hub1"})), occasion("a"), True),
        (Target(hubs=frozenset({"hub1"})), occasion("a", hub="HUB1"), True),
        (Target(hubs=frozenset({"hub2"})), occasion("a"), False),
        (Target(place=Place.PROVISIONING), occasion("a"), False),
        (
            Target(place=Place.PROVISIONING, devices=frozenset({"A"})),
            occasion("a", place=Place.PROVISIONING, point=Point.REGISTER, hub=None),
            True,
        ),
        (
            Target(place=Place.PROVISIONING, prefix="LINE"),
            occasion("line-1", place=Place.PROVISIONING, point=Point.POLL, hub=None),
            True,
        ),
    ],
)
def test_who_is_meant(target: Target, asked: Occasion, meant: bool) -> None:
    assert (decide([fault(Throttle(), target=target)], asked, lambda _: 0).refusal is not None) is meant


@pytest.mark.parametrize(
    ("effect", "device", "link"),
    [
        (Outage(status=404), True, True),
        (Outage(provisioning=False), True, False),
        (Outage(devices=False), False, True),
        (Throttle(), True, False),
        (Drop(), False, False),
        (ClockShift(seconds=5), False, False),
    ],
)
def test_whose_calls_are_met(effect: Any, device: bool, link: bool) -> None:
    made = [fault(effect)]
    at_link = occasion("a", Point.LINK, place=Place.PROVISIONING)
    assert (decide(made, occasion("a"), lambda _: 0).refusal is not None) is device
    assert (decide(made, at_link, lambda _: 0).refusal is not None) is link


def test_what_meets_a_devices_calls_leaves_the_links_alone() -> None:
    made = [fault(Latency(least=1, most=1), target=Target(place=Place.PROVISIONING))]
    at_link = occasion("a", Point.LINK, place=Place.PROVISIONING)
    assert decide(made, at_link, lambda _: 0) == Verdict()


def test_an_outage_for_some_devices_lets_the_hub_be_looked_at() -> None:
    made = [fault(Outage(), target=Target(devices=frozenset({"a"})))]

    def out(device_id: str) -> bool:
        asked = occasion(device_id, Point.LINK, place=Place.PROVISIONING)
        return decide(made, asked, lambda _: 0).refusal is not None

    assert (out("a"), out("b"), out("")) == (True, False, False)


def test_clock_shifts_add_up_for_those_who_are_meant() -> None:
    made = [
        fault(ClockShift(seconds=-3600)),
        fault(ClockShift(seconds=60), target=Target(prefix="a")),
        fault(ClockShift(seconds=5), target=Target(place=Place.PROVISIONING)),
        fault(Throttle()),
    ]
    assert shift_of(made, Place.HUB, "abc", "hub1") == -3540
    assert shift_of(made, Place.HUB, "b", "hub1") == -3600
    assert shift_of(made, Place.PROVISIONING, "b", None) == 5


def test_a_share_of_the_devices_has_a_wrong_clock_and_keeps_it() -> None:
    made = [fault(ClockShift(seconds=1), probability=0.5)]
    first = [shift_of(made, Place.HUB, f"d{number}", "hub1") for number in range(400)]
    assert first == [shift_of(made, Place.HUB, f"d{number}", "hub1") for number in range(400)]
    assert 150 < sum(first) < 250


def test_states() -> None:
    made = replace(fault(Throttle()), ends_at=NOW + timedelta(seconds=5))
    second = timedelta(seconds=1)
    assert [made.state(NOW + n * second) for n in (-1, 0, 4, 5)] == [
        State.WAITING,
        State.ACTIVE,
        State.ACTIVE,
        State.ENDED,
    ]


@pytest.mark.parametrize(
    ("effect", "text"),
    [
        (Drop(), "connections cut once"),
        (Drop(interval=5, orderly=True), "connections closed every 5 s"),
        (Latency(least=0.2, most=0.2), "200 ms late"),
        (Latency(least=0.2, most=1), "200 to 1000 ms late"),
        (Throttle(retry_after=3), "429, retry after 3 s"),
        (ServerFault(status=500), "fails with 500"),
        (ClockShift(seconds=-60), "clock 60 s slow"),
        (Outage(status=404), "out (404) for devices and provisioning"),
        (Outage(devices=False), "out (503) for provisioning"),
    ],
)
def test_descriptions(effect: Any, text: str) -> None:
    assert fault(effect).describe() == text
