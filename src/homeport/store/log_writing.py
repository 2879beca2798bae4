"""Writes messages to the streams of a hub's event log inside a transaction, whoever's it is.

Messages that the hub makes of its own are written together with the change that they tell of; the telemetry of many
devices goes in batches (`event_log.py`).
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct

from homeport.hub.model import Outgoing, StoredTelemetry, Telemetry
from homeport.store.database import Parameters, Row, Transaction
from homeport.store.rows import Codec, from_micros, key_of, to_micros

SPAN = 1 << 40
"""Offsets a partition can have: enough for three years at ten thousand messages a second."""
PARTITION = "hub = :hub AND stream = :stream AND part = :part"
COLUMNS = "place, device_id, enqueued_at, body, data"

_ADD_PARTITION = """
    INSERT INTO log_partitions (hub, stream, part, next_offset, last_enqueued_at, bytes)
    VALUES (:hub, :stream, :part, 0, 0, 0) ON CONFLICT (hub, stream, part) DO NOTHING"""
# The row's lock is held until the commit: offsets become visible in their order, and without gaps.
_TAKE_OFFSETS = f"""
    UPDATE log_partitions
    SET next_offset = next_offset + :count, bytes = bytes + :bytes, last_enqueued_at = :enqueued_at
    WHERE {PARTITION} RETURNING seq, next_offset"""
_ADD = f"INSERT INTO telemetry ({COLUMNS}) VALUES (:place, :device_id, :enqueued_at, :body, :data)"


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


@lru_cache(maxsize=65_536)
def partition_of(device_id: str, partitions: int) -> int:
    """Return the partition in which a device's messages are."""
    digest = hashlib.blake2b(device_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest) % partitions


class LogWrite:
    """Messages made ready to be written; `run` may be called more than once.

    It must come last in its transaction: from there to the commit, others who write to these partitions wait.
    """

    def __init__(self, hub: str, messages: Sequence[Outgoing]) -> None:
        """`hub` is the key of one."""
        self._hub = hub
        self._messages = messages
        self._encoded = [encode_properties(each.message) for each in messages]
        places: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        for index, each in enumerate(messages):
            places[key_of(each.endpoint), partition_of(each.message.device_id, each.partitions)].append(index)
        # In one order everywhere, so that two processes never wait for each other's partitions.
        self._by_partition = sorted(places.items())

    async def run(self, transaction: Transaction) -> Sequence[StoredTelemetry]:
        """Write, and return where each message is, in the order they were given."""
        if not self._messages:
            return ()
        stored: dict[int, StoredTelemetry] = {}
        rows: list[Parameters] = []
        for (stream, partition), indexes in self._by_partition:
            seq, end = await self._take_offsets(transaction, stream, partition, indexes)
            for offset, index in enumerate(indexes, end - len(indexes)):
                outgoing = self._messages[index]
                message = outgoing.message
                stored[index] = StoredTelemetry(
                    endpoint=outgoing.endpoint, partition=partition, offset=offset, telemetry=message
                )
                rows.append(
                    {
                        "place": seq * SPAN + offset,
                        "device_id": message.device_id,
                        "enqueued_at": to_micros(message.enqueued_at),
                        "body": message.body,
                        "data": self._encoded[index],
                    }
                )
        await transaction.execute_many(_ADD, rows)
        return [stored[index] for index in range(len(self._messages))]

    async def _take_offsets(self, transaction: Transaction, stream: str, partition: int, indexes: Sequence[int]) -> Row:
        where: Parameters = {
            "hub": self._hub,
            "stream": stream,
            "part": partition,
            "count": len(indexes),
            "bytes": sum(len(self._messages[index].message.body) + len(self._encoded[index]) for index in indexes),
            "enqueued_at": to_micros(self._messages[indexes[-1]].message.enqueued_at),
        }
        taken = await transaction.fetch_one(_TAKE_OFFSETS, where)
        if taken is None:
            await transaction.execute(_ADD_PARTITION, where)
            taken = await transaction.fetch_one(_TAKE_OFFSETS, where)
        if taken is None:
            raise AssertionError("the partition was there a statement ago, and none is ever removed")
        return taken
