"""Shared access policies in SQL; few, in every process's memory."""

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import Struct

from homeport.dps.model import AccessPolicy
from homeport.security.policies import DpsRight, SharedAccessPolicy
from homeport.store.cached import CachedTable
from homeport.store.database import Database, Transaction
from homeport.store.rows import Codec, key_of

_ALL = "SELECT data FROM access_policies ORDER BY name_key"
_CLEAR = "DELETE FROM access_policies"
_PUT = "INSERT INTO access_policies (name_key, data) VALUES (:name_key, :data)"


class PolicyRow(Struct, kw_only=True):
    name: str
    primary_key: bytes
    secondary_key: bytes
    rights: list[DpsRight]
    etag: str
    created_at: datetime
    updated_at: datetime


_codec = Codec(PolicyRow)


class SqlPolicyStore:
    """PolicyStore over a Database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._policies = CachedTable(database, "access_policies", _load)

    async def all(self) -> Sequence[AccessPolicy]:
        return await self._policies.content()

    async def edit(self, edit: Callable[[Sequence[AccessPolicy]], Sequence[AccessPolicy]]) -> Sequence[AccessPolicy]:
        async def work(transaction: Transaction) -> Sequence[AccessPolicy]:
            # First, because it is the lock that lets one editor at a time look.
            await self._policies.changed(transaction)
            changed = edit(await _load(transaction))
            await transaction.execute(_CLEAR)
            await transaction.execute_many(
                _PUT, [{"name_key": key_of(policy.name), "data": _encode(policy)} for policy in changed]
            )
            return changed

        return await self._database.write(work)


async def _load(transaction: Transaction) -> Sequence[AccessPolicy]:
    return [_policy(_codec.decode(data)) for (data,) in await transaction.fetch_all(_ALL)]


def _encode(policy: AccessPolicy) -> str:
    return _codec.encode(
        PolicyRow(
            name=policy.name,
            primary_key=policy.policy.primary_key,
            secondary_key=policy.policy.secondary_key,
            rights=sorted(policy.policy.rights),
            etag=policy.etag,
            created_at=policy.created_at,
            updated_at=policy.updated_at,
        )
    )


def _policy(row: PolicyRow) -> AccessPolicy:
    return AccessPolicy(
        policy=SharedAccessPolicy(
            name=row.name,
            primary_key=row.primary_key,
            secondary_key=row.secondary_key,
            rights=frozenset(row.rights),
        ),
        etag=row.etag,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
