"""The fourteen control packets of MQTT 3.1.1 as values. How they are spelt lives in `reader` and `writer`."""

from enum import IntEnum
from typing import ClassVar

from msgspec import Struct

from homeport.values import hiding

SUBSCRIPTION_REFUSED = 0x80
"""The return code in SUBACK for a filter that was not granted (MQTT 3.9.3)."""

GRANTS = frozenset({0, 1, 2, SUBSCRIPTION_REFUSED})
"""The return codes that SUBACK knows."""


class PacketType(IntEnum):
    """The upper four bits of the first byte (MQTT 2.2.1)."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


class ReturnCode(IntEnum):
    """How a server answers CONNECT (MQTT 3.2.2.3)."""

    ACCEPTED = 0
    UNACCEPTABLE_PROTOCOL_LEVEL = 1
    IDENTIFIER_REJECTED = 2
    SERVER_UNAVAILABLE = 3
    BAD_USER_NAME_OR_PASSWORD = 4
    NOT_AUTHORIZED = 5


class Will(Struct, frozen=True, kw_only=True):
    """What the server publishes for a client that goes without DISCONNECT."""

    topic: str
    payload: bytes = b""
    qos: int = 0
    retain: bool = False


@hiding("password")
class Connect(Struct, frozen=True, kw_only=True):
    """The client's first packet. `keep_alive` is in seconds, 0 for none; a password needs a user name.

    `client_id` may be empty, also with `clean_session` false: the answer IDENTIFIER_REJECTED is the server's.
    """

    type: ClassVar[PacketType] = PacketType.CONNECT
    client_id: str
    clean_session: bool = True
    keep_alive: int = 0
    user_name: str | None = None
    password: bytes | None = None
    will: Will | None = None


class UnsupportedProtocol(Struct, frozen=True, kw_only=True):
    """A CONNECT of another MQTT version (name "MQTT" or "MQIsdp"). An event only: it is never sent.

    The one answer to it is `ConnAck(return_code=ReturnCode.UNACCEPTABLE_PROTOCOL_LEVEL)` (MQTT-3.1.2-2).
    """

    type: ClassVar[PacketType] = PacketType.CONNECT
    name: str
    level: int


class ConnAck(Struct, frozen=True, kw_only=True):
    """The server's first packet. Any code but ACCEPTED ends the connection."""

    type: ClassVar[PacketType] = PacketType.CONNACK
    return_code: ReturnCode = ReturnCode.ACCEPTED
    session_present: bool = False


class Publish(Struct, frozen=True, kw_only=True):
    """A message. `packet_id` is None with QoS 0; with QoS 1, None lets `Connection.send` choose a free one."""

    type: ClassVar[PacketType] = PacketType.PUBLISH
    topic: str
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int | None = None


class PubAck(Struct, frozen=True, kw_only=True):
    """The receiver has taken a QoS 1 message.

    `packet_id` may be 0 here: Microsoft's C# provisioning client acknowledges QoS 0 too (contract dps.md 4.4).
    """

    type: ClassVar[PacketType] = PacketType.PUBACK
    packet_id: int


class PubRec(Struct, frozen=True, kw_only=True):
    """QoS 2, first answer."""

    type: ClassVar[PacketType] = PacketType.PUBREC
    packet_id: int


class PubRel(Struct, frozen=True, kw_only=True):
    """QoS 2, the sender lets go."""

    type: ClassVar[PacketType] = PacketType.PUBREL
    packet_id: int


class PubComp(Struct, frozen=True, kw_only=True):
    """QoS 2, last answer."""

    type: ClassVar[PacketType] = PacketType.PUBCOMP
    packet_id: int


class Subscription(Struct, frozen=True, kw_only=True):
    """One topic filter and the highest QoS its subscriber wants."""

    topic_filter: str
    qos: int = 0


class Subscribe(Struct, frozen=True, kw_only=True):
    """A wish for one or more filters; `packet_id` None lets `Connection.send` choose."""

    type: ClassVar[PacketType] = PacketType.SUBSCRIBE
    subscriptions: tuple[Subscription, ...]
    packet_id: int | None = None


class SubAck(Struct, frozen=True, kw_only=True):
    """The granted QoS of each filter in its order, or SUBSCRIPTION_REFUSED."""

    type: ClassVar[PacketType] = PacketType.SUBACK
    packet_id: int
    return_codes: tuple[int, ...]


class Unsubscribe(Struct, frozen=True, kw_only=True):
    """The end of one or more subscriptions; `packet_id` None lets `Connection.send` choose."""

    type: ClassVar[PacketType] = PacketType.UNSUBSCRIBE
    topic_filters: tuple[str, ...]
    packet_id: int | None = None


class UnsubAck(Struct, frozen=True, kw_only=True):
    """The subscriptions are gone."""

    type: ClassVar[PacketType] = PacketType.UNSUBACK
    packet_id: int


class PingReq(Struct, frozen=True, kw_only=True):
    """The client is alive."""

    type: ClassVar[PacketType] = PacketType.PINGREQ


class PingResp(Struct, frozen=True, kw_only=True):
    """So is the server."""

    type: ClassVar[PacketType] = PacketType.PINGRESP


class Disconnect(Struct, frozen=True, kw_only=True):
    """The client goes, and its will is void. A server has no such word in 3.1.1: it closes the stream."""

    type: ClassVar[PacketType] = PacketType.DISCONNECT


Packet = (
    Connect
    | ConnAck
    | Publish
    | PubAck
    | PubRec
    | PubRel
    | PubComp
    | Subscribe
    | SubAck
    | Unsubscribe
    | UnsubAck
    | PingReq
    | PingResp
    | Disconnect
)
"""All that can be sent."""

Event = Packet | UnsupportedProtocol
"""All that `receive` can return."""
