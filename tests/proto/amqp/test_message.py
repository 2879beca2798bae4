"""Messages: sections to bytes and back, what other writers leave out, and what is none."""

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.proto.amqp import (
    AmqpProtocolError,
    AmqpSequence,
    AmqpValue,
    Condition,
    Data,
    Header,
    Int,
    Limits,
    LocalProtocolError,
    Message,
    Properties,
    Scope,
    Symbol,
    Timestamp,
    ULong,
    decode_message,
    encode_message,
)
from homeport.proto.amqp.encoder import encode_value
from tests.proto.amqp.tagged import SCALARS, to_tagged, values


def section(code: int, value: str) -> str:
    return f"0053{code:02x}{value}"


MESSAGES: dict[str, tuple[Message, str]] = {
    "nothing at all": (Message(), ""),
    "register, as Java polls": (
        Message(application_properties={"iotdps-operation-type": "x"}),
        section(0x74, "c11b02 a115 696f746470732d6f7065726174696f6e2d74797065 a10178"),
    ),
    "data": (Message(body=Data((b"{}",))), section(0x75, "a0027b7d")),
    "data in parts": (Message(body=Data((b"a", b""))), section(0x75, "a00161") + section(0x75, "a000")),
    "value": (Message(body=AmqpValue("token")), section(0x77, "a105746f6b656e")),
    "value null": (Message(body=AmqpValue(None)), section(0x77, "40")),
    "sequences": (
        Message(body=AmqpSequence(([1], []))),
        section(0x76, "c003015501") + section(0x76, "45"),
    ),
    "header": (
        Message(header=Header(durable=True, priority=4, ttl=1000, first_acquirer=False, delivery_count=0)),
        section(0x70, "c00b05 41 5004 70000003e8 42 43"),
    ),
    "properties, every field said": (
        Message(properties=Properties(correlation_id=ULong(7))),
        section(0x73, "c00f0d 4040404040 5307 40404040404040"),
    ),
    "annotations with symbols for keys": (
        Message(message_annotations={"status": Int(200)}),
        section(0x72, "c10e02 a306737461747573 71000000c8"),
    ),
    "all of them": (
        Message(
            header=Header(durable=None, delivery_count=3),
            delivery_annotations={Symbol("d"): 1},
            message_annotations={Symbol("m"): Timestamp(0)},
            properties=Properties(to="/devices/d", user_id=b"hub", absolute_expiry_time=Timestamp(9)),
            application_properties={"iothub-ack": "full"},
            body=Data((b"x",)),
            footer={Symbol("f"): None},
        ),
        section(0x70, "c00705 40404040 5203")
        + section(0x71, "c10602 a30164 5501")
        + section(0x72, "c10d02 a3016d 830000000000000000")
        + section(0x73, "c0250d 40 a003687562 a10a2f646576696365732f64 4040404040 830000000000000009 40404040")
        + section(0x74, "c11302 a10a696f746875622d61636b a10466756c6c")
        + section(0x75, "a00178")
        + section(0x78, "c10502 a30166 40"),
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages(name: str) -> None:
    message, spelt = MESSAGES[name]
    data = bytes.fromhex(spelt.replace(" ", ""))
    assert encode_message(message).hex() == data.hex()
    assert decode_message(data) == message


LENIENT = {
    "header without fields": (section(0x70, "45"), Message(header=Header())),
    "properties cut after the second": (section(0x73, "c0050240a00161"), Message(properties=Properties(user_id=b"a"))),
    "symbolic descriptors": (
        (b"\0" + encode_value(Symbol("amqp:data:binary")) + b"\xa0\x01x").hex()
        + (b"\0" + encode_value(Symbol("amqp:footer:map")) + b"\xc1\x01\x00").hex(),
        Message(body=Data((b"x",)), footer={}),
    ),
    "symbolic properties": (
        (b"\0" + encode_value(Symbol("amqp:properties:list")) + b"\x45").hex(),
        Message(properties=Properties()),
    ),
    "descriptors of eight bytes": (
        "00800000000000000075a00178",
        Message(body=Data((b"x",))),
    ),
    "int for message id, as uamqp may write": (
        section(0x73, "c003015407"),
        Message(properties=Properties(Int(7))),
    ),
}


@pytest.mark.parametrize("name", LENIENT)
def test_what_others_write(name: str) -> None:
    spelt, message = LENIENT[name]
    decoded = decode_message(bytes.fromhex(spelt))
    assert decoded == message


MALFORMED = {
    "garbage": "ff",
    "half a descriptor": "0053",
    "no value": "005375",
    "unknown section": section(0x79, "40"),
    "performative": section(0x10, "45"),
    "unknown symbol": (b"\0" + encode_value(Symbol("x")) + b"\x40").hex(),
    "described by a list": "004540",
    "sections out of order": section(0x75, "a000") + section(0x73, "45"),
    "properties twice": section(0x73, "45") * 2,
    "value twice": section(0x77, "40") * 2,
    "data and value": section(0x75, "a000") + section(0x77, "40"),
    "data and sequence": section(0x75, "a000") + section(0x76, "45"),
    "data that is a string": section(0x75, "a10161"),
    "data that is null": section(0x75, "40"),
    "null for a map": section(0x74, "40"),
    "annotations that are a list": section(0x72, "45"),
    "to that is a symbol": section(0x73, "c006034040a30161"),
    "too many properties": section(0x73, "c00f0e" + "40" * 14),
    "something behind it": section(0x77, "40") + "40",
    "value too deep": section(0x77, "".join(f"c0{2 * n + 2:02x}01" for n in range(30, 0, -1)) + "40"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_message(name: str) -> None:
    with pytest.raises(AmqpProtocolError) as refused:
        decode_message(bytes.fromhex(MALFORMED[name]))
    assert (refused.value.condition, refused.value.scope) == (Condition.DECODE_ERROR, Scope.LINK)


def test_sections_count_as_elements() -> None:
    data = encode_message(Message(body=Data((b"",) * 50)))
    assert decode_message(data, Limits(max_elements=50)).data == b""
    with pytest.raises(AmqpProtocolError):
        decode_message(data, Limits(max_elements=49))


@pytest.mark.parametrize(
    "identity", [ULong(2**64 - 1), uuid.UUID(int=1), b"\x00", "text", Int(5), Symbol("s")], ids=repr
)
def test_ids_keep_their_type(identity: Any) -> None:
    """A reply's correlation-id is the request's message-id (contract hub.md 15.2)."""
    request = decode_message(encode_message(Message(properties=Properties(message_id=identity))))
    assert request.properties is not None
    reply = Message(properties=Properties(correlation_id=request.properties.message_id))
    told = decode_message(encode_message(reply)).properties
    assert told is not None
    assert told.correlation_id == identity
    assert type(told.correlation_id) is type(identity)


@given(
    message=st.builds(
        Message,
        application_properties=st.none() | st.dictionaries(SCALARS["string"], st.one_of(*SCALARS.values()), max_size=3),
        message_annotations=st.none() | st.dictionaries(SCALARS["symbol"], values(), max_size=3),
        body=st.none()
        | st.builds(AmqpValue, values())
        | st.builds(lambda parts: Data(tuple(parts)), st.lists(st.binary(max_size=9), min_size=1, max_size=3)),
    )
)
def test_what_is_written_is_read(message: Message) -> None:
    decoded = decode_message(encode_message(message))
    for name in ("application_properties", "message_annotations"):
        one, other = getattr(message, name), getattr(decoded, name)
        assert (one is None) == (other is None)
        assert one is None or to_tagged(one) == to_tagged(other)
    assert type(message.body) is type(decoded.body)
    if isinstance(message.body, AmqpValue) and isinstance(decoded.body, AmqpValue):
        assert to_tagged(message.body.value) == to_tagged(decoded.body.value)
    else:
        assert message.data == decoded.data


@pytest.mark.parametrize(
    "message",
    [
        Message(body=Data(("text",))),  # type: ignore[arg-type]
        Message(body=AmqpValue(object())),
        Message(properties=Properties(to=5)),  # type: ignore[arg-type]
        Message(properties=Properties(content_type="ä")),
        Message(header=Header(priority=256)),
        Message(application_properties=[]),  # type: ignore[arg-type]
    ],
    ids=repr,
)
def test_what_cannot_be_written(message: Message) -> None:
    with pytest.raises(LocalProtocolError):
        encode_message(message)


def test_contents_are_not_printed() -> None:
    said = [Message(body=Data((b"secret",))), Message(body=AmqpValue("secret")), Properties(user_id=b"secret")]
    assert "secret" not in repr(said)
