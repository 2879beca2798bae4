"""How AMQP's scalar types are written (1.6), each in the shortest form that the standard has."""

from collections.abc import Callable
from struct import Struct
from struct import error as StructError  # noqa: N812  # it is a class
from typing import Any

from homeport.proto import LocalProtocolError

Writer = Callable[[bytearray, Any], None]

_U16 = Struct(">H").pack
_U32 = Struct(">I").pack
_U64 = Struct(">Q").pack


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


def packed(code: int, layout: str) -> Writer:
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
    _sized(0xA1, utf8(value), out)


def write_symbol(out: bytearray, value: str) -> None:
    _sized(0xA3, ascii_only(value), out)


def utf8(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise LocalProtocolError("a string has half of a surrogate pair") from None


def ascii_only(value: str) -> bytes:
    try:
        return value.encode("ascii")
    except UnicodeEncodeError:
        raise LocalProtocolError("a symbol may only have ASCII characters") from None


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


write_float = packed(0x72, "f")
write_double = packed(0x82, "d")
write_timestamp = packed(0x83, "q")
write_char = _opaque(0x73, 4, _utf32)
write_uuid = _opaque(0x98, 16, lambda value: value.bytes)
write_decimal32 = _opaque(0x74, 4, bytes)
write_decimal64 = _opaque(0x84, 8, bytes)
write_decimal128 = _opaque(0x94, 16, bytes)
write_long = _signed(0x55, 0x81, "q")
write_int = _signed(0x54, 0x71, "i")
write_byte = packed(0x51, "b")
write_short = packed(0x61, "h")
