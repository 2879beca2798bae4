"""The revocation lists at hand: read once, then asked by serial number."""

import asyncio
import hashlib
import logging
from collections import defaultdict
from datetime import datetime

from homeport.clock import Clock
from homeport.dps.model import StoredCrl
from homeport.dps.ports import CrlStore
from homeport.security.callers import SYSTEM, Caller
from homeport.security.crl import Crl, is_older, read_crl
from homeport.security.revocation import RevocationError, authority_key
from homeport.security.x509 import Certificate, CertificateError, parse_der

_log = logging.getLogger(__name__)

UPLOAD = "upload"


class CrlShelf:
    """Lists by authority. A list another process stored is read at the first question after that."""

    def __init__(self, store: CrlStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._read: dict[str, tuple[str, Crl | None]] = {}
        """By authority, the digest of the list that was read last; None for one that cannot be used any more."""
        self._reading: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def about(self, authority: str) -> StoredCrl | None:
        """Return what is known of an authority's list."""
        return next((crl for crl in await self._store.all() if crl.authority == authority), None)

    async def all(self) -> list[StoredCrl]:
        """Return what is known of every list."""
        return list(await self._store.all())

    async def get(self, authority: str) -> Crl | None:
        """Return an authority's list, current or not; None if there is none."""
        about = await self.about(authority)
        if about is None:
            return None
        digest, crl = self._read.get(authority, ("", None))
        if digest == about.digest:
            return crl
        async with self._reading[authority]:
            digest, crl = self._read.get(authority, ("", None))
            if digest != about.digest:
                crl = await self._load(about)
        return crl

    async def put(
        self, data: bytes, issuer: Certificate, source: str, *, told_as: str | None = None, by: Caller = SYSTEM
    ) -> StoredCrl:
        """Check a list and keep it; it counts from now on. Raises RevocationError, also for an older one.

        `told_as`: see `CrlStore`.
        """
        now = self._clock.now()
        crl = await asyncio.to_thread(read_crl, data, issuer, now=now)
        authority = authority_key(issuer)
        known = await self.get(authority)
        if known is not None and is_older(crl, known):
            raise RevocationError(f"{crl.label} is older than the one that is known, {known.label}")
        about = _about(crl, issuer, source, now)
        await self._store.put(about, crl.der, told_as=told_as, by=by)
        self._read[authority] = (about.digest, crl)
        return about

    async def remove(self, authority: str, *, told_as: str | None = None, by: Caller = SYSTEM) -> None:
        """Forget an authority's list."""
        await self._store.delete(authority, told_as=told_as, by=by)
        self._read.pop(authority, None)

    async def _load(self, about: StoredCrl) -> Crl | None:
        der = await self._store.read(about.authority)
        crl = None
        if der is not None:
            try:
                issuer = parse_der(about.certificate)
                crl = await asyncio.to_thread(read_crl, der, issuer, now=self._clock.now())
            except (CertificateError, RevocationError) as error:
                # It was good when it was stored: the clock went back, or a newer rule refuses it.
                _log.error("the stored CRL of %s cannot be used: %s", about.authority[:16], error)
        if der is None or hashlib.sha256(der).hexdigest() == about.digest:
            self._read[about.authority] = (about.digest, crl)
        return crl


def _about(crl: Crl, issuer: Certificate, source: str, now: datetime) -> StoredCrl:
    return StoredCrl(
        authority=authority_key(issuer),
        digest=hashlib.sha256(crl.der).hexdigest(),
        certificate=issuer.der,
        source=source,
        this_update=crl.this_update,
        next_update=crl.next_update,
        number=None if crl.number is None else str(crl.number),
        entries=crl.entries,
        received_at=now,
    )
