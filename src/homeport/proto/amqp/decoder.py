"""Bytes to AMQP values (part 1 of the standard), strictly. What the values mean is told in `composites`.

A reader takes the bytes, the place after the constructor, and the budget; it returns the value and the place after
it. Readers may also fail with one of FAULTS, so the entry points around them turn these into AmqpProtocolError.
"""

from collections.abc import Callable
from functools import partial
from struct import Struct
from struct import error as StructError  # noqa: N812  # it is a class
from types import NoneType
from typing import Any
from uuid import UUID

from homeport.proto.amqp.errors import AmqpProtocolError, Condition
from homeport.proto.amqp.types import (
    Array,
    Byte,
    Char,
    Decimal32,
    Decimal64,
    Decimal128,
    Described,
    Float,
    Int,
    Short,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
)

FAULTS = (IndexError, KeyError, StructError, ValueError, TypeError)
"""What readers raise for bytes that are too few, constructors that do not exist, bad UTF-8, map keys of lists."""


class Budget:
    """What one value and all in it may still use: levels of nesting, and elements of lists, maps and arrays."""

    __slots__ = ("depth", "elements")

    def __init__(self, depth: int, elements: int) -> None:
        self.depth = depth
        self.elements = elements

    def enter(self, elements: int) -> None:
        """Take one level and so many elements."""
        self.depth -= 1
        self.elements -= elements
        if self.depth < 0 or self.elements < 0:
            raise AmqpProtocolError("a value is nested too deeply or has too many elements", Condition.DECODE_ERROR)


Reader = Callable[[bytes, int, Budget], tuple[Any, int]]


def malformed(message: str) -> AmqpProtocolError:
    """Return the error for bytes that are no AMQP."""
    return AmqpProtocolError(message, Condition.DECODE_ERROR)


def read_value(data: bytes, at: int, budget: Budget) -> tuple[Any, int]:
    """Read the value whose constructor stands at `at`."""
    return READERS[data[at]](data, at + 1, budget)


def decode_value(data: bytes, budget: Budget) -> Any:
    """Read exactly one value. Raises AmqpProtocolError for anything else, be it too short or too long."""
    try:
        value, end = read_value(data, 0, budget)
    except FAULTS:
        raise malformed("the bytes are no AMQP value") from None
    if end != len(data):
        raise malformed("there is more than one AMQP value")
    return value


def constant(value: Any) -> Reader:
    return lambda _data, at, _budget: (value, at)


def fixed(layout: str, make: Callable[[Any], Any] | None = None) -> Reader:
    """Make a reader for a value of this struct layout."""
    struct = Struct(">" + layout)
    unpack, size = struct.unpack_from, struct.size
    if make is None:
        return lambda data, at, _budget: (unpack(data, at)[0], at + size)
    return lambda data, at, _budget: (make(unpack(data, at)[0]), at + size)


def narrow(make: Callable[[int], Any] | None = None) -> Reader:
    """Make a reader for an unsigned byte."""
    if make is None:
        return lambda data, at, _budget: (data[at], at + 1)
    return lambda data, at, _budget: (make(data[at]), at + 1)


def _short(make: Callable[[bytes], Any]) -> Reader:
    """Make a reader for bytes after a length of one byte."""

    def read(data: bytes, at: int, _budget: Budget) -> tuple[Any, int]:
        at += 1
        end = at + data[at - 1]
        if end > len(data):
            raise IndexError
        return make(data[at:end]), end

    return read


_SIZE = Struct(">I").unpack_from
_TWO_SIZES = Struct(">II").unpack_from


def _long(make: Callable[[bytes], Any]) -> Reader:
    """Make a reader for bytes after a length of four bytes."""

    def read(data: bytes, at: int, _budget: Budget) -> tuple[Any, int]:
        end = at + 4 + _SIZE(data, at)[0]
        if end > len(data):
            raise IndexError
        return make(data[at + 4 : end]), end

    return read


def _opaque(size: int, make: Callable[[bytes], Any]) -> Reader:
    def read(data: bytes, at: int, _budget: Budget) -> tuple[Any, int]:
        if at + size > len(data):
            raise IndexError
        return make(data[at : at + size]), at + size

    return read


def _boolean(data: bytes, at: int, _budget: Budget) -> tuple[bool, int]:
    if data[at] > 1:
        raise ValueError
    return data[at] == 1, at + 1


def _char(code_point: int) -> Char:
    if 0xD800 <= code_point < 0xE000 or code_point > 0x10FFFF:
        raise ValueError
    return Char(chr(code_point))


def _utf8(data: bytes) -> str:
    return data.decode()


def _symbol(data: bytes) -> Symbol:
    return Symbol(data, "ascii")


# --- lists, maps, arrays, described values ------------------------------------------------------------------------

Shape = Callable[[bytes, int, int, int, Budget], Any]


def _composite(shape: Shape, size_bytes: int) -> Reader:
    """Make a reader for size, count and what `shape` makes of the elements between `at` and `end`."""

    def read(data: bytes, at: int, budget: Budget) -> tuple[Any, int]:
        if size_bytes == 1:
            size, count = data[at], data[at + 1]
        else:
            size, count = _TWO_SIZES(data, at)
        start, end = at + 2 * size_bytes, at + size_bytes + size
        if not start <= end <= len(data):
            raise IndexError
        budget.enter(count)
        value = shape(data, start, end, count, budget)
        budget.depth += 1
        return value, end

    return read


def _list(data: bytes, at: int, end: int, count: int, budget: Budget) -> list[Any]:
    values = []
    for _ in range(count):
        value, at = READERS[data[at]](data, at + 1, budget)
        values.append(value)
    if at != end:
        raise malformed("a list is not as long as it says")
    return values


def _map(data: bytes, at: int, end: int, count: int, budget: Budget) -> dict[Any, Any]:
    pairs: dict[Any, Any] = {}
    if count % 2:
        raise malformed("a map has a key without a value")
    for _ in range(count // 2):
        key, at = READERS[data[at]](data, at + 1, budget)
        pairs[key], at = READERS[data[at]](data, at + 1, budget)
    if at != end:
        raise malformed("a map is not as long as it says")
    if len(pairs) != count // 2:
        raise malformed("a map has a key twice")
    return pairs


def _array(data: bytes, at: int, end: int, count: int, budget: Budget) -> Array:
    code = data[at]
    descriptor = None
    at += 1
    if code == DESCRIBED:
        budget.enter(1)
        descriptor, at = read_value(data, at, budget)
        code = data[at]
        at += 1
        budget.depth += 1
    read, of = READERS[code], CLASSES[code]
    values = []
    for _ in range(count):
        value, at = read(data, at, budget)
        values.append(value)
    if at != end:
        raise malformed("an array is not as long as it says")
    return Array(of, tuple(values), descriptor)


def _described(data: bytes, at: int, budget: Budget) -> tuple[Described, int]:
    budget.enter(2)
    descriptor, at = read_value(data, at, budget)
    value, at = read_value(data, at, budget)
    budget.depth += 1
    return Described(descriptor, value), at


def _of(cls: type[int]) -> Callable[[int], int]:
    """Make an integer of this class whose range the layout has made sure of."""
    return partial(int.__new__, cls)


DESCRIBED = 0x00
NULL = 0x40
LIST0, LIST8, LIST32 = 0x45, 0xC0, 0xD0
MAP8, MAP32 = 0xC1, 0xD1
ARRAY8, ARRAY32 = 0xE0, 0xF0

READERS: dict[int, Reader] = {
    DESCRIBED: _described,
    NULL: constant(None),
    0x41: constant(True),
    0x42: constant(False),
    0x56: _boolean,
    0x50: narrow(_of(UByte)),
    0x60: fixed("H", _of(UShort)),
    0x43: constant(UInt(0)),
    0x52: narrow(_of(UInt)),
    0x70: fixed("I", _of(UInt)),
    0x44: constant(ULong(0)),
    0x53: narrow(_of(ULong)),
    0x80: fixed("Q", _of(ULong)),
    0x51: fixed("b", _of(Byte)),
    0x61: fixed("h", _of(Short)),
    0x54: fixed("b", _of(Int)),
    0x71: fixed("i", _of(Int)),
    0x55: fixed("b"),
    0x81: fixed("q"),
    0x72: fixed("f", Float),
    0x82: fixed("d"),
    0x74: _opaque(4, Decimal32),
    0x84: _opaque(8, Decimal64),
    0x94: _opaque(16, Decimal128),
    0x73: fixed("I", _char),
    0x83: fixed("q", _of(Timestamp)),
    0x98: _opaque(16, lambda data: UUID(bytes=data)),
    0xA0: _short(bytes),
    0xB0: _long(bytes),
    0xA1: _short(_utf8),
    0xB1: _long(_utf8),
    0xA3: _short(_symbol),
    0xB3: _long(_symbol),
    LIST0: lambda _data, at, _budget: ([], at),
    LIST8: _composite(_list, 1),
    LIST32: _composite(_list, 4),
    MAP8: _composite(_map, 1),
    MAP32: _composite(_map, 4),
    ARRAY8: _composite(_array, 1),
    ARRAY32: _composite(_array, 4),
}

CLASSES: dict[int, type] = {
    NULL: NoneType, 0x41: bool, 0x42: bool, 0x56: bool,
    0x50: UByte, 0x60: UShort, 0x43: UInt, 0x52: UInt, 0x70: UInt, 0x44: ULong, 0x53: ULong, 0x80: ULong,
    0x51: Byte, 0x61: Short, 0x54: Int, 0x71: Int, 0x55: int, 0x81: int, 0x72: Float, 0x82: float,
    0x74: Decimal32, 0x84: Decimal64, 0x94: Decimal128, 0x73: Char, 0x83: Timestamp, 0x98: UUID,
    0xA0: bytes, 0xB0: bytes, 0xA1: str, 0xB1: str, 0xA3: Symbol, 0xB3: Symbol,
    LIST0: list, LIST8: list, LIST32: list, MAP8: dict, MAP32: dict, ARRAY8: Array, ARRAY32: Array,
}  # fmt: skip
"""What an array's elements are, by its constructor."""
