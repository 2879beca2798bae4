"""What MQTT clients without clean session are subscribed to, in SQL."""

from collections.abc import Mapping

from msgspec import Struct

from homeport.hub.model import KeptFilters
from homeport.store.database import Database
from homeport.store.rows import Codec, key_of

_ONE = "WHERE hub = :hub AND device_id = :device_id"
_GET = f"SELECT data FROM mqtt_subscriptions {_ONE}"
_PUT = """
    INSERT INTO mqtt_subscriptions (hub, device_id, data) VALUES (:hub, :device_id, :data)
    ON CONFLICT (hub, device_id) DO UPDATE SET data = excluded.data"""
_DELETE = f"DELETE FROM mqtt_subscriptions {_ONE}"


class KeptRow(Struct, array_like=True):
    generation_id: str
    filters: dict[str, int]


_codec = Codec(KeptRow)


class SqlMqttSubscriptionStore:
    """MqttSubscriptionStore of one hub over a Database."""

    def __init__(self, database: Database, hub: str) -> None:
        self._database = database
        self._hub = key_of(hub)

    async def get(self, device_id: str) -> KeptFilters | None:
        row = await self._database.fetch_one(_GET, self._where(device_id))
        if row is None:
            return None
        kept = _codec.decode(row[0])
        return KeptFilters(generation_id=kept.generation_id, filters=kept.filters)

    async def put(self, device_id: str, kept: KeptFilters) -> None:
        data = _codec.encode(KeptRow(kept.generation_id, dict(kept.filters)))
        await self._database.execute(_PUT, {**self._where(device_id), "data": data})

    async def delete(self, device_id: str) -> None:
        await self._database.execute(_DELETE, self._where(device_id))

    def _where(self, device_id: str) -> Mapping[str, str]:
        return {"hub": self._hub, "device_id": device_id}
