"""Issuing authorities, certificate policies and issued certificates; documents under `/homeport/`."""

import base64
from datetime import datetime, timedelta

import msgspec


class _Document(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """Only read, never written."""


class AuthorityVersion(_Document, kw_only=True, frozen=True):
    """One certificate and key of an authority."""

    version: int
    key_type: str
    """`EC-P256`, `EC-P384`, `RSA-3072` or `RSA-4096`."""
    key_uri: str | None = None
    """The key in a PKCS#11 token; None for one that is sealed in the server's store."""
    subject_name: str
    sha256_thumbprint: str
    serial_number: str
    not_before_utc: datetime
    not_after_utc: datetime


class CertificateAuthority(_Document, kw_only=True, frozen=True):
    """An authority that issues certificates to devices."""

    name: str
    issuer: str | None = None
    """The authority of this server that signed it; None for a root, or one that was brought."""
    maximum_validity_seconds: int
    crl_url: str | None = None
    active: AuthorityVersion
    """The version that issues."""
    versions: list[AuthorityVersion]
    etag: str | None = None
    created_date_time_utc: datetime | None = None
    last_updated_date_time_utc: datetime | None = None


class RevocationList(_Document, kw_only=True, frozen=True):
    """The newest revocation list of an authority."""

    version: int
    number: int
    next_update_utc: datetime
    crl: str
    """Base64 of the DER."""

    @property
    def der(self) -> bytes:
        """The list itself."""
        return base64.b64decode(self.crl)


class CertificatePolicy(_Document, kw_only=True, frozen=True):
    """What an authority issues."""

    name: str
    certificate_authority_name: str
    validity_seconds: int
    backdate_seconds: int
    renew_before_seconds: int
    key_types: list[str]
    organization: str | None = None
    organizational_unit: str | None = None
    dns_name: bool
    extended_key_usages: list[str]
    etag: str | None = None
    created_date_time_utc: datetime | None = None
    last_updated_date_time_utc: datetime | None = None

    @property
    def validity(self) -> timedelta:
        """How long its certificates live."""
        return timedelta(seconds=self.validity_seconds)


class IssuedCertificate(_Document, kw_only=True, frozen=True):
    """A certificate that a device was given at its registration."""

    serial_number: str
    sha256_thumbprint: str
    registration_id: str
    certificate_authority_name: str
    authority_version: int
    certificate_policy_name: str | None = None
    subject_name: str
    certificate: str
    """Base64 of the DER."""
    not_before_utc: datetime
    not_after_utc: datetime
    issued_date_time_utc: datetime
    assigned_hub: str
    device_id: str
    status: str
    """`valid`, `expired` or `revoked`."""
    revoked_date_time_utc: datetime | None = None
    revocation_reason: str | None = None
    withdrawn: bool
    """False while a hub that cannot be reached may still accept a revoked certificate."""


class MasterKey(_Document, kw_only=True, frozen=True):
    """The master key after its rotation."""

    key_name: str
    resealed: int
    """How many private keys are sealed under it."""
