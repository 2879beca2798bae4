"""CA certificates under `/homeport/certificates`, and what expires soon under `/homeport/expiring`.

The members of contract dps.md 6.5, and Homeport's own. The counterpart of `homeport.client.certificate_models`.
"""

from msgspec import UNSET, UnsetType
from msgspec.json import Decoder

from homeport.wire import WireStruct


class Revocation(WireStruct, frozen=True, kw_only=True):
    """What is asked about certificates below an authority: `require`, `prefer` or `off`, and where."""

    policy: str | UnsetType = UNSET
    crl_url: str | UnsetType | None = UNSET
    use_distribution_points: bool | UnsetType = UNSET
    use_ocsp: bool | UnsetType = UNSET


class Crl(WireStruct, frozen=True, kw_only=True):
    """What is known of an authority's revocation list."""

    source: str
    number: str | UnsetType = UNSET
    entries: int
    this_update_utc: str
    next_update_utc: str | UnsetType = UNSET
    received_date_time_utc: str


class CaCertificate(WireStruct, frozen=True, kw_only=True):
    name: str
    subject: str
    issuer: str
    thumbprint: str
    """SHA-1, as Azure has it."""
    sha256_thumbprint: str
    not_before: str
    expiry: str
    is_verified: bool
    verification_code: str | UnsetType = UNSET
    certificate: str
    """Base64 of the DER."""
    revocation: Revocation
    crl: Crl | UnsetType = UNSET
    crl_problem: str | UnsetType = UNSET
    groups: list[str]
    warning: str | UnsetType = UNSET
    created: str
    updated: str
    etag: str


class CaCertificateUpload(WireStruct, frozen=True, kw_only=True):
    """Body of PUT: PEM, or the Base64 of DER or PEM."""

    certificate: str
    is_verified: bool | UnsetType | None = UNSET
    revocation: Revocation | UnsetType | None = UNSET


class CaCertificateChange(WireStruct, frozen=True, kw_only=True):
    """Body of PATCH: what is absent stays as it is."""

    is_verified: bool | UnsetType | None = UNSET
    revocation: Revocation | UnsetType | None = UNSET


class Verification(WireStruct, frozen=True, kw_only=True):
    """Body of `verify`: the certificate for the verification code."""

    certificate: str


class Expiring(WireStruct, frozen=True, kw_only=True):
    """A certificate that ends soon, or has ended."""

    kind: str
    name: str
    subject: str
    sha256_thumbprint: str
    expiry: str
    days: int
    warning: str


class ExpiryReport(WireStruct, frozen=True, kw_only=True):
    """Soonest first. Individual enrollments are as of the scan, once a day; `more` were left out."""

    certificates: list[Expiring]
    more: int
    scanned_date_time_utc: str | UnsetType = UNSET


ca_certificate_upload = Decoder(CaCertificateUpload)
ca_certificate_change = Decoder(CaCertificateChange)
verification = Decoder(Verification)
