"""AMQP values to bytes (part 1 of the standard), in the shortest form that the standard has."""

from collections.abc import Callable
from struct import Struct
from types import NoneType
from typing import Any
from uuid import UUID

from homeport.proto import LocalProtocolError
from homeport.proto.amqp.scalars import (
    Writer,
    ascii_only,
    packed,
    utf8,
    write_binary,
    write_boolean,
    write_byte,
    write_char,
    write_decimal32,
    write_decimal64,
    write_decimal128,
    write_double,
    write_float,
    write_int,
    write_long,
    write_null,
    write_short,
    write_string,
    write_symbol,
    write_timestamp,
    write_ubyte,
    write_uint,
    write_ulong,
    write_ushort,
    write_uuid,
)
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

_U32 = Struct(">I").pack
_TWO_U32 = Struct(">II").pack


def encode_value(value: Any) -> bytes:
    """Write one value. Raises LocalProtocolError for what AMQP has no type for."""
    out = bytearray()
    try:
        write_value(out, value)
    except RecursionError:
        raise LocalProtocolError("a value is nested too deeply") from None
    return bytes(out)


def write_value(out: bytearray, value: Any) -> None:
    """Append any value by its Python type."""
    write = WRITERS.get(type(value)) or _inherited(value)
    write(out, value)


def _inherited(value: Any) -> Writer:
    """Find the writer of a subclass, such as an IntEnum's or an enum of symbols."""
    for cls in type(value).__mro__:
        if (write := WRITERS.get(cls)) is not None:
            return write
    raise LocalProtocolError(f"AMQP has no type for {type(value).__name__}")


# --- lists, maps, arrays, described values ------------------------------------------------------------------------


def write_items(out: bytearray, code: int, count: int, items: bytes | bytearray) -> None:
    """Append a list (code 0xC0) or map (0xC1), whose items are written already, with sizes as small as they go."""
    size = len(items) + 1
    if size <= 0xFF and count <= 0xFF:
        out.append(code)
        out.append(size)
        out.append(count)
    else:
        out.append(code + 0x10)
        out += _TWO_U32(size + 3, count)
    out += items


def write_list(out: bytearray, values: list[Any] | tuple[Any, ...]) -> None:
    if not values:
        out.append(0x45)
        return
    items = bytearray()
    for value in values:
        write_value(items, value)
    write_items(out, 0xC0, len(values), items)


def write_map(out: bytearray, pairs: dict[Any, Any]) -> None:
    items = bytearray()
    for key, value in pairs.items():
        write_value(items, key)
        write_value(items, value)
    write_items(out, 0xC1, 2 * len(pairs), items)


def write_symbol_map(out: bytearray, pairs: dict[Any, Any]) -> None:
    """Append a map whose keys of str are written as symbols: fields, annotations, filter sets (2.8.13, 3.2.10)."""
    items = bytearray()
    for key, value in pairs.items():
        if isinstance(key, str):
            write_symbol(items, key)
        else:
            write_value(items, key)
        write_value(items, value)
    write_items(out, 0xC1, 2 * len(pairs), items)


def write_described(out: bytearray, value: Described) -> None:
    out.append(0x00)
    write_value(out, value.descriptor)
    write_value(out, value.value)


def write_symbols(out: bytearray, symbols: tuple[str, ...]) -> None:
    """Append an array of symbols, or null for none: a field that may have many values (1.4)."""
    if symbols:
        _write_array(out, Symbol, symbols, None)
    else:
        out.append(0x40)


def write_array(out: bytearray, value: Array) -> None:
    _write_array(out, value.of, value.values, value.descriptor)


def _write_array(out: bytearray, of: type, values: tuple[Any, ...], descriptor: Any) -> None:
    if of not in ELEMENTS:
        raise LocalProtocolError(f"AMQP has no arrays of {of.__name__}")
    code, write = ELEMENTS[of]
    items = bytearray()
    if descriptor is not None:
        items.append(0x00)
        write_value(items, descriptor)
    items.append(code)
    for value in values:
        # Exactly this class: a bool among ints, or a UInt among ULongs, would not come back as what it was.
        if type(value) is not of and not (of is Symbol and type(value) is str):
            raise LocalProtocolError(f"an array of {of.__name__} has an element of {type(value).__name__}")
        write(items, value)
    size = len(items) + 1
    if size <= 0xFF and len(values) <= 0xFF:
        out.append(0xE0)
        out.append(size)
        out.append(len(values))
    else:
        out.append(0xF0)
        out += _TWO_U32(size + 3, len(values))
    out += items


def _bare(code: int, write: Writer) -> tuple[int, Writer]:
    """Take the constructor off what `write` appends; it must always be this one."""

    def bare(out: bytearray, value: Any) -> None:
        at = len(out)
        write(out, value)
        del out[at]

    return code, bare


def _long(code: int, content: Callable[[Any], bytes]) -> tuple[int, Writer]:
    def write(out: bytearray, value: Any) -> None:
        data = content(value)
        out += _U32(len(data))
        out += data

    return code, write


def _items(code: int, values: Callable[[Any], list[Any]]) -> tuple[int, Writer]:
    def write(out: bytearray, value: Any) -> None:
        items = bytearray()
        flat = values(value)
        for item in flat:
            write_value(items, item)
        out += _TWO_U32(len(items) + 4, len(flat))
        out += items

    return code, write


def _write_inner_array(out: bytearray, value: Array) -> None:
    whole = bytearray()
    write_array(whole, value)
    if whole[0] == 0xE0:
        out += _TWO_U32(whole[1] + 3, whole[2])
        out += whole[3:]
    else:
        out += whole[1:]


WRITERS: dict[type, Writer] = {
    NoneType: write_null,
    bool: write_boolean,
    int: write_long,
    UByte: write_ubyte,
    UShort: write_ushort,
    UInt: write_uint,
    ULong: write_ulong,
    Byte: write_byte,
    Short: write_short,
    Int: write_int,
    float: write_double,
    Float: write_float,
    Decimal32: write_decimal32,
    Decimal64: write_decimal64,
    Decimal128: write_decimal128,
    Char: write_char,
    Timestamp: write_timestamp,
    UUID: write_uuid,
    bytes: write_binary,
    bytearray: write_binary,
    str: write_string,
    Symbol: write_symbol,
    list: write_list,
    tuple: write_list,
    dict: write_map,
    Array: write_array,
    Described: write_described,
}

ELEMENTS: dict[type, tuple[int, Writer]] = {
    NoneType: (0x40, lambda _out, _value: None),
    bool: (0x56, lambda out, value: out.append(value)),
    int: _bare(0x81, packed(0x81, "q")),
    UByte: _bare(0x50, write_ubyte),
    UShort: _bare(0x60, write_ushort),
    UInt: _bare(0x70, packed(0x70, "I")),
    ULong: _bare(0x80, packed(0x80, "Q")),
    Byte: _bare(0x51, write_byte),
    Short: _bare(0x61, write_short),
    Int: _bare(0x71, packed(0x71, "i")),
    float: _bare(0x82, write_double),
    Float: _bare(0x72, write_float),
    Decimal32: _bare(0x74, write_decimal32),
    Decimal64: _bare(0x84, write_decimal64),
    Decimal128: _bare(0x94, write_decimal128),
    Char: _bare(0x73, write_char),
    Timestamp: _bare(0x83, write_timestamp),
    UUID: _bare(0x98, write_uuid),
    bytes: _long(0xB0, bytes),
    str: _long(0xB1, utf8),
    Symbol: _long(0xB3, ascii_only),
    list: _items(0xD0, list),
    dict: _items(0xD1, lambda pairs: [item for pair in pairs.items() for item in pair]),
    Array: (0xF0, _write_inner_array),
}
"""The constructor of an array's elements, and what writes one without it."""
