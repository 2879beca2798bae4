"""Rotating the master key: a new one on top, every key sealed anew, the old one forgotten; resumable in between."""

import asyncio
from collections.abc import Sequence

from homeport.dps.identifiers import Random, new_etag
from homeport.dps.issuing.ports import AuthorityStore, CustodyError, SealedKeys
from homeport.dps.journal import Journal
from homeport.dps.model import CertificateAuthority, master_key_rotated
from homeport.errors import Code, HomeportError
from homeport.security.callers import SYSTEM, Caller
from homeport.values import replace

_ROUNDS = 20


class MasterKeyService:
    """Rotates the master key. What a crash leaves is opened by the old key or the new one: the file holds both."""

    def __init__(self, *, authorities: AuthorityStore, keys: SealedKeys, journal: Journal, random: Random) -> None:
        self._authorities = authorities
        self._keys = keys
        self._journal = journal
        self._random = random
        self._one_at_a_time = asyncio.Lock()

    async def rotate(self, *, by: Caller = SYSTEM) -> tuple[str, int]:
        """Return the new key's name and how many keys are sealed under it. Raises UNAVAILABLE with the reason.

        The journal is told before the old key is forgotten: a rotation that nobody heard of is repeated, not lost.
        """
        async with self._one_at_a_time:
            try:
                name = await asyncio.to_thread(self._keys.begin_rotation)
                count = await self._reseal()
                await self._journal.record([master_key_rotated(name, count, by)])
                await asyncio.to_thread(self._keys.end_rotation)
            except CustodyError as error:
                raise HomeportError(Code.UNAVAILABLE, f"The master key cannot be rotated: {error}.") from error
            return name, count

    async def _reseal(self) -> int:
        """Go through all authorities until nothing is left under an old key, also of those made meanwhile."""
        for _ in range(_ROUNDS):
            authorities = await self._authorities.all()
            old = [(each, changed) for each in authorities if (changed := self._changed(each)) is not each]
            if not old:
                return _count(authorities)
            for authority, changed in old:
                try:
                    await self._authorities.reseal(changed, expected_etag=authority.etag)
                except HomeportError as error:
                    if error.code is not Code.PRECONDITION_FAILED:
                        raise
        raise CustodyError("the authorities kept changing")

    def _changed(self, authority: CertificateAuthority) -> CertificateAuthority:
        keys = [self._keys.resealed(version.key) for version in authority.versions]
        if all(key is version.key for key, version in zip(keys, authority.versions, strict=True)):
            return authority
        versions = tuple(replace(version, key=key) for key, version in zip(keys, authority.versions, strict=True))
        return replace(authority, versions=versions, etag=new_etag(self._random))


def _count(authorities: Sequence[CertificateAuthority]) -> int:
    return sum(version.key.sealed is not None for authority in authorities for version in authority.versions)
