"""Requests and answers of devices over AMQP: addresses, messages, errors (contract dps.md 5.3 to 5.6). Pure."""

import re
from typing import Any, Final
from urllib.parse import unquote

from msgspec import Struct

from homeport.dps.reply import Reply
from homeport.proto.amqp import AmqpValue, Condition, Data, Error, Int, Message, Properties

API_VERSION: Final = "com.microsoft:api-version"
CLIENT_VERSION: Final = "com.microsoft:client-version"

_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*://[^/]*)?/*(?P<scope>[^/]+)/registrations/(?P<id>[^/]+)/?", re.IGNORECASE)
_MAX_ADDRESS: Final = 1024

_OPERATION_TYPE: Final = "iotdps-operation-type"
_OPERATION_ID: Final = "iotdps-operation-id"

_CONDITIONS: Final = {
    400: "com.microsoft:argument-error",
    401: Condition.UNAUTHORIZED_ACCESS,
    404: Condition.NOT_FOUND,
    405: Condition.NOT_ALLOWED,
    409: "com.microsoft:precondition-failed",
    412: "com.microsoft:precondition-failed",
    413: Condition.MESSAGE_SIZE_EXCEEDED,
    429: "com.microsoft:device-container-throttled",
}
"""By status; whatever else is amqp:internal-error, which Node repeats after (contract dps.md 5.6)."""


class Address(Struct, frozen=True, kw_only=True):
    """The registration that a link is for."""

    id_scope: str
    registration_id: str


class Register(Struct, frozen=True):
    """Register, with the JSON of the body; empty if there is none."""

    body: bytes


class Status(Struct, frozen=True):
    """Ask how an operation goes."""

    operation_id: str


class Lookup(Struct, frozen=True):
    """Ask for the device's record; declared by the SDKs, and sent by none of them."""

    body: bytes


Request = Register | Status | Lookup


def read_address(text: str) -> Address | None:
    """Read `{scope}/registrations/{id}`, with or without a slash, or a scheme and a host, before it."""
    match = _ADDRESS.fullmatch(text) if len(text) <= _MAX_ADDRESS else None
    return match and Address(id_scope=unquote(match["scope"]), registration_id=unquote(match["id"]))


def read_text(properties: dict[Any, Any] | None, name: str) -> str | None:
    """Return a link's property of this name if it is text."""
    value = (properties or {}).get(name)
    return value if isinstance(value, str) and value else None


def read_request(message: Message) -> Request | None:
    """Tell what a device wants; None if it does not say so. Every kind of body is taken, and none."""
    properties = message.application_properties or {}
    match properties.get(_OPERATION_TYPE):
        case "iotdps-register":
            return Register(_body(message))
        case "iotdps-get-operationstatus":
            operation_id = properties.get(_OPERATION_ID)
            return Status(operation_id if isinstance(operation_id, str) else "")
        case "iotdps-get-registration":
            return Lookup(_body(message))
        case _:
            return None


def response(request: Message, reply: Reply) -> Message:
    """Write the answer: the request's correlation id with its type, `retry-after` in both spellings (dps.md 5.5)."""
    correlation_id = request.properties.correlation_id if request.properties else None
    return Message(
        properties=None if correlation_id is None else Properties(correlation_id=correlation_id),
        application_properties=_retry_after(reply),
        body=Data((reply.body,)),
    )


def error(reply: Reply) -> Error:
    """Write a refusal: C# takes the description apart as JSON and reads status and retry from it (dps.md 5.6)."""
    condition = _CONDITIONS.get(reply.status, Condition.INTERNAL_ERROR)
    return Error(condition=condition, description=reply.body.decode("ascii"), info=_retry_after(reply) or {})


def _retry_after(reply: Reply) -> dict[str, Any] | None:
    if reply.retry_after is None:
        return None
    seconds = Int(reply.retry_after)
    return {"retry-after": seconds, "Retry-After": seconds}


def _body(message: Message) -> bytes:
    match message.body:
        case Data():
            return b"".join(message.body.parts)
        case AmqpValue(value=bytes() as value):
            return value
        case AmqpValue(value=str() as text):
            return text.encode()
        case _:
            return b""
