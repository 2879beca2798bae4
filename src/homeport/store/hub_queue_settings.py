"""How hubs keep cloud-to-device messages, in SQL."""

from collections.abc import Sequence

from homeport.dps.model import Kind, change
from homeport.errors import Code, HomeportError
from homeport.hub.model import QueueSettings
from homeport.security.callers import SYSTEM, Caller
from homeport.store.cached import CachedTable
from homeport.store.database import Database, Transaction
from homeport.store.journal import SqlJournal
from homeport.store.rows import Codec, key_of

_ALL = "SELECT hub, data FROM hub_queue_settings"
_GET = "SELECT data FROM hub_queue_settings WHERE hub = :hub"
_PUT = """
    INSERT INTO hub_queue_settings (hub, data) VALUES (:hub, :data)
    ON CONFLICT (hub) DO UPDATE SET data = excluded.data"""

_codec = Codec(QueueSettings)
_DEFAULTS = QueueSettings()

OfHub = tuple[str, QueueSettings]


class SqlHubQueueSettings:
    """The settings of every hub: one small table, kept in memory."""

    def __init__(self, database: Database, journal: SqlJournal) -> None:
        self._database = database
        self._journal = journal
        self._table: CachedTable[OfHub] = CachedTable(database, "hub_queue_settings", _load)

    def of(self, hub: str) -> "SqlQueueSettingsStore":
        """Return the store of one hub."""
        return SqlQueueSettingsStore(self._database, self._journal, self._table, hub)


class SqlQueueSettingsStore:
    """QueueSettingsStore of one hub over a Database."""

    def __init__(self, database: Database, journal: SqlJournal, table: CachedTable[OfHub], hub: str) -> None:
        self._database = database
        self._journal = journal
        self._table = table
        self._name = hub
        self._hub = key_of(hub)

    async def get(self) -> QueueSettings:
        return next((settings for hub, settings in await self._table.content() if hub == self._hub), _DEFAULTS)

    async def put(self, settings: QueueSettings, *, expected_etag: str | None, by: Caller = SYSTEM) -> None:
        async def work(transaction: Transaction) -> None:
            await self._table.changed(transaction)
            row = await transaction.fetch_one(_GET, {"hub": self._hub})
            before = _DEFAULTS if row is None else _codec.decode(row[0])
            if expected_etag is not None and before.etag != expected_etag:
                raise HomeportError(Code.PRECONDITION_FAILED, "The settings were changed since they were read.")
            await transaction.execute(_PUT, {"hub": self._hub, "data": _codec.encode(settings)})
            subject = f"hubs/{self._name}/cloudToDevice"
            await self._journal.append(
                transaction, change(Kind.HUB_QUEUES_UPDATED, subject, by, before=before, after=settings)
            )

        await self._database.write(work)


async def _load(transaction: Transaction) -> Sequence[OfHub]:
    return [(hub, _codec.decode(data)) for hub, data in await transaction.fetch_all(_ALL)]
