"""The cloud-to-device queues of one hub in SQL, and the feedback for their senders."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import TypeVar

from msgspec import Struct

from homeport.hub.errors import HubCode, HubError
from homeport.hub.model import (
    Acknowledgement,
    Change,
    CloudMessage,
    Feedback,
    FeedbackRecord,
    FeedbackStatus,
    Lock,
    QueuedMessage,
)
from homeport.store.database import Database, Parameters, Transaction
from homeport.store.notices import SqlNoticeStore
from homeport.store.rows import Codec, key_of, to_micros

T = TypeVar("T")

_OF_QUEUE = "WHERE hub = :hub AND target = :target"
_OF_MESSAGE = f"{_OF_QUEUE} AND number = :number"

_OPEN_QUEUE = """
    INSERT INTO message_queues (hub, target, next_number) VALUES (:hub, :target, 1)
    ON CONFLICT (hub, target) DO NOTHING"""
# The row's lock is held until the commit: two processes take turns with one queue.
_TAKE_NUMBER = f"UPDATE message_queues SET next_number = next_number + 1 {_OF_QUEUE} RETURNING next_number"
_HOLD_QUEUE = f"SELECT next_number FROM message_queues {_OF_QUEUE} /*postgres FOR UPDATE*/"
_COUNT = f"SELECT count(*) FROM messages {_OF_QUEUE}"
_ADD = """
    INSERT INTO messages (hub, target, number, due_at, state, body, data)
    VALUES (:hub, :target, :number, :due_at, :state, :body, :data)"""
_STATES = f"SELECT number, state FROM messages {_OF_QUEUE} ORDER BY number"
_SET_STATE = f"UPDATE messages SET due_at = :due_at, state = :state {_OF_MESSAGE}"
_REMOVE = f"DELETE FROM messages {_OF_MESSAGE}"
_CONTENT = f"SELECT body, data, state FROM messages {_OF_MESSAGE}"
_DUE = """
    SELECT target, min(due_at) FROM messages WHERE hub = :hub AND due_at <= :now
    GROUP BY target ORDER BY min(due_at) LIMIT :limit"""
_GENERATION = "SELECT identity FROM devices WHERE hub = :hub AND device_id = :device_id"
_TELL = """
    INSERT INTO message_feedback (hub, created_at, token, locked_until, deliveries, data)
    VALUES (:hub, :now, NULL, 0, 0, :data)"""


class LockRow(Struct, array_like=True):
    token: str
    until: datetime
    of_connection: bool


class StateRow(Struct, kw_only=True, omit_defaults=True):
    message_id: str = ""
    acknowledgement: Acknowledgement = Acknowledgement.NONE
    enqueued_at: datetime
    expires_at: datetime
    delivery_count: int = 0
    lock: LockRow | None = None


class ContentRow(Struct, array_like=True):
    system: dict[str, str]
    properties: dict[str, str]


class FeedbackRow(Struct, kw_only=True):
    target: str
    generation_id: str
    message_id: str
    status: FeedbackStatus
    at: datetime


class _GenerationRow(Struct):
    generation_id: str


_state_codec = Codec(StateRow)
_content_codec = Codec(ContentRow)
_feedback_codec = Codec(FeedbackRow)
_generation_codec = Codec(_GenerationRow)


class SqlMessageStore:
    """MessageStore of one hub over a Database."""

    def __init__(self, database: Database, hub: str) -> None:
        self._database = database
        self._hub = key_of(hub)

    async def append(self, target: str, message: CloudMessage, *, limit: int) -> int:
        where: Parameters = {"hub": self._hub, "target": target}
        state = QueuedMessage(
            sequence_number=0,
            message_id=message.message_id,
            acknowledgement=message.acknowledgement,
            enqueued_at=message.enqueued_at,
            expires_at=message.expires_at,
        )
        content = _content_codec.encode(ContentRow(dict(message.system), dict(message.properties)))

        async def work(transaction: Transaction) -> int:
            await transaction.execute(_OPEN_QUEUE, where)
            taken = await transaction.fetch_one(_TAKE_NUMBER, where)
            assert taken is not None, "the queue was there a statement ago, and none is ever removed"
            count = await transaction.fetch_one(_COUNT, where)
            if count is not None and count[0] >= limit:
                raise HubError(HubCode.QUEUE_FULL, f"{limit} messages are waiting for {target} already.")
            number: int = taken[0] - 1
            await transaction.execute(
                _ADD, {**where, "number": number, **_state_values(state), "body": message.body, "data": content}
            )
            return number

        return await self._database.write(work)

    async def change(self, target: str, decide: Callable[[Sequence[QueuedMessage]], Change[T]]) -> T:
        where: Parameters = {"hub": self._hub, "target": target}

        async def work(transaction: Transaction) -> T:
            await transaction.fetch_one(_HOLD_QUEUE, where)
            queue = [_queued(number, state) for number, state in await transaction.fetch_all(_STATES, where)]
            change = decide(queue)
            for message in change.updated:
                await transaction.execute(
                    _SET_STATE, {**where, "number": message.sequence_number, **_state_values(message)}
                )
            for number in change.removed:
                await transaction.execute(_REMOVE, {**where, "number": number})
            if change.feedback:
                await self._tell(transaction, target, change.feedback)
            return change.result

        return await self._database.write(work)

    async def read(self, target: str, sequence_number: int) -> CloudMessage | None:
        row = await self._database.fetch_one(_CONTENT, {"hub": self._hub, "target": target, "number": sequence_number})
        if row is None:
            return None
        body, data, state = row
        content, queued = _content_codec.decode(data), _state_codec.decode(state)
        return CloudMessage(
            body=body,
            system=content.system,
            properties=content.properties,
            acknowledgement=queued.acknowledgement,
            enqueued_at=queued.enqueued_at,
            expires_at=queued.expires_at,
        )

    async def counts(self, targets: Collection[str]) -> dict[str, int]:
        async def work(transaction: Transaction) -> dict[str, int]:
            found = {}
            for target in targets:
                row = await transaction.fetch_one(_COUNT, {"hub": self._hub, "target": target})
                if row is not None and row[0]:
                    found[target] = row[0]
            return found

        return await self._database.read(work)

    async def due(self, now: datetime, *, limit: int) -> Sequence[str]:
        rows = await self._database.fetch_all(_DUE, {"hub": self._hub, "now": to_micros(now), "limit": limit})
        return [row[0] for row in rows]

    async def _tell(self, transaction: Transaction, target: str, told: Sequence[Feedback]) -> None:
        device_id = target.partition("/")[0]
        row = await transaction.fetch_one(_GENERATION, {"hub": self._hub, "device_id": device_id})
        generation = "" if row is None else _generation_codec.decode(row[0]).generation_id
        for each in told:
            data = _feedback_codec.encode(
                FeedbackRow(
                    target=target, generation_id=generation, message_id=each.message_id, status=each.status, at=each.at
                )
            )
            await transaction.execute(_TELL, {"hub": self._hub, "now": to_micros(each.at), "data": data})


def _state_values(message: QueuedMessage) -> Parameters:
    lock = message.lock
    row = StateRow(
        message_id=message.message_id,
        acknowledgement=message.acknowledgement,
        enqueued_at=message.enqueued_at,
        expires_at=message.expires_at,
        delivery_count=message.delivery_count,
        lock=None if lock is None else LockRow(lock.token, lock.until, lock.of_connection),
    )
    due_at = message.expires_at if lock is None else lock.until
    return {"state": _state_codec.encode(row), "due_at": to_micros(due_at)}


def _queued(number: int, state: str) -> QueuedMessage:
    row = _state_codec.decode(state)
    return QueuedMessage(
        sequence_number=number,
        message_id=row.message_id,
        acknowledgement=row.acknowledgement,
        enqueued_at=row.enqueued_at,
        expires_at=row.expires_at,
        delivery_count=row.delivery_count,
        lock=None
        if row.lock is None
        else Lock(token=row.lock.token, until=row.lock.until, of_connection=row.lock.of_connection),
    )


def _record(data: str, deliveries: int) -> FeedbackRecord:
    row = _feedback_codec.decode(data)
    return FeedbackRecord(
        target=row.target,
        generation_id=row.generation_id,
        feedback=Feedback(message_id=row.message_id, status=row.status, at=row.at),
        deliveries=deliveries,
    )


def feedback_store(database: Database, hub: str) -> SqlNoticeStore[FeedbackRecord]:
    """Return what the senders of a hub's messages are to be told."""
    return SqlNoticeStore(database, hub, table="message_feedback", read=_record)
