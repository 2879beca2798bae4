"""How much there is: enrollments, groups and registrations, by what they are and how they stand."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from homeport.clock import Clock
from homeport.dps.model import AttestationKind, Count, attestation_kind
from homeport.dps.ports import EnrollmentStore, RegistrationStore
from homeport.dps.reply import Reply, success
from homeport.wire import dps_counts as wire
from homeport.wire import format_time

KEPT = timedelta(seconds=2)
"""Askers within this time share an answer."""
KEPT_TIMES = 20
"""Or within so many times as long as counting took: a million rows take about a second."""

_SPELLING = {kind.value.lower(): kind.value for kind in AttestationKind}


class CountsResponder:
    """Counts, one count at a time, however many ask."""

    def __init__(self, enrollments: EnrollmentStore, registrations: RegistrationStore, clock: Clock) -> None:
        self._enrollments = enrollments
        self._registrations = registrations
        self._clock = clock
        self._turn = asyncio.Lock()
        self._last: tuple[datetime, wire.Counts] | None = None
        """Until when they are told, and the counts."""

    async def get(self, tracking_id: str) -> Reply:
        async with self._turn:
            start = self._clock.now()
            if self._last is None or start >= self._last[0]:
                counts = await self._count()
                end = self._clock.now()
                self._last = (end + max(KEPT, KEPT_TIMES * (end - start)), counts)
            return success(200, self._last[1], tracking_id)

    async def _count(self) -> wire.Counts:
        groups = Counter(
            (attestation_kind(group.attestation).lower(), "enabled" if group.enabled else "disabled")
            for group in await self._enrollments.groups()
        )
        registrations = await self._registrations.count()
        by_hub: Counter[str] = Counter()
        for count in registrations:
            by_hub[count.kind] += count.number
        return wire.Counts(
            enrollments=_enrollment_counts(await self._enrollments.count_individuals()),
            enrollment_groups=_enrollment_counts(
                [Count(kind=kind, status=status, number=number) for (kind, status), number in groups.items()]
            ),
            registrations=wire.RegistrationCounts(
                total=sum(count.number for count in registrations),
                by_status=_by_status(registrations),
                by_hub={hub: number for hub, number in sorted(by_hub.items()) if hub},
            ),
            counted_date_time_utc=format_time(self._clock.now()),
        )


def _enrollment_counts(counts: Sequence[Count]) -> wire.EnrollmentCounts:
    by_kind: Counter[str] = Counter()
    for count in counts:
        by_kind[_SPELLING.get(count.kind, count.kind)] += count.number
    return wire.EnrollmentCounts(
        total=sum(count.number for count in counts),
        by_attestation=dict(sorted(by_kind.items())),
        by_status=_by_status(counts),
    )


def _by_status(counts: Sequence[Count]) -> dict[str, int]:
    by_status: Counter[str] = Counter()
    for count in counts:
        by_status[count.status] += count.number
    return dict(sorted(by_status.items()))
