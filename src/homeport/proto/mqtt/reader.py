"""Bytes to MQTT 3.1.1 packets, strictly. Whether a packet comes at its proper time is told in `state`."""

from homeport.proto import RemoteProtocolError
from homeport.proto.mqtt.packets import (
    GRANTS,
    ConnAck,
    Connect,
    Disconnect,
    Event,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    ReturnCode,
    SubAck,
    Subscribe,
    Subscription,
    UnsubAck,
    Unsubscribe,
    UnsupportedProtocol,
    Will,
)
from homeport.proto.mqtt.packets import PacketType as T
from homeport.proto.mqtt.topics import FILTER_RULE, TOPIC_RULE, is_filter, is_topic

_LEVEL = 4
_VARIABLE = -1
_NAMES = ("MQTT", "MQIsdp")  # the second is MQTT 3.1


def _first_bytes() -> dict[int, int]:
    """Every first byte the standard allows (MQTT 2.2), with the remaining length it demands or _VARIABLE."""
    allowed = {
        T.CONNECT << 4: _VARIABLE,
        T.CONNACK << 4: 2,
        T.PUBACK << 4: 2,
        T.PUBREC << 4: 2,
        T.PUBREL << 4 | 2: 2,
        T.PUBCOMP << 4: 2,
        T.SUBSCRIBE << 4 | 2: _VARIABLE,
        T.SUBACK << 4: _VARIABLE,
        T.UNSUBSCRIBE << 4 | 2: _VARIABLE,
        T.UNSUBACK << 4: 2,
        T.PINGREQ << 4: 0,
        T.PINGRESP << 4: 0,
        T.DISCONNECT << 4: 0,
    }
    # DUP belongs to QoS 1 and 2 only (MQTT-3.3.1-2); QoS 3 does not exist.
    publish = {T.PUBLISH << 4 | flags: _VARIABLE for flags in (0, 1, 2, 3, 4, 5, 10, 11, 12, 13)}
    return allowed | publish


_FIRST_BYTES = _first_bytes()


def decode(data: bytes) -> Event:
    """Read exactly one packet. Raises RemoteProtocolError for anything else, be it too short or too long."""
    header = read_header(data, 0)
    if header is None:
        raise RemoteProtocolError("packet ends inside its fixed header")
    length, start = header
    if start + length != len(data):
        raise RemoteProtocolError("packet is not as long as its fixed header says")
    return decode_body(data[0], data, start, start + length)


def read_header(data: bytes, offset: int) -> tuple[int, int] | None:
    """Return the remaining length and where the body starts; None if there are too few bytes to tell.

    Refuses reserved types and flags, and a length that the type cannot have, before any body is needed.
    """
    available = len(data)
    if offset >= available:
        return None
    first = data[offset]
    fixed = _FIRST_BYTES.get(first)
    if fixed is None:
        raise RemoteProtocolError(_first_byte_fault(first))
    length = shift = 0
    at = offset + 1
    while at < available:
        digit = data[at]
        at += 1
        length |= (digit & 0x7F) << shift
        if digit < 0x80:
            if fixed not in (_VARIABLE, length):
                raise RemoteProtocolError(f"{T(first >> 4).name} has remaining length {length}, not {fixed}")
            return length, at
        shift += 7
        if shift > 21:
            raise RemoteProtocolError("remaining length has more than four bytes")
    return None


def _first_byte_fault(first: int) -> str:
    kind, flags = first >> 4, first & 0x0F
    if kind not in (0, 15):
        return f"{T(kind).name} has the reserved flags {flags:04b}"
    return f"packet type {kind} is reserved"


def decode_body(first: int, data: bytes, start: int, end: int) -> Event:
    """Read the packet whose fixed header `read_header` has passed and whose body is `data[start:end]`."""
    kind = first >> 4
    if kind == T.PUBLISH:
        return _publish(first, data, start, end)
    if kind == T.PUBACK:
        return PubAck(packet_id=data[start] << 8 | data[start + 1])
    body = _Body(data, start, end)
    packet: Event
    match kind:
        case T.CONNECT:
            packet = _connect(body)
            if isinstance(packet, UnsupportedProtocol):
                return packet  # the rest is written in another version's grammar
        case T.CONNACK:
            packet = _connack(body)
        case T.PUBREC:
            packet = PubRec(packet_id=body.packet_id())
        case T.PUBREL:
            packet = PubRel(packet_id=body.packet_id())
        case T.PUBCOMP:
            packet = PubComp(packet_id=body.packet_id())
        case T.SUBSCRIBE:
            packet = _subscribe(body)
        case T.SUBACK:
            packet = _suback(body)
        case T.UNSUBSCRIBE:
            packet = _unsubscribe(body)
        case T.UNSUBACK:
            packet = UnsubAck(packet_id=body.packet_id())
        case T.PINGREQ:
            packet = PingReq()
        case T.PINGRESP:
            packet = PingResp()
        case _:
            packet = Disconnect()
    if body.at != end:
        raise RemoteProtocolError(f"{T(kind).name} has bytes behind its last field")
    return packet


class _Body:
    """A cursor over one packet's body; every read is checked against the packet's end."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, start: int, end: int) -> None:
        self.data = data
        self.at = start
        self.end = end

    def take(self, size: int) -> bytes:
        at = self.at
        if size > self.end - at:
            raise RemoteProtocolError("a field reaches beyond its packet")
        self.at = at + size
        return self.data[at : at + size]

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def binary(self) -> bytes:
        return self.take(self.u16())

    def text(self) -> str:
        return _text(self.binary())

    def packet_id(self) -> int:
        packet_id = self.u16()
        if packet_id == 0:
            raise RemoteProtocolError("packet id is 0")
        return packet_id


def _text(raw: bytes) -> str:
    try:
        text = str(raw, "utf-8")
    except UnicodeDecodeError:
        # without the cause: it would carry the bytes into logs
        raise RemoteProtocolError("text is not UTF-8") from None
    if "\0" in text:
        raise RemoteProtocolError("text holds U+0000")
    return text


def _publish(first: int, data: bytes, start: int, end: int) -> Publish:
    # The hot path: plain slices instead of the cursor.
    at = start + 2
    if at > end:
        raise RemoteProtocolError("PUBLISH is too short for its topic")
    topic_end = at + (data[start] << 8 | data[start + 1])
    if topic_end > end:
        raise RemoteProtocolError("PUBLISH is too short for its topic")
    topic = _text(data[at:topic_end])
    if not topic or "#" in topic or "+" in topic:
        raise RemoteProtocolError("PUBLISH: " + TOPIC_RULE)
    qos = first >> 1 & 3
    packet_id = None
    if qos:
        at = topic_end + 2
        if at > end:
            raise RemoteProtocolError("PUBLISH is too short for its packet id")
        packet_id = data[topic_end] << 8 | data[topic_end + 1]
        if packet_id == 0:
            raise RemoteProtocolError("packet id is 0")
    else:
        at = topic_end
    return Publish(
        topic=topic,
        payload=data[at:end],
        qos=qos,
        retain=first & 1 == 1,
        dup=first & 8 == 8,
        packet_id=packet_id,
    )


def _connect(body: _Body) -> Connect | UnsupportedProtocol:
    name = body.text()
    level = body.u8()
    if name not in _NAMES:
        raise RemoteProtocolError("CONNECT is for another protocol than MQTT")
    if name != "MQTT" or level != _LEVEL:
        return UnsupportedProtocol(name=name, level=level)
    flags = body.u8()
    keep_alive = body.u16()
    if flags & 0x01:
        raise RemoteProtocolError("CONNECT has its reserved flag set")
    if not flags & 0x04 and flags & 0x38:
        raise RemoteProtocolError("CONNECT has flags of a will but no will")
    if flags & 0x40 and not flags & 0x80:
        raise RemoteProtocolError("CONNECT has a password but no user name")
    client_id = body.text()
    will = None
    if flags & 0x04:
        qos = flags >> 3 & 3
        if qos == 3:
            raise RemoteProtocolError("will has QoS 3")
        topic = body.text()
        if not is_topic(topic):
            raise RemoteProtocolError("will: " + TOPIC_RULE)
        will = Will(topic=topic, payload=body.binary(), qos=qos, retain=flags & 0x20 != 0)
    return Connect(
        client_id=client_id,
        clean_session=flags & 0x02 != 0,
        keep_alive=keep_alive,
        user_name=body.text() if flags & 0x80 else None,
        password=body.binary() if flags & 0x40 else None,
        will=will,
    )


def _connack(body: _Body) -> ConnAck:
    flags = body.u8()
    code = body.u8()
    if flags > 1:
        raise RemoteProtocolError("CONNACK has reserved flags set")
    if code > ReturnCode.NOT_AUTHORIZED:
        raise RemoteProtocolError(f"CONNACK has the reserved return code {code}")
    if flags and code:
        raise RemoteProtocolError("CONNACK refuses and yet speaks of a session")
    return ConnAck(return_code=ReturnCode(code), session_present=flags == 1)


def _subscribe(body: _Body) -> Subscribe:
    packet_id = body.packet_id()
    subscriptions = []
    while body.at < body.end:
        topic_filter = _filter(body)
        qos = body.u8()
        if qos > 2:
            raise RemoteProtocolError("SUBSCRIBE asks for a QoS that does not exist")
        subscriptions.append(Subscription(topic_filter=topic_filter, qos=qos))
    if not subscriptions:
        raise RemoteProtocolError("SUBSCRIBE names no filter")
    return Subscribe(packet_id=packet_id, subscriptions=tuple(subscriptions))


def _suback(body: _Body) -> SubAck:
    packet_id = body.packet_id()
    codes = tuple(body.take(body.end - body.at))
    if not codes:
        raise RemoteProtocolError("SUBACK has no return code")
    if not GRANTS.issuperset(codes):
        raise RemoteProtocolError("SUBACK has a reserved return code")
    return SubAck(packet_id=packet_id, return_codes=codes)


def _unsubscribe(body: _Body) -> Unsubscribe:
    packet_id = body.packet_id()
    filters = []
    while body.at < body.end:
        filters.append(_filter(body))
    if not filters:
        raise RemoteProtocolError("UNSUBSCRIBE names no filter")
    return Unsubscribe(packet_id=packet_id, topic_filters=tuple(filters))


def _filter(body: _Body) -> str:
    topic_filter = body.text()
    if not is_filter(topic_filter):
        raise RemoteProtocolError(FILTER_RULE)
    return topic_filter
