"""Messages (3.2): sections to and from bytes. Links carry them unread."""

from dataclasses import dataclass, field
from typing import Any

from homeport.proto.amqp.limits import DEFAULT_LIMITS, Limits
from homeport.proto.amqp.types import Timestamp

BATCH_FORMAT = 0x80013700
"""The message format of Azure's batches: each Data section is an encoded message (contract hub.md 16.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """How to carry the message (3.2.1); `ttl` in milliseconds. None stands for the standard's default."""

    durable: bool | None = None
    priority: int | None = None
    ttl: int | None = None
    first_acquirer: bool | None = None
    delivery_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """The sender's envelope (3.2.4).

    `message_id` and `correlation_id` are ULong, UUID, bytes or str, and keep that type when they are echoed.
    """

    message_id: Any = None
    user_id: bytes | None = field(default=None, repr=False)
    to: str | None = None
    subject: str | None = None
    reply_to: str | None = None
    correlation_id: Any = None
    content_type: str | None = None
    content_encoding: str | None = None
    absolute_expiry_time: Timestamp | None = None
    creation_time: Timestamp | None = None
    group_id: str | None = None
    group_sequence: int | None = None
    reply_to_group_id: str | None = None


@dataclass(frozen=True, slots=True)
class Data:
    """A body of one or more binary sections."""

    parts: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class AmqpSequence:
    """A body of one or more lists."""

    parts: tuple[list[Any], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class AmqpValue:
    """A body of one value, which may be None."""

    value: Any = field(default=None, repr=False)


Body = Data | AmqpSequence | AmqpValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message; sections that are absent are None. Keys of annotations and of the footer are written as symbols.

    `body` None is a message without body section, which the standard does not know but clients send (dps.md 5.4).
    """

    header: Header | None = None
    delivery_annotations: dict[Any, Any] | None = None
    message_annotations: dict[Any, Any] | None = None
    properties: Properties | None = None
    application_properties: dict[str, Any] | None = None
    body: Body | None = None
    footer: dict[Any, Any] | None = None

    @property
    def data(self) -> bytes | None:
        """The Data sections joined, None for any other body."""
        return b"".join(self.body.parts) if isinstance(self.body, Data) else None


def decode_message(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Message:
    """Read a whole message. Raises AmqpProtocolError of scope LINK for what is none."""
    raise NotImplementedError


def encode_message(message: Message) -> bytes:
    """Write a message. Raises LocalProtocolError for values that AMQP cannot write."""
    raise NotImplementedError
