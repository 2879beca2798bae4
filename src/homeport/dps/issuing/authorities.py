"""The administrator's questions about issuing authorities: make, bring, list, rotate, delete."""

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from homeport.clock import Clock
from homeport.dps.identifiers import Random, new_etag
from homeport.dps.issuing.names import check_name, check_text
from homeport.dps.issuing.ports import (
    AuthorityStore,
    CertificatePolicyStore,
    CustodyError,
    IssuedCertificateStore,
    KeyCustody,
)
from homeport.dps.issuing.versions import (
    BACKDATE,
    algorithm_of_key,
    below,
    invalid,
    new_version,
    numbered,
    organization_of,
)
from homeport.dps.model import AuthorityVersion, CertificateAuthority, StoredKey
from homeport.errors import Code, HomeportError
from homeport.security.callers import SYSTEM, Caller
from homeport.security.signing_keys import AUTHORITY_ALGORITHMS, KeyAlgorithm, load_public, public_bytes
from homeport.security.x509 import CertificateError, parse_chain, parse_der
from homeport.security.x509_authority import judge_authority, read_bundle
from homeport.security.x509_issue import (
    SERIAL_RANDOM_BYTES,
    AuthorityContent,
    issue_authority,
    serial_number,
)
from homeport.values import hiding, replace

MAX_AUTHORITIES = 100
_URL = re.compile(r"(?=.{1,512}\Z)https?://[!-~]+", re.ASCII)
ROOT_VALIDITY = timedelta(days=10 * 365)
INTERMEDIATE_VALIDITY = timedelta(days=5 * 365)
LONGEST_VALIDITY = timedelta(days=30 * 365)
MAXIMUM_VALIDITY = timedelta(days=397)
"""How long certificates for devices may live at most, unless an authority is made to allow more."""


class AuthorityLimits(Struct, frozen=True, kw_only=True):
    """What an authority does with its key."""

    maximum_validity: timedelta = MAXIMUM_VALIDITY
    crl_url: str | None = None


class NewAuthority(Struct, frozen=True, kw_only=True):
    """An authority to be made. None takes the default."""

    issuer: str | None = None
    """The authority of ours that signs it; None makes a root."""
    algorithm: KeyAlgorithm = KeyAlgorithm.EC_P256
    key_uri: str | None = None
    """A key in a PKCS#11 token; taken if it exists, else made there."""
    common_name: str | None = None
    organization: str | None = None
    validity: timedelta | None = None
    path_length: int | None = None
    limits: AuthorityLimits = AuthorityLimits()


@hiding("private_key")
class BroughtAuthority(Struct, frozen=True, kw_only=True):
    """A certificate made elsewhere, PEM with its chain, and its key: in PEM, or in a token."""

    certificates: str
    private_key: str | None = None
    key_uri: str | None = None


class AuthorityService:
    """Answers administrators about authorities."""

    def __init__(
        self,
        *,
        authorities: AuthorityStore,
        policies: CertificatePolicyStore,
        issued: IssuedCertificateStore,
        custody: KeyCustody,
        clock: Clock,
        random: Random,
    ) -> None:
        self._authorities = authorities
        self._policies = policies
        self._issued = issued
        self._custody = custody
        self._clock = clock
        self._random = random

    async def all(self) -> Sequence[CertificateAuthority]:
        return await self._authorities.all()

    async def get(self, name: str) -> CertificateAuthority:
        """Raise NOT_FOUND if there is none."""
        authority = await self._authorities.get(name)
        if authority is None:
            raise HomeportError(Code.NOT_FOUND, "There is no certificate authority of that name.")
        return authority

    async def create(self, name: str, wanted: NewAuthority, *, by: Caller = SYSTEM) -> CertificateAuthority:
        """Make a root, or an intermediate under one of ours.

        Raises ISSUING_EXISTS, INVALID_REQUEST, UNAVAILABLE if a key cannot be made or used.
        """
        await self._check_new(name, wanted.limits)
        if wanted.algorithm not in AUTHORITY_ALGORITHMS:
            raise invalid(f"keyType is none of {', '.join(AUTHORITY_ALGORITHMS)}")
        parent = None if wanted.issuer is None else await self.get(wanted.issuer)
        now = self._clock.now()
        content = self._content(name, wanted, parent, now)
        key = await self._key(lambda: self._custody.create(wanted.algorithm, uri=wanted.key_uri))
        version = await self._signed(1, key, content, parent, now)
        return await self._add(name, version, None if parent is None else parent.name, wanted.limits, by)

    async def bring(
        self, name: str, wanted: BroughtAuthority, limits: AuthorityLimits, *, by: Caller = SYSTEM
    ) -> CertificateAuthority:
        """Take over an authority that was made elsewhere. Raises as `create`, and for a chain that does not hold."""
        await self._check_new(name, limits)
        version = await self._brought(1, wanted)
        return await self._add(name, version, None, limits, by, is_brought=True)

    async def rotate(self, name: str, brought: BroughtAuthority | None, *, by: Caller = SYSTEM) -> CertificateAuthority:
        """Put a new key and certificate next to the old ones; from now on they issue. The name stays the same.

        A brought authority is rotated by bringing the next certificate. Versions that have expired are dropped.
        """
        authority = await self.get(name)
        old, now = authority.active, self._clock.now()
        if authority.is_brought is not (brought is not None):
            raise invalid(
                "the authority was brought: rotate it with the next certificate and key"
                if authority.is_brought
                else "the authority was made here: it is rotated without certificates"
            )
        if brought is not None:
            version = await self._brought(old.number + 1, brought)
        else:
            version = await self._renewed(authority, now)
        kept = tuple(each for each in authority.versions if each.not_after > now)
        changed = replace(
            authority, versions=(*kept, version), etag=new_etag(self._random), updated_at=self._clock.now()
        )
        await self._authorities.replace(changed, expected_etag=authority.etag, by=by)
        return changed

    async def delete(self, name: str, *, by: Caller = SYSTEM) -> None:
        """Forget an authority and its keys. Raises NOT_FOUND, or ISSUING_IN_USE with what refers to it."""
        authority = await self.get(name)
        key = authority.name.lower()
        for other in await self._authorities.all():
            if (other.issuer or "").lower() == key and other.name.lower() != key:
                raise _in_use(authority, f"it signed the authority {other.name}")
        for policy in await self._policies.all():
            if policy.authority.lower() == key:
                raise _in_use(authority, f"the policy {policy.name} is its")
        enrollment = await self._authorities.enrollment_with(authority.name)
        if enrollment is not None:
            raise _in_use(authority, f"the enrollment {enrollment} names it")
        valid = await self._issued.count_valid(authority.name, now=self._clock.now())
        if valid:
            raise _in_use(authority, f"{valid} of its certificates are valid: revoke them or wait for their end")
        await self._authorities.delete(authority.name, by=by)

    # ---------------------------------------------------------------- versions

    def _content(
        self, name: str, wanted: NewAuthority, parent: CertificateAuthority | None, now: datetime
    ) -> AuthorityContent:
        default = ROOT_VALIDITY if parent is None else INTERMEDIATE_VALIDITY
        validity = wanted.validity or default
        if not timedelta(hours=1) <= validity <= LONGEST_VALIDITY:
            raise invalid(f"the validity is not between an hour and {LONGEST_VALIDITY.days} days")
        path_length = wanted.path_length
        if path_length is None:
            path_length = 1 if parent is None else 0
        if not 0 <= path_length <= 5:
            raise invalid("pathLength is not between 0 and 5")
        content = AuthorityContent(
            common_name=check_text(wanted.common_name, "commonName") or name,
            organization=check_text(wanted.organization, "organization"),
            path_length=path_length,
            not_before=now.replace(microsecond=0) - BACKDATE,
            not_after=now.replace(microsecond=0) + validity,
        )
        return content if parent is None else below(content, parse_der(parent.active.certificate), parent)

    async def _renewed(self, authority: CertificateAuthority, now: datetime) -> AuthorityVersion:
        old = parse_der(authority.active.certificate)
        parent = None if authority.issuer is None else await self.get(authority.issuer)
        life = old.info.not_after - old.info.not_before - BACKDATE
        content = AuthorityContent(
            common_name=old.common_name or authority.name,
            organization=organization_of(old),
            path_length=old.path_length,
            not_before=now.replace(microsecond=0) - BACKDATE,
            not_after=now.replace(microsecond=0) + life,
        )
        if parent is not None:
            content = below(content, parse_der(parent.active.certificate), parent)
        number = authority.active.number + 1
        algorithm = algorithm_of_key(authority.active.key)
        uri = authority.active.key.uri
        key = await self._key(
            # A token's key gets a label of its own: the old one stays for its revocation lists.
            lambda: self._custody.create(algorithm, uri=None if uri is None else numbered(uri, number))
        )
        return await self._signed(number, key, content, parent, now)

    async def _signed(
        self,
        number: int,
        key: StoredKey,
        content: AuthorityContent,
        parent: CertificateAuthority | None,
        now: datetime,
    ) -> AuthorityVersion:
        serial = serial_number(self._random(SERIAL_RANDOM_BYTES))
        issuer = None if parent is None else parent.active
        try:
            der = await self._custody.use(
                key if issuer is None else issuer.key,
                lambda private: issue_authority(
                    content,
                    public_key=load_public(key.public_key),
                    serial=serial,
                    issuer=None if issuer is None else issuer.certificate,
                    issuer_key=private,
                ),
            )
        except CustodyError as error:
            raise _no_key(error) from error
        issuers = () if issuer is None else issuer.chain
        return new_version(number, parse_chain((der, *issuers)), key, now)

    async def _brought(self, number: int, wanted: BroughtAuthority) -> AuthorityVersion:
        now = self._clock.now()
        try:
            chain = read_bundle(wanted.certificates)
            judge_authority(chain, now=now)
        except CertificateError as error:
            raise invalid(str(error)) from None
        if (wanted.private_key is None) is (wanted.key_uri is None):
            raise invalid("give either the private key or the URI of a key in a token")
        pem, uri = wanted.private_key, wanted.key_uri
        if pem is not None:
            key = await self._key(lambda: self._custody.adopt(pem))
        else:
            # It must exist: a key that is made now cannot be the certificate's.
            key = await self._key(lambda: self._custody.find(uri or ""))
        if public_bytes(chain[0].parsed.public_key()) != key.public_key:
            raise invalid(f"the private key is not that of certificate {chain[0].label}")
        return new_version(number, chain, key, now)

    async def _key(self, make: Callable[[], Awaitable[StoredKey]]) -> StoredKey:
        try:
            return await make()
        except ValueError as error:
            raise invalid(str(error)) from None
        except CustodyError as error:
            raise _no_key(error) from error

    # ---------------------------------------------------------------- the record

    async def _check_new(self, name: str, limits: AuthorityLimits) -> None:
        check_limits(limits)
        check_name(name, "certificate authority")
        known = await self._authorities.all()
        if len(known) >= MAX_AUTHORITIES:
            raise invalid(f"there are {MAX_AUTHORITIES} certificate authorities, the most that are kept")
        if any(other.name.lower() == name.lower() for other in known):
            raise HomeportError(Code.ISSUING_EXISTS, f"The certificate authority {name} exists already.")

    async def _add(
        self,
        name: str,
        version: AuthorityVersion,
        issuer: str | None,
        limits: AuthorityLimits,
        by: Caller,
        *,
        is_brought: bool = False,
    ) -> CertificateAuthority:
        now = self._clock.now()
        authority = CertificateAuthority(
            name=name,
            issuer=issuer,
            is_brought=is_brought,
            maximum_validity=limits.maximum_validity,
            crl_url=limits.crl_url,
            versions=(version,),
            etag=new_etag(self._random),
            created_at=now,
            updated_at=now,
        )
        await self._authorities.create(authority, by=by)
        return authority


def check_limits(limits: AuthorityLimits) -> AuthorityLimits:
    """Raise HomeportError INVALID_REQUEST for limits that cannot be kept."""
    if not timedelta(minutes=5) <= limits.maximum_validity <= LONGEST_VALIDITY:
        raise invalid(f"maximumValiditySeconds is not between 5 minutes and {LONGEST_VALIDITY.days} days")
    if limits.crl_url is not None and _URL.fullmatch(limits.crl_url) is None:
        raise invalid("crlUrl is not an http or https URL of at most 512 characters")
    return limits


def _in_use(authority: CertificateAuthority, why: str) -> HomeportError:
    return HomeportError(Code.ISSUING_IN_USE, f"{authority.name} cannot be deleted: {why}.")


def _no_key(error: CustodyError) -> HomeportError:
    # An administrator hears the reason, which holds no secret; devices are told less.
    return HomeportError(Code.UNAVAILABLE, f"The key cannot be used: {error}.", retry_after=30)
