"""What happens to the messages of one queue: locked, completed, abandoned, rejected, expired, purged (hub.md 19). Pure.

States: enqueued; locked (a delivery is under way); gone. A lock that is over puts its message back in its place, with
one delivery more on its count; a message that was delivered too often, or whose time is over, is gone with feedback.
Time is looked at whenever a queue is: nothing here needs a timer to be right.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import Enum
from typing import TypedDict, TypeVar

from homeport.hub.errors import HubCode, HubError
from homeport.hub.model import Acknowledgement, Change, Feedback, FeedbackStatus, Lock, QueuedMessage
from homeport.values import replace

T = TypeVar("T")

Queue = Sequence[QueuedMessage]


class Rules(TypedDict):
    """What most decisions depend on beside the queue."""

    now: datetime
    max_deliveries: int


_POSITIVE = frozenset({Acknowledgement.POSITIVE, Acknowledgement.FULL})
_NEGATIVE = frozenset({Acknowledgement.NEGATIVE, Acknowledgement.FULL})


class Settlement(Enum):
    """What a receiver says of a message it was given."""

    COMPLETE = "complete"
    ABANDON = "abandon"
    REJECT = "reject"


def lock_next(queue: Queue, lock: Lock, *, now: datetime, max_deliveries: int) -> Change[QueuedMessage | None]:
    """Take the first message that waits; None if none does."""
    change, rest = _aged(queue, now, max_deliveries)
    for message in rest:
        if message.lock is None:
            taken = replace(message, lock=lock)
            return replace(change, result=taken, updated=_with(change.updated, taken))
    return change


def settle(
    queue: Queue, token: str, settlement: Settlement, *, now: datetime, max_deliveries: int
) -> Change[QueuedMessage]:
    """End a delivery as its receiver says. Raises MESSAGE_LOCK_LOST if it is over already, or never was."""
    message = next((each for each in queue if each.lock is not None and each.lock.token == token), None)
    if message is None or message.lock is None or message.lock.until <= now:
        raise HubError(HubCode.MESSAGE_LOCK_LOST, "The lock on the message is over, or was never given.")
    match settlement:
        case Settlement.COMPLETE:
            return _gone(message, FeedbackStatus.SUCCESS, now)
        case Settlement.REJECT:
            return _gone(message, FeedbackStatus.REJECTED, now)
        case Settlement.ABANDON:
            return _returned(message, now, max_deliveries)


def release(queue: Queue, *, now: datetime, max_deliveries: int) -> Change[int]:
    """Void the locks of connections: there is a new one, or none any more. Tells how many."""
    held = [message for message in queue if message.lock is not None and message.lock.of_connection]
    return _merged(len(held), (_returned(message, now, max_deliveries) for message in held))


def age(queue: Queue, *, now: datetime, max_deliveries: int) -> Change[None]:
    """Do what time has brought, and nothing else."""
    change, _ = _aged(queue, now, max_deliveries)
    return Change(result=None, updated=change.updated, removed=change.removed, feedback=change.feedback)


def purge(queue: Queue, *, now: datetime) -> Change[int]:
    """Empty the queue, deliveries under way included; tells how many messages there were."""
    return _merged(len(queue), (_gone(message, FeedbackStatus.PURGED, now) for message in queue))


def is_due(message: QueuedMessage, now: datetime) -> bool:
    """Tell whether time has something to do with the message."""
    return message.expires_at <= now if message.lock is None else message.lock.until <= now


def _aged(queue: Queue, now: datetime, max_deliveries: int) -> tuple[Change[QueuedMessage | None], list[QueuedMessage]]:
    """Return what time has brought, and the messages as they are then, in order."""
    changes: list[Change[QueuedMessage]] = []
    rest: list[QueuedMessage] = []
    for message in queue:
        if not is_due(message, now):
            rest.append(message)
            continue
        change = (
            _gone(message, FeedbackStatus.EXPIRED, now)
            if message.lock is None
            else _returned(message, now, max_deliveries)
        )
        changes.append(change)
        rest += change.updated
    return _merged(None, iter(changes)), rest


def _returned(message: QueuedMessage, now: datetime, max_deliveries: int) -> Change[QueuedMessage]:
    back = replace(message, lock=None, delivery_count=message.delivery_count + 1)
    if back.delivery_count >= max_deliveries:
        return _gone(back, FeedbackStatus.DELIVERY_COUNT_EXCEEDED, now)
    if back.expires_at <= now:
        return _gone(back, FeedbackStatus.EXPIRED, now)
    return Change(result=back, updated=(back,))


def _gone(message: QueuedMessage, status: FeedbackStatus, now: datetime) -> Change[QueuedMessage]:
    wanted = message.acknowledgement in (_POSITIVE if status is FeedbackStatus.SUCCESS else _NEGATIVE)
    feedback = Feedback(message_id=message.message_id, status=status, at=now)
    return Change(result=message, removed=(message.sequence_number,), feedback=(feedback,) if wanted else ())


def _merged(result: T, changes: Iterator[Change[QueuedMessage]]) -> Change[T]:
    all_of_them = list(changes)
    return Change(
        result=result,
        updated=[message for change in all_of_them for message in change.updated],
        removed=[number for change in all_of_them for number in change.removed],
        feedback=[told for change in all_of_them for told in change.feedback],
    )


def _with(updated: Sequence[QueuedMessage], message: QueuedMessage) -> Sequence[QueuedMessage]:
    """Replace a message among those that change already."""
    others = [each for each in updated if each.sequence_number != message.sequence_number]
    return [*others, message]
