"""What would move if: every registration decided again under a changed fleet, in parts, without doing it."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from homeport.dps.allocation import AskCustom, Assign, NoHub, allocate
from homeport.dps.applicant import applicant
from homeport.dps.fleet import read_fleet
from homeport.dps.hubs import MAX_WEIGHT
from homeport.dps.model import (
    AllocationPolicy,
    Assignment,
    Enrollment,
    EnrollmentGroup,
    Fleet,
    LinkedHub,
    Registration,
)
from homeport.dps.ports import EnrollmentStore, LinkedHubStore, RegistrationStore
from homeport.dps.reprovisioning import stays
from homeport.errors import Code, HomeportError
from homeport.values import replace
from homeport.wire.versions import NEWEST_DEVICE_VERSION

_TURN = 64
"""So many registrations are decided before others get their turn."""


class Changes(Struct, frozen=True, kw_only=True):
    """A fleet that might be: hubs by name or host name."""

    weights: Mapping[str, int] = field(default_factory=dict)
    without: Sequence[str] = ()
    drained: Sequence[str] = ()
    policy: AllocationPolicy | None = None
    """In place of every enrollment's policy, and of the default."""


class Movement(Struct, frozen=True, kw_only=True):
    """A device that would get another home; `to` None: it would find none. `reason` says why."""

    registration_id: str
    group_id: str | None
    origin: str
    to: str | None
    reason: str


class Comparison(Struct, frozen=True, kw_only=True):
    """A part of all registrations, before and after the changes."""

    examined: int
    movements: Sequence[Movement]
    before: Mapping[str, int]
    after: Mapping[str, int]
    """Devices by host name; those that custom allocation would be asked about count where they are."""
    asked: int
    """Devices whose hub custom allocation would choose: what it would say is not known."""
    orphaned: int
    """Devices whose enrollment is gone or disabled: they stay, and cannot register."""
    next_key: str | None


class WhatIf:
    """Compares; assigns nothing."""

    def __init__(self, *, enrollments: EnrollmentStore, registrations: RegistrationStore, hubs: LinkedHubStore) -> None:
        self._enrollments = enrollments
        self._registrations = registrations
        self._hubs = hubs

    async def compare(self, changes: Changes, *, after: str | None, limit: int) -> Comparison:
        """Compare up to `limit` registrations behind the key `after`, in id order, with the changed fleet.

        Devices move when they register the next time. Raises INVALID_REQUEST for a hub that is not linked.
        """
        fleet = _changed(await read_fleet(self._hubs), changes)
        groups = {group.group_id.lower(): group for group in await self._enrollments.groups()}
        page = await self._registrations.page(group_id=None, after=after, limit=limit)
        before: Counter[str] = Counter()
        then: Counter[str] = Counter()
        movements: list[Movement] = []
        asked = orphaned = 0
        for number, registration in enumerate(page.items, 1):
            if number % _TURN == 0:
                await asyncio.sleep(0)
            home = registration.assignment
            if home is None:
                continue
            before[home.hub] += 1
            enrollment = await self._enrollment_of(registration, groups)
            if enrollment is None or not enrollment.enabled:
                orphaned += 1
                then[home.hub] += 1
                continue
            if changes.policy is not None:
                enrollment = replace(enrollment, allocation_policy=changes.policy)
            place, reason, is_asked = _place(enrollment, registration, home, fleet)
            asked += is_asked
            if place is not None:
                then[place] += 1
            if place is None or place.lower() != home.hub.lower():
                movements.append(
                    Movement(
                        registration_id=registration.registration_id,
                        group_id=registration.enrollment.group_id,
                        origin=home.hub,
                        to=place,
                        reason=reason,
                    )
                )
        return Comparison(
            examined=len(page.items),
            movements=movements,
            before=before,
            after=then,
            asked=asked,
            orphaned=orphaned,
            next_key=page.after,
        )

    async def _enrollment_of(
        self, registration: Registration, groups: Mapping[str, EnrollmentGroup]
    ) -> Enrollment | None:
        group_id = registration.enrollment.group_id
        if group_id is None:
            return await self._enrollments.get_individual(registration.registration_id)
        return groups.get(group_id.lower())


def _place(
    enrollment: Enrollment, registration: Registration, home: Assignment, fleet: Fleet
) -> tuple[str | None, str, bool]:
    """Return the hub the device would have, why, and whether custom allocation would be asked for it."""
    if stays(home, enrollment.reprovision_policy, NEWEST_DEVICE_VERSION):
        linked = any(hub.host_name.lower() == home.hub.lower() for hub in fleet.hubs)
        return (home.hub, "", False) if linked else (None, f"it must stay on {home.hub}, which is not linked", False)
    device = applicant(
        enrollment, registration.registration_id, home, fleet, address=None, payload=registration.device_payload
    )
    match allocate(enrollment, device, fleet):
        case Assign(hub=hub, reason=reason):
            return hub.host_name, reason, False
        case AskCustom():
            return home.hub, "", True
        case NoHub(reason=reason):
            return None, reason, False


def _changed(fleet: Fleet, changes: Changes) -> Fleet:
    if changes.policy is AllocationPolicy.CUSTOM:
        raise _invalid("what custom allocation would answer is not known: policy is hashed, geoLatency or static")
    hubs = {_find(fleet, name).name: weight for name, weight in changes.weights.items()}
    for name, weight in hubs.items():
        if not 1 <= weight <= MAX_WEIGHT:
            raise _invalid(f"the weight of {name} is not between 1 and {MAX_WEIGHT}")
    gone = {_find(fleet, name).name for name in changes.without}
    drained = {_find(fleet, name).name for name in changes.drained}
    return replace(
        fleet,
        hubs=[
            replace(
                hub,
                allocation_weight=hubs.get(hub.name, hub.allocation_weight),
                draining=hub.draining or hub.name in drained,
            )
            for hub in fleet.hubs
            if hub.name not in gone
        ],
    )


def _find(fleet: Fleet, name: str) -> LinkedHub:
    for hub in fleet.hubs:
        if name.lower() in {hub.name.lower(), hub.host_name.lower()}:
            return hub
    raise _invalid(f"no hub '{name[:255]}' is linked")


def _invalid(message: str) -> HomeportError:
    return HomeportError(Code.INVALID_REQUEST, f"{message}.")
