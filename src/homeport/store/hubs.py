"""The hubs this Homeport serves, in SQL."""

from collections.abc import Sequence

from homeport.hub.model import Hub
from homeport.store.cached import CachedTable
from homeport.store.database import Database, Transaction
from homeport.store.rows import Codec, key_of

_ALL = "SELECT data FROM hubs ORDER BY seq"
_CREATE = "INSERT INTO hubs (name_key, data) VALUES (:name_key, :data) ON CONFLICT (name_key) DO NOTHING"
_REPLACE = "UPDATE hubs SET data = :data WHERE name_key = :name_key"
_ADD_HOST = "INSERT INTO hub_host_names (host_key, hub_key) VALUES (:host_key, :hub_key) ON CONFLICT DO NOTHING"
_DROP_HOSTS = "DELETE FROM hub_host_names WHERE hub_key = :hub_key"

codec = Codec(Hub)


class SqlHubStore:
    """HubStore over a Database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._hubs = CachedTable(database, "hubs", _load)

    async def all(self) -> Sequence[Hub]:
        return await self._hubs.content()

    async def create(self, hub: Hub) -> None:
        async def work(transaction: Transaction) -> None:
            await self._hubs.changed(transaction)
            if not await transaction.execute(_CREATE, {"name_key": key_of(hub.name), "data": codec.encode(hub)}):
                raise ValueError(f"A hub '{hub.name}' exists already.")
            await _add_hosts(transaction, hub)

        await self._database.write(work)

    async def replace(self, hub: Hub) -> None:
        """Raise ValueError, too, if a new host name is another hub's."""

        async def work(transaction: Transaction) -> None:
            await self._hubs.changed(transaction)
            if not await transaction.execute(_REPLACE, {"name_key": key_of(hub.name), "data": codec.encode(hub)}):
                raise KeyError(hub.name)
            await transaction.execute(_DROP_HOSTS, {"hub_key": key_of(hub.name)})
            await _add_hosts(transaction, hub)

        await self._database.write(work)


async def _load(transaction: Transaction) -> Sequence[Hub]:
    return [codec.decode(data) for (data,) in await transaction.fetch_all(_ALL)]


async def _add_hosts(transaction: Transaction, hub: Hub) -> None:
    for host_key in sorted({key_of(host_name) for host_name in hub.host_names}):
        if not await transaction.execute(_ADD_HOST, {"host_key": host_key, "hub_key": key_of(hub.name)}):
            raise ValueError(f"The host name '{host_key}' belongs to another hub.")
