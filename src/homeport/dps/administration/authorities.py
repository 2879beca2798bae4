"""Issuing authorities, the certificate policies they issue by, and the master key over their private keys."""

from homeport.clock import Clock
from homeport.dps.issuing.authorities import AuthorityService
from homeport.dps.issuing.master_key import MasterKeyService
from homeport.dps.issuing.policies import CertificatePolicyService
from homeport.dps.issuing.revocation import RevocationService
from homeport.dps.reply import Reply, success
from homeport.dps.service_responder import read
from homeport.dps.translate_issuing import (
    authority_document,
    brought_authority_of,
    chain_document,
    limits_of,
    new_authority_of,
    policy_document,
    policy_of,
    revocation_list_document,
)
from homeport.errors import Code, HomeportError
from homeport.security.callers import Caller
from homeport.wire import dps_issuing as wire


class AuthoritiesResponder:
    def __init__(
        self, authorities: AuthorityService, revocations: RevocationService, master_key: MasterKeyService
    ) -> None:
        self._authorities = authorities
        self._revocations = revocations
        self._master_key = master_key

    async def list(self, tracking_id: str) -> Reply:
        found = await self._authorities.all()
        return success(200, [authority_document(authority) for authority in found], tracking_id)

    async def get(self, name: str, tracking_id: str) -> Reply:
        return success(200, authority_document(await self._authorities.get(name)), tracking_id)

    async def put(self, name: str, body: bytes, by: Caller) -> Reply:
        """Make an authority, or bring one (`certificates`); one that exists is never replaced."""
        document = read(wire.authority_creation, body)
        brought = brought_authority_of(document)
        if brought is None:
            authority = await self._authorities.create(name, new_authority_of(document), by=by)
        else:
            authority = await self._authorities.bring(name, brought, limits_of(document), by=by)
        return success(200, authority_document(authority), by.tracking_id)

    async def rotate(self, name: str, body: bytes, by: Caller) -> Reply:
        """Put a new key next to the old one; of a brought authority the next certificate is in the body."""
        brought = brought_authority_of(read(wire.authority_creation, body)) if body.strip() else None
        return success(200, authority_document(await self._authorities.rotate(name, brought, by=by)), by.tracking_id)

    async def delete(self, name: str, by: Caller) -> Reply:
        await self._authorities.delete(name, by=by)
        return Reply(status=204, body=b"", tracking_id=by.tracking_id)

    async def chain(self, name: str, version: str | None, tracking_id: str) -> Reply:
        authority = await self._authorities.get(name)
        number = version_of(version)
        at_hand = authority.active if number is None else authority.version(number)
        if at_hand is None:
            raise HomeportError(Code.NOT_FOUND, "The certificate authority has no such version.")
        return success(200, chain_document(at_hand), tracking_id)

    async def revocation_list(self, name: str, version: str | None, tracking_id: str) -> Reply:
        found = await self._revocations.revocation_list(name, version_of(version))
        return success(200, revocation_list_document(found), tracking_id)

    async def rotate_master_key(self, by: Caller) -> Reply:
        name, count = await self._master_key.rotate(by=by)
        return success(200, wire.MasterKey(key_name=name, resealed=count), by.tracking_id)


class CertificatePoliciesResponder:
    def __init__(self, policies: CertificatePolicyService, clock: Clock) -> None:
        self._policies = policies
        self._clock = clock

    async def list(self, tracking_id: str) -> Reply:
        return success(200, [policy_document(policy) for policy in await self._policies.all()], tracking_id)

    async def get(self, name: str, tracking_id: str) -> Reply:
        return success(200, policy_document(await self._policies.get(name)), tracking_id)

    async def put(self, name: str, body: bytes, by: Caller) -> Reply:
        policy = policy_of(name, read(wire.policy_write, body), self._clock.now())
        return success(200, policy_document(await self._policies.put(policy, by=by)), by.tracking_id)

    async def delete(self, name: str, by: Caller) -> Reply:
        await self._policies.delete(name, by=by)
        return Reply(status=204, body=b"", tracking_id=by.tracking_id)


def version_of(text: str | None) -> int | None:
    """Read a version's number. Raises HomeportError INVALID_REQUEST."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise HomeportError(Code.INVALID_REQUEST, "version is not a number.")
    return int(text)
