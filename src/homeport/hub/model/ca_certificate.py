"""CA certificates of a hub, at which the chains of devices end (contract hub.md 2.5)."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HubCaCertificate:
    """An uploaded certificate authority, root or intermediate. Only a verified one lets devices in."""

    name: str
    certificate: bytes
    """DER."""
    is_verified: bool
    verification_code: str | None = field(default=None, repr=False)
    """The common name a certificate must have that proves possession of the authority's key."""
    etag: str
    created_at: datetime
    updated_at: datetime
