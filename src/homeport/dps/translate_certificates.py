"""CA certificates: documents <-> model (contract dps.md 6.5 and Homeport's own)."""

import base64
from datetime import datetime

from msgspec import UNSET, UnsetType

from homeport.dps.ca_certificates import AuthorityView
from homeport.dps.expiry import Expiring
from homeport.dps.model import RevocationPolicy, RevocationSettings, StoredCrl
from homeport.errors import Code, HomeportError
from homeport.security.expiry import days_left, expiry_warning
from homeport.wire import dps_certificates as wire
from homeport.wire import format_seconds, format_time


def ca_certificate_document(view: AuthorityView, now: datetime) -> wire.CaCertificate:
    """Write a CA certificate with what belongs to it."""
    record, info = view.record, view.certificate.info
    warning = expiry_warning(info.not_after, now)
    return wire.CaCertificate(
        name=record.name,
        subject=info.subject_name,
        issuer=info.issuer_name,
        thumbprint=info.sha1_thumbprint,
        sha256_thumbprint=info.sha256_thumbprint,
        not_before=format_seconds(info.not_before),
        expiry=format_seconds(info.not_after),
        is_verified=record.is_verified,
        verification_code=record.verification_code or UNSET,
        certificate=base64.b64encode(record.certificate).decode("ascii"),
        revocation=_revocation_document(record.revocation),
        crl=UNSET if view.crl is None else _crl_document(view.crl),
        crl_problem=view.crl_problem or UNSET,
        groups=list(view.groups),
        warning=warning or UNSET,
        created=format_time(record.created_at),
        updated=format_time(record.updated_at),
        etag=record.etag,
    )


def revocation_settings(
    document: wire.Revocation | UnsetType | None, stored: RevocationSettings
) -> RevocationSettings | None:
    """Read what is asked about revocation; absent members stay as stored. None if nothing is said of it."""
    if not isinstance(document, wire.Revocation):
        return None
    policy = stored.policy
    if isinstance(document.policy, str):
        found = next((one for one in RevocationPolicy if one.value == document.policy.lower()), None)
        if found is None:
            raise HomeportError(Code.INVALID_REQUEST, f"revocation.policy is none of {', '.join(RevocationPolicy)}.")
        policy = found
    url = document.crl_url
    points, ocsp = document.use_distribution_points, document.use_ocsp
    return RevocationSettings(
        policy=policy,
        crl_url=stored.crl_url if isinstance(url, UnsetType) else url or None,
        use_distribution_points=stored.use_distribution_points if isinstance(points, UnsetType) else points,
        use_ocsp=stored.use_ocsp if isinstance(ocsp, UnsetType) else ocsp,
    )


def expiring_document(item: Expiring, now: datetime) -> wire.Expiring:
    """Write a certificate that ends soon."""
    return wire.Expiring(
        kind=item.kind.value,
        name=item.name,
        subject=item.subject,
        sha256_thumbprint=item.thumbprint,
        expiry=format_seconds(item.not_after),
        days=days_left(item.not_after, now),
        warning=expiry_warning(item.not_after, now) or "",
    )


def _revocation_document(settings: RevocationSettings) -> wire.Revocation:
    return wire.Revocation(
        policy=settings.policy.value,
        crl_url=UNSET if settings.crl_url is None else settings.crl_url,
        use_distribution_points=settings.use_distribution_points,
        use_ocsp=settings.use_ocsp,
    )


def _crl_document(crl: StoredCrl) -> wire.Crl:
    return wire.Crl(
        source=crl.source,
        number=UNSET if crl.number is None else crl.number,
        entries=crl.entries,
        this_update_utc=format_seconds(crl.this_update),
        next_update_utc=UNSET if crl.next_update is None else format_seconds(crl.next_update),
        received_date_time_utc=format_time(crl.received_at),
    )
