"""Certificates that end soon, seen long before: CA certificates, groups' signers, individual devices' certificates."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from heapq import nsmallest

from msgspec import Struct

from homeport.clock import Clock
from homeport.dps.model import AttestationKind, ClientCertificates, Cursor, Index, SigningCertificates, Walk
from homeport.dps.ports import CaCertificateStore, EnrollmentStore
from homeport.security.expiry import THRESHOLDS, expiry_warning, threshold
from homeport.security.explain import quoted
from homeport.security.x509 import CertificateError, CertificateInfo, parse_der

_log = logging.getLogger(__name__)

SCAN_EVERY = timedelta(days=1)
KEPT = 1000
"""How many individual certificates one report names; the others are counted."""
_PAGE = 50
_PAUSE = 0.02
"""Seconds between pages: a million certificates are looked through in minutes, without being in anybody's way."""
_WITH_CERTIFICATES = Walk(index=Index.ATTESTATION, values=(AttestationKind.X509.value.lower(),))
"""Other enrollments are not even read."""
_LOGGED = 20


class HolderKind(StrEnum):
    """Whose certificate it is."""

    CA_CERTIFICATE = "caCertificate"
    ENROLLMENT_GROUP = "enrollmentGroup"
    INDIVIDUAL_ENROLLMENT = "individualEnrollment"


class Expiring(Struct, frozen=True, kw_only=True):
    """One certificate that has crossed a threshold."""

    kind: HolderKind
    name: str
    subject: str
    thumbprint: str
    not_after: datetime


class Scan(Struct, frozen=True, kw_only=True):
    """The individual enrollments, as they were."""

    at: datetime
    soonest: tuple[Expiring, ...]
    counts: Mapping[tuple[HolderKind, int], int]
    """Certificates of every kind by the threshold they have crossed, in days; 0 for those that have ended."""


class ExpiryWatch:
    """Looks through everything once a day, and answers for the moment."""

    def __init__(
        self,
        certificates: CaCertificateStore,
        enrollments: EnrollmentStore,
        clock: Clock,
        *,
        scanned: Callable[[Scan], None] = lambda _: None,
    ) -> None:
        """Tell `scanned` of each scan, for metrics."""
        self._certificates = certificates
        self._enrollments = enrollments
        self._clock = clock
        self._scanned = scanned
        self._said: dict[tuple[HolderKind, str, str], timedelta] = {}
        self.latest: Scan | None = None

    async def run(self) -> None:
        """Scan now and once a day, until cancelled."""
        while True:
            try:
                await self.scan()
            except Exception:  # tomorrow the store may be there again
                _log.exception("the certificates could not be looked through for their expiry")
            await self._clock.sleep(SCAN_EVERY.total_seconds())

    async def scan(self) -> Scan:
        """Look through all enrollments; log what has crossed a threshold since the last time."""
        now = self._clock.now()
        found = await self._shared(now)
        counts: dict[tuple[HolderKind, int], int] = {}
        soonest: list[Expiring] = []

        def count(items: Iterable[Expiring]) -> None:
            for item in items:
                crossed = threshold(item.not_after, now)
                if crossed is not None:
                    key = (item.kind, crossed.days)
                    counts[key] = counts.get(key, 0) + 1

        count(found)
        cursor: Cursor | None = None
        while True:
            page = await self._enrollments.walk_individuals(
                _WITH_CERTIFICATES, after=cursor, limit=_PAGE, with_registrations=False
            )
            individuals = [
                item
                for enrollment in (step.item[0] for step in page if step.item is not None)
                if isinstance(enrollment.attestation, ClientCertificates)
                for item in _of(
                    HolderKind.INDIVIDUAL_ENROLLMENT,
                    enrollment.registration_id,
                    (enrollment.attestation.primary, enrollment.attestation.secondary),
                    now,
                )
            ]
            count(individuals)
            # However many there are, only the most urgent ones are kept.
            soonest = nsmallest(KEPT, [*soonest, *individuals], key=lambda item: item.not_after)
            if len(page) < _PAGE:
                break
            cursor = page[-1].cursor
            await self._clock.sleep(_PAUSE)
        self._say([*found, *soonest], now)
        self.latest = Scan(at=now, soonest=tuple(soonest), counts=counts)
        self._scanned(self.latest)
        return self.latest

    async def soon(self, within: timedelta) -> tuple[list[Expiring], int, datetime | None]:
        """Return what ends within that time, soonest first; how many more there are; when individuals were scanned."""
        now = self._clock.now()
        limit = now + within
        latest = self.latest
        individuals = latest.soonest if latest else ()
        found = [item for item in (*await self._shared(now), *individuals) if item.not_after <= limit]
        total = sum(
            count
            for (kind, days), count in (latest.counts.items() if latest else ())
            if kind is HolderKind.INDIVIDUAL_ENROLLMENT and timedelta(days=days) <= within
        )
        shown = sum(item.kind is HolderKind.INDIVIDUAL_ENROLLMENT for item in found)
        more = max(0, total - shown) if len(individuals) >= KEPT else 0
        return sorted(found, key=lambda item: item.not_after), more, latest.at if latest else None

    async def _shared(self, now: datetime) -> list[Expiring]:
        found: list[Expiring] = []
        for certificate in await self._certificates.all():
            found += _of(HolderKind.CA_CERTIFICATE, certificate.name, (certificate.certificate,), now)
        for group in await self._enrollments.groups():
            if isinstance(group.attestation, SigningCertificates):
                ders = (group.attestation.primary, group.attestation.secondary)
                found += _of(HolderKind.ENROLLMENT_GROUP, group.group_id, ders, now)
        return found

    def _say(self, items: list[Expiring], now: datetime) -> None:
        """Write a line for each certificate when it crosses a threshold, not every day."""
        said: dict[tuple[HolderKind, str, str], timedelta] = {}
        news = []
        for item in items:
            key = (item.kind, item.name, item.thumbprint)
            crossed = threshold(item.not_after, now)
            if crossed is None:
                continue
            said[key] = crossed
            if self._said.get(key) != crossed:
                news.append(item)
        self._said = said
        for item in sorted(news, key=lambda item: item.not_after)[:_LOGGED]:
            _log.warning(
                "certificate %s of %s %s %s",
                quoted(item.subject),
                _KINDS[item.kind],
                quoted(item.name),
                expiry_warning(item.not_after, now),
            )
        if len(news) > _LOGGED:
            _log.warning("%d more certificates expire soon: see `homeport certificate expiring`", len(news) - _LOGGED)


_KINDS = {
    HolderKind.CA_CERTIFICATE: "the CA certificate",
    HolderKind.ENROLLMENT_GROUP: "the enrollment group",
    HolderKind.INDIVIDUAL_ENROLLMENT: "the enrollment",
}


def _of(kind: HolderKind, name: str, ders: tuple[bytes | None, ...], now: datetime) -> Iterator[Expiring]:
    for der in ders:
        info = None if der is None else _info(der)
        if info is not None and info.not_after - now <= THRESHOLDS[-1]:
            yield Expiring(
                kind=kind,
                name=name,
                subject=info.subject_name,
                thumbprint=info.sha256_thumbprint,
                not_after=info.not_after,
            )


@lru_cache(maxsize=512)
def _info(der: bytes) -> CertificateInfo | None:
    try:
        return parse_der(der).info
    except CertificateError:
        return None
