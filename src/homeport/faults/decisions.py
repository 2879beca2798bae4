"""What happens to one call: drawn from the faults' seeds, and from nothing else. Pure.

The n-th call of its kind that one device makes under one fault is decided by the seed, the device, the kind of call
and n. So devices do not disturb each other's sequences, and a sequence can be had again.
"""

import hashlib
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final

from msgspec import Struct

from homeport.faults.model import ClockShift, Fault, Latency, Outage, Place, ServerFault, Throttle

_BYTES: Final = 7
"""More than the 53 bits a float tells apart are never looked at."""


class Point(StrEnum):
    """What a device was doing."""

    CONNECT = "connect"
    REQUEST = "request"
    """Anything over HTTPS at a hub: each request proves itself."""
    SEND = "send"
    TWIN = "twin"
    REPORT = "report"
    REGISTER = "register"
    POLL = "poll"
    LINK = "link"
    """The provisioning service was calling a hub."""
    SESSION = "session"
    """Nothing: its connection was open."""


class Occasion(Struct, frozen=True, kw_only=True):
    """A call that a fault may meet."""

    place: Place
    point: Point
    device_id: str
    hub: str | None = None
    transport: str = ""


class Refusal(Struct, frozen=True, kw_only=True):
    """The call is not carried out. `text` is for the caller and names the fault."""

    status: int
    text: str
    retry_after: int | None = None


class Verdict(Struct, frozen=True, kw_only=True):
    """First wait `delay` seconds, then refuse, or go on."""

    delay: float = 0.0
    refusal: Refusal | None = None
    injected: tuple[tuple[Fault, str], ...] = ()
    """Which faults had their way, each with what it did."""


NOTHING: Final = Verdict()


def chance(seed: int, *what: str | int) -> float:
    """Draw a number from 0 up to 1: the same for the same arguments, evenly spread over different ones."""
    text = "\0".join(str(each) for each in (seed, *what))
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:_BYTES]) / (1 << 8 * _BYTES)


def happens(fault: Fault, device_id: str, point: Point, number: int) -> bool:
    """Tell whether a fault takes the n-th occasion of its kind that it has with a device."""
    return fault.probability >= 1 or chance(fault.seed, device_id, point, number) < fault.probability


def applies(fault: Fault, occasion: Occasion) -> bool:
    """Tell whether such a call is one that the fault is about."""
    target = fault.target
    if occasion.hub is not None and not target.covers_hub(occasion.hub):
        return False
    match fault.effect:
        case Latency() | Throttle() | ServerFault():
            if occasion.point is Point.LINK:
                return False  # it is the device's calls that they are about
            return target.place is occasion.place and target.covers_device(occasion.device_id)
        case Outage(devices=devices, provisioning=provisioning):
            if occasion.point is Point.LINK:
                return provisioning and target.covers_device(occasion.device_id)
            return devices and occasion.place is Place.HUB and target.covers_device(occasion.device_id)
        case _:
            return False


def decide(faults: Iterable[Fault], occasion: Occasion, number_of: Callable[[Fault], int]) -> Verdict:
    """Decide a call under the active faults, in the order of their start: delays add up, one refusal is enough.

    `number_of` counts, from 0, the calls of this kind that this device has made under a fault; it is asked once for
    each fault that the call is one for.
    """
    delay, injected = 0.0, []
    for fault in faults:
        if not applies(fault, occasion):
            continue
        number = number_of(fault)
        if not happens(fault, occasion.device_id, occasion.point, number):
            continue
        match fault.effect:
            case Latency(least=least, most=most):
                drawn = chance(fault.seed, occasion.device_id, occasion.point, number, "length")
                wait = least + (most - least) * drawn
                delay += wait
                injected.append((fault, f"{wait * 1000:.0f} ms late"))
            case Throttle(retry_after=retry_after):
                text = f"Fault lab: throttled by fault {fault.id}."
                refusal = Refusal(status=429, text=text, retry_after=retry_after)
                return Verdict(delay=delay, refusal=refusal, injected=(*injected, (fault, "refused with 429")))
            case ServerFault(status=status):
                text = f"Fault lab: made to fail by fault {fault.id}."
                return Verdict(
                    delay=delay,
                    refusal=Refusal(status=status, text=text),
                    injected=(*injected, (fault, f"failed with {status}")),
                )
            case Outage(status=status):
                text = f"Fault lab: {occasion.hub or 'the hub'} is out by fault {fault.id}."
                return Verdict(
                    delay=delay,
                    refusal=Refusal(status=status, text=text),
                    injected=(*injected, (fault, f"refused with {status}")),
                )
            case _:
                pass  # the others take no calls
    return Verdict(delay=delay, injected=tuple(injected)) if injected else NOTHING


def shift_of(faults: Iterable[Fault], place: Place, device_id: str, hub: str | None) -> float:
    """Return by how many seconds the clock is wrong that a device's proof is judged by."""
    seconds = 0.0
    for fault in faults:
        match fault.effect:
            case ClockShift(seconds=shift):
                target = fault.target
                if target.place is not place or (hub is not None and not target.covers_hub(hub)):
                    continue
                if target.covers_device(device_id) and happens(fault, device_id, Point.CONNECT, 0):
                    seconds += shift
            case _:
                pass
    return seconds
