"""How MQTT 3.1.1 packets are spelt: encode, and a strict decode. When a packet may be sent is told in `state`."""

from struct import Struct
from typing import assert_never

from homeport.proto import LocalProtocolError, RemoteProtocolError
from homeport.proto.mqtt.packets import (
    SUBSCRIPTION_REFUSED,
    ConnAck,
    Connect,
    Disconnect,
    Event,
    Packet,
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

MAX_REMAINING_LENGTH = 268_435_455
_LEVEL = 4
_VARIABLE = -1
_OTHER_VERSIONS = ("MQTT", "MQIsdp")  # MQTT 5 and newer, MQTT 3.1
_U16 = Struct(">H")


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


# --- decoding ---------------------------------------------------------------------------------------------------


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
        raise RemoteProtocolError("PUBLISH: " + _TOPIC_RULE)
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
    if name not in _OTHER_VERSIONS:
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
        if not _is_topic(topic):
            raise RemoteProtocolError("will: " + _TOPIC_RULE)
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
    if not _are_grants(codes):
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
    if not _is_filter(topic_filter):
        raise RemoteProtocolError(_FILTER_RULE)
    return topic_filter


# --- what both directions hold to -------------------------------------------------------------------------------

_TOPIC_RULE = "a topic is not empty and has no wildcard"
_FILTER_RULE = "a filter is not empty, + fills its level and # is the last level"


def _is_topic(topic: str) -> bool:
    return topic != "" and "#" not in topic and "+" not in topic


def _is_filter(topic_filter: str) -> bool:
    if not topic_filter:
        return False
    levels = topic_filter.split("/")
    if any(len(level) > 1 and ("+" in level or "#" in level) for level in levels):
        return False
    return "#" not in levels[:-1]


def _are_grants(codes: tuple[int, ...]) -> bool:
    return all(code <= 2 or code == SUBSCRIPTION_REFUSED for code in codes)


# --- encoding ---------------------------------------------------------------------------------------------------


def encode(packet: Packet) -> bytes:
    """Spell one packet. Raises LocalProtocolError for a value that the standard, or our own decoder, refuses."""
    match packet:
        case PubAck():
            # 0 mirrors what the decoder accepts: the answer to a PUBACK for QoS 0 must survive both directions
            return b"\x40\x02" + _u16(packet.packet_id, "packet id")
        case Publish():
            return _encode_publish(packet)
        case PingResp():
            return b"\xd0\x00"
        case PingReq():
            return b"\xc0\x00"
        case SubAck():
            if not packet.return_codes or min(packet.return_codes) < 0 or not _are_grants(packet.return_codes):
                raise LocalProtocolError("SUBACK needs return codes 0, 1, 2 or 0x80")
            return _frame(T.SUBACK << 4, _packet_id(packet.packet_id), bytes(packet.return_codes))
        case UnsubAck():
            return b"\xb0\x02" + _packet_id(packet.packet_id)
        case ConnAck():
            return _encode_connack(packet)
        case Connect():
            return _encode_connect(packet)
        case Subscribe():
            return _encode_subscribe(packet)
        case Unsubscribe():
            return _encode_unsubscribe(packet)
        case PubRec():
            return b"\x50\x02" + _packet_id(packet.packet_id)
        case PubRel():
            return b"\x62\x02" + _packet_id(packet.packet_id)
        case PubComp():
            return b"\x70\x02" + _packet_id(packet.packet_id)
        case Disconnect():
            return b"\xe0\x00"
        case _:
            assert_never(packet)


def _frame(first: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    length = len(body)
    if length < 0x80:
        return bytes((first, length)) + body
    if length > MAX_REMAINING_LENGTH:
        raise LocalProtocolError("packet is longer than MQTT can say")
    header = bytearray((first,))
    while length > 0x7F:
        header.append(length & 0x7F | 0x80)
        length >>= 7
    header.append(length)
    return bytes(header) + body


def _u16(value: int, name: str) -> bytes:
    if not 0 <= value <= 0xFFFF:
        raise LocalProtocolError(f"{name} is outside 0 to 65535")
    return _U16.pack(value)


def _packet_id(value: int | None) -> bytes:
    if value is None or not 1 <= value <= 0xFFFF:
        raise LocalProtocolError("packet id is outside 1 to 65535")
    return _U16.pack(value)


def _field(raw: bytes, name: str) -> bytes:
    if len(raw) > 0xFFFF:
        raise LocalProtocolError(f"{name} is longer than 65535 bytes")
    return _U16.pack(len(raw)) + raw


def _text_field(text: str, name: str) -> bytes:
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise LocalProtocolError(f"{name} cannot be written in UTF-8") from None
    if b"\0" in raw:
        raise LocalProtocolError(f"{name} holds U+0000")
    return _field(raw, name)


def _topic_field(topic: str) -> bytes:
    if not _is_topic(topic):
        raise LocalProtocolError(_TOPIC_RULE)
    return _text_field(topic, "topic")


def _filter_field(topic_filter: str) -> bytes:
    if not _is_filter(topic_filter):
        raise LocalProtocolError(_FILTER_RULE)
    return _text_field(topic_filter, "filter")


def _qos(qos: int) -> int:
    if not 0 <= qos <= 2:
        raise LocalProtocolError("QoS is 0, 1 or 2")
    return qos


def _encode_publish(packet: Publish) -> bytes:
    qos = _qos(packet.qos)
    first = T.PUBLISH << 4 | qos << 1 | packet.retain
    topic = _topic_field(packet.topic)
    if qos:
        return _frame(first | packet.dup << 3, topic, _packet_id(packet.packet_id), packet.payload)
    if packet.dup or packet.packet_id is not None:
        raise LocalProtocolError("QoS 0 has neither DUP nor packet id")
    return _frame(first, topic, packet.payload)


def _encode_connack(packet: ConnAck) -> bytes:
    if packet.return_code and packet.session_present:
        raise LocalProtocolError("CONNACK cannot refuse and speak of a session")
    if packet.return_code not in range(ReturnCode.NOT_AUTHORIZED + 1):
        raise LocalProtocolError("CONNACK needs a return code from 0 to 5")
    return bytes((T.CONNACK << 4, 2, packet.session_present, packet.return_code))


def _encode_connect(packet: Connect) -> bytes:
    flags = packet.clean_session << 1
    payload = [_text_field(packet.client_id, "client id")]
    if packet.will is not None:
        flags |= 0x04 | _qos(packet.will.qos) << 3 | packet.will.retain << 5
        payload += [_topic_field(packet.will.topic), _field(packet.will.payload, "will payload")]
    if packet.user_name is not None:
        flags |= 0x80
        payload.append(_text_field(packet.user_name, "user name"))
    if packet.password is not None:
        if packet.user_name is None:
            raise LocalProtocolError("a password needs a user name")
        flags |= 0x40
        payload.append(_field(packet.password, "password"))
    head = b"\x00\x04MQTT" + bytes((_LEVEL, flags)) + _u16(packet.keep_alive, "keep alive")
    return _frame(T.CONNECT << 4, head, *payload)


def _encode_subscribe(packet: Subscribe) -> bytes:
    if not packet.subscriptions:
        raise LocalProtocolError("SUBSCRIBE needs a filter")
    parts = [_filter_field(one.topic_filter) + bytes((_qos(one.qos),)) for one in packet.subscriptions]
    return _frame(T.SUBSCRIBE << 4 | 2, _packet_id(packet.packet_id), *parts)


def _encode_unsubscribe(packet: Unsubscribe) -> bytes:
    if not packet.topic_filters:
        raise LocalProtocolError("UNSUBSCRIBE needs a filter")
    parts = [_filter_field(topic_filter) for topic_filter in packet.topic_filters]
    return _frame(T.UNSUBSCRIBE << 4 | 2, _packet_id(packet.packet_id), *parts)
