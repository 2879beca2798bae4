"""Fetches revocation lists ahead of time, so that no device waits for one."""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec import Struct

from homeport.clock import Clock
from homeport.dps.model import CaCertificate, RevocationPolicy, StoredCrl
from homeport.dps.ports import CaCertificateStore, RevocationFetcher
from homeport.dps.revocation.lists import UPLOAD, CrlShelf
from homeport.security.crl import MAX_CRL_BYTES
from homeport.security.explain import quoted
from homeport.security.revocation import RevocationError, authority_key, distribution_points
from homeport.security.x509 import Certificate, CertificateError, parse_der

_log = logging.getLogger(__name__)

FETCH_SECONDS = 30.0
_LOOK_EVERY = 60.0
_EARLY = 0.25
"""The part of a list's life that is left when its successor is looked for."""
_WITHOUT_DATE = timedelta(days=1)
_FIRST_PAUSE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(hours=1)
_AT_ONCE = 4
_WANTED = 256
"""Authorities below the uploaded ones whose addresses are remembered, from the devices that came."""


@dataclass(slots=True)
class _Trouble:
    """Why the last fetch failed, and when to try again."""

    text: str
    failures: int
    retry_at: datetime


class _Source(Struct, frozen=True, kw_only=True):
    issuer: Certificate
    urls: tuple[str, ...]


class CrlKeeper:
    """Knows where lists are to be had, and looks for the next one before the present one ends."""

    def __init__(
        self, certificates: CaCertificateStore, shelf: CrlShelf, fetcher: RevocationFetcher, clock: Clock
    ) -> None:
        self._certificates = certificates
        self._shelf = shelf
        self._fetcher = fetcher
        self._clock = clock
        self._wanted: OrderedDict[str, _Source] = OrderedDict()
        self._troubles: dict[str, _Trouble] = {}
        self._looked: dict[str, datetime] = {}
        """When an authority's address last gave what was known already."""
        self._wake = asyncio.Event()

    def want(self, issuer: Certificate, urls: tuple[str, ...]) -> None:
        """Remember where an authority's list is, as a certificate that it issued says; fetched soon."""
        authority = authority_key(issuer)
        if not urls:
            return
        known = self._wanted.get(authority)
        if known is None or known.urls != urls:
            self._wanted[authority] = _Source(issuer=issuer, urls=urls)
            if len(self._wanted) > _WANTED:
                self._wanted.popitem(last=False)
            self._wake.set()

    def look_now(self) -> None:
        """Look for lists at once: an operator changed where they are."""
        self._troubles.clear()
        self._looked.clear()
        self._wake.set()

    def problem(self, authority: str) -> str | None:
        """Say why an authority's list could not be fetched the last time."""
        trouble = self._troubles.get(authority)
        return None if trouble is None else trouble.text

    async def run(self) -> None:
        """Keep lists fresh until cancelled."""
        while True:
            self._wake.clear()
            try:
                await self.refresh()
            except Exception:  # the next round may find the store again
                _log.exception("the revocation lists could not be looked after")
            try:
                async with asyncio.timeout(_LOOK_EVERY):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def refresh(self) -> None:
        """Fetch every list that is due."""
        sources = await self._sources()
        known = {about.authority: about for about in await self._shelf.all()}
        for authority in self._troubles.keys() - sources.keys():
            del self._troubles[authority]
        # Side by side: an address that does not answer must not keep the others waiting.
        room = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            for authority, source in sources.items():
                if self._is_due(authority, known.get(authority)):
                    tasks.create_task(self._fetch(authority, source, room))

    async def _sources(self) -> dict[str, _Source]:
        """Return, by authority, where lists may be fetched: what operators gave first, then what certificates say."""
        uploaded = [(one, certificate) for one in await self._certificates.all() if (certificate := _readable(one))]
        sources: dict[str, _Source] = {}
        for record, certificate in uploaded:
            if record.revocation.policy is not RevocationPolicy.OFF and record.revocation.crl_url is not None:
                sources[authority_key(certificate)] = _Source(issuer=certificate, urls=(record.revocation.crl_url,))
        allowed = any(_may_use_points(record) for record, _ in uploaded)
        for record, certificate in uploaded:
            # An uploaded intermediate says where the list of the authority above it is.
            for issuer_record, issuer in uploaded:
                is_issuer = certificate.issuer_key == issuer.subject_key and not certificate.is_self_issued
                if is_issuer and _may_use_points(issuer_record) and (urls := distribution_points(certificate)):
                    sources.setdefault(authority_key(issuer), _Source(issuer=issuer, urls=urls))
            del record
        if allowed:
            for authority, source in self._wanted.items():
                sources.setdefault(authority, source)
            for about in await self._shelf.all():
                # After a restart, no device need come first.
                if about.source != UPLOAD:
                    issuer = parse_der(about.certificate)
                    sources.setdefault(about.authority, _Source(issuer=issuer, urls=(about.source,)))
        return sources

    def _is_due(self, authority: str, known: StoredCrl | None) -> bool:
        now = self._clock.now()
        trouble = self._troubles.get(authority)
        if trouble is not None:
            return now >= trouble.retry_at
        if known is None:
            return True
        looked = max(known.received_at, self._looked.get(authority, known.received_at))
        if known.next_update is None:
            return now >= looked + _WITHOUT_DATE
        early = known.next_update - (known.next_update - known.this_update) * _EARLY
        # A successor may be late: then the address is asked again and again, with pauses.
        return now >= max(early, looked + _FIRST_PAUSE)

    async def _fetch(self, authority: str, source: _Source, room: asyncio.Semaphore) -> None:
        problem = ""
        for url in source.urls:
            try:
                async with room:
                    data = await self._fetcher.get(url, limit=MAX_CRL_BYTES, seconds=FETCH_SECONDS)
                    about = await self._shelf.put(data, source.issuer, url)
            except RevocationError as error:
                problem = problem or str(error)
                continue
            if authority in self._troubles:
                _log.info("the CRL of %s can be fetched again", source.issuer.label)
            self._troubles.pop(authority, None)
            self._looked[authority] = self._clock.now()
            _log.debug("CRL of %s: %d entries", source.issuer.label, about.entries)
            return
        self._note(authority, source, problem)

    def _note(self, authority: str, source: _Source, problem: str) -> None:
        before = self._troubles.get(authority)
        failures = 1 if before is None else before.failures + 1
        pause = min(_FIRST_PAUSE * 2 ** min(failures - 1, 10), _LONGEST_PAUSE)
        self._troubles[authority] = _Trouble(text=problem, failures=failures, retry_at=self._clock.now() + pause)
        if before is None or before.text != problem:
            _log.warning("no CRL of %s from %s: %s", source.issuer.label, quoted(source.urls[0]), problem)


def _may_use_points(record: CaCertificate) -> bool:
    return record.revocation.use_distribution_points and record.revocation.policy is not RevocationPolicy.OFF


def _readable(record: CaCertificate) -> Certificate | None:
    try:
        certificate = parse_der(record.certificate)
    except CertificateError:
        return None
    return None if certificate.weak_key else certificate
