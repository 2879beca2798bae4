"""How events look in a terminal and as JSON."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from rich.text import Text

from homeport.cli.monitor_lines import Event, Happening, document, lines
from homeport.client import CloudEvent, ConnectionChange, DeviceChange, Missed, TelemetryMessage, TwinChange

AT = datetime(2026, 1, 31, 12, 30, 15, 250_000, tzinfo=UTC)
TELEMETRY = TelemetryMessage(
    device_id="d[1]",
    partition=0,
    offset=7,
    enqueued_time=AT,
    size=9,
    body_encoding="json",
    body={"t": 21.5},
    system_properties={"messageId": "m"},
    properties={"alarm": "yes", "flag": None},
)
EVENTS: dict[str, Event] = {
    "telemetry": TELEMETRY,
    "connection": ConnectionChange(time=AT, device_id="d", connection_state="Connected"),
    "twin": TwinChange(
        time=AT, device_id="d", module_id="m", version=3, desired_version=2, reported_version=9, reported={"a": 1}
    ),
    "device": DeviceChange(time=AT, device_id="d", status="disabled", status_reason="stolen"),
    "registration": CloudEvent(
        specversion="1.0", id="3", source="urn:homeport:0ne1", type="io.homeport.device.assigned", subject="devices/d",
        time=AT, data={"assignedHub": "hub.example.com"},
    ),
    "missed": Missed(count=3, what="telemetry"),
}  # fmt: skip


def shown(event: Any, **options: Any) -> list[str]:
    wanted: dict[str, Any] = {"hubs": False, "properties": False, "width": None} | options
    return [Text.from_markup(line).plain for line in lines(Happening(hub="hub1", event=event), **wanted)]


@pytest.mark.parametrize(
    ("kind", "ends"),
    [
        ("telemetry", '{"t":21.5}'),
        ("connection", "connected"),
        ("twin", 'reported v9 {"a":1}'),
        ("device", "disabled: stolen"),
        ("registration", "assigned  hub.example.com"),
        ("missed", "3 messages were gone before they could be shown"),
    ],
)
def test_every_kind_is_told(kind: str, ends: str) -> None:
    (line,) = shown(EVENTS[kind])
    assert line.endswith(ends)
    assert kind in line
    told = document(Happening(hub=None if kind == "registration" else "hub1", event=EVENTS[kind]))
    assert told["kind"] == kind
    assert (told.get("hub"), told.get("deviceId", "")) == (
        None if kind == "registration" else "hub1",
        {"telemetry": "d[1]", "missed": ""}.get(kind, "d"),
    )


def test_names_are_text_and_no_markup() -> None:
    (line,) = shown(TELEMETRY)
    assert "d[1]" in line
    (twin,) = shown(EVENTS["twin"])
    assert "d/m" in twin


def test_what_the_hub_says_by_itself_is_told_apart() -> None:
    said = msgspec.structs.replace(TELEMETRY, annotations={"iothub-message-source": "twinChangeEvents"})
    assert "twinChangeEvents  {" in shown(said)[0]
    said = msgspec.structs.replace(TELEMETRY, annotations={"iothub-message-source": "Telemetry"})
    assert "Telemetry" not in shown(said)[0]


def test_the_hub_is_named_where_there_are_several() -> None:
    assert "hub1" not in shown(TELEMETRY)[0]
    assert "hub1" in shown(TELEMETRY, hubs=True)[0]


def test_properties_stand_below() -> None:
    _, *below = [line.strip() for line in shown(TELEMETRY, properties=True)]
    assert below == ["$messageId = m", "alarm = yes", "flag = (no value)"]


def test_long_lines_are_cut_where_a_terminal_ends() -> None:
    long = TelemetryMessage(
        device_id="d", partition=0, offset=0, enqueued_time=AT, size=0, body_encoding="text", body="x" * 500
    )
    (line,) = shown(long, width=100)
    assert len(line) <= 100
    assert line.endswith("…")
    assert len(shown(long)[0]) > 500


def test_nothing_that_steers_a_terminal_gets_through() -> None:
    nasty = TelemetryMessage(
        device_id="d", partition=0, offset=0, enqueued_time=AT, size=0, body_encoding="text", body="a\r\n\tb",
        properties={"\x1b[31m": "\x07"},
    )  # fmt: skip
    for line in shown(nasty, properties=True):
        assert line.isprintable(), line
