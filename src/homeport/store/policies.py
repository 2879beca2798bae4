"""Shared access policies in SQL; few, in every process's memory."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from homeport.dps.model import AccessPolicy, Entry, Kind, change
from homeport.security.callers import SYSTEM, Caller
from homeport.security.policies import DpsRight, SharedAccessPolicy
from homeport.store.cached import CachedTable
from homeport.store.database import Database, Transaction
from homeport.store.journal import SqlJournal
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

    def __init__(self, database: Database, journal: SqlJournal) -> None:
        self._database = database
        self._journal = journal
        self._policies = CachedTable(database, "access_policies", _load)

    async def all(self) -> Sequence[AccessPolicy]:
        return await self._policies.content()

    async def edit(
        self, edit: Callable[[Sequence[AccessPolicy]], Sequence[AccessPolicy]], *, by: Caller = SYSTEM
    ) -> Sequence[AccessPolicy]:
        async def work(transaction: Transaction) -> Sequence[AccessPolicy]:
            # First, because it is the lock that lets one editor at a time look.
            await self._policies.changed(transaction)
            before = await _load(transaction)
            changed = edit(before)
            await transaction.execute(_CLEAR)
            await transaction.execute_many(
                _PUT, [{"name_key": key_of(policy.name), "data": _encode(policy)} for policy in changed]
            )
            for entry in _changes(before, changed, by):
                await self._journal.append(transaction, entry)
            return changed

        return await self._database.write(work)


def _changes(before: Sequence[AccessPolicy], after: Sequence[AccessPolicy], by: Caller) -> Iterator[Entry]:
    old, new = ({key_of(policy.name): policy for policy in policies} for policies in (before, after))
    for key in sorted(old.keys() | new.keys()):
        one, other = old.get(key), new.get(key)
        if one == other:
            continue
        kind = Kind.POLICY_CREATED if one is None else Kind.POLICY_DELETED if other is None else Kind.POLICY_UPDATED
        name = (other or one or new[key]).name
        yield change(kind, f"policies/{name}", by, before=one, after=other)


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
