"""AMQP values to bytes (part 1 of the standard), in the shortest form that the standard has."""

from collections.abc import Callable
from struct import Struct
from struct import error as StructError  # noqa: N812  # it is a class
from types import NoneType
from typing import Any
from uuid import UUID

from homeport.proto import LocalProtocolError
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

Writer = Callable[[bytearray, Any], None]

_U16 = Struct(">H").pack
_U32 = Struct(">I").pack
_U64 = Struct(">Q").pack
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


def write_null(out: bytearray, _value: None) -> None:
    out.append(0x40)


def write_boolean(out: bytearray, value: bool) -> None:
    out.append(0x41 if value else 0x42)


def write_ubyte(out: bytearray, value: int) -> None:
    if not 0 <= value <= 0xFF:
        raise LocalProtocolError("a ubyte holds 0 to 255")
    out.append(0x50)
    out.append(value)


def write_ushort(out: bytearray, value: int) -> None:
    if not 0 <= value <= 0xFFFF:
        raise LocalProtocolError("a ushort holds 0 to 65535")
    out.append(0x60)
    out += _U16(value)


def write_uint(out: bytearray, value: int) -> None:
    if value == 0:
        out.append(0x43)
    elif 0 < value <= 0xFF:
        out.append(0x52)
        out.append(value)
    elif 0 < value <= 0xFFFF_FFFF:
        out.append(0x70)
        out += _U32(value)
    else:
        raise LocalProtocolError("a uint holds 0 to 2^32 - 1")


def write_ulong(out: bytearray, value: int) -> None:
    if value == 0:
        out.append(0x44)
    elif 0 < value <= 0xFF:
        out.append(0x53)
        out.append(value)
    elif 0 < value <= 0xFFFF_FFFF_FFFF_FFFF:
        out.append(0x80)
        out += _U64(value)
    else:
        raise LocalProtocolError("a ulong holds 0 to 2^64 - 1")


def _signed(small_code: int, code: int, layout: str) -> Writer:
    pack = Struct(">" + layout).pack

    def write(out: bytearray, value: int) -> None:
        if -0x80 <= value <= 0x7F:
            out.append(small_code)
            out.append(value & 0xFF)
            return
        try:
            packed = pack(value)
        except StructError:
            raise LocalProtocolError(f"{type(value).__name__} is out of the range that AMQP has for it") from None
        out.append(code)
        out += packed

    return write


def _packed(code: int, layout: str) -> Writer:
    pack = Struct(">" + layout).pack

    def write(out: bytearray, value: Any) -> None:
        try:
            packed = pack(value)
        except (OverflowError, StructError):
            raise LocalProtocolError("a number is too large for its AMQP type") from None
        out.append(code)
        out += packed

    return write


def _sized(code: int, value: bytes, out: bytearray) -> None:
    size = len(value)
    if size <= 0xFF:
        out.append(code)
        out.append(size)
    else:
        out.append(code + 0x10)
        out += _U32(size)
    out += value


def write_binary(out: bytearray, value: bytes) -> None:
    _sized(0xA0, value, out)


def write_string(out: bytearray, value: str) -> None:
    _sized(0xA1, _utf8(value), out)


def write_symbol(out: bytearray, value: str) -> None:
    _sized(0xA3, _ascii(value), out)


def _utf8(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise LocalProtocolError("a string has half of a surrogate pair") from None


def _ascii(value: str) -> bytes:
    try:
        return value.encode("ascii")
    except UnicodeEncodeError:
        raise LocalProtocolError("a symbol may only have ASCII characters") from None


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


def _opaque(code: int, size: int, content: Callable[[Any], bytes]) -> Writer:
    def write(out: bytearray, value: Any) -> None:
        data = content(value)
        if len(data) != size:
            raise LocalProtocolError(f"{type(value).__name__} is not of its one size")
        out.append(code)
        out += data

    return write


def _utf32(value: str) -> bytes:
    try:
        return value.encode("utf-32-be")
    except UnicodeEncodeError:
        raise LocalProtocolError("a char is half of a surrogate pair") from None


_FLOAT = _packed(0x72, "f")
_DOUBLE = _packed(0x82, "d")
_TIMESTAMP = _packed(0x83, "q")
_CHAR = _opaque(0x73, 4, _utf32)
_UUID = _opaque(0x98, 16, lambda value: value.bytes)
_DECIMALS = {
    Decimal32: _opaque(0x74, 4, bytes),
    Decimal64: _opaque(0x84, 8, bytes),
    Decimal128: _opaque(0x94, 16, bytes),
}

WRITERS: dict[type, Writer] = {
    NoneType: write_null,
    bool: write_boolean,
    int: _signed(0x55, 0x81, "q"),
    UByte: write_ubyte,
    UShort: write_ushort,
    UInt: write_uint,
    ULong: write_ulong,
    Byte: _packed(0x51, "b"),
    Short: _packed(0x61, "h"),
    Int: _signed(0x54, 0x71, "i"),
    float: _DOUBLE,
    Float: _FLOAT,
    Decimal32: _DECIMAL32,
    Decimal64: _DECIMAL64,
    Decimal128: _DECIMAL128,
    Char: _CHAR,
    Timestamp: _TIMESTAMP,
    UUID: _UUID,
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
    int: _bare(0x81, _packed(0x81, "q")),
    UByte: _bare(0x50, write_ubyte),
    UShort: _bare(0x60, write_ushort),
    UInt: _bare(0x70, _packed(0x70, "I")),
    ULong: _bare(0x80, _packed(0x80, "Q")),
    Byte: _bare(0x51, _packed(0x51, "b")),
    Short: _bare(0x61, _packed(0x61, "h")),
    Int: _bare(0x71, _packed(0x71, "i")),
    float: _bare(0x82, _DOUBLE),
    Float: _bare(0x72, _FLOAT),
    Decimal32: _bare(0x74, _DECIMAL32),
    Decimal64: _bare(0x84, _DECIMAL64),
    Decimal128: _bare(0x94, _DECIMAL128),
    Char: _bare(0x73, _CHAR),
    Timestamp: _bare(0x83, _TIMESTAMP),
    UUID: _bare(0x98, _UUID),
    bytes: _long(0xB0, bytes),
    str: _long(0xB1, _utf8),
    Symbol: _long(0xB3, _ascii),
    list: _items(0xD0, list),
    dict: _items(0xD1, lambda pairs: [item for pair in pairs.items() for item in pair]),
    Array: (0xF0, _write_inner_array),
}
"""The constructor of an array's elements, and what writes one without it."""
