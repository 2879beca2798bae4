"""The limits an operator may set, by the names of the reference page, and the parts of them that each room wants."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import fields

from homeport.dps.gate import DEFAULT_GATE, GateLimits
from homeport.dps.throttle import DEFAULT_RATES, Rates
from homeport.limits import Rate, parse_rate
from homeport.net.arrivals import DEFAULT_ARRIVALS, ArrivalLimits
from homeport.values import replace

_MOST = 10_000_000


class Limits(Struct, frozen=True, kw_only=True):
    """Everything that is limited before a call is understood."""

    rates: Rates = DEFAULT_RATES
    gate: GateLimits = DEFAULT_GATE
    arrivals: ArrivalLimits = DEFAULT_ARRIVALS


DEFAULT_LIMITS = Limits()


def read_limits(value: Any) -> Limits:
    """Read a table, or a list of `name=value`, of the limits that are not to have their defaults.

    Hyphens and underscores in names are the same. Raises ValueError with every problem.
    """
    given = dict(value) if isinstance(value, Mapping) else dict(_pair(each) for each in _texts(value))
    limits, problems = Limits(), []
    for name, text in given.items():
        try:
            limits = _with(limits, name.strip().replace("-", "_"), text)
        except (TypeError, ValueError) as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise ValueError("; ".join(problems))
    return limits


def names() -> Mapping[str, Rate | float | None]:
    """Return every limit's name, as operators write it, with its default."""
    return {
        field.name.replace("_", "-"): getattr(part, field.name)
        for part in (DEFAULT_RATES, DEFAULT_GATE, DEFAULT_ARRIVALS)
        for field in fields(part)
    }


def _with(limits: Limits, name: str, text: Any) -> Limits:
    for part in fields(Limits):
        standing = getattr(limits, part.name)
        for field in fields(standing):
            if field.name == name:
                changed = replace(standing, **{name: _value(field.type, text)})
                return replace(limits, **{part.name: changed})
    raise ValueError("there is no such limit")


def _value(kind: Any, text: Any) -> Rate | float | None:
    if kind == Rate | None:
        return parse_rate(str(text))
    number = float(text)
    if not 0 < number <= _MOST:
        raise ValueError(f"{text} is not between 0 and {_MOST}")
    if kind is int and number != int(number):
        raise ValueError(f"{text} is no whole number")
    return int(number) if kind is int else number


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(each) for each in value]


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is not of the form name=value")
    return name, value
