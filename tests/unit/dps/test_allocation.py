"""Choosing a hub: the laws of rendezvous hashing, and which hubs take part."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.dps.allocation import AskCustom, Assign, Decision, NoHub, allocate
from homeport.dps.model import (
    AllocationPolicy,
    AllocationSettings,
    Applicant,
    CustomAllocation,
    Fleet,
    IndividualEnrollment,
    LinkedHub,
)
from tests.transports.world import individual

NOW = datetime(2024, 6, 1, tzinfo=UTC)
IDS = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789-._:", min_size=1, max_size=40)


def hub(host: str, weight: int = 1, *, applies: bool = True) -> LinkedHub:
    return LinkedHub(
        name=host.partition(".")[0],
        host_name=host,
        allocation_weight=weight,
        apply_allocation_policy=applies,
        created_at=NOW,
    )


HUBS = [hub("a.example", 1), hub("b.example", 2), hub("c.example", 5)]


def chosen(registration_id: str, hubs: list[LinkedHub], **options: Any) -> str:
    decision = decide(options, registration_id, hubs)
    assert isinstance(decision, Assign), decision
    return decision.hub.host_name


def decide(
    options: dict[str, Any],
    registration_id: str,
    hubs: list[LinkedHub],
    *,
    settings: AllocationSettings | None = None,
    occupied: dict[str, int] | None = None,
    **device: Any,
) -> Decision:
    fleet = Fleet(hubs=hubs, settings=settings or AllocationSettings(), occupied=occupied or {})
    return allocate(enrollment(**options), Applicant(registration_id=registration_id, **device), fleet)


def enrollment(**options: Any) -> IndividualEnrollment:
    return individual("dev", **options)


@given(IDS, st.lists(st.tuples(st.integers(1, 1000), st.booleans()), min_size=1, max_size=6), st.integers(1, 1000))
def test_a_new_hub_only_attracts(device: str, weights: list[tuple[int, bool]], weight: int) -> None:
    hubs = [hub(f"h{number}.example", each) for number, (each, _) in enumerate(weights)]
    before, after = chosen(device, hubs), chosen(device, [hub("new.example", weight), *hubs])
    assert after in {before, "new.example"}


@given(IDS, st.permutations(HUBS))
def test_order_and_letter_case_do_not_matter(device: str, hubs: list[LinkedHub]) -> None:
    shouted = [hub(each.host_name.upper(), each.allocation_weight) for each in hubs]
    assert chosen(device, HUBS) == chosen(device.swapcase(), hubs) == chosen(device, shouted).lower()


def test_devices_spread_by_weight() -> None:
    count = Counter(chosen(f"device-{number}", HUBS) for number in range(8000))
    assert count["a.example"] == pytest.approx(1000, rel=0.1)
    assert count["b.example"] == pytest.approx(2000, rel=0.1)
    assert count["c.example"] == pytest.approx(5000, rel=0.1)


def test_the_hash_is_the_same_in_every_release() -> None:
    assert "".join(chosen(f"device-{number}", HUBS)[0] for number in range(6)) == "bcbcbc"


def test_the_enrollments_own_hubs_come_first() -> None:
    assert chosen("x", HUBS, iot_hubs=("B.EXAMPLE",)) == "b.example"
    assert chosen("x", HUBS, iot_hub_host_name="a.example") == "a.example"


def test_a_hub_that_does_not_take_part_is_left_out_unless_named_with_static() -> None:
    hubs = [hub("a.example", 1000, applies=False), hub("b.example")]
    assert {chosen(f"d{number}", hubs) for number in range(50)} == {"b.example"}
    named = {"iot_hubs": ("a.example",)}
    assert chosen("d", hubs, allocation_policy=AllocationPolicy.STATIC, **named) == "a.example"
    assert isinstance(decide(named, "d", hubs), NoHub)


@pytest.mark.parametrize(
    ("options", "hubs", "words"),
    [
        ({}, [], "no hub is linked"),
        ({"iot_hubs": ("x.example",)}, HUBS, "x.example"),
        ({"allocation_policy": AllocationPolicy.STATIC}, HUBS, "names no"),
        ({"allocation_policy": AllocationPolicy.STATIC, "iot_hubs": ("a.example", "b.example")}, HUBS, "names 2"),
        ({"allocation_policy": AllocationPolicy.STATIC, "iot_hubs": ("x.example",)}, HUBS, "not linked"),
        ({"allocation_policy": AllocationPolicy.CUSTOM}, HUBS, "webhook"),
    ],
)
def test_no_hub_says_why(options: dict[str, Any], hubs: list[LinkedHub], words: str) -> None:
    decision = decide(options, "dev", hubs)
    assert isinstance(decision, NoHub)
    assert words in decision.reason


def test_latency_ties_are_hashed() -> None:
    for number in range(20):
        device = f"d{number}"
        assert chosen(device, HUBS, allocation_policy=AllocationPolicy.GEO_LATENCY) == chosen(device, HUBS)


def test_custom_names_webhook_and_candidates() -> None:
    webhook = CustomAllocation(webhook_url="https://hook.example/", api_version="2021-10-01")
    decision = decide({"allocation_policy": AllocationPolicy.CUSTOM, "custom_allocation": webhook}, "dev", HUBS)
    assert decision == AskCustom(definition=webhook, candidates=tuple(HUBS))


def test_the_services_default_policy_counts_where_the_enrollment_has_none() -> None:
    assert isinstance(
        decide({}, "dev", HUBS, settings=AllocationSettings(default_policy=AllocationPolicy.STATIC)), NoHub
    )
