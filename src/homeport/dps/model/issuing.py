"""Issuing certificates to devices: authorities, policies, and what was issued (contract dps.md 13.1)."""

from datetime import datetime, timedelta

from msgspec import Struct

from homeport.security.signing_keys import KeyAlgorithm
from homeport.security.x509_issue import RevocationReason, Usage
from homeport.values import hiding


@hiding("sealed")
class StoredKey(Struct, frozen=True, kw_only=True):
    """A private key in custody: sealed under the master key, or in a token that only names it."""

    public_key: bytes
    """`SubjectPublicKeyInfo`, DER."""
    sealed: bytes | None = None
    """The encrypted key; useless without the master key."""
    uri: str | None = None
    """Where a token keeps it (RFC 7512, without PIN)."""


class AuthorityVersion(Struct, frozen=True, kw_only=True):
    """One certificate and key of an authority; rotating adds another, and the old one lives on beside it."""

    number: int
    certificate: bytes
    issuers: tuple[bytes, ...]
    """The certificates above it, DER, the root last; empty for a root."""
    key: StoredKey
    not_after: datetime
    """When the first certificate of this chain expires: nothing issued may live longer."""
    created_at: datetime

    @property
    def chain(self) -> tuple[bytes, ...]:
        """The version's own certificate and those above it, DER."""
        return (self.certificate, *self.issuers)


class CertificateAuthority(Struct, frozen=True, kw_only=True):
    """A certificate authority that issues to devices."""

    name: str
    issuer: str | None = None
    """The authority of ours that signed its certificate; None for a root, and for a brought one."""
    is_brought: bool = False
    """Made elsewhere: only whoever made it can make the next version."""
    maximum_validity: timedelta
    """No policy may give more, and none is issued for longer."""
    crl_url: str | None = None
    """Where its certificates say that the revocation list is found."""
    versions: tuple[AuthorityVersion, ...]
    """The newest last; it is the one that issues."""
    etag: str = ""
    created_at: datetime
    updated_at: datetime

    @property
    def active(self) -> AuthorityVersion:
        return self.versions[-1]

    def version(self, number: int) -> AuthorityVersion | None:
        return next((version for version in self.versions if version.number == number), None)


DEFAULT_KEY_ALGORITHMS = (
    KeyAlgorithm.EC_P256,
    KeyAlgorithm.EC_P384,
    KeyAlgorithm.RSA_2048,
    KeyAlgorithm.RSA_3072,
    KeyAlgorithm.RSA_4096,
)


class CertificatePolicy(Struct, frozen=True, kw_only=True):
    """What an authority issues: everything in a device's certificate but its name and key."""

    name: str
    authority: str
    validity: timedelta = timedelta(days=30)
    backdate: timedelta = timedelta(hours=1)
    """How far before its issuing a certificate is valid, for devices whose clock is late."""
    renew_before: timedelta = timedelta(days=10)
    """How long before its end a certificate is renewed for the same key; earlier, the device gets the one it has."""
    key_algorithms: tuple[KeyAlgorithm, ...] = DEFAULT_KEY_ALGORITHMS
    organization: str | None = None
    organizational_unit: str | None = None
    dns_name: bool = False
    """Whether the registration id stands in the certificate as a DNS name, too."""
    usages: tuple[Usage, ...] = (Usage.CLIENT_AUTH,)
    etag: str = ""
    created_at: datetime
    updated_at: datetime


class CertificateRef(Struct, frozen=True, kw_only=True):
    """Which issued certificate: enough to trust it at a hub, and to find it again."""

    serial_number: str
    """Upper-case hex."""
    thumbprint: str
    """SHA-256, upper-case hex."""


class Issuance(Struct, frozen=True, kw_only=True):
    """The certificate of one operation, as it was signed when the operation was opened."""

    ref: CertificateRef
    authority: str
    version: int
    policy: str | None
    key_digest: str
    """SHA-256 of the device's public key, upper-case hex."""
    subject: str
    chain: tuple[bytes, ...]
    """DER: the device's certificate, then its issuers, the root last."""
    not_before: datetime
    not_after: datetime
    replaces: CertificateRef | None = None
    """The device's certificate before, which its hub goes on to accept."""
    is_new: bool = True
    """False when the device got the certificate again that it had already."""


class Revocation(Struct, frozen=True, kw_only=True):
    """That a certificate is not to be trusted any more."""

    at: datetime
    reason: RevocationReason


class IssuedCertificate(Struct, frozen=True, kw_only=True):
    """A certificate that a device has been given."""

    ref: CertificateRef
    registration_id: str
    authority: str
    version: int
    policy: str | None
    key_digest: str
    subject: str
    certificate: bytes
    """DER."""
    not_before: datetime
    not_after: datetime
    issued_at: datetime
    hub: str
    """Host name of the hub that was told to accept it first."""
    device_id: str
    revocation: Revocation | None = None
    withdrawn: bool = True
    """False while a hub may still accept a revoked certificate."""


class RevocationList(Struct, frozen=True, kw_only=True):
    """The newest list of one version of an authority."""

    authority: str
    version: int
    number: int
    der: bytes
    next_update: datetime
    revoked_since: int = 0
    """How many certificates were revoked since it was signed. A list numbered 0 was never signed."""
