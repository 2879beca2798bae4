"""Taking issued certificates back: mark, cut the device off at its hub, publish the list. Resumed until all is done."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from homeport.clock import Clock
from homeport.dps.allocation import by_host
from homeport.dps.issuing.ports import AuthorityStore, CustodyError, IssuedCertificateStore, KeyCustody
from homeport.dps.model import (
    Assignment,
    AuthorityVersion,
    CertificateAuthority,
    IssuedCertificate,
    Revocation,
    RevocationList,
)
from homeport.dps.ports import HubLinks, HubRefusedError, HubUnavailableError, LinkedHubStore, RegistrationStore
from homeport.errors import Code, HomeportError
from homeport.paging import Page
from homeport.security.callers import SYSTEM, Caller
from homeport.security.x509_issue import RevocationReason, RevokedEntry, issue_revocation_list

LIST_LIFE = timedelta(days=7)
LIST_RENEWAL = timedelta(days=3)
"""A list is signed anew when it has no longer to live than this."""
RETRY_SECONDS = 10.0
_BATCH = 100
_ROUNDS = 5

log = logging.getLogger(__name__)


class RevocationService:
    """Answers administrators about issued certificates, and finishes what a hub did not take at once."""

    def __init__(
        self,
        *,
        issued: IssuedCertificateStore,
        authorities: AuthorityStore,
        registrations: RegistrationStore,
        hubs: LinkedHubStore,
        links: HubLinks,
        custody: KeyCustody,
        clock: Clock,
    ) -> None:
        self._issued = issued
        self._authorities = authorities
        self._registrations = registrations
        self._hubs = hubs
        self._links = links
        self._custody = custody
        self._clock = clock

    async def get(self, serial_number: str) -> IssuedCertificate:
        """Raise NOT_FOUND if there is none."""
        issued = await self._issued.get(serial_number)
        if issued is None:
            raise HomeportError(Code.NOT_FOUND, "No certificate of that serial number was issued here.")
        return issued

    async def page(
        self,
        *,
        registration_id: str | None,
        authority: str | None,
        ends_within: timedelta | None,
        after: str | None,
        limit: int,
    ) -> Page[IssuedCertificate]:
        """Return certificates in the order in which they expire; with `ends_within` those that do so by then."""
        now = self._clock.now()
        return await self._issued.page(
            registration_id=registration_id,
            authority=authority,
            ends_after=None if ends_within is None else now,
            ends_before=None if ends_within is None else now + ends_within,
            after=after,
            limit=limit,
        )

    async def revoke(self, serial_number: str, reason: RevocationReason, *, by: Caller = SYSTEM) -> IssuedCertificate:
        """Revoke a certificate and cut its device off; return its record. Repeating it does no harm.

        A hub that cannot be reached now is asked again until it answers (`withdrawn` says so). Raises NOT_FOUND.
        """
        issued = await self._issued.revoke(serial_number, Revocation(at=self._clock.now(), reason=reason), by=by)
        if issued is None:
            raise HomeportError(Code.NOT_FOUND, "No certificate of that serial number was issued here.")
        await self._withdraw(issued)
        try:
            await self.revocation_list(issued.authority, issued.version)
        except HomeportError as error:
            # It is due in the store, so whoever asks for it next has it signed.
            log.warning("the revocation list of %s could not be signed: %s", issued.authority, error.message)
        return await self.get(serial_number)

    async def revoke_device(
        self, registration_id: str, reason: RevocationReason, *, by: Caller = SYSTEM
    ) -> Sequence[IssuedCertificate]:
        """Revoke every valid certificate of a device. Raises NOT_FOUND if it was given none."""
        now = self._clock.now()
        found: list[IssuedCertificate] = []
        after: str | None = None
        while True:
            page = await self._issued.page(
                registration_id=registration_id,
                authority=None,
                ends_after=now,
                ends_before=None,
                after=after,
                limit=_BATCH,
            )
            found += [issued for issued in page.items if issued.revocation is None]
            if page.after is None:
                break
            after = page.after
        if not found:
            raise HomeportError(Code.NOT_FOUND, "The device has no valid certificate that was issued here.")
        return [await self.revoke(issued.ref.serial_number, reason, by=by) for issued in found]

    async def revocation_list(self, authority: str, version: int | None = None) -> RevocationList:
        """Return the newest list of an authority's version (None: the one that issues), signed anew if it is due.

        Raises NOT_FOUND, and UNAVAILABLE if the authority cannot sign.
        """
        known = await self._authorities.get(authority)
        at_hand = None if known is None else known.active if version is None else known.version(version)
        if known is None or at_hand is None:
            raise HomeportError(Code.NOT_FOUND, "There is no such certificate authority, or version of it.")
        for _ in range(_ROUNDS):
            stored = await self._issued.revocation_list(known.name, at_hand.number)
            now = self._clock.now()
            if stored is not None and not stored.revoked_since and stored.next_update - now > LIST_RENEWAL:
                return stored
            signed = await self._sign(known, at_hand, 1 if stored is None else stored.number + 1, now)
            if await self._issued.put_revocation_list(signed, after=stored):
                return signed
        raise HomeportError(Code.CONFLICT, "The revocation list kept changing.")

    async def run(self) -> None:
        """Ask hubs that could not be reached again, until cancelled."""
        while True:
            try:
                for issued in await self._issued.to_withdraw(limit=_BATCH):
                    await self._withdraw(issued)
            except Exception:
                log.exception("revoked certificates could not be withdrawn; trying again")
            await self._clock.sleep(RETRY_SECONDS)

    # ---------------------------------------------------------------- steps

    async def _sign(
        self, authority: CertificateAuthority, version: AuthorityVersion, number: int, now: datetime
    ) -> RevocationList:
        this_update = now.replace(microsecond=0)
        entries = [
            RevokedEntry(
                serial_number=int(issued.ref.serial_number, 16),
                revoked_at=issued.revocation.at,
                reason=issued.revocation.reason,
            )
            for issued in await self._issued.revoked(authority.name, version.number, now=now)
            if issued.revocation is not None
        ]
        try:
            der = await self._custody.use(
                version.key,
                lambda key: issue_revocation_list(
                    entries,
                    number=number,
                    this_update=this_update,
                    next_update=this_update + LIST_LIFE,
                    issuer=version.certificate,
                    issuer_key=key,
                ),
            )
        except CustodyError as error:
            raise HomeportError(Code.UNAVAILABLE, f"The key cannot be used: {error}.", retry_after=30) from error
        return RevocationList(
            authority=authority.name,
            version=version.number,
            number=number,
            der=der,
            next_update=this_update + LIST_LIFE,
        )

    async def _withdraw(self, issued: IssuedCertificate) -> None:
        """Have every hub that may accept the certificate forget it, and note so when all have."""
        registration = await self._registrations.get(issued.registration_id)
        homes = [Assignment(hub=issued.hub, device_id=issued.device_id)]
        if registration is not None:
            # An operation under way looks at the mark after it has written its hub; so one of us sees the other.
            homes += [home for home in (registration.assignment, registration.operation.target) if home is not None]
        hubs = await self._hubs.all()
        for home in dict.fromkeys(homes):
            hub = by_host(hubs, home.hub)
            if hub is None:
                log.warning("%s is not linked any more; a revoked certificate may stay with it", home.hub)
                continue
            try:
                await self._links.link(hub).withdraw(home.device_id, issued.ref.thumbprint)
            except HubUnavailableError as error:
                log.warning("certificate %s is not withdrawn yet: %s", issued.ref.serial_number, error)
                return
            except HubRefusedError as error:
                log.warning("%s keeps certificate %s: %s", home.hub, issued.ref.serial_number, error)
                return
        await self._issued.withdrawn(issued.ref.serial_number)
