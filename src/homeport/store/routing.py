"""One hub's routing in SQL, and how far messages have been carried to its endpoints."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from homeport.dps.model import Kind, change
from homeport.hub.model import (
    BUILT_IN,
    PARTITIONS,
    Endpoint,
    Enrichment,
    EventStream,
    EventStreamEndpoint,
    Route,
    Routing,
    StorageEndpoint,
    WebhookEndpoint,
)
from homeport.hub.routing.ports import RoutingChange, Standing
from homeport.security.callers import Caller
from homeport.store.cached import CachedTable
from homeport.store.database import Database, Parameters, Transaction
from homeport.store.event_streams import create_stream, remove_stream, streams_of
from homeport.store.journal import SqlJournal
from homeport.store.rows import Codec, from_micros, key_of, to_micros

KEPT_FOR_DELIVERY = timedelta(days=7)
"""How long messages wait for an endpoint that does not take them."""
_REASON = 500

_GET = "SELECT data FROM hub_routing WHERE hub = :hub"
_PUT = """
    INSERT INTO hub_routing (hub, data) VALUES (:hub, :data) ON CONFLICT (hub) DO UPDATE SET data = excluded.data"""

_ONE = "WHERE hub = :hub AND endpoint = :endpoint"
_ADD_DELIVERY = """
    INSERT INTO endpoint_deliveries (hub, endpoint, lease_owner, lease_until, positions)
    VALUES (:hub, :endpoint, NULL, 0, '{}') ON CONFLICT (hub, endpoint) DO NOTHING"""
_REMOVE_DELIVERY = f"DELETE FROM endpoint_deliveries {_ONE}"
_STANDING_COLUMNS = "positions, last_success_at, last_failure_at, last_failure"
_STANDING = f"SELECT {_STANDING_COLUMNS} FROM endpoint_deliveries {_ONE}"
_CLAIM = f"""
    UPDATE endpoint_deliveries SET lease_owner = :owner, lease_until = :until
    {_ONE} AND (lease_owner IS NULL OR lease_until <= :now) RETURNING {_STANDING_COLUMNS}"""
_ADVANCE = f"""
    UPDATE endpoint_deliveries SET positions = :positions, lease_until = :until,
    last_success_at = COALESCE(:success_at, last_success_at),
    last_failure_at = COALESCE(:failure_at, last_failure_at), last_failure = COALESCE(:failure, last_failure)
    {_ONE} AND lease_owner = :owner"""
_RELEASE = f"UPDATE endpoint_deliveries SET lease_owner = NULL, lease_until = 0 {_ONE} AND lease_owner = :owner"
_RELEASE_ALL = "UPDATE endpoint_deliveries SET lease_owner = NULL, lease_until = 0 WHERE hub = :hub"


class RoutingRow(Struct, kw_only=True, omit_defaults=True):
    routes: list[Route] = []
    enrichments: list[Enrichment] = []
    webhooks: list[WebhookEndpoint] = []
    storages: list[StorageEndpoint] = []
    fallback: bool = True


_codec = Codec(RoutingRow)
_positions_codec = Codec(dict[int, int])


class SqlRoutingStore:
    """RoutingStore of one hub over a Database."""

    def __init__(self, database: Database, journal: SqlJournal, hub: str) -> None:
        self._database = database
        self._journal = journal
        self._name = hub
        self._hub = key_of(hub)
        self._routing = CachedTable(database, "hub_routing", self._load)

    async def get(self) -> Routing:
        (routing,) = await self._routing.content()
        return routing

    async def change(self, decide: Callable[[Routing], RoutingChange], *, now: datetime, by: Caller) -> Routing:
        async def work(transaction: Transaction) -> Routing:
            # First, because it is the lock that lets one writer at a time see the routing.
            await self._routing.changed(transaction)
            (before,) = await self._load(transaction)
            wanted = decide(before)
            after = wanted.routing
            await self._follow(transaction, before.endpoints, after.endpoints, now)
            await transaction.execute(_PUT, {"hub": self._hub, "data": _data(after)})
            entry = change(
                Kind.HUB_ROUTING_UPDATED,
                f"hubs/{self._name}/{wanted.collection}/{wanted.name}",
                by,
                before=wanted.before,
                after=wanted.after,
            )
            await self._journal.append(transaction, entry)
            return after

        return await self._database.write(work)

    async def _follow(
        self, transaction: Transaction, before: Sequence[Endpoint], after: Sequence[Endpoint], now: datetime
    ) -> None:
        """Let streams and deliveries come and go with their endpoints."""
        old, new = {key_of(each.name) for each in before}, {key_of(each.name): each for each in after}
        for key in sorted(old - new.keys()):
            await remove_stream(transaction, self._hub, key)
            await transaction.execute(_REMOVE_DELIVERY, {"hub": self._hub, "endpoint": key})
        for key in sorted(new.keys() - old):
            endpoint = new[key]
            kept = EventStream(name=endpoint.name, partitions=endpoint.partitions, created_at=now)
            if not isinstance(endpoint, EventStreamEndpoint):
                kept = EventStream(
                    name=endpoint.name,
                    partitions=endpoint.partitions,
                    retention=KEPT_FOR_DELIVERY,
                    created_at=now,
                )
                await transaction.execute(_ADD_DELIVERY, {"hub": self._hub, "endpoint": key})
            await create_stream(transaction, self._hub, kept)

    async def _load(self, transaction: Transaction) -> Sequence[Routing]:
        row = await transaction.fetch_one(_GET, {"hub": self._hub})
        stored = RoutingRow() if row is None else _codec.decode(row[0])
        streams = {key_of(each.name): each for each in await streams_of(transaction, self._hub)}
        built_in = streams.pop(BUILT_IN, None)
        endpoints: list[Endpoint] = [*stored.webhooks, *stored.storages]
        carried = {key_of(each.name) for each in endpoints}
        endpoints += [
            EventStreamEndpoint(name=each.name, partitions=each.partitions)
            for key, each in streams.items()
            if key not in carried
        ]
        return [
            Routing(
                routes=tuple(stored.routes),
                enrichments=tuple(stored.enrichments),
                endpoints=tuple(sorted(endpoints, key=lambda each: key_of(each.name))),
                fallback=stored.fallback,
                built_in_partitions=PARTITIONS if built_in is None else built_in.partitions,
            )
        ]


class SqlDeliveryStore:
    """DeliveryStore of one hub over a Database."""

    def __init__(self, database: Database, hub: str) -> None:
        self._database = database
        self._hub = key_of(hub)

    async def standing(self, endpoint: str) -> Standing:
        row = await self._database.fetch_one(_STANDING, self._of(endpoint))
        return Standing(positions={}) if row is None else _standing(*row)

    async def claim(self, endpoint: str, *, owner: str, now: datetime, until: datetime) -> Standing | None:
        values: Parameters = {
            **self._of(endpoint),
            "owner": owner,
            "now": to_micros(now),
            "until": to_micros(until),
        }

        async def work(transaction: Transaction) -> Standing | None:
            row = await transaction.fetch_one(_CLAIM, values)
            return None if row is None else _standing(*row)

        return await self._database.write(work)

    async def advance(self, endpoint: str, standing: Standing, *, owner: str, until: datetime) -> bool:
        values: Parameters = {
            **self._of(endpoint),
            "owner": owner,
            "until": to_micros(until),
            "positions": _positions_codec.encode(dict(standing.positions)),
            "success_at": to_micros(standing.last_success_at),
            "failure_at": to_micros(standing.last_failure_at),
            "failure": standing.last_failure[:_REASON] or None,
        }
        return await self._database.execute(_ADVANCE, values) > 0

    async def release(self, endpoint: str, *, owner: str) -> None:
        await self._database.execute(_RELEASE, {**self._of(endpoint), "owner": owner})

    async def release_all(self) -> None:
        await self._database.execute(_RELEASE_ALL, {"hub": self._hub})

    def _of(self, endpoint: str) -> Mapping[str, str]:
        return {"hub": self._hub, "endpoint": key_of(endpoint)}


def _standing(positions: str, success_at: int | None, failure_at: int | None, failure: str | None) -> Standing:
    return Standing(
        positions=_positions_codec.decode(positions),
        last_success_at=from_micros(success_at),
        last_failure_at=from_micros(failure_at),
        last_failure=failure or "",
    )


def _data(routing: Routing) -> str:
    row = RoutingRow(routes=list(routing.routes), enrichments=list(routing.enrichments), fallback=routing.fallback)
    for endpoint in routing.endpoints:
        match endpoint:
            case EventStreamEndpoint():
                pass  # it is its stream
            case WebhookEndpoint():
                row.webhooks.append(endpoint)
            case StorageEndpoint():
                row.storages.append(endpoint)
    return _codec.encode(row)
