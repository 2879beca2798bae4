"""Certificate authorities: upload, verify, revocation lists, delete; and every certificate that ends soon."""

from datetime import timedelta

from homeport.clock import Clock
from homeport.dps.ca_certificates import AuthorityView, CaCertificateService
from homeport.dps.enrollments import parse_if_match
from homeport.dps.expiry import ExpiryWatch
from homeport.dps.model import RevocationSettings
from homeport.dps.reply import Reply, success
from homeport.dps.service_responder import read
from homeport.dps.translate_certificates import ca_certificate_document, expiring_document, revocation_settings
from homeport.errors import Code, HomeportError
from homeport.security.callers import Caller
from homeport.security.expiry import THRESHOLDS
from homeport.wire import dps_certificates as wire
from homeport.wire import format_time


class CertificatesResponder:
    def __init__(self, certificates: CaCertificateService, expiry: ExpiryWatch, clock: Clock) -> None:
        self._certificates = certificates
        self._expiry = expiry
        self._clock = clock

    async def list(self, tracking_id: str) -> Reply:
        """Answer with every CA certificate, by name; there are few, so there are no pages."""
        now = self._clock.now()
        views = await self._certificates.all()
        return success(200, [ca_certificate_document(view, now) for view in views], tracking_id)

    async def get(self, name: str, tracking_id: str) -> Reply:
        return self._one(await self._certificates.get(name), tracking_id)

    async def put(self, name: str, body: bytes, if_match: str | None, by: Caller) -> Reply:
        """Create; with If-Match, replace."""
        document = read(wire.ca_certificate_upload, body)
        expected = parse_if_match(if_match)
        stored = RevocationSettings()
        if expected is not None:
            stored = (await self._certificates.get(name)).record.revocation
        view = await self._certificates.put(
            name,
            document.certificate,
            is_verified=document.is_verified if isinstance(document.is_verified, bool) else None,
            revocation=revocation_settings(document.revocation, stored),
            if_match=expected,
            by=by,
        )
        return self._one(view, by.tracking_id)

    async def patch(self, name: str, body: bytes, if_match: str | None, by: Caller) -> Reply:
        """Change whether it counts as verified, or what is asked about revocation."""
        document = read(wire.ca_certificate_change, body)
        stored = (await self._certificates.get(name)).record
        view = await self._certificates.change(
            name,
            is_verified=document.is_verified if isinstance(document.is_verified, bool) else None,
            revocation=revocation_settings(document.revocation, stored.revocation),
            if_match=parse_if_match(if_match),
            by=by,
        )
        return self._one(view, by.tracking_id)

    async def delete(self, name: str, if_match: str | None, by: Caller) -> Reply:
        await self._certificates.delete(name, if_match=parse_if_match(if_match), by=by)
        return Reply(status=204, body=b"", tracking_id=by.tracking_id)

    async def new_code(self, name: str, if_match: str | None, by: Caller) -> Reply:
        view = await self._certificates.new_code(name, if_match=parse_if_match(if_match), by=by)
        return self._one(view, by.tracking_id)

    async def verify(self, name: str, body: bytes, if_match: str | None, by: Caller) -> Reply:
        document = read(wire.verification, body)
        expected = parse_if_match(if_match)
        view = await self._certificates.verify(name, document.certificate, if_match=expected, by=by)
        return self._one(view, by.tracking_id)

    async def put_crl(self, name: str, body: bytes, by: Caller) -> Reply:
        """Take the body, PEM or DER as it is, for the authority's revocation list."""
        return self._one(await self._certificates.put_crl(name, body, by=by), by.tracking_id)

    async def delete_crl(self, name: str, by: Caller) -> Reply:
        await self._certificates.delete_crl(name, by=by)
        return Reply(status=204, body=b"", tracking_id=by.tracking_id)

    async def expiring(self, days: str | None, tracking_id: str) -> Reply:
        """Answer with what ends within so many days, 60 if not said: more are not kept track of."""
        most = THRESHOLDS[-1].days
        within = most
        if days is not None:
            if not (days.isascii() and days.isdigit()) or int(days[:9]) > most:
                raise HomeportError(Code.INVALID_REQUEST, f"days is not a whole number up to {most}.")
            within = int(days)
        now = self._clock.now()
        found, more, scanned_at = await self._expiry.soon(timedelta(days=within))
        report = wire.ExpiryReport(certificates=[expiring_document(item, now) for item in found], more=more)
        if scanned_at is not None:
            report = wire.ExpiryReport(
                certificates=report.certificates, more=more, scanned_date_time_utc=format_time(scanned_at)
            )
        return success(200, report, tracking_id)

    def _one(self, view: AuthorityView, tracking_id: str) -> Reply:
        return success(200, ca_certificate_document(view, self._clock.now()), tracking_id)
