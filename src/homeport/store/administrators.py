"""Administrators in SQL: few, and asked for at every administrative request."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from homeport.dps.model import Administrator, Kind, change
from homeport.errors import Code, HomeportError
from homeport.security.callers import Caller, Role
from homeport.store.cached import CachedTable
from homeport.store.database import Database, Parameters, Row, Transaction
from homeport.store.journal import SqlJournal
from homeport.store.rows import Codec, from_micros, key_of, to_micros
from homeport.values import replace

_COLUMNS = "token_digest, last_used_at, data"
_ALL = f"SELECT {_COLUMNS} FROM administrators ORDER BY name_key"
_GET = f"SELECT {_COLUMNS} FROM administrators WHERE name_key = :name_key"
_CREATE = """
    INSERT INTO administrators (name_key, token_digest, data) VALUES (:name_key, :token_digest, :data)
    ON CONFLICT (name_key) DO NOTHING"""
_REPLACE = "UPDATE administrators SET token_digest = :token_digest, data = :data WHERE name_key = :name_key"
_DELETE = "DELETE FROM administrators WHERE name_key = :name_key"
_USED = "UPDATE administrators SET last_used_at = :at WHERE name_key = :name_key"


class AdministratorRow(Struct, kw_only=True, omit_defaults=True):
    name: str
    role: Role
    created_at: datetime
    created_by: str
    renewed_at: datetime | None = None
    expires_at: datetime | None = None


codec = Codec(AdministratorRow)


class SqlAdministratorStore:
    """AdministratorStore over a Database."""

    def __init__(self, database: Database, journal: SqlJournal) -> None:
        self._database = database
        self._journal = journal
        self._administrators = CachedTable(database, "administrators", _load)

    async def all(self) -> Sequence[Administrator]:
        return await self._administrators.content()

    async def put(self, administrator: Administrator, *, create: bool, by: Caller) -> None:
        values: Parameters = {
            "name_key": key_of(administrator.name),
            "token_digest": administrator.token_digest,
            "data": codec.encode(_row(administrator)),
        }

        async def work(transaction: Transaction) -> None:
            before = await transaction.fetch_one(_GET, values)
            if not await transaction.execute(_CREATE if create else _REPLACE, values):
                if create:
                    raise HomeportError(Code.CONFLICT, f"An administrator '{administrator.name}' exists already.")
                raise _missing(administrator.name)
            await self._administrators.changed(transaction)
            entry = change(
                Kind.ADMINISTRATOR_CREATED if create else Kind.ADMINISTRATOR_UPDATED,
                _subject(administrator.name),
                by,
                before=None if before is None else _told(_administrator(before)),
                after=_told(administrator),
            )
            await self._journal.append(transaction, entry)

        await self._database.write(work)

    async def delete(self, name: str, *, by: Caller) -> None:
        async def work(transaction: Transaction) -> None:
            before = await transaction.fetch_one(_GET, {"name_key": key_of(name)})
            if before is None or not await transaction.execute(_DELETE, {"name_key": key_of(name)}):
                raise _missing(name)
            await self._administrators.changed(transaction)
            entry = change(Kind.ADMINISTRATOR_REVOKED, _subject(name), by, before=_told(_administrator(before)))
            await self._journal.append(transaction, entry)

        await self._database.write(work)

    async def used(self, name: str, at: datetime) -> None:
        async def work(transaction: Transaction) -> None:
            await transaction.execute(_USED, {"name_key": key_of(name), "at": to_micros(at)})
            await self._administrators.changed(transaction)

        await self._database.write(work)


async def _load(transaction: Transaction) -> Sequence[Administrator]:
    return [_administrator(row) for row in await transaction.fetch_all(_ALL)]


def _administrator(row: Row) -> Administrator:
    digest, last_used_at, data = row
    stored = codec.decode(data)
    return Administrator(
        name=stored.name,
        role=stored.role,
        token_digest=bytes(digest),
        created_at=stored.created_at,
        created_by=stored.created_by,
        renewed_at=stored.renewed_at,
        expires_at=stored.expires_at,
        last_used_at=from_micros(last_used_at),
    )


def _row(administrator: Administrator) -> AdministratorRow:
    return AdministratorRow(
        name=administrator.name,
        role=administrator.role,
        created_at=administrator.created_at,
        created_by=administrator.created_by,
        renewed_at=administrator.renewed_at,
        expires_at=administrator.expires_at,
    )


def _told(administrator: Administrator) -> Administrator:
    """Leave out when it was used: that is no change of the administrator."""
    return replace(administrator, last_used_at=None)


def _subject(name: str) -> str:
    return f"administrators/{name}"


def _missing(name: str) -> HomeportError:
    return HomeportError(Code.NOT_FOUND, f"There is no administrator '{name}'.")
