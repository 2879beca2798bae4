"""CA certificates that devices' chains end at, and what the operator wants asked about revocation (dps.md 6.5)."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from homeport.values import hiding


class RevocationPolicy(StrEnum):
    """What an authority's silence about a certificate means."""

    REQUIRE = "require"
    """A device comes in only if every certificate below this authority is known not to be revoked."""
    PREFER = "prefer"
    """A revoked certificate is refused; where nothing is known, the device comes in."""
    OFF = "off"
    """Nothing is asked."""


class RevocationSettings(Struct, frozen=True, kw_only=True):
    """Where an authority's revocations may be learned; what is uploaded counts in any case but `OFF`."""

    policy: RevocationPolicy = RevocationPolicy.PREFER
    crl_url: str | None = None
    """An address the operator gave; fetched ahead of time."""
    use_distribution_points: bool = False
    """Whether the addresses in certificates may be fetched from."""
    use_ocsp: bool = False
    """Whether the responders that certificates name may be asked."""


@hiding("verification_code")
class CaCertificate(Struct, frozen=True, kw_only=True):
    """An uploaded certificate authority, root or intermediate. Only a verified one can let devices in."""

    name: str
    certificate: bytes
    """DER."""
    is_verified: bool
    verification_code: str | None = None
    """The common name a certificate must have that proves possession of the authority's key."""
    revocation: RevocationSettings = RevocationSettings()
    etag: str = ""
    created_at: datetime
    updated_at: datetime


class StoredCrl(Struct, frozen=True, kw_only=True):
    """A revocation list that is kept; the list itself is asked for separately."""

    authority: str
    """`security.revocation.authority_key` of whose list it is."""
    digest: str
    """SHA-256 of the list, in hex."""
    certificate: bytes
    """DER of the authority the list was checked against."""
    source: str
    """Where it came from: `upload`, or the address."""
    this_update: datetime
    next_update: datetime | None
    number: str | None
    """Decimal: CRL numbers have up to 160 bits."""
    entries: int
    received_at: datetime
