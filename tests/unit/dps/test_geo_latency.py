"""Lowest latency: measured, by regions and address ranges, by distance; ties hashed; the reason is told."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.dps.allocation import Assign, allocate, explain
from homeport.dps.applicant import MAX_LATENCIES, applicant, measured
from homeport.dps.model import (
    AddressRange,
    AllocationPolicy,
    AllocationSettings,
    Applicant,
    Fleet,
    LinkedHub,
    Region,
    RegionLatency,
)
from tests.transports.world import individual

NOW = datetime(2024, 6, 1, tzinfo=UTC)
EU, US, ASIA = (
    Region(name="eu", latitude=52.4, longitude=4.9),
    Region(name="us", latitude=39.0, longitude=-77.5),
    Region(name="asia", latitude=1.35, longitude=103.8),
)
SETTINGS = AllocationSettings(
    regions=(EU, US, ASIA, Region(name="plant")),
    addresses=(
        AddressRange(prefix="10.0.0.0/8", region="us"),
        AddressRange(prefix="10.1.0.0/16", region="eu"),
        AddressRange(prefix="2001:db8::/32", region="asia"),
    ),
    latencies=(
        RegionLatency(between=("eu", "us"), milliseconds=90.0),
        RegionLatency(between=("asia", "asia"), milliseconds=3.0),
    ),
)


def hub(host: str, region: str | None = None, weight: int = 1) -> LinkedHub:
    return LinkedHub(name=host, host_name=host, region=region, allocation_weight=weight, created_at=NOW)


HUBS = [hub("eu.example", "EU"), hub("us.example", "us"), hub("asia.example", "asia")]
ENROLLMENT = individual("dev", allocation_policy=AllocationPolicy.GEO_LATENCY)


def chosen(
    hubs: list[LinkedHub] | None = None,
    settings: AllocationSettings = SETTINGS,
    registration_id: str = "dev",
    **device: Any,
) -> tuple[str, str]:
    fleet = Fleet(hubs=hubs or HUBS, settings=settings)
    decision = allocate(ENROLLMENT, Applicant(registration_id=registration_id, **device), fleet)
    assert isinstance(decision, Assign)
    return decision.hub.host_name, decision.reason


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("10.1.2.3", "eu.example"),
        ("10.200.0.1", "us.example"),
        ("::ffff:10.1.2.3", "eu.example"),
        ("2001:db8::7", "asia.example"),
    ],
)
def test_the_longest_address_range_tells_the_region(address: str, host: str) -> None:
    found, reason = chosen(address=address)
    assert found == host
    assert "nearest of 3 hubs" in reason


def test_the_enrollments_region_counts_before_the_address() -> None:
    found, reason = chosen(region="asia", address="10.1.2.3")
    assert (found, reason) == (
        "asia.example",
        "3 ms from region asia, which its enrollment names, the nearest of 3 hubs",
    )


def test_what_the_device_measured_counts_before_everything() -> None:
    found, reason = chosen(address="10.1.2.3", latencies={"us.example": 0.2, "eu.example": 30.0})
    assert (found, reason) == ("us.example", "0 ms measured by the device, the nearest of 3 hubs")


def test_given_latencies_count_before_distances_and_hold_both_ways() -> None:
    two = [hub("us.example", "us"), hub("asia.example", "asia")]
    assert "90 ms" in chosen(two, region="eu")[1]
    assert "90 ms" in chosen([hub("eu.example", "eu")], region="us")[1]
    near = AllocationSettings(regions=SETTINGS.regions)
    # Amsterdam to Virginia is 6200 km by the great circle.
    assert "62 ms" in chosen(two, near, region="eu")[1]


def test_ties_are_hashed_by_weight() -> None:
    hubs = [hub("a.example", "eu", 1), hub("b.example", "eu", 3), hub("us.example", "us", 1000)]
    homes = Counter(chosen(hubs, registration_id=f"d{number}", region="eu")[0] for number in range(2000))
    assert homes.keys() == {"a.example", "b.example"}
    assert homes["b.example"] == pytest.approx(1500, rel=0.1)
    assert "as near as others, so hashed over 2 hubs" in chosen(hubs, region="eu")[1]


def test_hubs_whose_latency_is_not_known_are_chosen_only_if_none_is() -> None:
    hubs = [hub("nowhere.example", weight=1000), hub("us.example", "us")]
    assert chosen(hubs, region="eu")[0] == "us.example"
    assert "measured nothing and its region is not known" in chosen(hubs)[1]
    assert "how far the hubs are from region plant" in chosen(hubs, region="plant")[1]


def test_measurements_that_scatter_move_nobody() -> None:
    hubs = [hub("a.example"), hub("b.example")]
    home: dict[str, Any] = {"lives_on": "A.example"}
    assert chosen(hubs, latencies={"a.example": 14, "b.example": 10}, **home)[0] == "a.example"
    assert "lives there" in chosen(hubs, latencies={"a.example": 14, "b.example": 10}, **home)[1]
    assert chosen(hubs, latencies={"a.example": 16, "b.example": 10}, **home)[0] == "b.example"
    assert chosen(hubs, latencies={"a.example": 115, "b.example": 100}, **home)[0] == "a.example"
    assert chosen(hubs, latencies={"a.example": 14, "b.example": 10})[0] == "b.example"


@given(st.dictionaries(st.sampled_from([each.host_name for each in HUBS]), st.floats(0, 60_000), min_size=1))
def test_the_nearest_measured_hub_wins(latencies: dict[str, float]) -> None:
    found, _ = chosen(settings=AllocationSettings(), latencies=latencies)
    assert round(latencies[found]) == min(round(value) for value in latencies.values())


def test_measurements_come_out_of_the_payload() -> None:
    assert measured(b'{"homeport": {"latencies": {"A.example": 12.5, "b.example": 3}}, "model": "x"}') == {
        "a.example": 12.5,
        "b.example": 3.0,
    }


@pytest.mark.parametrize(
    "payload",
    [
        None,
        b"[1]",
        b'"homeport"',
        b'{"homeport": 1}',
        b'{"homeport": {}}',
        b'{"homeport": {"latencies": {"a": "1"}}}',
        b'{"homeport": {"latencies": {"a": -1, "b": 1e9}}}',
        b'{"homeport": {"latencies": {"a": 1e999}}}',
        b'{"homeport": ' + b"[" * 5000,
        b'{"homeport": {"latencies": {"\xff": 1}}}',
    ],
)
def test_what_is_no_measurement_counts_as_none(payload: bytes | None) -> None:
    assert measured(payload) == {}


def test_no_more_is_read_than_there_can_be_hubs() -> None:
    entries = ",".join(f'"h{number}": 1' for number in range(1000))
    assert len(measured(f'{{"homeport": {{"latencies": {{{entries}}}}}}}'.encode())) == MAX_LATENCIES


def test_the_region_is_a_tag_of_the_initial_twin_if_it_is_one_of_ours() -> None:
    def region(tag: Any) -> str | None:
        enrollment = individual(
            "dev", allocation_policy=AllocationPolicy.GEO_LATENCY, initial_twin={"tags": {"region": tag}}
        )
        fleet = Fleet(hubs=[hub("x.example", "Moon")], settings=SETTINGS)
        return applicant(enrollment, "dev", None, fleet, address=None, payload=None).region

    assert region("EU") == "EU"
    assert region("moon") == "moon"
    assert region("north wing") is None
    assert region(7) is None


def test_an_explanation_shows_who_took_part_and_who_did_not() -> None:
    fleet = Fleet(
        hubs=[*HUBS, LinkedHub(name="d", host_name="d.example", draining=True, created_at=NOW)], settings=SETTINGS
    )
    told = explain(ENROLLMENT, Applicant(registration_id="dev", region="us"), fleet)
    assert [each.host_name for each in told.candidates] == ["us.example", "eu.example", "asia.example"]
    assert [each.milliseconds for each in told.candidates][:2] == [0.0, 90.0]
    assert [(each.host_name, each.reason) for each in told.exclusions] == [
        ("d.example", "it is drained: it takes no new devices")
    ]
    assert isinstance(told.decision, Assign)
    assert told.decision.hub.host_name == "us.example"
    assert sum(each.share for each in told.candidates) == pytest.approx(1)
