"""What a fault injection message says, in every spelling of the SDKs (contract hub.md 28.1)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.hub.faults.messages import MAX_REASON, MAX_SECONDS, FaultType, Transport, read_fault

PREFIX = "AzIoTHub_FaultOperation"


def bag(kind: str, **more: str | None) -> dict[str, str | None]:
    return {f"{PREFIX}Type": kind, **{f"{PREFIX}{name}": value for name, value in more.items()}}


def test_everything_is_read() -> None:
    fault = read_fault(bag("KillTcp", CloseReason="boom", DelayInSecs="2", DurationInSecs="20"), Transport.MQTT)
    assert fault is not None
    assert (fault.type, fault.reason, fault.delay, fault.duration) == (FaultType.KILL_TCP, "boom", 2, 20)


@pytest.mark.parametrize("spelling", ["KillAmqpC2DLink", "KillAmqpc2dLink", " killamqpc2dlink "])
def test_types_in_any_letter_case(spelling: str) -> None:
    fault = read_fault(bag(spelling), Transport.AMQP)
    assert fault is not None
    assert fault.type is FaultType.KILL_BOUND_LINK


def test_names_in_any_letter_case() -> None:
    lower = {name.lower(): value for name, value in bag("KillTcp", DelayInSecs="1").items()}
    fault = read_fault(lower, Transport.AMQP)
    assert fault is not None
    assert fault.delay == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1", 1),
        ("1.5", 1.5),
        ("", 0),
        (None, 0),
        ("undefined", 0),
        ("-3", 0),
        ("nan", 0),
        ("inf", 0),
        ("100000", MAX_SECONDS),
        ("9" * 100, MAX_SECONDS),
    ],
)
def test_numbers(text: str | None, seconds: float) -> None:
    fault = read_fault(bag("KillTcp", DelayInSecs=text, DurationInSecs=text), Transport.AMQP)
    assert fault is not None
    assert (fault.delay, fault.duration) == (seconds, seconds)


@pytest.mark.parametrize(
    ("kind", "transports"),
    [
        ("KillTcp", {"mqtt", "amqp"}),
        ("ShutDownMqtt", {"mqtt"}),
        ("ShutDownAmqp", {"amqp"}),
        ("KillAmqpSession", {"amqp"}),
        ("InvokeThrottling", {"mqtt", "amqp", "https"}),
        ("InvokeMaxMessageQuota", {"mqtt", "amqp", "https"}),
        ("InvokeAuthError", {"mqtt", "amqp", "https"}),
        ("KillEverything", set()),
        ("", set()),
    ],
)
def test_where_a_type_means_something(kind: str, transports: set[str]) -> None:
    assert {each.value for each in Transport if read_fault(bag(kind), each) is not None} == transports


def test_other_telemetry_is_no_fault() -> None:
    assert read_fault({"AzIoTHub_FaultOperationDelayInSecs": "1", "plant": "north"}, Transport.MQTT) is None
    assert read_fault({}, Transport.MQTT) is None


@given(
    st.dictionaries(
        st.sampled_from([f"{PREFIX}{end}" for end in ("Type", "CloseReason", "DelayInSecs", "DurationInSecs")])
        | st.text(),
        st.none() | st.text() | st.sampled_from([*FaultType]),
    ),
    st.sampled_from([*Transport]),
)
def test_whatever_comes_is_read_within_bounds(properties: dict[str, Any], transport: Transport) -> None:
    fault = read_fault(properties, transport)
    if fault is not None:
        assert 0 <= fault.delay <= MAX_SECONDS
        assert 0 <= fault.duration <= MAX_SECONDS
        assert len(fault.reason) <= max(MAX_REASON, len(f"Fault injection: {fault.type}"))
