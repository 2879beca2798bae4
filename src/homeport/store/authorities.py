"""Issuing authorities and certificate policies in SQL; few, and asked for whenever a device wants a certificate."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from homeport.dps.model import CertificateAuthority, CertificatePolicy, Entry, Kind, authority_change, change
from homeport.errors import Code, HomeportError
from homeport.security.callers import SYSTEM, Caller
from homeport.store.cached import CachedTable
from homeport.store.database import Database, Transaction, Value
from homeport.store.journal import SqlJournal
from homeport.store.rows import Codec, key_of

T = TypeVar("T", CertificateAuthority, CertificatePolicy)

_REFERRED = """
    SELECT id FROM {table} WHERE lower(CAST(data AS TEXT)) LIKE :pattern ORDER BY id_key LIMIT 1"""
_ENROLLMENTS = ("individual_enrollments", "enrollment_groups")


class _NamedTable(ABC, Generic[T]):
    """Documents by name, with an etag, in memory until somebody writes them."""

    def __init__(
        self, database: Database, journal: SqlJournal, table: str, codec: Codec[T], noun: str, member: str
    ) -> None:
        self._database = database
        self._journal = journal
        self._codec: Codec[T] = codec
        self._noun = noun
        self._member = member
        self._content: CachedTable[T] = CachedTable(database, table, _loader(table, codec))
        self._get = f"SELECT data FROM {table} WHERE name_key = :name_key"
        self._create = f"INSERT INTO {table} (name_key, etag, data) VALUES (:name_key, :etag, :data)"
        self._replace = f"UPDATE {table} SET etag = :etag, data = :data WHERE name_key = :name_key AND etag = :expected"
        self._delete = f"DELETE FROM {table} WHERE name_key = :name_key"

    @abstractmethod
    def _change(self, by: Caller, *, before: T | None, after: T | None) -> Entry:
        """Tell of a change, in the journal's words."""

    async def all(self) -> Sequence[T]:
        return await self._content.content()

    async def get(self, name: str) -> T | None:
        key = key_of(name)
        return next((item for item in await self._content.content() if key_of(item.name) == key), None)

    async def create(self, item: T, *, by: Caller = SYSTEM) -> None:
        async def work(transaction: Transaction) -> None:
            await self._content.changed(transaction)
            if not await transaction.execute(f"{self._create} ON CONFLICT (name_key) DO NOTHING", self._values(item)):
                raise HomeportError(Code.ISSUING_EXISTS, f"The {self._noun} {item.name} exists already.")
            await self._journal.append(transaction, self._change(by, before=None, after=item))

        await self._database.write(work)

    async def replace(self, item: T, *, expected_etag: str, by: Caller = SYSTEM) -> None:
        async def work(transaction: Transaction) -> None:
            before = await self._put(transaction, item, expected_etag)
            await self._journal.append(transaction, self._change(by, before=before, after=item))

        await self._database.write(work)

    async def delete(self, name: str, *, by: Caller = SYSTEM) -> None:
        async def work(transaction: Transaction) -> None:
            await self._content.changed(transaction)
            before = await self._before(transaction, name)
            if before is None or not await transaction.execute(self._delete, {"name_key": key_of(name)}):
                raise HomeportError(Code.NOT_FOUND, f"There is no {self._noun} of that name.")
            await self._journal.append(transaction, self._change(by, before=before, after=None))

        await self._database.write(work)

    async def _put(self, transaction: Transaction, item: T, expected_etag: str) -> T | None:
        """Replace what is stored under the expected etag; returns it."""
        await self._content.changed(transaction)
        before = await self._before(transaction, item.name)
        if not await transaction.execute(self._replace, {**self._values(item), "expected": expected_etag}):
            raise HomeportError(
                Code.PRECONDITION_FAILED, f"The {self._noun} {item.name} was changed since it was read."
            )
        return before

    async def _before(self, transaction: Transaction, name: str) -> T | None:
        row = await transaction.fetch_one(self._get, {"name_key": key_of(name)})
        return None if row is None else self._codec.decode(row[0])

    async def enrollment_with(self, name: str) -> str | None:
        # A look at every enrollment: deleting what issues certificates is rare, and an index would cost each write.
        pattern = f'%"{self._member}":"{key_of(name)}"%'
        for table in _ENROLLMENTS:
            row = await self._database.fetch_one(_REFERRED.format(table=table), {"pattern": pattern})
            if row is not None:
                return str(row[0])
        return None

    def _values(self, item: T) -> dict[str, Value]:
        return {"name_key": key_of(item.name), "etag": item.etag, "data": self._codec.encode(item)}


class SqlAuthorityStore(_NamedTable[CertificateAuthority]):
    """AuthorityStore over a Database."""

    def __init__(self, database: Database, journal: SqlJournal) -> None:
        super().__init__(
            database,
            journal,
            "certificate_authorities",
            Codec(CertificateAuthority),
            "certificate authority",
            "certificate_authority_name",
        )

    async def reseal(self, item: CertificateAuthority, *, expected_etag: str) -> None:
        """Store the same authority with its keys sealed anew."""

        async def work(transaction: Transaction) -> None:
            await self._put(transaction, item, expected_etag)

        await self._database.write(work)

    def _change(self, by: Caller, *, before: CertificateAuthority | None, after: CertificateAuthority | None) -> Entry:
        kind = _kind(before, after, (Kind.AUTHORITY_CREATED, Kind.AUTHORITY_ROTATED, Kind.AUTHORITY_DELETED))
        return authority_change(kind, f"certificateAuthorities/{_name(before, after)}", by, before=before, after=after)


class SqlCertificatePolicyStore(_NamedTable[CertificatePolicy]):
    """CertificatePolicyStore over a Database."""

    def __init__(self, database: Database, journal: SqlJournal) -> None:
        super().__init__(
            database,
            journal,
            "certificate_policies",
            Codec(CertificatePolicy),
            "certificate policy",
            "certificate_policy_name",
        )

    def _change(self, by: Caller, *, before: CertificatePolicy | None, after: CertificatePolicy | None) -> Entry:
        kind = _kind(
            before,
            after,
            (Kind.CERTIFICATE_POLICY_CREATED, Kind.CERTIFICATE_POLICY_UPDATED, Kind.CERTIFICATE_POLICY_DELETED),
        )
        return change(kind, f"certificatePolicies/{_name(before, after)}", by, before=before, after=after)


def _kind(before: T | None, after: T | None, kinds: tuple[Kind, Kind, Kind]) -> Kind:
    created, changed, deleted = kinds
    return created if before is None else deleted if after is None else changed


def _name(before: T | None, after: T | None) -> str:
    return next(item.name for item in (before, after) if item is not None)


def _loader(table: str, codec: Codec[T]) -> Callable[[Transaction], Coroutine[Any, Any, Sequence[T]]]:
    async def load(transaction: Transaction) -> Sequence[T]:
        rows = await transaction.fetch_all(f"SELECT data FROM {table} ORDER BY name_key")
        return [codec.decode(data) for (data,) in rows]

    return load
