"""What `homeport monitor` lets through."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from homeport.cli.monitor_filters import FilterError, Filters, read_condition, read_filters, read_since
from homeport.client import TelemetryMessage

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def message(body: Any, **properties: str | None) -> TelemetryMessage:
    return TelemetryMessage(
        device_id="d",
        partition=0,
        offset=0,
        enqueued_time=NOW,
        size=0,
        body_encoding="json",
        body=body,
        system_properties={"contentType": "application/json"},
        properties=properties,
    )


@pytest.mark.parametrize(
    ("condition", "body", "holds"),
    [
        ("t>30", {"t": 31}, True),
        ("t > 30", {"t": 30}, False),
        ("t>=30", {"t": 30.0}, True),
        ("t<30", {"t": 29.9}, True),
        ("t<=30", {"t": 31}, False),
        ("mode=auto", {"mode": "auto"}, True),
        ("mode='auto'", {"mode": "auto"}, True),
        ('mode="auto"', {"mode": "auto"}, True),
        ("mode!=auto", {"mode": "manual"}, True),
        ("mode<>auto", {"mode": "auto"}, False),
        ("on=true", {"on": True}, True),
        ("on=1", {"on": True}, False),
        ("n=true", {"n": 1}, False),
        ("a.b.c==null", {"a": {"b": {"c": None}}}, True),
        ("list[1].x=2", {"list": [{}, {"x": 2}]}, True),
        ("list[5]=2", {"list": [1]}, False),
        # What is not there, or of another kind, satisfies nothing.
        ("t!=30", {}, False),
        ("t>30", {"t": "hot"}, False),
        ("t>30", "text", False),
        ("t>30", [31], False),
        ("a.b=1", {"a": [1]}, False),
    ],
)
def test_conditions(condition: str, body: Any, holds: bool) -> None:
    assert read_condition(condition).holds(body) is holds


@pytest.mark.parametrize("text", ["", "t", "t >", "> 3", "t ~ 3", "a b = 3"])
def test_what_is_no_comparison(text: str) -> None:
    with pytest.raises(FilterError, match="--where"):
        read_condition(text)


def test_devices_are_chosen_by_pattern() -> None:
    filters = read_filters(["line-?-*", "press"], [], [])
    assert [name for name in ("line-3-a", "line-33", "press", "press-1") if filters.wants(name)] == [
        "line-3-a",
        "press",
    ]
    assert Filters().wants("anything")
    assert not filters.of_messages


def test_properties_by_name_and_value() -> None:
    filters = read_filters([], ["alarm", "level=high", "contentType=application/json"], ["t>3"])
    assert filters.of_messages
    assert filters.wants_message(message({"t": 4}, alarm=None, level="high"))
    assert not filters.wants_message(message({"t": 4}, alarm=None, level="low"))
    assert not filters.wants_message(message({"t": 4}, level="high"))
    assert not filters.wants_message(message({"t": 3}, alarm="", level="high"))
    assert read_filters([], ["empty="], []).wants_message(message({}, empty=""))
    with pytest.raises(FilterError, match="--property"):
        read_filters([], ["=high"], [])


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("10m", NOW - timedelta(minutes=10)),
        ("2 h", NOW - timedelta(hours=2)),
        ("1d", NOW - timedelta(days=1)),
        ("2026-01-31T11:00Z", NOW - timedelta(hours=1)),
        ("2026-01-31T11:00", NOW - timedelta(hours=1)),
        ("2026-01-31T13:00+02:00", NOW - timedelta(hours=1)),
    ],
)
def test_since(text: str, moment: datetime) -> None:
    assert read_since(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "-3m", "10y", "99999999999999d"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(FilterError, match="--since"):
        read_since(text, NOW)
