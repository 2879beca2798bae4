"""CA certificates of hubs, in SQL."""

from collections.abc import Sequence

from homeport.dps.model import Kind, change
from homeport.errors import Code, HomeportError
from homeport.hub.model import HubCaCertificate
from homeport.security.callers import SYSTEM, Caller
from homeport.store.cached import CachedTable
from homeport.store.database import Database, Parameters, Transaction
from homeport.store.journal import SqlJournal
from homeport.store.rows import Codec, key_of

_ALL = "SELECT hub, data FROM hub_ca_certificates ORDER BY hub, name_key"
_COUNT = "SELECT count(*) FROM hub_ca_certificates WHERE hub = :hub"
_ONE = "WHERE hub = :hub AND name_key = :name_key"
_GET = f"SELECT data FROM hub_ca_certificates {_ONE}"
_CREATE = """
    INSERT INTO hub_ca_certificates (hub, name_key, etag, data) VALUES (:hub, :name_key, :etag, :data)
    ON CONFLICT (hub, name_key) DO NOTHING"""
_REPLACE = f"UPDATE hub_ca_certificates SET etag = :etag, data = :data {_ONE}"
_DELETE = f"DELETE FROM hub_ca_certificates {_ONE}"

_codec = Codec(HubCaCertificate)

OfHub = tuple[str, tuple[HubCaCertificate, ...]]


class SqlHubCaCertificates:
    """The CA certificates of every hub: one small table, kept in memory."""

    def __init__(self, database: Database, journal: SqlJournal) -> None:
        self._database = database
        self._journal = journal
        self._table: CachedTable[OfHub] = CachedTable(database, "hub_ca_certificates", _load)

    def of(self, hub: str) -> "SqlHubCaCertificateStore":
        """Return the store of one hub."""
        return SqlHubCaCertificateStore(self._database, self._journal, self._table, hub)


class SqlHubCaCertificateStore:
    """AuthorityStore of one hub over a Database."""

    def __init__(self, database: Database, journal: SqlJournal, table: CachedTable[OfHub], hub: str) -> None:
        self._database = database
        self._journal = journal
        self._table = table
        self._name = hub
        self._hub = key_of(hub)

    async def all(self) -> Sequence[HubCaCertificate]:
        return next((records for hub, records in await self._table.content() if hub == self._hub), ())

    async def create(self, certificate: HubCaCertificate, *, limit: int, by: Caller = SYSTEM) -> None:
        async def work(transaction: Transaction) -> None:
            # First, because it is the lock that lets one writer at a time count.
            await self._table.changed(transaction)
            row = await transaction.fetch_one(_COUNT, {"hub": self._hub})
            if not await transaction.execute(_CREATE, self._values(certificate)):
                raise HomeportError(
                    Code.CA_CERTIFICATE_EXISTS, f"The hub has a CA certificate '{certificate.name}' already."
                )
            if row is not None and row[0] >= limit:
                raise HomeportError(Code.INVALID_REQUEST, f"A hub has at most {limit} CA certificates.")
            kind = Kind.HUB_CA_CERTIFICATE_UPLOADED
            await self._journal.append(
                transaction, change(kind, self._subject(certificate.name), by, after=certificate)
            )

        await self._database.write(work)

    async def replace(self, certificate: HubCaCertificate, *, expected_etag: str, by: Caller = SYSTEM) -> None:
        async def work(transaction: Transaction) -> None:
            await self._table.changed(transaction)
            before = await self._expect(transaction, certificate.name, expected_etag)
            await transaction.execute(_REPLACE, self._values(certificate))
            vouched = before.is_verified and before.certificate == certificate.certificate
            news = certificate.is_verified and not vouched
            kind = Kind.HUB_CA_CERTIFICATE_VERIFIED if news else Kind.HUB_CA_CERTIFICATE_UPDATED
            entry = change(kind, self._subject(before.name), by, before=before, after=certificate)
            await self._journal.append(transaction, entry)

        await self._database.write(work)

    async def delete(self, name: str, *, expected_etag: str | None, by: Caller = SYSTEM) -> None:
        async def work(transaction: Transaction) -> None:
            await self._table.changed(transaction)
            before = await self._expect(transaction, name, expected_etag)
            await transaction.execute(_DELETE, self._where(name))
            entry = change(Kind.HUB_CA_CERTIFICATE_DELETED, self._subject(before.name), by, before=before)
            await self._journal.append(transaction, entry)

        await self._database.write(work)

    async def _expect(self, transaction: Transaction, name: str, expected_etag: str | None) -> HubCaCertificate:
        row = await transaction.fetch_one(_GET, self._where(name))
        if row is None:
            raise HomeportError(Code.NOT_FOUND, f"The hub has no CA certificate '{name}'.")
        stored = _codec.decode(row[0])
        if expected_etag is not None and stored.etag != expected_etag:
            raise HomeportError(Code.PRECONDITION_FAILED, f"The CA certificate '{name}' was changed since it was read.")
        return stored

    def _subject(self, name: str) -> str:
        return f"hubs/{self._name}/certificates/{name}"

    def _where(self, name: str) -> Parameters:
        return {"hub": self._hub, "name_key": key_of(name)}

    def _values(self, certificate: HubCaCertificate) -> Parameters:
        return {**self._where(certificate.name), "etag": certificate.etag, "data": _codec.encode(certificate)}


async def _load(transaction: Transaction) -> Sequence[OfHub]:
    by_hub: dict[str, list[HubCaCertificate]] = {}
    for hub, data in await transaction.fetch_all(_ALL):
        by_hub.setdefault(hub, []).append(_codec.decode(data))
    return [(hub, tuple(records)) for hub, records in by_hub.items()]
