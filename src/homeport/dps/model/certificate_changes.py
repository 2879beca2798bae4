"""Entries of the journal about issuing: what devices were given and lost, and what became of the authorities."""

from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from homeport.dps.model.changes import change, device, outcome
from homeport.dps.model.issuing import CertificateAuthority, Issuance, IssuedCertificate
from homeport.dps.model.journal import Entry, Kind
from homeport.dps.model.registration import Registration
from homeport.security.callers import Caller


def certificate_given(registration: Registration) -> Entry | None:
    """Tell of the certificate that the registration's operation ended with; None if it gave the device none."""
    operation, home, ended = registration.operation, registration.assignment, outcome(registration)
    issuance = operation.issuance
    if issuance is None or not issuance.is_new or ended is None or home is None:
        return None
    data = _certificate(registration.registration_id, issuance)
    data |= {"operationId": operation.id, "assignedHub": home.hub, "deviceId": home.device_id}
    kind = Kind.CERTIFICATE_ISSUED
    if issuance.replaces is not None:
        kind = Kind.CERTIFICATE_RENEWED
        data["previousSerialNumber"] = issuance.replaces.serial_number
    return Entry(kind=kind, subject=ended.subject, by=ended.by, data=data)


def certificate_revoked(certificate: IssuedCertificate, by: Caller) -> Entry:
    """Tell that a certificate is not to be trusted any more, and why."""
    data = _certificate(certificate.registration_id, certificate)
    data |= {"assignedHub": certificate.hub, "deviceId": certificate.device_id}
    if certificate.revocation is not None:
        data["reason"] = certificate.revocation.reason.value
    return Entry(kind=Kind.CERTIFICATE_REVOKED, subject=device(certificate.registration_id), by=by, data=data)


def authority_change(
    kind: Kind,
    subject: str,
    by: Caller,
    *,
    before: CertificateAuthority | None = None,
    after: CertificateAuthority | None = None,
) -> Entry:
    """Tell of an authority as `change` does; of its keys, only which the certificates are for and where they are."""
    return change(kind, subject, by, before=_authority(before), after=_authority(after))


def master_key_rotated(key_name: str, resealed: int, by: Caller) -> Entry:
    """Tell of the new master key by its name, which is no secret."""
    return Entry(
        kind=Kind.MASTER_KEY_ROTATED, subject="masterKey", by=by, data={"keyName": key_name, "resealed": resealed}
    )


class _Authority(Struct, frozen=True, kw_only=True):
    """An authority with the version that issues in place of all its versions."""

    name: str
    issuer: str | None
    is_brought: bool
    maximum_validity: timedelta
    crl_url: str | None
    version: int
    certificate: bytes
    key_uri: str | None
    not_after: datetime
    versions: tuple[int, ...]
    etag: str


def _authority(authority: CertificateAuthority | None) -> _Authority | None:
    if authority is None:
        return None
    active = authority.active
    return _Authority(
        name=authority.name,
        issuer=authority.issuer,
        is_brought=authority.is_brought,
        maximum_validity=authority.maximum_validity,
        crl_url=authority.crl_url,
        version=active.number,
        certificate=active.certificate,
        key_uri=active.key.uri,
        not_after=active.not_after,
        versions=tuple(version.number for version in authority.versions),
        etag=authority.etag,
    )


def _certificate(registration_id: str, certificate: Issuance | IssuedCertificate) -> dict[str, Any]:
    data: dict[str, Any] = {
        "registrationId": registration_id,
        "serialNumber": certificate.ref.serial_number,
        "sha256Thumbprint": certificate.ref.thumbprint,
        "certificateAuthorityName": certificate.authority,
        "authorityVersion": certificate.version,
        "notAfter": certificate.not_after.isoformat(),
    }
    if certificate.policy is not None:
        data["certificatePolicyName"] = certificate.policy
    return data
