"""Certificates that devices were given: by device, by authority, by their end; and taking them back."""

from datetime import timedelta

from homeport.clock import Clock
from homeport.dps.issuing.revocation import RevocationService
from homeport.dps.reply import Reply, success
from homeport.dps.service_responder import Paging, listing, read
from homeport.dps.translate_issuing import issued_document, reason_of
from homeport.errors import Code, HomeportError
from homeport.paging import TokenError
from homeport.security.callers import Caller
from homeport.wire import dps_issuing as wire

_MAX_DIGITS = 10


class IssuedCertificatesResponder:
    def __init__(self, revocations: RevocationService, clock: Clock) -> None:
        self._revocations = revocations
        self._clock = clock

    async def list(
        self,
        registration_id: str | None,
        authority: str | None,
        ends_within: str | None,
        paging: Paging,
        tracking_id: str,
    ) -> Reply:
        """Answer with a page, those that expire first first; `ends_within` is in seconds."""
        name = f"issued certificates of {registration_id} and {authority} within {ends_within}"
        try:
            page = await self._revocations.page(
                registration_id=registration_id,
                authority=authority,
                ends_within=_span(ends_within),
                after=paging.after(name),
                limit=paging.limit,
            )
        except TokenError as error:
            raise HomeportError(Code.INVALID_REQUEST, str(error)) from None
        now = self._clock.now()
        return listing(page, [issued_document(item, now) for item in page.items], name, tracking_id)

    async def get(self, serial_number: str, tracking_id: str) -> Reply:
        issued = await self._revocations.get(serial_number.upper())
        return success(200, issued_document(issued, self._clock.now()), tracking_id)

    async def revoke(self, serial_number: str, body: bytes, by: Caller) -> Reply:
        reason = reason_of(read(wire.revocation_request, body) if body.strip() else wire.RevocationRequest())
        issued = await self._revocations.revoke(serial_number.upper(), reason, by=by)
        return success(200, issued_document(issued, self._clock.now()), by.tracking_id)

    async def revoke_device(self, body: bytes, by: Caller) -> Reply:
        """Answer with the certificates of the device that were valid until now."""
        document = read(wire.revocation_request, body)
        if not isinstance(document.registration_id, str):
            raise HomeportError(Code.INVALID_REQUEST, "registrationId says whose certificates are to be revoked.")
        revoked = await self._revocations.revoke_device(document.registration_id, reason_of(document), by=by)
        now = self._clock.now()
        return success(200, [issued_document(issued, now) for issued in revoked], by.tracking_id)


def _span(text: str | None) -> timedelta | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise HomeportError(Code.INVALID_REQUEST, "endsWithinSeconds is not a number of seconds.")
    return timedelta(seconds=int(text))
