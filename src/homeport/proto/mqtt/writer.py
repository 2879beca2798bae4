"""MQTT 3.1.1 packets to bytes. Whether a packet may be sent now is told in `state`."""

from struct import Struct
from typing import assert_never

from homeport.proto import LocalProtocolError
from homeport.proto.mqtt.packets import (
    GRANTS,
    ConnAck,
    Connect,
    Disconnect,
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
    UnsubAck,
    Unsubscribe,
)
from homeport.proto.mqtt.packets import PacketType as T
from homeport.proto.mqtt.topics import FILTER_RULE, TOPIC_RULE, is_filter, is_topic

_LEVEL = 4
_MAX_REMAINING_LENGTH = 268_435_455
_U16 = Struct(">H")


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
            if not packet.return_codes or not GRANTS.issuperset(packet.return_codes):
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
    if length > _MAX_REMAINING_LENGTH:
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
    if not is_topic(topic):
        raise LocalProtocolError(TOPIC_RULE)
    return _text_field(topic, "topic")


def _filter_field(topic_filter: str) -> bytes:
    if not is_filter(topic_filter):
        raise LocalProtocolError(FILTER_RULE)
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
