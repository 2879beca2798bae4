"""Messages of services on AMQP: to devices, read; feedback and file notifications, written (hub.md 18). Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from homeport.hub.errors import HubCode, HubError
from homeport.hub.frontends.amqp.addresses import is_words, read_path, readings
from homeport.hub.frontends.amqp.device_messages import read_bag, read_body
from homeport.hub.frontends.amqp.proofs import identity_at
from homeport.hub.model import Acknowledgement, CloudMessage
from homeport.hub.queue_settings import LONGEST_LIFE
from homeport.proto.amqp import Data, Message, Properties, Symbol, Timestamp, decode_message

_SYSTEM: Final = ("mid", "cid", "uid", "ct", "ce", "ctime")


def read_cloud_message(data: bytes, now: datetime, default_life: timedelta) -> tuple[Sequence[str], CloudMessage]:
    """Return whom a message is for, each way its address may be read, the likelier first; and the message.

    Raises RemoteProtocolError for what is no AMQP, HubError ARGUMENT_INVALID.
    """
    sent = decode_message(data)
    properties = sent.properties or Properties()
    targets = _targets(properties.to)
    bag = read_bag(sent)
    try:
        acknowledgement = Acknowledgement((bag.system.get("iothub-ack") or "none").lower())
    except ValueError:
        raise HubError(HubCode.ARGUMENT_INVALID, "iothub-ack is none of none, positive, negative, full.") from None
    message = CloudMessage(
        body=read_body(sent),
        system={name: value for name in _SYSTEM if (value := bag.system.get(name))},
        properties={name: value or "" for name, value in bag.properties.items()},
        acknowledgement=acknowledgement,
        enqueued_at=now,
        expires_at=_expiry(properties.absolute_expiry_time, now, default_life),
    )
    return targets, message


def write_notices(body: bytes, content_type: str, *, hub: str, at: datetime) -> Message:
    """Write what services are told; C# throws without the user id and the time."""
    return Message(
        message_annotations={Symbol("iothub-enqueuedtime"): Timestamp.of(at)},
        properties=Properties(user_id=hub.encode(), content_type=content_type),
        body=Data((body,)),
    )


def _targets(address: object) -> Sequence[str]:
    path = read_path(address) if isinstance(address, str) else None
    identities: Sequence[str] = ()
    if path is not None and is_words(path[:1], "devices") and is_words(path[-2:], "messages", "devicebound"):
        named = (("devices", each[1], *each[2:]) for each in readings(path[:-2]) if len(each) > 1)
        named = ((*each[:2], "modules", *each[3:]) if is_words(each[2:3], "modules") else each for each in named)
        identities = tuple(dict.fromkeys(found for each in named if (found := identity_at(each)) is not None))
    if not identities:
        raise HubError(
            HubCode.ARGUMENT_INVALID, "properties.to is not /devices/{id}[/modules/{id}]/messages/devicebound."
        )
    return identities


def _expiry(wanted: object, now: datetime, default_life: timedelta) -> datetime:
    """Return when a message expires; what wants longer than queues keep anything expires then."""
    if not isinstance(wanted, Timestamp) or wanted <= 0:
        return now + default_life  # C# writes a time that was not set as zero
    try:
        return min(wanted.moment(), now + LONGEST_LIFE)
    except OverflowError:
        return now + LONGEST_LIFE
