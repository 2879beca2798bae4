"""The administrator's questions about a hub's CA certificates: upload, proof of possession, delete (hub.md 2.5).

Refusals are HomeportError: they are answered under `/homeport/`, not in the hub's own API.
"""

import re
from collections.abc import Sequence

from msgspec import Struct

from homeport.bus import Bus, HubAuthoritiesChanged
from homeport.clock import Clock
from homeport.errors import Code, HomeportError
from homeport.hub.authorities import AuthorityStore
from homeport.hub.model import HubCaCertificate
from homeport.security.callers import Caller
from homeport.security.policies import Random
from homeport.security.x509 import Certificate, parse_der
from homeport.security.x509_possession import (
    PossessionError,
    check_possession,
    new_verification_code,
    read_authority,
)
from homeport.values import replace

LIMIT = 25
"""CA certificates of one hub, as in Azure."""

_NAME = re.compile(r"[A-Za-z0-9\-._]{1,64}")
_ANY = "*"


class CaCertificateView(Struct, frozen=True, kw_only=True):
    """A stored CA certificate, and what can be read in it."""

    record: HubCaCertificate
    certificate: Certificate


class HubCaCertificates:
    """Keeps the authorities at which the chains of one hub's devices may end."""

    def __init__(self, *, hub: str, store: AuthorityStore, bus: Bus, clock: Clock, random: Random) -> None:
        self._hub = hub
        self._store = store
        self._bus = bus
        self._clock = clock
        self._random = random

    async def all(self) -> Sequence[CaCertificateView]:
        """Return every CA certificate, by name."""
        return [_view(record) for record in await self._store.all()]

    async def get(self, name: str) -> CaCertificateView:
        """Raise NOT_FOUND."""
        return _view(await self._find(name))

    async def put(
        self, name: str, certificate: str, *, is_verified: bool | None, if_match: str | None, by: Caller
    ) -> CaCertificateView:
        """Create without `if_match`, replace with it; another certificate has to be verified again.

        `is_verified` is the administrator's word in place of a proof; None leaves it as it is. Raises
        INVALID_REQUEST, CA_CERTIFICATE_EXISTS, NOT_FOUND or PRECONDITION_FAILED.
        """
        if _NAME.fullmatch(name) is None or name in {".", ".."}:
            raise HomeportError(
                Code.INVALID_REQUEST, "A CA certificate's name has 1 to 64 letters, digits or any of '-', '.' and '_'."
            )
        now = self._clock.now()
        try:
            parsed = read_authority(certificate, now)
        except PossessionError as error:
            raise HomeportError(Code.INVALID_REQUEST, str(error)) from None
        if if_match is None:
            record = HubCaCertificate(
                name=name,
                certificate=parsed.der,
                is_verified=is_verified or False,
                etag=self._etag(),
                created_at=now,
                updated_at=now,
            )
            await self._store.create(record, limit=LIMIT, by=by)
            await self._changed()
            return _view(record)
        stored = await self._find(name)
        same = stored.certificate == parsed.der
        if is_verified is None:
            is_verified = same and stored.is_verified
        changed = replace(
            stored,
            certificate=parsed.der,
            is_verified=is_verified,
            verification_code=stored.verification_code if same and not is_verified else None,
        )
        return await self._replace(changed, stored, if_match, by)

    async def new_code(self, name: str, *, if_match: str | None, by: Caller) -> CaCertificateView:
        """Give a fresh verification code: the common name of the certificate that is to prove possession."""
        stored = await self._find(name)
        code = new_verification_code(self._random)
        return await self._replace(replace(stored, verification_code=code), stored, if_match, by)

    async def verify(self, name: str, certificate: str, *, if_match: str | None, by: Caller) -> CaCertificateView:
        """Take a certificate for the verification code, issued by the authority, as proof. Raises INVALID_REQUEST."""
        stored = await self._find(name)
        if stored.verification_code is None:
            raise HomeportError(Code.INVALID_REQUEST, "There is no verification code: have one made first.")
        try:
            check_possession(parse_der(stored.certificate), stored.verification_code, certificate, self._clock.now())
        except PossessionError as error:
            raise HomeportError(Code.INVALID_REQUEST, str(error)) from None
        return await self._replace(replace(stored, is_verified=True, verification_code=None), stored, if_match, by)

    async def delete(self, name: str, *, if_match: str | None, by: Caller) -> None:
        """Remove one; devices that came in by it are cut off. Raises NOT_FOUND, PRECONDITION_FAILED."""
        stored = await self._find(name)
        await self._store.delete(stored.name, expected_etag=None if if_match == _ANY else if_match, by=by)
        await self._changed()

    async def _find(self, name: str) -> HubCaCertificate:
        found = next((one for one in await self._store.all() if one.name.lower() == name.lower()), None)
        if found is None:
            raise HomeportError(Code.NOT_FOUND, f"The hub has no CA certificate '{name[:64]}'.")
        return found

    async def _replace(
        self, changed: HubCaCertificate, stored: HubCaCertificate, if_match: str | None, by: Caller
    ) -> CaCertificateView:
        """Replace exactly the version that was read, and that the caller has in mind."""
        if if_match not in {None, _ANY, stored.etag}:
            raise HomeportError(Code.PRECONDITION_FAILED, "Precondition failed: the CA certificate has another etag.")
        record = replace(changed, etag=self._etag(), updated_at=self._clock.now())
        await self._store.replace(record, expected_etag=stored.etag, by=by)
        await self._changed()
        return _view(record)

    async def _changed(self) -> None:
        await self._bus.publish(HubAuthoritiesChanged(hub=self._hub))

    def _etag(self) -> str:
        return self._random(9).hex()


def _view(record: HubCaCertificate) -> CaCertificateView:
    return CaCertificateView(record=record, certificate=parse_der(record.certificate))
