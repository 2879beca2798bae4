"""How lines of a hub's stream become events."""

from datetime import UTC, datetime

import pytest

from homeport.client import ConnectionChange, MonitorEvent, TelemetryMessage, UnexpectedAnswerError
from homeport.client.event_stream import StreamReader
from homeport.client.monitor_models import monitor_event

MESSAGE = (
    '{"deviceId":"d","partition":1,"offset":2,"enqueuedTime":"2026-01-01T00:00:00.0000000Z","size":2,'
    '"bodyEncoding":"json","body":{}}'
)


CHANGE = '{"time":"2026-01-01T00:00:00Z","deviceId":"d","connectionState":"Connected"}'


def read(*lines: str) -> list[MonitorEvent]:
    reader = StreamReader()
    messages = [message for line in lines if (message := reader.feed(line)) is not None]
    return [event for message in messages if (event := monitor_event(message)) is not None]


def test_a_message_and_a_connection_change() -> None:
    message, change = read(
        "event: telemetry", "id: 1:2", f"data: {MESSAGE}", "",
        "event: connection", f"data: {CHANGE}", "",
    )  # fmt: skip
    assert isinstance(message, TelemetryMessage)
    assert (message.partition, message.offset, message.body) == (1, 2, {})
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert change == ConnectionChange(time=at, device_id="d", connection_state="Connected")


def test_data_over_several_lines_and_without_a_space() -> None:
    first, comma, second = CHANGE.partition(",")
    (change,) = read("event:connection", f"data:{first}{comma}", f"data:{second}", "")
    assert isinstance(change, ConnectionChange)


@pytest.mark.parametrize(
    "lines",
    [
        (": alive", ""),
        ("event: tomorrow", "data: {}", ""),
        ("data: {}", ""),
        ("event: telemetry", ""),
        ("event: telemetry", f"data: {MESSAGE}"),
        ("retry: 3000", "unknown", ""),
    ],
)
def test_what_is_no_event(lines: tuple[str, ...]) -> None:
    assert read(*lines) == []


def test_an_event_leaves_nothing_behind() -> None:
    assert len(read("event: telemetry", f"data: {MESSAGE}", "", f"data: {MESSAGE}", "")) == 1


@pytest.mark.parametrize("data", ["{", "[]", '{"deviceId":"d"}'])
def test_an_event_that_cannot_be_read(data: str) -> None:
    with pytest.raises(UnexpectedAnswerError):
        read("event: telemetry", f"data: {data}", "")
