"""Cloud-to-device messages as values: what a service sent, how it waits in its queue, what is told of its end.

Contract hub.md 18, 19. A queue belongs to a device, or to a module by `{device}/{module}`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from msgspec import Struct, field

from homeport.values import hiding

T_co = TypeVar("T_co", covariant=True)


class Acknowledgement(StrEnum):
    """Of which ends the sender wants to hear."""

    NONE = "none"
    POSITIVE = "positive"
    NEGATIVE = "negative"
    FULL = "full"


class FeedbackStatus(StrEnum):
    """How a message ended, in the spelling that Java matches."""

    SUCCESS = "Success"
    EXPIRED = "Expired"
    DELIVERY_COUNT_EXCEEDED = "DeliveryCountExceeded"
    REJECTED = "Rejected"
    PURGED = "Purged"


@hiding("body")
class CloudMessage(Struct, frozen=True, kw_only=True):
    """A message as its sender wrote it.

    `system` holds message-id, correlation-id and the like by their names on MQTT without `$.` (`mid`, `cid`, `uid`,
    `ct`, `ce`, `ctime`); `properties` the sender's own.
    """

    body: bytes
    system: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    acknowledgement: Acknowledgement = Acknowledgement.NONE
    enqueued_at: datetime
    expires_at: datetime

    @property
    def message_id(self) -> str:
        return self.system.get("mid", "")


class Lock(Struct, frozen=True, kw_only=True):
    """A delivery under way: the message is invisible to others until it is settled or the time is over."""

    token: str
    """A UUID in its usual spelling."""
    until: datetime
    of_connection: bool
    """Taken by a connection, and void when that one has ended."""


class QueuedMessage(Struct, frozen=True, kw_only=True):
    """What decides about a message in a queue; its content is read only to deliver it."""

    sequence_number: int
    message_id: str
    acknowledgement: Acknowledgement
    enqueued_at: datetime
    expires_at: datetime
    delivery_count: int = 0
    """Deliveries that came to nothing."""
    lock: Lock | None = None


class Feedback(Struct, frozen=True, kw_only=True):
    """What a sender is told about the end of a message (contract hub.md 18.3)."""

    message_id: str
    status: FeedbackStatus
    at: datetime


class FeedbackRecord(Struct, frozen=True, kw_only=True):
    """Feedback as it waits for the senders, with the queue it speaks of and the device's generation then."""

    target: str
    generation_id: str
    feedback: Feedback
    deliveries: int = 0


class Waiting(Struct, frozen=True, kw_only=True):
    """How much waits for services to take it, and since when."""

    count: int
    oldest: datetime | None


class Change(Struct, Generic[T_co], frozen=True, kw_only=True):
    """What becomes of a queue, and what the one who asked is told."""

    result: T_co
    updated: Sequence[QueuedMessage] = ()
    removed: Sequence[int] = ()
    """Sequence numbers."""
    feedback: Sequence[Feedback] = ()
