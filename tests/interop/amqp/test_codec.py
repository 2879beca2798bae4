"""The codecs of proton, rhea and uamqp read what ours writes, and ours reads what they write, to the same values."""

import json
import os
import subprocess
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from homeport.proto.amqp import Data, Message, Properties, Symbol, Timestamp, ULong, decode_message, encode_message
from homeport.proto.amqp.decoder import Budget, decode_value
from homeport.proto.amqp.encoder import encode_value
from homeport.values import replace
from tests.interop.amqp.loop import PEERS, RHEA, SYSTEM_PYTHON, available
from tests.proto.amqp.tagged import SCALARS, to_tagged, values

CODECS = {
    "proton": [SYSTEM_PYTHON, str(PEERS / "proton_codec.py")],
    "rhea": ["node", str(PEERS / "rhea_codec.cjs")],
}
# Neither peer has arrays of null.
ARRAYS = [kind for kind in SCALARS if kind != "null"]
BATCH = 60


BATCHES = settings(
    max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)


@pytest.mark.parametrize(
    "peer",
    [
        pytest.param(peer, marks=pytest.mark.skipif(not available(peer), reason=f"{peer} is not installed"))
        for peer in CODECS
    ],
)
def test_values(peer: str) -> None:
    process = subprocess.Popen(
        CODECS[peer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"RHEA": str(RHEA)}
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    @BATCHES
    @given(batch=st.lists(values(array_kinds=ARRAYS), min_size=1, max_size=BATCH))
    def compare(batch: list[Any]) -> None:
        stdin.writelines(json.dumps([to_tagged(value), encode_value(value).hex()]) + "\n" for value in batch)
        stdin.flush()
        answers = [json.loads(stdout.readline()) for _ in batch]
        for value, (theirs, data) in zip(batch, answers, strict=True):
            assert theirs == to_tagged(value), f"{peer} reads {encode_value(value).hex()} otherwise"
            ours = decode_value(bytes.fromhex(data), Budget(16, 1000))
            assert to_tagged(ours) == to_tagged(value), f"{peer} writes {data}"

    with process:
        try:
            compare()
        finally:
            process.kill()


# Neither library's message class has room for NUL or for absent strings.
_names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
messages = st.builds(
    Message,
    message_annotations=st.dictionaries(
        SCALARS["symbol"].filter(bool), values(array_kinds=ARRAYS), min_size=1, max_size=3
    ),
    properties=st.builds(
        Properties,
        message_id=SCALARS["ulong"] | _names | SCALARS["uuid"],
        user_id=st.binary(min_size=1, max_size=9),
        to=_names,
        subject=_names,
        reply_to=_names,
        correlation_id=SCALARS["ulong"] | _names,
        content_type=st.just(Symbol("application/json")),
        content_encoding=st.just(Symbol("utf-8")),
        absolute_expiry_time=st.integers(1, 2**40).map(lambda seconds: Timestamp(1000 * seconds)),
        creation_time=st.integers(1, 2**40).map(lambda seconds: Timestamp(1000 * seconds)),
        group_id=_names,
        group_sequence=st.integers(1, 2**32 - 1),
        reply_to_group_id=_names,
    ),
    application_properties=st.dictionaries(
        _names,
        SCALARS["string"] | SCALARS["boolean"] | SCALARS["int"] | SCALARS["long"] | SCALARS["double"],
        min_size=1,
        max_size=3,
    ),
    body=st.binary(max_size=300).map(lambda data: Data((data,))),
)


def alike(one: Message, other: Message) -> None:
    assert one.properties == other.properties
    for name in ("message_annotations", "application_properties"):
        assert to_tagged(getattr(one, name)) == to_tagged(getattr(other, name))
    assert one.data == other.data


@pytest.mark.skipif(not available("proton"), reason="proton is not installed")
def test_messages_through_proton() -> None:
    process = subprocess.Popen(CODECS["proton"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    @BATCHES
    @given(batch=st.lists(messages, min_size=1, max_size=10))
    def compare(batch: list[Message]) -> None:
        stdin.writelines(json.dumps(["message", encode_message(message).hex()]) + "\n" for message in batch)
        stdin.flush()
        for message, line in [(message, stdout.readline()) for message in batch]:
            alike(decode_message(bytes.fromhex(json.loads(line))), message)

    with process:
        try:
            compare()
        finally:
            process.kill()


@settings(max_examples=15, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(message=messages)
def test_messages_through_uamqp(message: Message) -> None:
    # It knows neither decimals nor arrays of all types, which the annotations may have.
    message = replace(message, message_annotations={"x": 1})
    uamqp = pytest.importorskip("uamqp")
    theirs = uamqp.Message.decode_from_bytes(encode_message(message))
    assert b"".join(theirs.get_data()) == message.data
    properties = message.properties
    assert properties is not None
    for name in ("user_id", "to", "subject", "reply_to", "content_type", "group_id", "group_sequence"):
        told = getattr(theirs.properties, name)
        ours = getattr(properties, name)
        assert told == (ours.encode() if isinstance(ours, str) else ours)
    told = theirs.properties.message_id
    assert told == (properties.message_id.encode() if isinstance(properties.message_id, str) else properties.message_id)
    assert type(properties.message_id) is not ULong or isinstance(told, int)


@settings(max_examples=15, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(message=messages)
def test_messages_of_uamqp(message: Message) -> None:
    properties = message.properties
    assert properties is not None
    uamqp = pytest.importorskip("uamqp")
    theirs = uamqp.Message(
        body=message.data,
        properties=uamqp.message.MessageProperties(
            message_id=properties.subject, to=properties.to, group_sequence=properties.group_sequence
        ),
        application_properties={"x": properties.to},
    )
    ours = decode_message(theirs.encode_message())
    assert ours.properties == Properties(
        message_id=properties.subject, to=properties.to, group_sequence=properties.group_sequence
    )
    assert ours.application_properties == {"x": properties.to}
    assert ours.data == message.data
