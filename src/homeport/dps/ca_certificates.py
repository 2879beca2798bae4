"""The administrator's questions about certificate authorities: upload, proof of possession, revocation (dps.md 6.5)."""

import re

from msgspec import Struct

from homeport.clock import Clock
from homeport.dps.identifiers import Random, new_etag
from homeport.dps.model import (
    CaCertificate,
    CaReferences,
    Enrollment,
    EnrollmentGroup,
    RevocationSettings,
    StoredCrl,
    TpmGroupAttestation,
)
from homeport.dps.ports import CaCertificateStore, EnrollmentStore
from homeport.dps.revocation import CrlKeeper, CrlShelf
from homeport.dps.revocation.lists import UPLOAD
from homeport.errors import Code, HomeportError
from homeport.security.callers import SYSTEM, Caller
from homeport.security.revocation import RevocationError, authority_key, is_http_url
from homeport.security.x509 import Certificate, parse_der
from homeport.security.x509_possession import (
    PossessionError,
    check_possession,
    new_verification_code,
    read_authority,
)
from homeport.values import replace

NAME = re.compile(r"[A-Za-z0-9\-._]{1,128}")

_ANY = "*"


class AuthorityView(Struct, frozen=True, kw_only=True):
    """A CA certificate with what belongs to it."""

    record: CaCertificate
    certificate: Certificate
    groups: tuple[str, ...]
    """The groups that refer to it, by id."""
    crl: StoredCrl | None
    crl_problem: str | None
    """Why its CRL could not be fetched the last time."""


class CaCertificateService:
    """Keeps the authorities that devices' chains may end at."""

    def __init__(
        self,
        *,
        certificates: CaCertificateStore,
        enrollments: EnrollmentStore,
        shelf: CrlShelf,
        keeper: CrlKeeper,
        clock: Clock,
        random: Random,
        limit: int,
    ) -> None:
        self._certificates = certificates
        self._enrollments = enrollments
        self._shelf = shelf
        self._keeper = keeper
        self._clock = clock
        self._random = random
        self._limit = limit

    async def all(self) -> list[AuthorityView]:
        """Return every CA certificate, in name order."""
        return await self._views([*await self._certificates.all()])

    async def get(self, name: str) -> AuthorityView:
        """Raise NOT_FOUND."""
        return (await self._views([await self._find(name)]))[0]

    async def put(
        self,
        name: str,
        certificate: str,
        *,
        is_verified: bool | None,
        revocation: RevocationSettings | None,
        if_match: str | None,
        by: Caller = SYSTEM,
    ) -> AuthorityView:
        """Create without `if_match`, replace with it; another certificate has to be verified again.

        `is_verified` is the administrator's word in place of a proof; None leaves it as it is. Without `revocation`
        the stored settings stay.
        Raises INVALID_REQUEST, CA_CERTIFICATE_EXISTS, NOT_FOUND or PRECONDITION_FAILED.
        """
        if NAME.fullmatch(name) is None or name in {".", ".."}:
            raise HomeportError(
                Code.INVALID_REQUEST, "A CA certificate's name has 1 to 128 letters, digits or any of '-', '.' and '_'."
            )
        now = self._clock.now()
        try:
            parsed = read_authority(certificate, now)
        except PossessionError as error:
            raise HomeportError(Code.INVALID_REQUEST, str(error)) from None
        stored = None if if_match is None else await self._find(name)
        if is_verified is None:
            is_verified = stored is not None and stored.certificate == parsed.der and stored.is_verified
        record = CaCertificate(
            name=stored.name if stored else name,
            certificate=parsed.der,
            is_verified=is_verified,
            revocation=revocation or (stored.revocation if stored else RevocationSettings()),
            etag=new_etag(self._random),
            created_at=stored.created_at if stored else now,
            updated_at=now,
        )
        _check_settings(record.revocation)
        if stored is None:
            await self._certificates.create(record, limit=self._limit, by=by)
        else:
            expected = stored.etag if if_match == _ANY else if_match
            await self._certificates.replace(record, expected_etag=expected, by=by)
        self._keeper.look_now()
        return await self.get(record.name)

    async def change(
        self,
        name: str,
        *,
        is_verified: bool | None,
        revocation: RevocationSettings | None,
        if_match: str | None,
        by: Caller = SYSTEM,
    ) -> AuthorityView:
        """Verify by the administrator's word, take that back, or change what is asked about revocation."""
        stored = await self._find(name)
        if revocation is not None:
            _check_settings(revocation)
        await self._replace(
            replace(
                stored,
                is_verified=stored.is_verified if is_verified is None else is_verified,
                verification_code=None if is_verified else stored.verification_code,
                revocation=revocation or stored.revocation,
            ),
            stored,
            if_match,
            by,
        )
        self._keeper.look_now()
        return await self.get(stored.name)

    async def delete(self, name: str, *, if_match: str | None, by: Caller = SYSTEM) -> None:
        """Raise NOT_FOUND, PRECONDITION_FAILED, or CA_CERTIFICATE_IN_USE with the names of those that refer to it."""
        stored = await self._find(name)
        await self._certificates.delete(stored.name, expected_etag=None if if_match == _ANY else if_match, by=by)
        authority = authority_key(parse_der(stored.certificate))
        if all(authority_key(parse_der(other.certificate)) != authority for other in await self._certificates.all()):
            await self._shelf.remove(authority)

    # ---------------------------------------------------------------- proof of possession

    async def new_code(self, name: str, *, if_match: str | None, by: Caller = SYSTEM) -> AuthorityView:
        """Give a fresh verification code: the common name of the certificate that is to prove possession."""
        stored = await self._find(name)
        code = new_verification_code(self._random)
        await self._replace(replace(stored, verification_code=code), stored, if_match, by)
        return await self.get(stored.name)

    async def verify(self, name: str, certificate: str, *, if_match: str | None, by: Caller = SYSTEM) -> AuthorityView:
        """Take a certificate for the verification code, issued by the authority, as proof. Raises INVALID_REQUEST."""
        stored = await self._find(name)
        if stored.verification_code is None:
            raise HomeportError(Code.INVALID_REQUEST, "There is no verification code: have one made first.")
        try:
            check_possession(parse_der(stored.certificate), stored.verification_code, certificate, self._clock.now())
        except PossessionError as error:
            raise HomeportError(Code.INVALID_REQUEST, str(error)) from None
        await self._replace(replace(stored, is_verified=True, verification_code=None), stored, if_match, by)
        return await self.get(stored.name)

    # ---------------------------------------------------------------- revocation lists

    async def put_crl(self, name: str, data: bytes, *, by: Caller = SYSTEM) -> AuthorityView:
        """Take an authority's CRL, PEM or DER. Raises INVALID_REQUEST if it is not one, or older than the known one."""
        stored = await self._find(name)
        try:
            await self._shelf.put(data, parse_der(stored.certificate), UPLOAD, told_as=stored.name, by=by)
        except RevocationError as error:
            raise HomeportError(Code.INVALID_REQUEST, f"The CRL cannot be taken: {error}.") from None
        return await self.get(stored.name)

    async def delete_crl(self, name: str, *, by: Caller = SYSTEM) -> None:
        """Forget an authority's CRL. Raises NOT_FOUND."""
        stored = await self._find(name)
        authority = authority_key(parse_der(stored.certificate))
        if await self._shelf.about(authority) is None:
            raise HomeportError(Code.NOT_FOUND, f"There is no CRL of '{stored.name}'.")
        await self._shelf.remove(authority, told_as=stored.name, by=by)

    # ---------------------------------------------------------------- shared

    async def _find(self, name: str) -> CaCertificate:
        found = next((one for one in await self._certificates.all() if one.name.lower() == name.lower()), None)
        if found is None:
            raise HomeportError(Code.NOT_FOUND, f"There is no CA certificate '{name[:128]}'.")
        return found

    async def _replace(self, changed: CaCertificate, stored: CaCertificate, if_match: str | None, by: Caller) -> None:
        """Replace exactly the version that was read, and that the caller has in mind."""
        if if_match not in {None, _ANY, stored.etag}:
            raise HomeportError(Code.PRECONDITION_FAILED, "Precondition failed: the CA certificate has another etag.")
        record = replace(changed, etag=new_etag(self._random), updated_at=self._clock.now())
        await self._certificates.replace(record, expected_etag=stored.etag, by=by)

    async def _views(self, records: list[CaCertificate]) -> list[AuthorityView]:
        groups = await self._enrollments.groups()
        crls = {about.authority: about for about in await self._shelf.all()}
        views = []
        for record in records:
            certificate = parse_der(record.certificate)
            authority = authority_key(certificate)
            views.append(
                AuthorityView(
                    record=record,
                    certificate=certificate,
                    groups=tuple(group.group_id for group in groups if record.name.lower() in references_of(group)),
                    crl=crls.get(authority),
                    crl_problem=self._keeper.problem(authority),
                )
            )
        return views


def references_of(enrollment: Enrollment) -> frozenset[str]:
    """Return the names of the CA certificates an enrollment refers to, in lower case."""
    match enrollment.attestation:
        case CaReferences(primary=primary, secondary=secondary):
            names = (primary, *filter(None, (secondary,)))
        case TpmGroupAttestation(ca_references=names):
            pass
        case _:
            names = ()
    return frozenset(name.lower() for name in names)


async def check_references(enrollment: Enrollment, certificates: CaCertificateStore) -> None:
    """Refuse an enrollment that refers to a missing or unverified CA certificate. Raises INVALID_REQUEST."""
    wanted = references_of(enrollment)
    if not wanted:
        return
    known = {certificate.name.lower(): certificate for certificate in await certificates.all()}
    kind = "group" if isinstance(enrollment, EnrollmentGroup) else "enrollment"
    for name in sorted(wanted):
        if name not in known:
            raise HomeportError(
                Code.INVALID_REQUEST, f"The {kind} refers to the CA certificate '{name}', which does not exist."
            )
        if not known[name].is_verified:
            raise HomeportError(
                Code.INVALID_REQUEST, f"The {kind} refers to the CA certificate '{name}', which is not verified."
            )


def _check_settings(settings: RevocationSettings) -> None:
    if settings.crl_url is not None and not is_http_url(settings.crl_url):
        raise HomeportError(Code.INVALID_REQUEST, "revocation.crlUrl is not an http or https address without a user.")
