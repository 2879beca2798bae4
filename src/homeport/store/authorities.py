"""Issuing authorities and certificate policies in SQL; few, and asked for whenever a device wants a certificate."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from homeport.dps.model import CertificateAuthority, CertificatePolicy
from homeport.errors import Code, HomeportError
from homeport.store.cached import CachedTable
from homeport.store.database import Database, Transaction, Value
from homeport.store.rows import Codec, key_of

T = TypeVar("T", CertificateAuthority, CertificatePolicy)

_REFERRED = """
    SELECT id FROM {table} WHERE lower(CAST(data AS TEXT)) LIKE :pattern ORDER BY id_key LIMIT 1"""
_ENROLLMENTS = ("individual_enrollments", "enrollment_groups")


class _NamedTable(Generic[T]):
    """Documents by name, with an etag, in memory until somebody writes them."""

    def __init__(self, database: Database, table: str, codec: Codec[T], noun: str, member: str) -> None:
        self._database = database
        self._codec: Codec[T] = codec
        self._noun = noun
        self._member = member
        self._content: CachedTable[T] = CachedTable(database, table, _loader(table, codec))
        self._create = f"INSERT INTO {table} (name_key, etag, data) VALUES (:name_key, :etag, :data)"
        self._replace = f"UPDATE {table} SET etag = :etag, data = :data WHERE name_key = :name_key AND etag = :expected"
        self._delete = f"DELETE FROM {table} WHERE name_key = :name_key"

    async def all(self) -> Sequence[T]:
        return await self._content.content()

    async def get(self, name: str) -> T | None:
        key = key_of(name)
        return next((item for item in await self._content.content() if key_of(item.name) == key), None)

    async def create(self, item: T) -> None:
        async def work(transaction: Transaction) -> None:
            await self._content.changed(transaction)
            if not await transaction.execute(f"{self._create} ON CONFLICT (name_key) DO NOTHING", self._values(item)):
                raise HomeportError(Code.ISSUING_EXISTS, f"The {self._noun} {item.name} exists already.")

        await self._database.write(work)

    async def replace(self, item: T, *, expected_etag: str) -> None:
        async def work(transaction: Transaction) -> None:
            await self._content.changed(transaction)
            values = {**self._values(item), "expected": expected_etag}
            if not await transaction.execute(self._replace, values):
                raise HomeportError(
                    Code.PRECONDITION_FAILED, f"The {self._noun} {item.name} was changed since it was read."
                )

        await self._database.write(work)

    async def delete(self, name: str) -> None:
        async def work(transaction: Transaction) -> None:
            await self._content.changed(transaction)
            if not await transaction.execute(self._delete, {"name_key": key_of(name)}):
                raise HomeportError(Code.NOT_FOUND, f"There is no {self._noun} of that name.")

        await self._database.write(work)

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

    def __init__(self, database: Database) -> None:
        super().__init__(
            database,
            "certificate_authorities",
            Codec(CertificateAuthority),
            "certificate authority",
            "certificate_authority_name",
        )


class SqlPolicyStore(_NamedTable[CertificatePolicy]):
    """PolicyStore over a Database."""

    def __init__(self, database: Database) -> None:
        super().__init__(
            database, "certificate_policies", Codec(CertificatePolicy), "certificate policy", "certificate_policy_name"
        )


def _loader(table: str, codec: Codec[T]) -> Callable[[Transaction], Coroutine[Any, Any, Sequence[T]]]:
    async def load(transaction: Transaction) -> Sequence[T]:
        rows = await transaction.fetch_all(f"SELECT data FROM {table} ORDER BY name_key")
        return [codec.decode(data) for (data,) in rows]

    return load
