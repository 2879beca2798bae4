"""Messages of devices on AMQP: telemetry read, cloud-to-device messages written (contract hub.md 16.3, 16.4). Pure."""

import base64
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from homeport.hub.errors import HubCode, HubError
from homeport.hub.identifiers import path_of
from homeport.hub.messages import Delivery
from homeport.hub.model import Acknowledgement, format_time
from homeport.hub.telemetry import EMPTY_BAG, MAX_MESSAGE_BYTES, PropertyBag
from homeport.proto.amqp import (
    BATCH_FORMAT,
    AmqpValue,
    Data,
    Message,
    Properties,
    Symbol,
    Timestamp,
    UByte,
    ULong,
    decode_message,
)

MAX_BATCH: Final = 10_000
"""Messages in one batch: a few bytes on the wire become a few hundred in the log."""

_PROPERTIES: Final = {
    "iothub-message-schema": "schema",
    "iothub-creation-time-utc": "ctime",
    "iothub-outputname": "on",
    "iothub-operation": "iothub-operation",
    "iothub-ack": "iothub-ack",
}
"""Application properties that are system properties, by the keys of the property bag."""
_ANNOTATIONS: Final = {
    "iothub-interface-id": "ifid",
    "dt-subject": "sub",
    "Diagnostic-Id": "diagid",
    "Correlation-Context": "diagctx",
}


def read_telemetry(data: bytes, message_format: int) -> list[tuple[bytes, PropertyBag]]:
    """Read one message, or the messages of a batch.

    Raises RemoteProtocolError for what is no AMQP, HubError ARGUMENT_INVALID or MESSAGE_TOO_LARGE.
    """
    messages = [decode_message(data)] if message_format != BATCH_FORMAT else _batch(decode_message(data))
    read = [(read_body(each), read_bag(each)) for each in messages]
    if any(len(body) + bag.size > MAX_MESSAGE_BYTES for body, bag in read):
        raise HubError(HubCode.MESSAGE_TOO_LARGE, f"A message has at most {MAX_MESSAGE_BYTES} bytes.")
    return read


def _batch(message: Message) -> list[Message]:
    parts = message.body.parts if isinstance(message.body, Data) else ()
    if not 0 < len(parts) <= MAX_BATCH:
        raise HubError(HubCode.ARGUMENT_INVALID, f"A batch has 1 to {MAX_BATCH} messages, each in a data section.")
    return [decode_message(part) for part in parts]


def read_body(message: Message) -> bytes:
    """Return the body: data sections joined, or a value that is text or binary; nothing is empty."""
    match message.body:
        case Data(parts=parts):
            return b"".join(parts)
        case AmqpValue(value=bytes() as value):
            return value
        case AmqpValue(value=str() as text):
            return text.encode()
        case None | AmqpValue(value=None):
            return b""
        case _:
            raise HubError(HubCode.ARGUMENT_INVALID, "A message's body is binary data or text.")


def read_bag(message: Message) -> PropertyBag:
    """Return the properties of a message, all of them as text. Raises HubError ARGUMENT_INVALID."""
    system = _system(message.properties) if message.properties is not None else {}
    properties: dict[str, str | None] = {}
    for name, value in (message.application_properties or {}).items():
        if not isinstance(name, str):
            raise HubError(HubCode.ARGUMENT_INVALID, "The names of application properties are text.")
        key = _PROPERTIES.get(name)
        if key is None:
            properties[str(name)] = _text(name, value)
        else:
            system[key] = _text(name, value)
    for name, value in (message.message_annotations or {}).items():
        key = _ANNOTATIONS.get(name)
        if key is not None and value is not None:
            system[key] = _text(name, value)
    if not system and not properties:
        return EMPTY_BAG
    size = sum(len((value or "").encode()) for value in system.values())
    size += sum(len(name.encode()) + len((value or "").encode()) for name, value in properties.items())
    return PropertyBag(system=system, properties=properties, size=size)


def write_cloud_message(target: str, delivery: Delivery) -> tuple[bytes, Message]:
    """Write a message to a device or module, with its delivery tag: the token of the lock as a .NET GUID.

    Application properties are text only, since C takes nothing else; the body is always one data section.
    """
    queued, message = delivery.queued, delivery.message
    system = message.system
    token = UUID(delivery.token)
    application: dict[str, Any] = dict(message.properties)
    if system.get("ctime"):
        application["iothub-creation-time-utc"] = system["ctime"]
    if message.acknowledgement is not Acknowledgement.NONE:
        application["iothub-ack"] = message.acknowledgement.value
    written = Message(
        message_annotations={
            Symbol("x-opt-lock-token"): token,
            Symbol("x-opt-sequence-number"): ULong(queued.sequence_number),
            Symbol("iothub-enqueuedtime"): Timestamp.of(message.enqueued_at),
            Symbol("iothub-deliverycount"): UByte(min(queued.delivery_count, UByte.highest)),
        },
        properties=Properties(
            message_id=system.get("mid") or None,
            user_id=system["uid"].encode() if system.get("uid") else None,
            to="/" + "/".join((*path_of(target), "messages", "deviceBound")),
            correlation_id=system.get("cid") or None,
            content_type=_symbol(system, "ct"),
            content_encoding=_symbol(system, "ce"),
            absolute_expiry_time=Timestamp.of(message.expires_at),
        ),
        application_properties=application or None,
        body=Data((message.body,)),
    )
    return token.bytes_le, written


def _system(sent: Properties) -> dict[str, str | None]:
    values = {
        "mid": sent.message_id,
        "cid": sent.correlation_id,
        "uid": sent.user_id,
        "to": sent.to,
        "ct": sent.content_type,
        "ce": sent.content_encoding,
        "exp": sent.absolute_expiry_time,
    }
    return {key: _text(key, value) for key, value in values.items() if value is not None}


def _text(name: object, value: object) -> str | None:
    match value:
        case None:
            return None
        case str():
            return str(value)
        case bool():
            return "true" if value else "false"
        case Timestamp():
            try:
                return format_time(value.moment())
            except OverflowError:
                return str(int(value))
        case int():
            return str(int(value))
        case float():
            return repr(float(value))
        case UUID():
            return str(value)
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return base64.b64encode(value).decode("ascii")
        case _:
            raise HubError(HubCode.ARGUMENT_INVALID, f"The property {str(name)[:100]!r} is no simple value.")


def _symbol(system: Mapping[str, str], key: str) -> str | None:
    """Return what can stand as a symbol: ASCII."""
    value = system.get(key)
    return value if value and value.isascii() else None
