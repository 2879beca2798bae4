"""One stream of a hub's event log in SQL: an append-only log in partitions, written in batches.

A message's key is one number, partition and offset together, so that a partition is a range of the table.
"""

import asyncio
import hashlib
import heapq
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from itertools import islice

from msgspec import Struct

from homeport.hub.model import BUILT_IN, PARTITIONS, PartitionState, StoredTelemetry, Telemetry
from homeport.store.batching import Batches
from homeport.store.database import Database, Parameters, Row, Transaction, Work
from homeport.store.rows import Codec, from_micros, key_of, to_micros

SPAN = 1 << 40
"""Offsets a partition can have: enough for three years at ten thousand messages a second."""
_IN_FLIGHT = 2048
_BATCH_BYTES = 2 << 20
_MESSAGE_BYTES = 4096
"""What a message counts in a batch besides its body: about 500 small ones fill it."""

_PARTITION = "hub = :hub AND stream = :stream AND part = :part"
_FIRST = f"(SELECT seq * {SPAN} FROM log_partitions WHERE {_PARTITION})"
_END = f"(SELECT (seq + 1) * {SPAN} FROM log_partitions WHERE {_PARTITION})"
_COLUMNS = "place, device_id, enqueued_at, body, data"

_ADD_PARTITION = """
    INSERT INTO log_partitions (hub, stream, part, next_offset, last_enqueued_at, bytes)
    VALUES (:hub, :stream, :part, 0, 0, 0) ON CONFLICT (hub, stream, part) DO NOTHING"""
# The row's lock is held until the commit: offsets become visible in their order, and without gaps.
_TAKE_OFFSETS = f"""
    UPDATE log_partitions
    SET next_offset = next_offset + :count, bytes = bytes + :bytes, last_enqueued_at = :enqueued_at
    WHERE {_PARTITION} RETURNING seq, next_offset"""
_ADD = f"INSERT INTO telemetry ({_COLUMNS}) VALUES (:place, :device_id, :enqueued_at, :body, :data)"

_READ = f"""
    SELECT {_COLUMNS} FROM telemetry WHERE place >= {_FIRST} + :offset AND place < {_END}
    ORDER BY place LIMIT :limit"""
_LATEST = f"""
    SELECT {_COLUMNS} FROM telemetry WHERE place >= {_FIRST} AND place < {_END} ORDER BY place DESC LIMIT :limit"""
_LATEST_OF_DEVICE = f"""
    SELECT {_COLUMNS} FROM telemetry WHERE device_id = :device_id AND place >= {_FIRST} AND place < {_END}
    ORDER BY place DESC LIMIT :limit"""
_COUNT = f"""
    SELECT count(*) FROM telemetry WHERE device_id = :device_id AND place >= {_FIRST} AND place < {_END}"""
_STATE = f"""
    SELECT seq, next_offset, last_enqueued_at, COALESCE(
        (SELECT place FROM telemetry
        WHERE place >= log_partitions.seq * {SPAN} AND place < (log_partitions.seq + 1) * {SPAN}
        ORDER BY place LIMIT 1), seq * {SPAN} + next_offset)
    FROM log_partitions WHERE {_PARTITION}"""
_TIME = "SELECT enqueued_at FROM telemetry WHERE place = :place"

_HELD = "SELECT part, seq, bytes FROM log_partitions WHERE hub = :hub AND stream = :stream"
_OLDEST = f"""
    SELECT place, enqueued_at, LENGTH(body) + LENGTH(CAST(data AS TEXT)) FROM telemetry
    WHERE place >= CAST(:seq AS BIGINT) * {SPAN} AND place < (CAST(:seq AS BIGINT) + 1) * {SPAN}
    ORDER BY place LIMIT :limit"""
_DROP = f"DELETE FROM telemetry WHERE place >= CAST(:seq AS BIGINT) * {SPAN} AND place <= :last"
_FREE = "UPDATE log_partitions SET bytes = bytes - :bytes WHERE seq = :seq"


class PropertiesRow(Struct, array_like=True):
    system: dict[str, str | None]
    properties: dict[str, str | None]
    annotations: dict[str, str]


_codec = Codec(PropertiesRow)


def encode_properties(telemetry: Telemetry) -> str:
    return _codec.encode(PropertiesRow(dict(telemetry.system), dict(telemetry.properties), dict(telemetry.annotations)))


def telemetry_of(device_id: str, enqueued_at: int, body: bytes, data: str) -> Telemetry:
    row = _codec.decode(data)
    return Telemetry(
        device_id=device_id,
        body=body,
        system=row.system,
        properties=row.properties,
        annotations=row.annotations,
        enqueued_at=from_micros(enqueued_at),
    )


_Append = tuple[Telemetry, asyncio.Future[StoredTelemetry]]


class SqlEventLog:
    """EventLog of one stream of a hub over a Database.

    `partitions` must stay what it was when the stream was created: it decides where a device's messages are.
    """

    def __init__(self, database: Database, hub: str, *, stream: str = BUILT_IN, partitions: int = PARTITIONS) -> None:
        self._database = database
        self._hub = key_of(hub)
        self._stream = key_of(stream)
        self._partitions = partitions
        self._room = asyncio.Semaphore(_IN_FLIGHT)
        self._batches: Batches[_Append, Sequence[StoredTelemetry]] = Batches(
            database,
            work=self._work,
            done=_answer,
            weigh=lambda item: _MESSAGE_BYTES + len(item[0].body),
            limit=_BATCH_BYTES,
        )

    @property
    def partitions(self) -> int:
        return self._partitions

    async def append(self, telemetry: Telemetry) -> StoredTelemetry:
        # The semaphore is fair: who waits for room keeps the place in line.
        async with self._room:
            stored: asyncio.Future[StoredTelemetry] = asyncio.get_running_loop().create_future()
            self._batches.add((telemetry, stored))
            return await stored

    async def read(self, partition: int, *, offset: int, limit: int) -> Sequence[StoredTelemetry]:
        offset = min(max(offset, 0), SPAN)  # further on, another partition begins
        where = self._where(partition, offset=offset, limit=limit)
        return [_stored(partition, row) for row in await self._database.fetch_all(_READ, where)]

    async def latest(self, *, device_id: str | None, limit: int) -> Sequence[StoredTelemetry]:
        if device_id is not None:
            partition = self._partition(device_id)
            where = self._where(partition, device_id=device_id, limit=limit)
            return [_stored(partition, row) for row in await self._database.fetch_all(_LATEST_OF_DEVICE, where)]

        async def work(transaction: Transaction) -> list[list[StoredTelemetry]]:
            return [
                [
                    _stored(partition, row)
                    for row in await transaction.fetch_all(_LATEST, self._where(partition, limit=limit))
                ]
                for partition in range(self._partitions)
            ]

        # By time between partitions, in the order of offsets within each.
        newest = heapq.merge(
            *await self._database.read(work), key=lambda stored: stored.telemetry.enqueued_at, reverse=True
        )
        return list(islice(newest, limit))

    async def count(self, device_id: str) -> int:
        row = await self._database.fetch_one(_COUNT, self._where(self._partition(device_id), device_id=device_id))
        return 0 if row is None else row[0]

    async def state(self, partition: int) -> PartitionState:
        return await self._database.read(lambda transaction: self._state(transaction, partition))

    async def first_enqueued(self, partition: int, at: datetime) -> int:
        wanted = to_micros(at)

        async def work(transaction: Transaction) -> int:
            row = await transaction.fetch_one(_STATE, self._where(partition))
            if row is None:
                return 0
            seq, end, _, oldest = row
            below, above = oldest - 1, seq * SPAN + end
            # Times grow with places, but for the difference between the clocks of two processes.
            while above - below > 1:
                place = (below + above) // 2
                found = await transaction.fetch_one(_TIME, {"place": place})
                if found is None or found[0] < wanted:
                    below = place
                else:
                    above = place
            return int(above - seq * SPAN)

        return await self._database.read(work)

    async def retain(self, *, enqueued_after: datetime, max_bytes: int | None = None, limit: int) -> int:
        until = to_micros(enqueued_after)

        async def work(transaction: Transaction) -> int:
            held = await transaction.fetch_all(_HELD, {"hub": self._hub, "stream": self._stream})
            excess = 0 if max_bytes is None else sum(partition[2] for partition in held) - max_bytes
            heads = [
                (head[1], seq)
                for _, seq, _ in held
                if (head := await transaction.fetch_one(_OLDEST, {"seq": seq, "limit": 1})) is not None
            ]
            if not heads:
                return 0
            oldest, seq = min(heads)
            if oldest >= until and excess <= 0:
                return 0
            freed, last = 0, None
            for place, enqueued_at, size in await transaction.fetch_all(_OLDEST, {"seq": seq, "limit": limit}):
                if enqueued_at >= until and freed >= excess:
                    break
                last = place
                freed += size
            if last is None:
                return 0
            dropped = await transaction.execute(_DROP, {"seq": seq, "last": last})
            # Last of all: from here to the commit, those who append to this partition wait.
            await transaction.execute(_FREE, {"seq": seq, "bytes": freed})
            return dropped

        return await self._database.write(work)

    def _work(self, batch: Sequence[_Append]) -> Work[Sequence[StoredTelemetry]]:
        by_partition: defaultdict[int, list[int]] = defaultdict(list)
        for index, (telemetry, _) in enumerate(batch):
            by_partition[self._partition(telemetry.device_id)].append(index)
        encoded = [encode_properties(telemetry) for telemetry, _ in batch]

        async def work(transaction: Transaction) -> Sequence[StoredTelemetry]:
            places: dict[int, StoredTelemetry] = {}
            rows: list[Parameters] = []
            # In one order everywhere, so that two processes never wait for each other's partitions.
            for partition, indexes in sorted(by_partition.items()):
                seq, end = await self._take_offsets(
                    transaction,
                    partition,
                    count=len(indexes),
                    bytes=sum(len(batch[index][0].body) + len(encoded[index]) for index in indexes),
                    enqueued_at=to_micros(batch[indexes[-1]][0].enqueued_at),
                )
                for offset, index in enumerate(indexes, end - len(indexes)):
                    telemetry = batch[index][0]
                    places[index] = StoredTelemetry(partition=partition, offset=offset, telemetry=telemetry)
                    rows.append(
                        {
                            "place": seq * SPAN + offset,
                            "device_id": telemetry.device_id,
                            "enqueued_at": to_micros(telemetry.enqueued_at),
                            "body": telemetry.body,
                            "data": encoded[index],
                        }
                    )
            await transaction.execute_many(_ADD, rows)
            return [places[index] for index in range(len(batch))]

        return work

    async def _take_offsets(self, transaction: Transaction, partition: int, **taking: int) -> Row:
        where = self._where(partition, **taking)
        taken = await transaction.fetch_one(_TAKE_OFFSETS, where)
        if taken is None:
            await transaction.execute(_ADD_PARTITION, where)
            taken = await transaction.fetch_one(_TAKE_OFFSETS, where)
        if taken is None:
            raise AssertionError("the partition was there a statement ago, and none is ever removed")
        return taken

    async def _state(self, transaction: Transaction, partition: int) -> PartitionState:
        row = await transaction.fetch_one(_STATE, self._where(partition))
        if row is None:
            return PartitionState(begin=0, end=0, last_enqueued_at=None)
        seq, end, enqueued_at, oldest = row
        return PartitionState(
            begin=oldest - seq * SPAN, end=end, last_enqueued_at=from_micros(enqueued_at) if end else None
        )

    def _where(self, partition: int, **more: str | int) -> Parameters:
        return {"hub": self._hub, "stream": self._stream, "part": partition, **more}

    def _partition(self, device_id: str) -> int:
        digest = hashlib.blake2b(device_id.encode(), digest_size=8).digest()
        return int.from_bytes(digest) % self._partitions


def _answer(batch: Sequence[_Append], written: asyncio.Future[Sequence[StoredTelemetry]]) -> None:
    error = asyncio.CancelledError() if written.cancelled() else written.exception()
    for index, (_, stored) in enumerate(batch):
        if stored.done():
            continue
        if error is None:
            stored.set_result(written.result()[index])
        else:
            stored.set_exception(error)


def _stored(partition: int, row: Row) -> StoredTelemetry:
    place, device_id, enqueued_at, body, data = row
    return StoredTelemetry(
        partition=partition, offset=place % SPAN, telemetry=telemetry_of(device_id, enqueued_at, body, data)
    )
