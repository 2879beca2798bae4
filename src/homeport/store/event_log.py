"""One stream of a hub's event log in SQL: an append-only log in partitions, written in batches.

A message's key is one number, partition and offset together, so that a partition is a range of the table.
"""

import asyncio
import heapq
from collections.abc import Sequence
from datetime import datetime
from itertools import islice

from homeport.hub.model import BUILT_IN, PARTITIONS, Outgoing, PartitionState, StoredTelemetry, Telemetry
from homeport.store.batching import Batches
from homeport.store.database import Database, Parameters, Row, Transaction
from homeport.store.log_writing import COLUMNS, PARTITION, SPAN, LogWrite, partition_of, telemetry_of
from homeport.store.rows import from_micros, key_of, to_micros

_IN_FLIGHT = 2048
_BATCH_BYTES = 2 << 20
_MESSAGE_BYTES = 4096
"""What a message counts in a batch besides its body: about 500 small ones fill it."""

_FIRST = f"(SELECT seq * {SPAN} FROM log_partitions WHERE {PARTITION})"
_END = f"(SELECT (seq + 1) * {SPAN} FROM log_partitions WHERE {PARTITION})"

_READ = f"""
    SELECT {COLUMNS} FROM telemetry WHERE place >= {_FIRST} + :offset AND place < {_END}
    ORDER BY place LIMIT :limit"""
_LATEST = f"""
    SELECT {COLUMNS} FROM telemetry WHERE place >= {_FIRST} AND place < {_END} ORDER BY place DESC LIMIT :limit"""
_LATEST_OF_DEVICE = f"""
    SELECT {COLUMNS} FROM telemetry WHERE device_id = :device_id AND place >= {_FIRST} AND place < {_END}
    ORDER BY place DESC LIMIT :limit"""
_COUNT = f"""
    SELECT count(*) FROM telemetry WHERE device_id = :device_id AND place >= {_FIRST} AND place < {_END}"""
_STATE = f"""
    SELECT seq, next_offset, last_enqueued_at, COALESCE(
        (SELECT place FROM telemetry
        WHERE place >= log_partitions.seq * {SPAN} AND place < (log_partitions.seq + 1) * {SPAN}
        ORDER BY place LIMIT 1), seq * {SPAN} + next_offset)
    FROM log_partitions WHERE {PARTITION}"""
_TIME = "SELECT enqueued_at FROM telemetry WHERE place = :place"

_SIZE = "LENGTH(body) + LENGTH(CAST(data AS TEXT))"
_HELD = "SELECT part, seq, bytes FROM log_partitions WHERE hub = :hub AND stream = :stream"
_OLDEST = f"""
    SELECT place, enqueued_at, {_SIZE} FROM telemetry
    WHERE place >= CAST(:seq AS BIGINT) * {SPAN} AND place < (CAST(:seq AS BIGINT) + 1) * {SPAN}
    ORDER BY place LIMIT :limit"""
# Another process may drop the same: what is freed is what this one has deleted.
_DROP = f"DELETE FROM telemetry WHERE place >= CAST(:seq AS BIGINT) * {SPAN} AND place <= :last RETURNING {_SIZE}"
_FREE = "UPDATE log_partitions SET bytes = bytes - :bytes WHERE seq = :seq"


_Append = tuple[Sequence[Outgoing], asyncio.Future[Sequence[StoredTelemetry]]]
"""Messages that are written together or not at all, and where they are then."""


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
            work=lambda batch: LogWrite(self._hub, [each for messages, _ in batch for each in messages]).run,
            done=_answer,
            weigh=lambda item: sum(_MESSAGE_BYTES + len(each.message.body) for each in item[0]),
            limit=_BATCH_BYTES,
        )

    @property
    def partitions(self) -> int:
        return self._partitions

    def partition_of(self, device_id: str) -> int:
        return partition_of(device_id, self._partitions)

    async def append(self, telemetry: Telemetry) -> StoredTelemetry:
        outgoing = Outgoing(endpoint=self._stream, partitions=self._partitions, message=telemetry)
        (stored,) = await self.append_all((outgoing,))
        return stored

    async def append_all(self, messages: Sequence[Outgoing]) -> Sequence[StoredTelemetry]:
        if not messages:
            return ()
        # The semaphore is fair: who waits for room keeps the place in line.
        async with self._room:
            stored: asyncio.Future[Sequence[StoredTelemetry]] = asyncio.get_running_loop().create_future()
            self._batches.add((messages, stored))
            return await stored

    async def read(self, partition: int, *, offset: int, limit: int) -> Sequence[StoredTelemetry]:
        offset = min(max(offset, 0), SPAN)  # further on, another partition begins
        where = self._where(partition, offset=offset, limit=limit)
        return [self._stored(partition, row) for row in await self._database.fetch_all(_READ, where)]

    async def latest(self, *, device_id: str | None, limit: int) -> Sequence[StoredTelemetry]:
        if device_id is not None:
            partition = self.partition_of(device_id)
            where = self._where(partition, device_id=device_id, limit=limit)
            return [self._stored(partition, row) for row in await self._database.fetch_all(_LATEST_OF_DEVICE, where)]

        async def work(transaction: Transaction) -> list[list[StoredTelemetry]]:
            return [
                [
                    self._stored(partition, row)
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
        row = await self._database.fetch_one(_COUNT, self._where(self.partition_of(device_id), device_id=device_id))
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
            dropped = await transaction.fetch_all(_DROP, {"seq": seq, "last": last})
            # Last of all: from here to the commit, those who append to this partition wait.
            await transaction.execute(_FREE, {"seq": seq, "bytes": sum(row[0] for row in dropped)})
            return len(dropped)

        return await self._database.write(work)

    async def _state(self, transaction: Transaction, partition: int) -> PartitionState:
        row = await transaction.fetch_one(_STATE, self._where(partition))
        if row is None:
            return PartitionState(begin=0, end=0, last_enqueued_at=None)
        seq, end, enqueued_at, oldest = row
        return PartitionState(
            begin=oldest - seq * SPAN, end=end, last_enqueued_at=from_micros(enqueued_at) if end else None
        )

    def _stored(self, partition: int, row: Row) -> StoredTelemetry:
        place, device_id, enqueued_at, body, data = row
        return StoredTelemetry(
            endpoint=self._stream,
            partition=partition,
            offset=place % SPAN,
            telemetry=telemetry_of(device_id, enqueued_at, body, data),
        )

    def _where(self, partition: int, **more: str | int) -> Parameters:
        return {"hub": self._hub, "stream": self._stream, "part": partition, **more}


def _answer(batch: Sequence[_Append], written: asyncio.Future[Sequence[StoredTelemetry]]) -> None:
    error = asyncio.CancelledError() if written.cancelled() else written.exception()
    begin = 0
    for messages, stored in batch:
        end = begin + len(messages)
        if not stored.done():
            if error is None:
                stored.set_result(written.result()[begin:end])
            else:
                stored.set_exception(error)
        begin = end
