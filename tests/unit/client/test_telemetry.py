"""How lines of a hub's live stream become events."""

import pytest

from homeport.client import UnexpectedAnswerError
from homeport.client.telemetry import ConnectionChange, EventReader, HubEvent, TelemetryMessage

MESSAGE = (
    '{"deviceId":"d","partition":1,"offset":2,"enqueuedTime":"2026-01-01T00:00:00.0000000Z","size":2,'
    '"bodyEncoding":"json","body":{}}'
)


def read(*lines: str) -> list[HubEvent]:
    reader = EventReader()
    return [event for line in lines if (event := reader.feed(line)) is not None]


def test_a_message_and_a_connection_change() -> None:
    message, change = read(
        "event: telemetry", "id: 1:2", f"data: {MESSAGE}", "",
        "event: connection", 'data: {"deviceId":"d","connectionState":"Connected"}', "",
    )  # fmt: skip
    assert isinstance(message, TelemetryMessage)
    assert (message.partition, message.offset, message.body) == (1, 2, {})
    assert change == ConnectionChange(device_id="d", connection_state="Connected")


def test_data_over_several_lines_and_without_a_space() -> None:
    (change,) = read("event:connection", 'data:{"deviceId":"d",', 'data:"connectionState":"Connected"}', "")
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
