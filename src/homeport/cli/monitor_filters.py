"""What `homeport monitor` lets through: devices by pattern, messages by property and by what is in their body. Pure."""

import json
import operator
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct

from homeport.client import TelemetryMessage

_CONDITION = re.compile(r"\s*([\w$.\[\]-]+)\s*(==|=|!=|<>|>=|<=|>|<)\s*(.*\S)\s*")
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_AGO = re.compile(r"(\d+)\s*(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_NOTHING = object()


class FilterError(ValueError):
    """A filter that cannot be understood; the text says why."""


class Condition(Struct, frozen=True, kw_only=True):
    """A comparison of one member of a JSON body; a member that is not there, or of another kind, satisfies none."""

    path: tuple[str | int, ...]
    compare: Callable[[Any, Any], bool]
    value: Any

    def holds(self, body: Any) -> bool:
        """Tell whether this body satisfies it."""
        found = body
        for step in self.path:
            if isinstance(step, int):
                found = found[step] if isinstance(found, list) and step < len(found) else _NOTHING
            else:
                found = found.get(step, _NOTHING) if isinstance(found, dict) else _NOTHING
        if found is _NOTHING or isinstance(found, bool) is not isinstance(self.value, bool):
            return False
        try:
            return self.compare(found, self.value)
        except TypeError:
            return False


class Filters(Struct, frozen=True, kw_only=True):
    """All filters of one call; what is left empty lets everything through."""

    devices: tuple[str, ...] = ()
    """Patterns with `*` and `?`."""
    properties: tuple[tuple[str, str | None], ...] = ()
    """Names and values of application or system properties; None: any value."""
    conditions: tuple[Condition, ...] = ()

    @property
    def of_messages(self) -> bool:
        """Whether only messages can pass."""
        return bool(self.properties or self.conditions)

    def wants(self, device_id: str) -> bool:
        """Tell whether anything of this device is to be shown."""
        return not self.devices or any(fnmatchcase(device_id, pattern) for pattern in self.devices)

    def wants_message(self, message: TelemetryMessage) -> bool:
        """Tell whether this message of a wanted device is to be shown."""
        known = {**message.system_properties, **message.properties}
        return all(name in known and value in (None, known[name]) for name, value in self.properties) and all(
            condition.holds(message.body) for condition in self.conditions
        )


def read_filters(devices: Sequence[str], properties: Sequence[str], conditions: Sequence[str]) -> Filters:
    """Read what the options say. Raises FilterError."""
    pairs = []
    for text in properties:
        name, equals, value = text.partition("=")
        if not name:
            raise FilterError(f"--property {text!r} is neither a name nor name=value")
        pairs.append((name, value if equals else None))
    return Filters(
        devices=tuple(devices), properties=tuple(pairs), conditions=tuple(read_condition(text) for text in conditions)
    )


def read_condition(text: str) -> Condition:
    """Read a comparison such as `temperature > 30`. Raises FilterError."""
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise FilterError(f"--where {text!r} is no comparison such as temperature>30 or state.mode=auto")
    path, compare, value = found.groups()
    steps = tuple(name or int(index) for name, index in _STEP.findall(path))
    return Condition(path=steps, compare=_OPERATORS[compare], value=_value(value))


def read_since(text: str, now: datetime) -> datetime:
    """Read a time, or how long ago it was: `90s`, `10m`, `2h`, `1d`. Raises FilterError."""
    ago = _AGO.fullmatch(text.strip())
    if ago is not None:
        try:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        except OverflowError as error:
            raise FilterError(f"--since {text!r} is too long ago") from error
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise FilterError(f"--since {text!r} is neither a time like 2026-01-31T12:00Z nor like 10m") from error
    return moment.replace(tzinfo=now.tzinfo) if moment.tzinfo is None else moment


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.strip("'")
