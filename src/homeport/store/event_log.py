"""One hub's telemetry in SQL: an append-only log in partitions, written in batches.

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

from homeport.hub.model import StoredTelemetry, Telemetry
from homeport.store.batching import Batches
from homeport.store.database import Database, Parameters, Row, Transaction, Work
from homeport.store.rows import Codec, from_micros, key_of, to_micros

_SPAN = 1 << 40
"""Offsets a partition can have: enough for three years at ten thousand messages a second."""
_IN_FLIGHT = 2048
_BATCH_BYTES = 2 << 20
_MESSAGE_BYTES = 4096
"""What a message counts in a batch besides its body: about 500 small ones fill it."""
_RETAIN_ROWS = 500

_FIRST = f"(SELECT seq * {_SPAN} FROM log_partitions WHERE hub = :hub AND part = :part)"
_END = f"(SELECT (seq + 1) * {_SPAN} FROM log_partitions WHERE hub = :hub AND part = :part)"
_COLUMNS = "place, device_id, enqueued_at, body, data"

_ADD_PARTITION = """
    INSERT INTO log_partitions (hub, part, next_offset) VALUES (:hub, :part, 0) ON CONFLICT (hub, part) DO NOTHING"""
# The row's lock is held until the commit: offsets become visible in their order, and without gaps.
_TAKE_OFFSETS = """
    UPDATE log_partitions SET next_offset = next_offset + :count WHERE hub = :hub AND part = :part
    RETURNING seq, next_offset"""
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

_OLDEST = f"""
    SELECT place, enqueued_at FROM telemetry WHERE place >= {_FIRST} AND place < {_END} ORDER BY place LIMIT :limit"""
_DROP = f"DELETE FROM telemetry WHERE place >= {_FIRST} AND place <= :last"


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
    """EventLog of one hub over a Database.

    `partitions` must stay what it was when the hub was created: it decides where a device's messages are.
    """

    def __init__(self, database: Database, hub: str, *, partitions: int = 4) -> None:
        self._database = database
        self._hub = key_of(hub)
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
        offset = min(max(offset, 0), _SPAN)  # further on, another partition begins
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

    async def retain(self, *, enqueued_after: datetime) -> int:
        """Drop each partition's beginning up to the first message that is young enough, a few rows at a time."""
        dropped = 0
        for partition in range(self._partitions):
            while rows := await self._database.write(self._drop_oldest(partition, to_micros(enqueued_after))):
                dropped += rows
        return dropped

    def _work(self, batch: Sequence[_Append]) -> Work[Sequence[StoredTelemetry]]:
        by_partition: defaultdict[int, list[int]] = defaultdict(list)
        for index, (telemetry, _) in enumerate(batch):
            by_partition[self._partition(telemetry.device_id)].append(index)

        async def work(transaction: Transaction) -> Sequence[StoredTelemetry]:
            places: dict[int, StoredTelemetry] = {}
            rows: list[Parameters] = []
            # In one order everywhere, so that two processes never wait for each other's partitions.
            for partition, indexes in sorted(by_partition.items()):
                seq, end = await self._take_offsets(transaction, partition, len(indexes))
                for offset, index in enumerate(indexes, end - len(indexes)):
                    telemetry = batch[index][0]
                    places[index] = StoredTelemetry(partition=partition, offset=offset, telemetry=telemetry)
                    rows.append(
                        {
                            "place": seq * _SPAN + offset,
                            "device_id": telemetry.device_id,
                            "enqueued_at": to_micros(telemetry.enqueued_at),
                            "body": telemetry.body,
                            "data": encode_properties(telemetry),
                        }
                    )
            await transaction.execute_many(_ADD, rows)
            return [places[index] for index in range(len(batch))]

        return work

    async def _take_offsets(self, transaction: Transaction, partition: int, count: int) -> Row:
        where = self._where(partition, count=count)
        taken = await transaction.fetch_one(_TAKE_OFFSETS, where)
        if taken is None:
            await transaction.execute(_ADD_PARTITION, where)
            taken = await transaction.fetch_one(_TAKE_OFFSETS, where)
        if taken is None:
            raise AssertionError("the partition was there a statement ago, and none is ever removed")
        return taken

    def _drop_oldest(self, partition: int, until: int) -> Work[int]:
        async def work(transaction: Transaction) -> int:
            oldest = await transaction.fetch_all(_OLDEST, self._where(partition, limit=_RETAIN_ROWS))
            last = None
            for place, enqueued_at in oldest:
                if enqueued_at >= until:
                    break
                last = place
            return 0 if last is None else await transaction.execute(_DROP, self._where(partition, last=last))

        return work

    def _where(self, partition: int, **more: str | int) -> Parameters:
        return {"hub": self._hub, "part": partition, **more}

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
        partition=partition, offset=place % _SPAN, telemetry=telemetry_of(device_id, enqueued_at, body, data)
    )
