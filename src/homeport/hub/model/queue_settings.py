"""How a hub keeps cloud-to-device messages, and what it tells of them (contract hub.md 19, 23)."""

from datetime import timedelta

from msgspec import Struct


class FeedbackSettings(Struct, frozen=True, kw_only=True):
    """How long feedback waits for a service, how long one may hold it, and how often it is given out."""

    life: timedelta = timedelta(hours=1)
    lock: timedelta = timedelta(seconds=60)
    max_deliveries: int = 10


class QueueSettings(Struct, frozen=True, kw_only=True):
    """Of one hub. What a message says of its own expiry goes before `default_life`."""

    default_life: timedelta = timedelta(hours=1)
    max_deliveries: int = 10
    lock: timedelta = timedelta(seconds=60)
    """How long a receiver over HTTPS or AMQP has; one over HTTPS may ask for another time."""
    feedback: FeedbackSettings = FeedbackSettings()
    etag: str = ""
    """Empty until they are changed."""
