"""The hubs provisioning may use, in SQL; few, and asked for at every registration."""

from collections.abc import Mapping, Sequence

from homeport.dps.model import AllocationSettings, Kind, LinkedHub, change
from homeport.errors import Code, HomeportError
from homeport.security.callers import SYSTEM, Caller
from homeport.store.allocation_settings import read_settings
from homeport.store.cached import CachedTable
from homeport.store.database import Database, Transaction, Value
from homeport.store.journal import SqlJournal
from homeport.store.rows import Codec, key_of

_ALL = "SELECT data FROM linked_hubs ORDER BY name_key"

_GET = "SELECT data FROM linked_hubs WHERE name_key = :name_key"

_CREATE = """
    INSERT INTO linked_hubs (name_key, host_key, data) VALUES (:name_key, :host_key, :data) ON CONFLICT DO NOTHING"""

_HOST_TAKEN = "SELECT 1 FROM linked_hubs WHERE host_key = :host_key AND name_key <> :name_key"

_PUT = """
    INSERT INTO linked_hubs (name_key, host_key, data) VALUES (:name_key, :host_key, :data)
    ON CONFLICT (name_key) DO UPDATE SET host_key = excluded.host_key, data = excluded.data"""

_HOLD_REGISTRATIONS = "/*postgres LOCK TABLE registrations IN SHARE ROW EXCLUSIVE MODE*/"
"""Between counting a hub's devices and keeping the count nobody may register; SQLite has one writer anyway."""

_COUNT = """
    INSERT INTO hub_counts (home_key, devices)
    VALUES (
        :host_key,
        (SELECT COUNT(*) FROM registrations WHERE hub_key = :host_key AND hub_key <> '')
        + (SELECT COUNT(*) FROM registrations WHERE is_open = 1 AND home_key = :host_key AND hub_key <> :host_key)
        - (SELECT COUNT(*) FROM registrations WHERE is_open = 1 AND hub_key = :host_key AND home_key <> :host_key)
    )
    ON CONFLICT (home_key) DO NOTHING"""

_COUNT_NO_MORE = "DELETE FROM hub_counts WHERE home_key = :host_key"

_FORGET_COUNT = """
    DELETE FROM hub_counts WHERE home_key IN (SELECT host_key FROM linked_hubs WHERE name_key = :name_key)"""

_OCCUPIED = "SELECT home_key, devices FROM hub_counts"

_DELETE = "DELETE FROM linked_hubs WHERE name_key = :name_key"

codec = Codec(LinkedHub)


class SqlLinkedHubStore:
    """LinkedHubStore over a Database."""

    def __init__(self, database: Database, journal: SqlJournal) -> None:
        self._database = database
        self._journal = journal
        self._hubs = CachedTable(database, "linked_hubs", _load)

    async def all(self) -> Sequence[LinkedHub]:
        return (await self.with_settings())[0]

    async def with_settings(self) -> tuple[Sequence[LinkedHub], AllocationSettings]:
        (both,) = await self._hubs.content()
        return both

    async def put(self, hub: LinkedHub, *, create: bool, by: Caller = SYSTEM) -> None:
        """Without `create`, an existing hub of that name is replaced, a new one added."""
        values: dict[str, Value] = {
            "name_key": key_of(hub.name),
            "host_key": key_of(hub.host_name),
            "data": codec.encode(hub),
        }

        async def work(transaction: Transaction) -> None:
            # First, because it is the lock that lets one writer at a time look at the host names.
            await self._hubs.changed(transaction)
            before = None
            if create:
                if not await transaction.execute(_CREATE, values):
                    raise _taken(hub)
            else:
                if await transaction.fetch_one(_HOST_TAKEN, values) is not None:
                    raise _taken(hub)
                before = await self._before(transaction, hub.name)
                await transaction.execute(_PUT, values)
            if hub.max_devices is None:
                await transaction.execute(_COUNT_NO_MORE, values)
            else:
                await transaction.execute(_HOLD_REGISTRATIONS)
                await transaction.execute(_COUNT, values)
            kind = Kind.HUB_LINKED if before is None else Kind.HUB_UPDATED
            await self._journal.append(transaction, change(kind, _subject(hub.name), by, before=before, after=hub))

        await self._database.write(work)

    async def occupied(self) -> Mapping[str, int]:
        return {hub: int(devices) for hub, devices in await self._database.fetch_all(_OCCUPIED)}

    async def delete(self, name: str, *, by: Caller = SYSTEM) -> None:
        async def work(transaction: Transaction) -> None:
            before = await self._before(transaction, name)
            await transaction.execute(_FORGET_COUNT, {"name_key": key_of(name)})
            if not await transaction.execute(_DELETE, {"name_key": key_of(name)}):
                raise HomeportError(Code.NOT_FOUND, f"There is no linked hub '{name}'.")
            await self._hubs.changed(transaction)
            await self._journal.append(transaction, change(Kind.HUB_UNLINKED, _subject(name), by, before=before))

        await self._database.write(work)

    async def _before(self, transaction: Transaction, name: str) -> LinkedHub | None:
        row = await transaction.fetch_one(_GET, {"name_key": key_of(name)})
        return None if row is None else codec.decode(row[0])


def _subject(name: str) -> str:
    return f"hubs/{name}"


async def _load(transaction: Transaction) -> Sequence[tuple[Sequence[LinkedHub], AllocationSettings]]:
    hubs = tuple(codec.decode(data) for (data,) in await transaction.fetch_all(_ALL))
    return [(hubs, await read_settings(transaction))]


def _taken(hub: LinkedHub) -> HomeportError:
    return HomeportError(Code.HUB_EXISTS, f"A linked hub '{hub.name}', or one at '{hub.host_name}', exists already.")
