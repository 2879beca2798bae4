"""What issuing certificates needs from the world; tests/contract proves the stores, tests/unit/custody the keys."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from homeport.dps.model import (
    CertificateAuthority,
    CertificatePolicy,
    IssuedCertificate,
    Revocation,
    RevocationList,
    StoredKey,
)
from homeport.paging import Page
from homeport.security.callers import SYSTEM, Caller
from homeport.security.signing_keys import KeyAlgorithm, SigningKey

T = TypeVar("T")


class AuthorityStore(Protocol):
    """Issuing authorities by name, found regardless of case."""

    async def all(self) -> Sequence[CertificateAuthority]:
        """Return every authority in name order. May be cached, as `EnrollmentStore.groups` may."""
        ...

    async def get(self, name: str) -> CertificateAuthority | None: ...

    async def create(self, item: CertificateAuthority, *, by: Caller = SYSTEM) -> None:
        """Raise HomeportError ISSUING_EXISTS if the name is taken."""
        ...

    async def replace(self, item: CertificateAuthority, *, expected_etag: str, by: Caller = SYSTEM) -> None:
        """Store the authority with its next version.

        Raise PRECONDITION_FAILED if the stored etag is another, or nothing is stored.
        """
        ...

    async def reseal(self, item: CertificateAuthority, *, expected_etag: str) -> None:
        """Store the same authority with its keys sealed anew, which the rotation of the master key tells of.

        Raise as `replace`.
        """
        ...

    async def delete(self, name: str, *, by: Caller = SYSTEM) -> None:
        """Raise NOT_FOUND if there is none."""
        ...

    async def enrollment_with(self, name: str) -> str | None:
        """Return the id of an enrollment or group that names this authority."""
        ...


class CertificatePolicyStore(Protocol):
    """Certificate policies by name, like authorities."""

    async def all(self) -> Sequence[CertificatePolicy]: ...

    async def get(self, name: str) -> CertificatePolicy | None: ...

    async def create(self, item: CertificatePolicy, *, by: Caller = SYSTEM) -> None: ...

    async def replace(self, item: CertificatePolicy, *, expected_etag: str, by: Caller = SYSTEM) -> None: ...

    async def delete(self, name: str, *, by: Caller = SYSTEM) -> None: ...

    async def enrollment_with(self, name: str) -> str | None: ...


class IssuedCertificateStore(Protocol):
    """What was issued. Certificates come in with the outcome of their operation (`RegistrationStore.save`)."""

    async def get(self, serial_number: str) -> IssuedCertificate | None: ...

    async def revoked_with_key(self, key_digest: str) -> IssuedCertificate | None:
        """Return a revoked certificate for this public key, if there is one."""
        ...

    async def page(
        self,
        *,
        registration_id: str | None,
        authority: str | None,
        ends_after: datetime | None,
        ends_before: datetime | None,
        after: str | None,
        limit: int,
    ) -> Page[IssuedCertificate]:
        """Return certificates in the order in which they expire; each filter may be None."""
        ...

    async def revoke(
        self, serial_number: str, revocation: Revocation, *, by: Caller = SYSTEM
    ) -> IssuedCertificate | None:
        """Revoke a certificate, to be withdrawn from its hubs; return it as it is then. None if there is none.

        The first revocation stands: repeating it changes nothing. The authority's list is due with it.
        """
        ...

    async def to_withdraw(self, *, limit: int) -> Sequence[IssuedCertificate]:
        """Return revoked certificates that a hub may still accept."""
        ...

    async def withdrawn(self, serial_number: str) -> None:
        """Note that no hub accepts it any more."""
        ...

    async def revoked(self, authority: str, version: int, *, now: datetime) -> Sequence[IssuedCertificate]:
        """Return the revoked certificates of one version that have not expired, in order of revocation."""
        ...

    async def count_valid(self, authority: str, *, now: datetime) -> int:
        """Count certificates that have neither expired nor been revoked."""
        ...

    async def revocation_list(self, authority: str, version: int) -> RevocationList | None: ...

    async def put_revocation_list(self, revocation_list: RevocationList, *, after: RevocationList | None) -> bool:
        """Store a list in place of `after` (None: as the first).

        False if that is not what is stored, or more was revoked since: read, and sign again.
        """
        ...


class CustodyError(Exception):
    """A key cannot be used: the master key is another one, or the token is out of reach. For the operator's log."""


class KeyCustody(Protocol):
    """Keeps the private keys of authorities. All methods raise CustodyError."""

    async def create(self, algorithm: KeyAlgorithm, *, uri: str | None = None) -> StoredKey:
        """Make a key, or in a token: take the one this URI names, or make it there."""
        ...

    async def find(self, uri: str) -> StoredKey:
        """Return the key in a token that this URI names. ValueError: a wrong URI, or kind of key."""
        ...

    async def adopt(self, pem: str) -> StoredKey:
        """Take a private key in unencrypted PEM into custody. Raises ValueError for one that cannot be used."""
        ...

    async def use(self, key: StoredKey, work: Callable[[SigningKey], T]) -> T:
        """Run `work` with the private key, apart from the event loop; it must not keep the key."""
        ...


class SealedKeys(Protocol):
    """Custody, as seen by whoever rotates the master key. All methods raise CustodyError."""

    def begin_rotation(self) -> str:
        """Make a new master key that seals from now on; the old ones still open. Return its name, no secret."""
        ...

    def resealed(self, key: StoredKey) -> StoredKey:
        """Return the key under the new master key; the same object if there is nothing to do."""
        ...

    def end_rotation(self) -> None:
        """Forget the old master keys."""
        ...
