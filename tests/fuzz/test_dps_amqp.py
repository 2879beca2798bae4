"""Whatever a device says over AMQP is a request, a refusal or a SaslFormError; nothing else is raised, errors are JSON.

The messages themselves are taken apart by `proto.amqp`, whose fuzz tests are in test_amqp.
"""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from homeport.dps.frontends.amqp_messages import (
    Address,
    error,
    read_address,
    read_request,
    read_text,
    response,
)
from homeport.dps.frontends.amqp_sasl import SaslFormError, ask_storage_root_key, ask_token, read_hello
from homeport.dps.reply import Reply
from homeport.proto.amqp import (
    AmqpSequence,
    AmqpValue,
    Data,
    Message,
    Properties,
    Symbol,
    ULong,
    decode_message,
    encode_message,
)

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(), st.binary(), st.uuids())
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
BODIES = st.one_of(
    st.none(),
    st.lists(st.binary(), min_size=1, max_size=3).map(lambda parts: Data(tuple(parts))),
    st.lists(st.lists(VALUES, max_size=2), min_size=1, max_size=2).map(lambda parts: AmqpSequence(tuple(parts))),
    VALUES.map(AmqpValue),
)
NAMES = st.one_of(st.sampled_from(["iotdps-operation-type", "iotdps-operation-id"]), st.text())
TYPES = st.one_of(
    st.sampled_from(["iotdps-register", "iotdps-get-operationstatus", "iotdps-get-registration"]), SCALARS
)
IDS = st.one_of(st.none(), st.text(), st.binary(), st.uuids(), st.integers(0, 2**64 - 1).map(ULong))
MESSAGES = st.builds(
    Message,
    properties=st.one_of(st.none(), st.builds(Properties, correlation_id=IDS)),
    application_properties=st.one_of(st.none(), st.dictionaries(NAMES, TYPES, max_size=4)),
    body=BODIES,
)
REPLIES = st.builds(
    Reply,
    status=st.integers(200, 599),
    body=st.just(b'{"errorCode":400000}'),
    tracking_id=st.text(max_size=5),
    retry_after=st.one_of(st.none(), st.integers(0, 2**31 - 1)),
)


class Device:
    """Answers challenges with what it was given, and in the end with nothing."""

    def __init__(self, responses: list[bytes]) -> None:
        self.responses = responses

    async def challenge(self, data: bytes) -> bytes:
        del data
        return self.responses.pop(0) if self.responses else b""


@given(st.text())
def test_addresses(text: str) -> None:
    address = read_address(text)
    assert address is None or isinstance(address, Address)


@given(MESSAGES)
def test_requests(message: Message) -> None:
    read_request(message)
    read_text(message.application_properties, "iotdps-operation-type")


@given(MESSAGES, REPLIES)
def test_answers_can_be_written_and_read(message: Message, reply: Reply) -> None:
    answer = decode_message(encode_message(response(message, reply)))
    assert answer.data == reply.body
    wanted: Any = message.properties.correlation_id if message.properties else None
    found = answer.properties.correlation_id if answer.properties else None
    assert (type(found), found) == (type(wanted), wanted)
    keys = {"retry-after", "Retry-After"} if reply.retry_after is not None else set()
    assert set(answer.application_properties or {}) == keys


@given(REPLIES)
def test_refusals(reply: Reply) -> None:
    refusal = error(reply)
    assert json.loads(refusal.description or "")["errorCode"]
    assert Symbol(refusal.condition).isascii()


@given(st.one_of(st.none(), st.binary(max_size=900)), st.lists(st.binary(max_size=900), max_size=6))
def test_sasl_tpm(first: bytes | None, responses: list[bytes]) -> None:
    device = Device(responses)
    for work in (read_hello(first, device), ask_storage_root_key(device), ask_token(bytes(900), device)):
        try:
            work.send(None)
        except (StopIteration, SaslFormError):
            continue
        raise AssertionError("it waited")
