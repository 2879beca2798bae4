"""Cloud-to-device messages, what became of them, and files that arrived, as Python values (contract hub.md 18)."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec


class Acknowledgement(StrEnum):
    """Of which ends of a message its sender wants to hear."""

    NONE = "none"
    POSITIVE = "positive"
    NEGATIVE = "negative"
    FULL = "full"


class CloudToDeviceMessage(msgspec.Struct, kw_only=True, frozen=True):
    """A message to a device: at most 64 KB with its properties."""

    body: bytes
    message_id: str | None = None
    correlation_id: str | None = None
    user_id: str | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    expiry_time: datetime | None = None
    """Aware; an hour from now if there is none, two days at most."""
    acknowledgement: Acknowledgement = Acknowledgement.NONE
    properties: Mapping[str, str] = {}


class FeedbackRecord(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """How a message ended: `Success`, `Expired`, `DeliveryCountExceeded`, `Rejected` or `Purged`."""

    original_message_id: str
    status_code: str
    description: str = ""
    device_id: str
    device_generation_id: str | None = None
    enqueued_time_utc: datetime | None = None


class FeedbackBatch(msgspec.Struct, kw_only=True, frozen=True):
    """What was taken, to be completed or abandoned within a minute, with its lock."""

    records: list[FeedbackRecord]
    lock_token: str


class FileNotification(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """A device has uploaded a file."""

    device_id: str
    blob_uri: str
    blob_name: str
    last_updated_time: datetime | None = None
    blob_size_in_bytes: int = 0
    enqueued_time_utc: datetime | None = None


class FileNotificationDelivery(msgspec.Struct, kw_only=True, frozen=True):
    """What was taken, to be completed or abandoned within a minute, with its lock."""

    notification: FileNotification
    lock_token: str
