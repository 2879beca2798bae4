"""Values and performatives, by the vector table in both directions and by laws."""

from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given

from homeport.proto.amqp import (
    DEFAULT_LIMITS,
    AmqpProtocolError,
    Array,
    Char,
    Condition,
    Decimal32,
    Described,
    Int,
    LocalProtocolError,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
)
from homeport.proto.amqp.decoder import Budget, decode_value
from homeport.proto.amqp.encoder import encode_value
from homeport.proto.amqp.performatives import AMQP_BODIES, SASL_BODIES, read_body, write_body
from tests.proto.amqp.tagged import to_tagged, values
from tests.proto.amqp.vectors import BODIES, MALFORMED, MALFORMED_BODIES, ONE_WAY, VALUES, Body, Vector

ALL_BODIES = AMQP_BODIES | SASL_BODIES


def decode(data: bytes, depth: int = 16, elements: int = 1000) -> Any:
    return decode_value(data, Budget(depth, elements))


@pytest.mark.parametrize("vector", VALUES, ids=str)
def test_values_are_written(vector: Vector) -> None:
    assert encode_value(vector.value).hex() == vector.data.hex()


@pytest.mark.parametrize("vector", [*VALUES, *ONE_WAY], ids=str)
def test_values_are_read(vector: Vector) -> None:
    assert to_tagged(decode(vector.data)) == to_tagged(vector.value)


@pytest.mark.parametrize("vector", MALFORMED, ids=str)
def test_malformed_values(vector: Vector) -> None:
    with pytest.raises(AmqpProtocolError) as refused:
        decode(vector.data)
    assert refused.value.condition == Condition.DECODE_ERROR


@given(value=values())
def test_what_is_written_is_read(value: Any) -> None:
    data = encode_value(value)
    assert to_tagged(decode(data)) == to_tagged(value)
    for end in range(len(data)):
        with pytest.raises(AmqpProtocolError):
            decode(data[:end])
    with pytest.raises(AmqpProtocolError):
        decode(data + b"\x40")


def test_budget_counts_everything_inside() -> None:
    value = [[None] * 10 for _ in range(10)]
    data = encode_value(value)
    assert decode(data, depth=2, elements=110) == value
    for depth, elements in ((1, 110), (2, 109)):
        with pytest.raises(AmqpProtocolError):
            decode(data, depth=depth, elements=elements)


def test_nulls_without_bytes_count_as_elements() -> None:
    data = encode_value(Array(type(None), (None,) * 200))
    assert len(data) < 10
    with pytest.raises(AmqpProtocolError):
        decode(data, elements=199)


class Mode(IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        2**63,
        -(2**63) - 1,
        "\ud800",
        Symbol("ä"),
        Char("\udfff"),
        Char("ab"),
        Decimal32(b"123"),
        Array(UInt, (UByte(1),)),
        Array(int, (True,)),
        Array(object, ()),
        [[object()]],
        {"a": object()},
        Described("x", object()),
    ],
    ids=repr,
)
def test_what_amqp_cannot_write(value: Any) -> None:
    with pytest.raises(LocalProtocolError):
        encode_value(value)


def test_a_list_inside_itself() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(LocalProtocolError):
        encode_value(endless)


def test_subclasses_are_written_as_what_they_are() -> None:
    assert encode_value(Mode.ONE) == encode_value(1)


@pytest.mark.parametrize(("cls", "number"), [(UByte, 256), (UByte, -1), (Int, 2**31), (ULong, -1), (Timestamp, 2**63)])
def test_integers_know_their_range(cls: type[int], number: int) -> None:
    with pytest.raises(ValueError, match="holds"):
        cls(number)


def test_types_are_kept_and_equal_to_pythons_own() -> None:
    assert ULong(5) == 5
    assert {Symbol("a"): 1} == {"a": 1}
    assert repr([ULong(5), Symbol("a")]) == "[ULong(5), Symbol('a')]"


def test_timestamps() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    assert Timestamp.of(moment) == 1767323045678
    assert Timestamp.of(moment).moment() == moment
    with pytest.raises(OverflowError):
        Timestamp(2**62).moment()


@pytest.mark.parametrize("body", BODIES, ids=str)
def test_bodies(body: Body) -> None:
    assert write_body(body.performative, tuple(body.values)).hex() == body.data.hex()
    performative, fields, end = read_body(ALL_BODIES, body.data + b"payload", DEFAULT_LIMITS)
    assert performative is body.performative
    assert fields == body.values
    assert end == len(body.data)


@pytest.mark.parametrize("body", BODIES, ids=str)
def test_every_field_is_written(body: Body) -> None:
    """Clients read by position (contract hub.md 14.2): trailing nulls stay, and the list is never list0."""
    described = decode(bytes(write_body(body.performative, tuple(body.values))))
    assert described.descriptor == body.performative.code
    assert len(described.value) == len(body.performative.writers)


@pytest.mark.parametrize("body", BODIES, ids=str)
def test_symbolic_descriptors_are_understood(body: Body) -> None:
    symbol = encode_value(Symbol(f"amqp:{body.performative.name}:list"))
    performative, fields, _ = read_body(ALL_BODIES, b"\0" + symbol + body.data[3:], DEFAULT_LIMITS)
    assert performative is body.performative
    assert fields == body.values


@pytest.mark.parametrize("vector", MALFORMED_BODIES, ids=str)
def test_malformed_bodies(vector: Vector) -> None:
    with pytest.raises(AmqpProtocolError) as refused:
        read_body(AMQP_BODIES, vector.data, DEFAULT_LIMITS)
    assert refused.value.condition in {Condition.DECODE_ERROR, Condition.INVALID_FIELD}
