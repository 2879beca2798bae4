"""How `homeport monitor` says what happened: a line for people, a document for programs."""

from datetime import datetime
from typing import Any, assert_never

import msgspec
from msgspec import Struct
from rich.markup import escape

from homeport.client import (
    CloudEvent,
    ConnectionChange,
    DeviceChange,
    Missed,
    MonitorEvent,
    TelemetryMessage,
    TwinChange,
)

Event = MonitorEvent | CloudEvent

_COLOURS = {
    "telemetry": "cyan",
    "twin": "magenta",
    "connection": "blue",
    "device": "yellow",
    "registration": "green",
    "missed": "red",
}
_OF_DEVICES = "Telemetry"
_KIND_WIDTH = 12
_DEVICE_WIDTH = 20


class Happening(Struct, frozen=True, kw_only=True):
    """One event, and the hub it is of; the provisioning service's have none."""

    hub: str | None
    event: Event

    @property
    def kind(self) -> str:
        match self.event:
            case TelemetryMessage():
                return "telemetry"
            case ConnectionChange():
                return "connection"
            case TwinChange():
                return "twin"
            case DeviceChange():
                return "device"
            case CloudEvent():
                return "registration"
            case Missed():
                return "missed"
            case _:
                assert_never(self.event)

    @property
    def device_id(self) -> str:
        """The device, or for registrations the registration id; empty for what is of none."""
        match self.event:
            case CloudEvent():
                return self.event.subject.removeprefix("devices/")
            case Missed():
                return ""
            case _:
                return self.event.device_id

    @property
    def time(self) -> datetime | None:
        match self.event:
            case TelemetryMessage():
                return self.event.enqueued_time
            case Missed():
                return None
            case _:
                return self.event.time


def document(happening: Happening) -> dict[str, Any]:
    """Return the event as JSON, with its kind and hub before the rest."""
    told: dict[str, Any] = {"kind": happening.kind}
    if happening.hub is not None:
        told["hub"] = happening.hub
    if isinstance(happening.event, CloudEvent):
        told["deviceId"] = happening.device_id
    rest: dict[str, Any] = msgspec.to_builtins(happening.event)
    return {**told, **{name: value for name, value in rest.items() if value is not None}}


def lines(happening: Happening, *, hubs: bool, properties: bool, width: int | None) -> list[str]:
    """Return what a person reads, with markup; `hubs`: say which hub; `width`: how much of a line may be shown."""
    kind, event = happening.kind, happening.event
    time = "" if happening.time is None else f"{happening.time.astimezone():%H:%M:%S.%f}"[:-3]
    hub = f"{happening.hub or '':<10} " if hubs else ""
    module = getattr(event, "module_id", None)
    name = happening.device_id if module is None else f"{happening.device_id}/{module}"
    head = (
        f"[dim]{time:<12}[/] [{_COLOURS[kind]}]{kind:<{_KIND_WIDTH}}[/] {escape(hub)}"
        f"[bold]{escape(_shown(name)):<{_DEVICE_WIDTH}}[/] "
    )
    room = None if width is None else max(width - 12 - _KIND_WIDTH - len(hub) - max(len(name), _DEVICE_WIDTH) - 4, 30)
    told = [head + _text(happening.event, room)]
    if properties and isinstance(event, TelemetryMessage):
        told += [
            f"{'':<12} [dim]{escape(_shown(label))} = {'(no value)' if value is None else escape(_shown(value))}[/]"
            for label, value in (
                *((f"${name}", value) for name, value in event.system_properties.items()),
                *event.properties.items(),
            )
        ]
    return told


def _text(event: Event, room: int | None) -> str:
    match event:
        case TelemetryMessage():
            body = _json(event.body) if event.body_encoding == "json" else _shown(str(event.body))
            # A route may put what the hub itself tells beside what devices send.
            source = event.annotations.get("iothub-message-source", _OF_DEVICES)
            return escape(_cut(body if source == _OF_DEVICES else f"{_shown(source)}  {body}", room))
        case ConnectionChange():
            return "[green]connected[/]" if event.connection_state == "Connected" else "[red]disconnected[/]"
        case TwinChange():
            parts = [
                f"{section} {_json(changed)}"
                for section, changed in (
                    ("tags", event.tags),
                    (f"desired v{event.desired_version}", event.desired),
                    (f"reported v{event.reported_version}", event.reported),
                )
                if changed is not None
            ]
            return escape(_cut("  ".join(parts) or f"version {event.version}", room))
        case DeviceChange():
            return escape(event.status + (f": {_shown(event.status_reason)}" if event.status_reason else ""))
        case CloudEvent():
            what = event.type.removeprefix("io.homeport.device.")
            more = event.data.get("assignedHub") or event.data.get("reason") or ""
            return escape(_cut(f"{what}  {_shown(str(more))}", room))
        case Missed():
            if event.what == "changes":
                return f"[red]{event.count} changes were too many to be told one by one[/]"
            return f"[red]{event.count} messages were gone before they could be shown[/]"
        case _:
            assert_never(event)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _shown(text: str) -> str:
    """Return text that changes nothing in a terminal but what it shows."""
    return text if text.isprintable() else _json(text)


def _cut(text: str, room: int | None) -> str:
    return text if room is None or len(text) <= room else text[: room - 1] + "…"
