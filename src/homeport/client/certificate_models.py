"""Certificate authorities as Homeport's administrators see them. Documents under `/homeport/certificates`."""

from datetime import datetime

import msgspec


class _Document(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """Only read, never written."""


class RevocationSettings(_Document, kw_only=True, frozen=True):
    """What is asked about the certificates below an authority."""

    policy: str = "prefer"
    """`require`: nobody comes in about whom nothing is known; `prefer`: only the revoked are refused; `off`."""
    crl_url: str | None = None
    """Where the server fetches the authority's CRL."""
    use_distribution_points: bool = False
    """Whether the server fetches CRLs from the addresses that certificates name."""
    use_ocsp: bool = False
    """Whether the server asks the OCSP responders that certificates name."""


class CrlInformation(_Document, kw_only=True, frozen=True):
    """What is known of an authority's revocation list."""

    source: str
    """`upload`, or the address it was fetched from."""
    number: str | None = None
    entries: int
    this_update_utc: datetime
    next_update_utc: datetime | None = None
    received_date_time_utc: datetime


class CaCertificate(_Document, kw_only=True, frozen=True):
    """An uploaded certificate authority."""

    name: str
    subject: str
    issuer: str
    thumbprint: str
    """SHA-1."""
    sha256_thumbprint: str
    not_before: datetime
    expiry: datetime
    is_verified: bool
    """Only a verified one lets devices in."""
    verification_code: str | None = None
    """The common name of the certificate that is to prove possession."""
    certificate: str
    """Base64 of the DER."""
    revocation: RevocationSettings
    crl: CrlInformation | None = None
    crl_problem: str | None = None
    """Why the CRL could not be fetched the last time."""
    groups: list[str]
    """The enrollment groups that refer to it."""
    warning: str | None = None
    """Says that it ends soon, or has ended."""
    created: datetime
    updated: datetime
    etag: str


class ExpiringCertificate(_Document, kw_only=True, frozen=True):
    """A certificate that ends within 60 days, or has ended."""

    kind: str
    """`caCertificate`, `enrollmentGroup` or `individualEnrollment`."""
    name: str
    """Of the CA certificate, group or enrollment."""
    subject: str
    sha256_thumbprint: str
    expiry: datetime
    days: int
    """Whole days that are left; negative since the end."""
    warning: str


class ExpiryReport(_Document, kw_only=True, frozen=True):
    """What ends soon, soonest first."""

    certificates: list[ExpiringCertificate]
    more: int
    """How many certificates of individual enrollments are not named."""
    scanned_date_time_utc: datetime | None = None
    """When individual enrollments were looked through; None: not yet."""
