"""The streams of one hub's event log in SQL: their settings, consumer groups, and what removed ones left behind."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from homeport.dps.model import Kind, change
from homeport.hub.model import ConsumerGroup, EventStream
from homeport.security.callers import SYSTEM, Caller
from homeport.store.cached import changed
from homeport.store.database import Database, Transaction
from homeport.store.journal import SqlJournal
from homeport.store.log_writing import SPAN
from homeport.store.rows import Codec, key_of

_ALL = "SELECT data FROM event_streams WHERE hub = :hub ORDER BY stream"
_CREATE = """
    INSERT INTO event_streams (hub, stream, data) VALUES (:hub, :stream, :data) ON CONFLICT (hub, stream) DO NOTHING"""
_SAVE = """
    INSERT INTO event_streams (hub, stream, data) VALUES (:hub, :stream, :data)
    ON CONFLICT (hub, stream) DO UPDATE SET data = excluded.data"""
_REMOVE = "DELETE FROM event_streams WHERE hub = :hub AND stream = :stream"
_REMOVE_GROUPS = "DELETE FROM consumer_groups WHERE hub = :hub AND stream = :stream"
# No name has a tilde: what is set aside so is nobody's stream.
_SET_ASIDE = """
    UPDATE log_partitions SET stream = '~' || CAST(seq AS TEXT) WHERE hub = :hub AND stream = :stream"""
_ASIDE = "SELECT seq FROM log_partitions WHERE hub = :hub AND stream >= '~' ORDER BY stream LIMIT 1"
_PLACES = f"""
    SELECT place FROM telemetry WHERE place >= CAST(:seq AS BIGINT) * {SPAN}
    AND place < (CAST(:seq AS BIGINT) + 1) * {SPAN} ORDER BY place LIMIT :limit"""
_DROP = f"DELETE FROM telemetry WHERE place >= CAST(:seq AS BIGINT) * {SPAN} AND place <= :last"
_FORGET = "DELETE FROM log_partitions WHERE seq = :seq"

_GROUPS = "SELECT data FROM consumer_groups WHERE hub = :hub AND stream = :stream ORDER BY group_key"
_COUNT = "SELECT count(*) FROM consumer_groups WHERE hub = :hub AND stream = :stream"
_ADD_GROUP = """
    INSERT INTO consumer_groups (hub, stream, group_key, data) VALUES (:hub, :stream, :group_key, :data)
    ON CONFLICT (hub, stream, group_key) DO NOTHING"""
_REMOVE_GROUP = "DELETE FROM consumer_groups WHERE hub = :hub AND stream = :stream AND group_key = :group_key"


class StreamRow(Struct, kw_only=True):
    name: str
    partitions: int
    retention_seconds: int
    max_bytes: int | None
    created_at: datetime


_codec = Codec(StreamRow)
_group_codec = Codec(ConsumerGroup)


class SqlEventStreamStore:
    """EventStreamStore of one hub over a Database."""

    def __init__(self, database: Database, journal: SqlJournal, hub: str) -> None:
        self._database = database
        self._journal = journal
        self._hub = key_of(hub)

    async def all(self) -> Sequence[EventStream]:
        return [_stream(data) for (data,) in await self._database.fetch_all(_ALL, {"hub": self._hub})]

    async def create(self, stream: EventStream, *, by: Caller = SYSTEM) -> None:
        async def work(transaction: Transaction) -> None:
            await create_stream(transaction, self._hub, stream)
            await self._journal.append(
                transaction, change(Kind.EVENT_STREAM_CREATED, self._subject(stream.name), by, after=stream)
            )

        await self._database.write(work)

    async def save(self, stream: EventStream, *, before: EventStream | None = None, by: Caller = SYSTEM) -> None:
        async def work(transaction: Transaction) -> None:
            await changed(transaction, "hub_routing")
            await transaction.execute(_SAVE, {**self._of(stream.name), "data": _data(stream)})
            entry = change(Kind.EVENT_STREAM_UPDATED, self._subject(stream.name), by, before=before, after=stream)
            await self._journal.append(transaction, entry)

        await self._database.write(work)

    async def remove(self, name: str, *, by: Caller = SYSTEM) -> None:
        async def work(transaction: Transaction) -> None:
            await remove_stream(transaction, self._hub, name)
            await self._journal.append(transaction, change(Kind.EVENT_STREAM_DELETED, self._subject(name), by))

        await self._database.write(work)

    async def sweep(self, *, limit: int) -> int:
        # Most of the time there is nothing, and looking is no write.
        if await self._database.fetch_one(_ASIDE, {"hub": self._hub}) is None:
            return 0

        async def work(transaction: Transaction) -> int:
            while aside := await transaction.fetch_one(_ASIDE, {"hub": self._hub}):
                seq = aside[0]
                places = await transaction.fetch_all(_PLACES, {"seq": seq, "limit": limit})
                if places:
                    return await transaction.execute(_DROP, {"seq": seq, "last": places[-1][0]})
                await transaction.execute(_FORGET, {"seq": seq})
            return 0

        return await self._database.write(work)

    async def groups(self, stream: str) -> Sequence[ConsumerGroup]:
        return [_group_codec.decode(data) for (data,) in await self._database.fetch_all(_GROUPS, self._of(stream))]

    async def create_group(self, stream: str, group: ConsumerGroup, *, limit: int, by: Caller = SYSTEM) -> None:
        where = self._of(stream)
        subject = f"{self._subject(stream)}/consumerGroups/{group.name}"

        async def work(transaction: Transaction) -> None:
            added = {**where, "group_key": key_of(group.name), "data": _group_codec.encode(group)}
            if not await transaction.execute(_ADD_GROUP, added):
                raise ValueError(f"There is a consumer group {group.name} already.")
            count = await transaction.fetch_one(_COUNT, where)
            if count is not None and count[0] > limit:
                raise OverflowError(f"An endpoint has at most {limit} consumer groups besides $Default.")
            await self._journal.append(transaction, change(Kind.CONSUMER_GROUP_CREATED, subject, by, after=group))

        await self._database.write(work)

    async def remove_group(self, stream: str, name: str, *, by: Caller = SYSTEM) -> None:
        where = {**self._of(stream), "group_key": key_of(name)}
        subject = f"{self._subject(stream)}/consumerGroups/{name}"

        async def work(transaction: Transaction) -> None:
            if not await transaction.execute(_REMOVE_GROUP, where):
                raise KeyError(name)
            await self._journal.append(transaction, change(Kind.CONSUMER_GROUP_DELETED, subject, by))

        await self._database.write(work)

    def _subject(self, stream: str) -> str:
        return f"hubs/{self._hub}/endpoints/{stream}"

    def _of(self, stream: str) -> dict[str, str]:
        return {"hub": self._hub, "stream": key_of(stream)}


async def create_stream(transaction: Transaction, hub: str, stream: EventStream) -> None:
    """Make a stream of a hub (its key) within somebody's transaction. Raises ValueError if there is one already."""
    values = {"hub": hub, "stream": key_of(stream.name), "data": _data(stream)}
    await changed(transaction, "hub_routing")
    if not await transaction.execute(_CREATE, values):
        raise ValueError(f"There is an endpoint {stream.name} already.")


async def remove_stream(transaction: Transaction, hub: str, name: str) -> None:
    """Remove a stream with its groups and events within somebody's transaction. Raises KeyError if there is none."""
    where = {"hub": hub, "stream": key_of(name)}
    await changed(transaction, "hub_routing")
    if not await transaction.execute(_REMOVE, where):
        raise KeyError(name)
    await transaction.execute(_REMOVE_GROUPS, where)
    await transaction.execute(_SET_ASIDE, where)


async def streams_of(transaction: Transaction, hub: str) -> Sequence[EventStream]:
    """Return a hub's streams in order of their names; the built-in one only if its settings were saved."""
    return [_stream(data) for (data,) in await transaction.fetch_all(_ALL, {"hub": hub})]


def _data(stream: EventStream) -> str:
    return _codec.encode(
        StreamRow(
            name=stream.name,
            partitions=stream.partitions,
            retention_seconds=int(stream.retention.total_seconds()),
            max_bytes=stream.max_bytes,
            created_at=stream.created_at,
        )
    )


def _stream(data: str) -> EventStream:
    row = _codec.decode(data)
    return EventStream(
        name=row.name,
        partitions=row.partitions,
        retention=timedelta(seconds=row.retention_seconds),
        max_bytes=row.max_bytes,
        created_at=row.created_at,
    )
