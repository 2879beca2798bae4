"""Faults between their documents and the lab's values: every bound is looked at here."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from msgspec import UNSET, UnsetType

from homeport.errors import Code, HomeportError
from homeport.faults import (
    ClockShift,
    Drop,
    Effect,
    Injection,
    Latency,
    Outage,
    Place,
    ServerFault,
    Standing,
    State,
    Target,
    Throttle,
)
from homeport.wire import dps_faults as wire
from homeport.wire import format_time

MAX_DEVICES: Final = 10_000
MAX_SECONDS: Final = 30 * 86_400.0
MAX_LATENCY_MS: Final = 600_000.0
MAX_SHIFT_SECONDS: Final = 10 * 366 * 86_400.0
MIN_INTERVAL: Final = 1.0
MAX_RETRY_AFTER: Final = 3600
MAX_SEED: Final = 2**63 - 1
_MAX_ID: Final = 257
_SHOWN: Final = 100

_OWN: Final = {
    "drop": {"interval_seconds", "orderly"},
    "latency": {"minimum_ms", "maximum_ms"},
    "throttle": {"retry_after_seconds"},
    "error": {"status"},
    "clock": {"shift_seconds"},
    "outage": {"status", "sides"},
}
_OF_SOME: Final = set().union(*_OWN.values())
_AT_PROVISIONING: Final = {"latency", "throttle", "error", "clock"}

T = TypeVar("T")


def effect_of(document: wire.FaultRequest) -> Effect:
    """Read what is to go wrong. Raises HomeportError INVALID_REQUEST."""
    kind = document.kind
    if kind not in _OWN:
        raise _wrong(f"kind is none of {', '.join(_OWN)}")
    for member in sorted(_OF_SOME - _OWN[kind]):
        if given(getattr(document, member)) is not None:
            raise _wrong(f"a fault of the kind {kind} has no {_camel(member)}")
    match kind:
        case "drop":
            interval = number(document.interval_seconds, "intervalSeconds", least=MIN_INTERVAL, most=MAX_SECONDS)
            return Drop(interval=interval, orderly=bool(given(document.orderly)))
        case "latency":
            least = number(document.minimum_ms, "minimumMs", least=0, most=MAX_LATENCY_MS)
            if least is None:
                raise _wrong("minimumMs is missing")
            most = number(document.maximum_ms, "maximumMs", least=least, most=MAX_LATENCY_MS)
            return Latency(least=least / 1000, most=(least if most is None else most) / 1000)
        case "throttle":
            wait = number(document.retry_after_seconds, "retryAfterSeconds", least=1, most=MAX_RETRY_AFTER)
            return Throttle() if wait is None else Throttle(retry_after=int(wait))
        case "error":
            return ServerFault(status=_status(document, (500, 503)))
        case "clock":
            shift = number(document.shift_seconds, "shiftSeconds", least=-MAX_SHIFT_SECONDS, most=MAX_SHIFT_SECONDS)
            if not shift:
                raise _wrong("shiftSeconds is missing, or 0")
            return ClockShift(seconds=shift)
        case _:
            sides = given(document.sides)
            if sides is not None and (not sides or not set(sides) <= {"devices", "provisioning"}):
                raise _wrong("sides names devices, provisioning, or both")
            return Outage(
                status=_status(document, (404, 500, 503)),
                devices=sides is None or "devices" in sides,
                provisioning=sides is None or "provisioning" in sides,
            )


def target_of(document: wire.FaultRequest, devices: frozenset[str] | None) -> Target:
    """Read who is meant; `devices` are those that a query has found. Raises HomeportError INVALID_REQUEST."""
    at = given(document.at) or "hub"
    if at not in {place.value for place in Place}:
        raise _wrong("at is neither hub nor provisioning")
    if at == Place.PROVISIONING.value and document.kind not in _AT_PROVISIONING:
        raise _wrong(f"a fault of the kind {document.kind} is at hubs, not at provisioning")
    hubs, names, prefix = given(document.hubs), given(document.devices), given(document.prefix)
    if hubs is not None and not hubs:
        raise _wrong("hubs names none; leave it out to mean all")
    if hubs is not None and at == Place.PROVISIONING.value and given(document.query) is None:
        raise _wrong("at provisioning, hubs only say where a query looks")
    if names is not None:
        if given(document.query) is not None:
            raise _wrong("give devices or a query, not both")
        if not 0 < len(names) <= MAX_DEVICES:
            raise _wrong(f"devices names 1 to {MAX_DEVICES} devices; leave it out to mean all")
        if not all(0 < len(name) <= _MAX_ID for name in names):
            raise _wrong("devices holds what cannot be an id")
    if prefix is not None and not 0 < len(prefix) <= _MAX_ID:
        raise _wrong("prefix has 1 to 257 characters")
    return Target(
        place=Place(at),
        hubs=None if hubs is None or at == Place.PROVISIONING.value else frozenset(hub.lower() for hub in hubs),
        devices=devices if names is None else frozenset(names),
        prefix=prefix,
    )


def fault_document(standing: Standing, state: State) -> wire.Fault:
    """Write a fault as it stands."""
    fault = standing.fault
    target = fault.target
    return wire.Fault(
        id=fault.id,
        kind=fault.kind.value,
        state=state.value,
        description=fault.describe(),
        at=target.place.value,
        hubs=_told(target.hubs, sorted),
        devices=_told(target.devices, lambda devices: sorted(devices)[:_SHOWN]),
        device_count=_told(target.devices, len),
        prefix=_told(target.prefix, str),
        query=_told(fault.query, str),
        probability=fault.probability,
        seed=fault.seed,
        starts_date_time_utc=format_time(fault.starts_at),
        ends_date_time_utc=_told(fault.ends_at, format_time),
        injected=standing.injected,
        started_by=fault.by,
    )


def injection_document(injection: Injection) -> wire.Injection:
    """Write what was done to somebody."""
    return wire.Injection(
        date_time_utc=format_time(injection.at),
        fault_id=injection.fault_id or UNSET,
        kind=injection.kind.value,
        device_id=injection.device_id or UNSET,
        hub=injection.hub or UNSET,
        point=injection.point,
        transport=injection.transport or UNSET,
        detail=injection.detail,
    )


def number(value: float | UnsetType | None, name: str, *, least: float, most: float) -> float | None:
    """Return a number within its bounds; None if it is not given. Raises HomeportError INVALID_REQUEST."""
    found = given(value)
    if found is not None and not least <= found <= most:
        raise _wrong(f"{name} is not between {least:g} and {most:g}")
    return found


def given(value: T | UnsetType | None) -> T | None:
    """Return a member's value; None if it is absent or null."""
    return None if isinstance(value, UnsetType) else value


def _status(document: wire.FaultRequest, allowed: tuple[int, ...]) -> int:
    status = given(document.status)
    if status is None:
        return 503
    if status not in allowed:
        raise _wrong(f"status is none of {', '.join(map(str, allowed))}")
    return status


def _told(value: T | None, write: Callable[[T], Any]) -> Any:
    return UNSET if value is None else write(value)


def _camel(member: str) -> str:
    first, *rest = member.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _wrong(text: str) -> HomeportError:
    return HomeportError(Code.INVALID_REQUEST, f"The fault cannot be started: {text}.")
