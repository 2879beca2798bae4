"""Fleets that are drawn from a seed, and what is counted of them."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.simulation.fleet import draw_fleet
from homeport.simulation.measures import Measures, Step, report_document, spread
from homeport.simulation.profile import Profile, Seconds


def profile(devices: int = 20) -> Profile:
    return Profile(
        devices=devices,
        arrival=Seconds(10),
        attestations={"key-group": 3, "x509": 1},
        transports={"mqtt": 2, "amqp": 1, "https": 1},
    )


@given(st.integers(), st.integers(1, 50))
def test_the_same_seed_draws_the_same_fleet(seed: int, devices: int) -> None:
    one, other = (draw_fleet(profile(devices), seed, "sim") for _ in range(2))
    assert [(each.name, each.attestation, each.transport, each.starts_after) for each in one] == [
        (each.name, each.attestation, each.transport, each.starts_after) for each in other
    ]
    assert [each.dice.random() for each in one] == [each.dice.random() for each in other]


@given(st.integers(), st.integers(1, 200))
def test_shares_are_kept_as_closely_as_whole_numbers_allow(seed: int, devices: int) -> None:
    fleet = draw_fleet(profile(devices), seed, "sim")
    counts = Counter(each.transport for each in fleet)
    assert len({each.name for each in fleet}) == devices
    for kind, share in (("mqtt", 0.5), ("amqp", 0.25), ("https", 0.25)):
        assert abs(counts[kind] - share * devices) <= 1  # type: ignore[index]  # a literal, as mypy cannot see
    assert fleet[0].starts_after == 0
    assert all(each.starts_after < 10 for each in fleet)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=300))
def test_percentiles_are_times_that_were_measured(times: list[float]) -> None:
    found = spread(times)
    assert {found.p50, found.p90, found.p99, found.longest} <= set(times)
    assert found.p50 <= found.p90 <= found.p99 <= found.longest == max(times)
    assert sum(time <= found.p50 for time in times) * 2 >= len(times)
    assert sum(time <= found.p99 for time in times) * 100 >= len(times) * 99


def test_faults_are_counted_by_reason() -> None:
    measures = Measures()
    for tracking_id in ("0a1b2c3d-1111-2222-3333-444455556666", "ffffffff-1111-2222-3333-444455556666"):
        measures.fault(Step.REGISTER, ConnectionError(f"429 (Throttled): later. [tracking id {tracking_id}]"))
    measures.fault(Step.CONNECT, TimeoutError())
    measures.took(Step.SEND, 0.25)
    assert measures.faults == {
        (Step.REGISTER, "429 (Throttled): later. [tracking id …]"): 2,
        (Step.CONNECT, "TimeoutError"): 1,
    }
    document = report_document(measures, devices=3, seconds=1.23456, seed=7, profile="steady")
    assert document["steps"] == {
        "send message": {"count": 1, "p50": 250.0, "p90": 250.0, "p99": 250.0, "longest": 250.0}
    }
    assert document["faults"][0] == {
        "step": "register", "reason": "429 (Throttled): later. [tracking id …]", "count": 2
    }  # fmt: skip


def test_nothing_cannot_be_spread() -> None:
    with pytest.raises(IndexError):
        spread([])
