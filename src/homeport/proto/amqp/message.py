"""Messages (3.2): sections to and from bytes. Links carry them unread."""

from operator import attrgetter
from typing import Any

from msgspec import Struct

from homeport.proto import LocalProtocolError
from homeport.proto.amqp import kinds as k
from homeport.proto.amqp.decoder import FAULTS, Budget, read_value
from homeport.proto.amqp.encoder import write_value
from homeport.proto.amqp.errors import AmqpProtocolError, Condition, Scope
from homeport.proto.amqp.kinds import Composite, Field, read_descriptor
from homeport.proto.amqp.limits import DEFAULT_LIMITS, Limits
from homeport.proto.amqp.types import Symbol, Timestamp
from homeport.values import hiding

BATCH_FORMAT = 0x80013700
"""The message format of Azure's batches: each Data section is an encoded message (contract hub.md 16.3)."""


class Header(Struct, frozen=True):
    """How to carry the message (3.2.1); `ttl` in milliseconds. None stands for the standard's default."""

    durable: bool | None = None
    priority: int | None = None
    ttl: int | None = None
    first_acquirer: bool | None = None
    delivery_count: int | None = None


@hiding("user_id")
class Properties(Struct, frozen=True):
    """The sender's envelope (3.2.4).

    `message_id` and `correlation_id` are ULong, UUID, bytes or str, and keep that type when they are echoed.
    """

    message_id: Any = None
    user_id: bytes | None = None
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


@hiding("parts")
class Data(Struct, frozen=True):
    """A body of one or more binary sections."""

    parts: tuple[bytes, ...]


@hiding("parts")
class AmqpSequence(Struct, frozen=True):
    """A body of one or more lists."""

    parts: tuple[list[Any], ...]


@hiding("value")
class AmqpValue(Struct, frozen=True):
    """A body of one value, which may be None."""

    value: Any = None


Body = Data | AmqpSequence | AmqpValue


class Message(Struct, frozen=True, kw_only=True):
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


_HEADER = Composite(
    0x70,
    "header",
    Field(k.BOOLEAN),  # durable
    Field(k.UBYTE),  # priority
    Field(k.UINT),  # ttl
    Field(k.BOOLEAN),  # first-acquirer
    Field(k.UINT),  # delivery-count
)
_PROPERTIES = Composite(
    0x73,
    "properties",
    Field(k.MESSAGE_ID),  # message-id
    Field(k.BINARY),  # user-id
    Field(k.STRING),  # to
    Field(k.STRING),  # subject
    Field(k.STRING),  # reply-to
    Field(k.MESSAGE_ID),  # correlation-id
    Field(k.SYMBOL),  # content-type
    Field(k.SYMBOL),  # content-encoding
    Field(k.TIMESTAMP),  # absolute-expiry-time
    Field(k.TIMESTAMP),  # creation-time
    Field(k.STRING),  # group-id
    Field(k.UINT),  # group-sequence
    Field(k.STRING),  # reply-to-group-id
)
_header_values = attrgetter(*Header.__struct_fields__)
_property_values = attrgetter(*Properties.__struct_fields__)

_DATA, _SEQUENCE, _VALUE = 0x75, 0x76, 0x77
_MAPS = {
    0x71: ("delivery_annotations", k.FIELDS),
    0x72: ("message_annotations", k.FIELDS),
    0x74: ("application_properties", k.MAP),
    0x78: ("footer", k.FIELDS),
}
_PARTS = {_DATA: k.BINARY, _SEQUENCE: k.LIST}
_LATEST = 0x78
_SYMBOLS = {
    Symbol("amqp:delivery-annotations:map"): 0x71,
    Symbol("amqp:message-annotations:map"): 0x72,
    Symbol("amqp:application-properties:map"): 0x74,
    Symbol("amqp:data:binary"): _DATA,
    Symbol("amqp:amqp-sequence:list"): _SEQUENCE,
    Symbol("amqp:amqp-value:*"): _VALUE,
    Symbol("amqp:footer:map"): 0x78,
}


def decode_message(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Message:
    """Read a whole message. Raises AmqpProtocolError of scope LINK for what is none."""
    try:
        return _decode(data, Budget(limits.max_depth, limits.max_elements))
    except FAULTS:
        raise _malformed("the message is no AMQP") from None
    except AmqpProtocolError as fault:
        raise AmqpProtocolError(str(fault), fault.condition, Scope.LINK) from None


def _malformed(what: str) -> AmqpProtocolError:
    return AmqpProtocolError(what, Condition.DECODE_ERROR, Scope.LINK)


def _decode(data: bytes, budget: Budget) -> Message:
    sections: dict[str, Any] = {}
    parts: list[Any] = []
    body: Body | None = None
    at, size, latest = 0, len(data), 0
    while at < size:
        if data[at] != 0x00:
            raise _malformed("a section has no descriptor")
        if data[at + 1] == 0x53:
            code, at = data[at + 2], at + 3
        else:
            code, at = read_descriptor(data, at + 1, budget)
            code = _SYMBOLS.get(code, code)
        # Sections come in the order of their codes; only Data and AmqpSequence may come again (3.2).
        if not latest < code <= _LATEST and not (code == latest and code in _PARTS):
            raise _malformed("a section is unknown, out of order or there twice")
        if _DATA <= latest < code <= _VALUE:
            raise _malformed("the body has sections of two kinds")
        latest = code
        if code in _PARTS:
            part, at = _PARTS[code].readers[data[at]](data, at + 1, budget)
            if part is None:
                raise _malformed("a body section is null")
            budget.enter(1)
            budget.depth += 1
            parts.append(part)
            continue
        if code in _MAPS:
            name, kind = _MAPS[code]
            sections[name], at = kind.readers[data[at]](data, at + 1, budget)
        elif code == _VALUE:
            value, at = read_value(data, at, budget)
            body = AmqpValue(value)
        elif code == _HEADER.code:
            values, at = _HEADER.read(data, at, budget)
            sections["header"] = Header(*values)
        elif code == _PROPERTIES.code:
            values, at = _PROPERTIES.read(data, at, budget)
            sections["properties"] = Properties(*values)
        else:
            raise _malformed("a section is unknown")
    if parts:
        body = Data(tuple(parts)) if isinstance(parts[0], bytes) else AmqpSequence(tuple(parts))
    return Message(**sections, body=body)


def encode_message(message: Message) -> bytes:
    """Write a message. Raises LocalProtocolError for values that AMQP cannot write."""
    out = bytearray()
    try:
        _encode(out, message)
    except (AttributeError, TypeError):
        raise LocalProtocolError("a section has a value of another type") from None
    except RecursionError:
        raise LocalProtocolError("the message is nested too deeply") from None
    return bytes(out)


def _encode(out: bytearray, message: Message) -> None:
    if message.header is not None:
        _HEADER.write(out, _header_values(message.header))
    _write_map(out, 0x71, message.delivery_annotations)
    _write_map(out, 0x72, message.message_annotations)
    if message.properties is not None:
        _PROPERTIES.write(out, _property_values(message.properties))
    _write_map(out, 0x74, message.application_properties)
    match message.body:
        case Data(parts):
            for part in parts:
                _section(out, _DATA)
                k.BINARY.write(out, part)
        case AmqpSequence(lists):
            for items in lists:
                _section(out, _SEQUENCE)
                k.LIST.write(out, items)
        case AmqpValue(value):
            _section(out, _VALUE)
            write_value(out, value)
        case None:
            pass
    _write_map(out, 0x78, message.footer)


def _section(out: bytearray, code: int) -> None:
    out += bytes((0x00, 0x53, code))


def _write_map(out: bytearray, code: int, pairs: dict[Any, Any] | None) -> None:
    if pairs is not None:
        _section(out, code)
        _MAPS[code][1].write(out, pairs)
