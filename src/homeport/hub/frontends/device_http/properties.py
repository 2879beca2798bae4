"""Message properties in HTTP headers, both ways, and the batch of many messages (contract hub.md 17.1, 17.2)."""

import base64
from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.json import Decoder

from homeport.hub.errors import HubCode, HubError
from homeport.hub.messages import Delivery
from homeport.hub.model import Acknowledgement, format_time
from homeport.hub.telemetry import MAX_MESSAGE_BYTES, PropertyBag
from homeport.wire import TooLargeError, WireError, decode

BATCH = "application/vnd.microsoft.iothub.json"
MAX_BATCH_TEXT = 2 * MAX_MESSAGE_BYTES
"""Base64 and the properties' names around messages of 256 KB in all."""

_APPLICATION = "iothub-app-"
_SYSTEM = {
    "iothub-messageid": "mid",
    "iothub-correlationid": "cid",
    "iothub-userid": "uid",
    "iothub-to": "to",
    "iothub-expiry": "exp",
    "iothub-contenttype": "ct",
    "iothub-contentencoding": "ce",
    "iothub-messageschema": "schema",
    "iothub-creationtimeutc": "ctime",
    "iothub-creation-time-utc": "ctime",
    "iothub-interface-id": "ifid",
    "dt-subject": "sub",
    "iothub-ack": "iothub-ack",
    "iothub-operation": "iothub-operation",
}
_SENT = {"mid": "iothub-messageid", "cid": "iothub-correlationid", "uid": "iothub-userid"}
_CONTENT = {"ct": ("ContentType", "iothub-contenttype"), "ce": ("ContentEncoding", "iothub-contentencoding")}
_STRIPPED = str.maketrans("", "", "\r\n\0")
"""What no header can hold, and what could begin another one."""


class _Entry(Struct, rename="camel"):
    body: str
    base64_encoded: bool = True
    properties: dict[str, str] = {}


_batch_decoder = Decoder(list[_Entry])


def read_properties(headers: Iterable[tuple[str, str]]) -> PropertyBag:
    """Read the properties of a message; names of application properties are as they came, in whatever letter case."""
    system: dict[str, str | None] = {}
    properties: dict[str, str | None] = {}
    for name, value in headers:
        lower = name.lower()
        if lower.startswith(_APPLICATION):
            properties[name[len(_APPLICATION) :]] = value
        elif lower in _SYSTEM:
            system.setdefault(_SYSTEM[lower], value)
    size = sum(len((value or "").encode()) for value in system.values())
    size += sum(len(name.encode()) + len((value or "").encode()) for name, value in properties.items())
    return PropertyBag(system=system, properties=properties, size=size)


def read_batch(body: bytes) -> list[tuple[bytes, PropertyBag]]:
    """Read the messages of a batch. Raises HubError ARGUMENT_INVALID or MESSAGE_TOO_LARGE."""
    try:
        entries = decode(_batch_decoder, body, limit=MAX_BATCH_TEXT)
        messages = [(_body(entry), read_properties(entry.properties.items())) for entry in entries]
    except TooLargeError as error:
        raise HubError(HubCode.MESSAGE_TOO_LARGE, str(error)) from None
    except WireError as error:
        raise HubError(HubCode.ARGUMENT_INVALID, str(error)) from None
    if not messages:
        raise HubError(HubCode.ARGUMENT_INVALID, "The batch has no messages.")
    if sum(len(content) + bag.size for content, bag in messages) > MAX_MESSAGE_BYTES:
        raise HubError(HubCode.MESSAGE_TOO_LARGE, f"A batch has at most {MAX_MESSAGE_BYTES} bytes.")
    return messages


def write_headers(target: str, delivery: Delivery) -> Mapping[str, str]:
    """Return the headers of a message in exactly the spelling that C compares, with the names that others read."""
    queued, message = delivery.queued, delivery.message
    headers = {
        "ETag": f'"{delivery.token}"',
        **{name: message.system[key] for key, name in _SENT.items() if message.system.get(key)},
        "iothub-to": f"{_address(target)}/messages/deviceBound",
        "iothub-expiry": format_time(message.expires_at),
        "iothub-sequencenumber": str(queued.sequence_number),
        "iothub-enqueuedtime": format_time(message.enqueued_at),
        "iothub-deliverycount": str(queued.delivery_count),
    }
    if message.acknowledgement is not Acknowledgement.NONE:
        headers["iothub-ack"] = message.acknowledgement.value
    for key, names in _CONTENT.items():
        if value := message.system.get(key):
            headers.update(dict.fromkeys(names, value))
    for name, value in message.properties.items():
        headers[f"{_APPLICATION}{name}"] = value
    return {
        name: value.translate(_STRIPPED) for name, value in headers.items() if name.isascii() and name.isprintable()
    }


def _address(target: str) -> str:
    device_id, _, module_id = target.partition("/")
    return f"/devices/{device_id}" + (f"/modules/{module_id}" if module_id else "")


def _body(entry: _Entry) -> bytes:
    if not entry.base64_encoded:
        return entry.body.encode()
    try:
        return base64.b64decode(entry.body, validate=True)
    except ValueError:
        raise WireError("A message's body is not valid Base64.") from None
