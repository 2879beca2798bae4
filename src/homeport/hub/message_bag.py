"""The property bag of a cloud-to-device message in an MQTT topic, as every SDK can read it (contract hub.md 13.5)."""

from collections.abc import Iterator
from urllib.parse import quote

from homeport.hub.model import Acknowledgement, CloudMessage

MAX_TOPIC_BYTES = 65535
_IN_ORDER = ("mid", "cid", "uid", "ct", "ce", "ctime")
_RESERVED = "iothub-"
"""Java throws on such a name and loses the message."""


def write_bag(target: str, message: CloudMessage) -> str:
    """Return the bag: the address first, which C# needs, then system properties, then the sender's own.

    Everything but letters, digits and `-._~` is percent-encoded, a plus and the `$` of system properties included;
    what has no value is left out, since C and Java fail on it. `target` is a device id, or `{device}/{module}`.
    """
    return "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in _items(target, message) if value)


def _items(target: str, message: CloudMessage) -> Iterator[tuple[str, str]]:
    device_id, _, module_id = target.partition("/")
    address = f"/devices/{device_id}" + (f"/modules/{module_id}" if module_id else "")
    yield "$.to", f"{address}/messages/deviceBound"
    for name in _IN_ORDER:
        yield f"$.{name}", message.system.get(name, "")
    # .NET's round-trip form: C# closes the connection on any other.
    yield "$.exp", message.expires_at.replace(tzinfo=None).isoformat(timespec="microseconds") + "0Z"
    if message.acknowledgement is not Acknowledgement.NONE:
        yield "iothub-ack", message.acknowledgement.value
    for name, value in message.properties.items():
        if not name.lower().startswith(_RESERVED):
            yield name, value


def _encoded(text: str) -> str:
    return quote(text, safe="-._~")
