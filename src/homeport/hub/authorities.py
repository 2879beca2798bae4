"""The CA certificates of one hub as they are now: what devices are judged by, and who must leave when one goes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from homeport.bus import Bus, HubAuthoritiesChanged
from homeport.clock import Clock
from homeport.hub.certificate_proof import NO_TRUST, HubTrust
from homeport.hub.model import HubCaCertificate
from homeport.hub.verdicts import Reason, Refused
from homeport.security.callers import SYSTEM, Caller
from homeport.security.x509_path import Path

LOOK_SECONDS = 2.0
"""How long a change that another process made may go unnoticed by open connections; new ones see it at once."""

RevocationCheck = Callable[[Path], Awaitable[str | None]]
"""Tells why a path does not hold: a certificate was taken back, or nothing is known where something must be."""

_log = logging.getLogger(__name__)


class AuthorityStore(Protocol):
    """The CA certificates of one hub. Changes are told in the journal, in the same transaction."""

    async def all(self) -> Sequence[HubCaCertificate]:
        """Return them by name; the very same object as long as nothing has changed."""
        ...

    async def create(self, certificate: HubCaCertificate, *, limit: int, by: Caller = SYSTEM) -> None:
        """Raise HomeportError CA_CERTIFICATE_EXISTS, or INVALID_REQUEST if there are `limit` already."""
        ...

    async def replace(self, certificate: HubCaCertificate, *, expected_etag: str, by: Caller = SYSTEM) -> None:
        """Raise HomeportError NOT_FOUND, PRECONDITION_FAILED."""
        ...

    async def delete(self, name: str, *, expected_etag: str | None, by: Caller = SYSTEM) -> None:
        """Raise HomeportError NOT_FOUND, PRECONDITION_FAILED."""
        ...


async def never_revoked(path: Path) -> str | None:
    """Answer None: nobody here knows of revocations."""
    del path
    return None


class HubAuthorities:
    """What the hub's CA certificates mean for its devices."""

    def __init__(self, *, hub: str, store: AuthorityStore, revoked: RevocationCheck, bus: Bus, clock: Clock) -> None:
        self._hub = hub
        self._store = store
        self._revoked = revoked
        self._bus = bus
        self._clock = clock
        self._records: Sequence[HubCaCertificate] | None = None
        self._trust = NO_TRUST
        self._reviewed: frozenset[bytes] | None = None

    async def trust(self) -> HubTrust:
        """Return what chains may end at now."""
        records = await self._store.all()
        if records is not self._records:
            self._records, self._trust = records, HubTrust.of(records)
        return self._trust

    async def check_revocation(self, path: Path) -> Refused | None:
        """Refuse a path of which a certificate was taken back."""
        why = await self._revoked(path)
        return None if why is None else Refused(reason=Reason.REVOKED, explanation=why)

    async def run(self, changed: Callable[[], Awaitable[None]]) -> None:
        """Call `changed` whenever another set of CA certificates is verified, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch(changed))
            tasks.create_task(self._poll(changed))

    async def _watch(self, changed: Callable[[], Awaitable[None]]) -> None:
        async with self._bus.subscribe(HubAuthoritiesChanged) as events:
            async for event in events:
                if isinstance(event, HubAuthoritiesChanged) and event.hub == self._hub:
                    await self._look(changed)

    async def _poll(self, changed: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._look(changed)
            await self._clock.sleep(LOOK_SECONDS)

    async def _look(self, changed: Callable[[], Awaitable[None]]) -> None:
        try:
            verified = (await self.trust()).verified
            if self._reviewed != verified:
                await changed()
                self._reviewed = verified
        except Exception:
            _log.exception("hub %s: its CA certificates could not be read; trying again", self._hub)
