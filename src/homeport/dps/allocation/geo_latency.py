"""Lowest latency: what the device measured, or how far its region is from the hub's (contract dps.md 9.2).

A device is in the region its enrollment names, or else in that of the longest address range it calls from. Regions
are as far apart as the operator says, or as light needs through fibre where only their coordinates are known.
"""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from math import asin, cos, radians, sin, sqrt

from msgspec import Struct

from homeport.dps.allocation import hashed
from homeport.dps.allocation.decision import Assign
from homeport.dps.model import AddressRange, AllocationSettings, Applicant, LinkedHub, Region

_EARTH_RADIUS_KM = 6371.0
_KM_PER_MILLISECOND = 100.0
"""Round trips: light covers about 200 km of fibre in a millisecond, and goes both ways."""
_STAYS_WITHIN_MS = 5.0
_STAYS_WITHIN_SHARE = 0.2
"""Measurements scatter: a device stays where it is unless another hub is nearer by more than both."""


class Estimate(Struct, frozen=True, kw_only=True):
    """Milliseconds to a hub, and how they are known."""

    milliseconds: float
    source: str
    measured: bool = False


def choose(device: Applicant, hubs: Sequence[LinkedHub], settings: AllocationSettings) -> Assign:
    """Choose the nearest hub; hubs of equal latency (in whole milliseconds) are hashed. `hubs` is not empty."""
    known = [(hub, found) for hub in hubs if (found := estimate(device, hub, settings)) is not None]
    if not known:
        chosen = hashed.choose(device.registration_id, hubs)
        return Assign(hub=chosen.hub, reason=f"{_nothing_known(device, settings)}, so all are equal; {chosen.reason}")
    least = min(round(found.milliseconds) for _, found in known)
    home = next((each for each in known if _lives_on(device, each[0])), None)
    if home is not None and home[1].measured and round(home[1].milliseconds) > least:
        slack = max(_STAYS_WITHIN_MS, least * _STAYS_WITHIN_SHARE)
        if home[1].milliseconds - least <= slack:
            return Assign(
                hub=home[0],
                reason=f"{_told(home[1])}; the device lives there, and the nearest is nearer by {slack:.0f} ms at most",
            )
    nearest = [(hub, found) for hub, found in known if round(found.milliseconds) == least]
    hub = nearest[0][0]
    tie = ""
    if len(nearest) > 1:
        chosen = hashed.choose(device.registration_id, [each for each, _ in nearest])
        hub, tie = chosen.hub, f"; as near as others, so {chosen.reason}"
    found = next(found for each, found in nearest if each is hub)
    return Assign(hub=hub, reason=f"{_told(found)}, the nearest of {len(hubs)} hubs{tie}")


def estimate(device: Applicant, hub: LinkedHub, settings: AllocationSettings) -> Estimate | None:
    """Return the latency between device and hub, None if nothing is known of it."""
    measured = device.latencies.get(hub.host_name.lower())
    if measured is not None:
        return Estimate(milliseconds=measured, source="measured by the device", measured=True)
    place = region_of(device, settings)
    if place is None or hub.region is None:
        return None
    region, how = place
    found = _between(region.lower(), hub.region.lower(), settings)
    return None if found is None else Estimate(milliseconds=found, source=f"from region {region}, {how}")


def region_of(device: Applicant, settings: AllocationSettings) -> tuple[str, str] | None:
    """Return the device's region, and how it is known."""
    if device.region is not None:
        return device.region, "which its enrollment names"
    if device.address is None:
        return None
    found = _longest(device.address, settings.addresses)
    return None if found is None else (found.region, f"where {found.prefix} is")


def _lives_on(device: Applicant, hub: LinkedHub) -> bool:
    return device.lives_on is not None and device.lives_on.lower() == hub.host_name.lower()


def _told(found: Estimate) -> str:
    return f"{found.milliseconds:.0f} ms {found.source}"


def _nothing_known(device: Applicant, settings: AllocationSettings) -> str:
    place = region_of(device, settings)
    if place is None:
        return "the device measured nothing and its region is not known"
    return f"nothing says how far the hubs are from region {place[0]}"


def _between(one: str, other: str, settings: AllocationSettings) -> float | None:
    for entry in settings.latencies:
        first, second = (name.lower() for name in entry.between)
        if (first, second) in {(one, other), (other, one)}:
            return entry.milliseconds
    if one == other:
        return 0.0
    places = {region.name.lower(): region for region in settings.regions}
    here, there = places.get(one), places.get(other)
    return None if here is None or there is None else _through_fibre(here, there)


def _through_fibre(here: Region, there: Region) -> float | None:
    if here.latitude is None or here.longitude is None or there.latitude is None or there.longitude is None:
        return None
    north, south = radians(here.latitude), radians(there.latitude)
    apart = radians(there.longitude - here.longitude)
    # The haversine formula.
    half = sin((south - north) / 2) ** 2 + cos(north) * cos(south) * sin(apart / 2) ** 2
    return 2 * _EARTH_RADIUS_KM * asin(min(1.0, sqrt(half))) / _KM_PER_MILLISECOND


def _longest(address: str, ranges: Sequence[AddressRange]) -> AddressRange | None:
    try:
        caller = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(caller, ipaddress.IPv6Address) and caller.ipv4_mapped is not None:
        caller = caller.ipv4_mapped
    matching = [(_network(each.prefix).prefixlen, each) for each in ranges if caller in _network(each.prefix)]
    return max(matching, key=lambda match: match[0])[1] if matching else None


@lru_cache(maxsize=4096)
def _network(prefix: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(prefix)
