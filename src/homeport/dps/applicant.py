"""What allocation may know of a device: where it calls from, what its enrollment says, what it measured itself.

Only lowest latency looks at these, so nothing is read for the other policies.
"""

from collections.abc import Mapping

import msgspec

from homeport.dps.allocation import policy_of
from homeport.dps.model import AllocationPolicy, Applicant, Assignment, Enrollment, Fleet
from homeport.wire.custom_allocation import DevicePayload

MAX_LATENCIES = 64
_MAX_MILLISECONDS = 60_000.0

_payload = msgspec.json.Decoder(DevicePayload)


def applicant(
    enrollment: Enrollment,
    registration_id: str,
    current: Assignment | None,
    fleet: Fleet,
    *,
    address: str | None,
    payload: bytes | None,
) -> Applicant:
    """Gather what the enrollment's policy needs to know."""
    lives_on = current.hub if current else None
    if policy_of(enrollment, fleet.settings) is not AllocationPolicy.GEO_LATENCY:
        return Applicant(registration_id=registration_id, lives_on=lives_on)
    return Applicant(
        registration_id=registration_id,
        lives_on=lives_on,
        address=address,
        region=_region(enrollment, fleet),
        latencies=measured(payload),
    )


def measured(payload: bytes | None) -> Mapping[str, float]:
    """Read `{"homeport": {"latencies": {"<host name>": <milliseconds>}}}` out of a device's payload.

    What is no such member, or no sensible number, counts as not measured: the payload is the device's own.
    """
    if payload is None or b'"homeport"' not in payload:
        return {}
    try:
        document = _payload.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    if document.homeport is None or document.homeport.latencies is None:
        return {}
    told = list(document.homeport.latencies.items())[:MAX_LATENCIES]
    return {host.lower(): float(value) for host, value in told if 0 <= value <= _MAX_MILLISECONDS}


def _region(enrollment: Enrollment, fleet: Fleet) -> str | None:
    """Return the tag `region` of the initial twin if it names a region that is known here."""
    tags = (enrollment.initial_twin or {}).get("tags") or {}
    named = tags.get("region")
    if not isinstance(named, str):
        return None
    known = {region.name.lower() for region in fleet.settings.regions}
    known |= {hub.region.lower() for hub in fleet.hubs if hub.region is not None}
    return named if named.lower() in known else None
