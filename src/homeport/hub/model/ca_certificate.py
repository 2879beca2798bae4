"""CA certificates of a hub, at which the chains of devices end (contract hub.md 2.5)."""

from datetime import datetime

from msgspec import Struct

from homeport.values import hiding


@hiding("verification_code")
class HubCaCertificate(Struct, frozen=True, kw_only=True):
    """An uploaded certificate authority, root or intermediate. Only a verified one lets devices in."""

    name: str
    certificate: bytes
    """DER."""
    is_verified: bool
    verification_code: str | None = None
    """The common name a certificate must have that proves possession of the authority's key."""
    etag: str
    created_at: datetime
    updated_at: datetime
