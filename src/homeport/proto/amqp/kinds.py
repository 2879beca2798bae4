"""The kinds of fields that composite types have: each allows its own constructors only, and knows how to be written.

Integers of fields are plain: a field's type is known, unlike that of a value in a map.
"""

import struct
from typing import Any

from msgspec import Struct

from homeport.proto.amqp import encoder, scalars
from homeport.proto.amqp.decoder import (
    LIST0,
    LIST8,
    LIST32,
    NULL,
    READERS,
    Budget,
    Reader,
    constant,
    fixed,
    malformed,
    narrow,
)
from homeport.proto.amqp.errors import AmqpProtocolError, Condition
from homeport.proto.amqp.scalars import Writer
from homeport.proto.amqp.types import Symbol


class Kind(Struct, frozen=True):
    """One kind of field: the readers of its constructors, besides null, its writer, and what null stands for."""

    readers: dict[int, Reader]
    write: Writer
    empty: Any = None


def _like(write: Writer, *codes: int) -> Kind:
    return Kind({code: READERS[code] for code in codes}, write)


BOOLEAN = _like(scalars.write_boolean, 0x41, 0x42, 0x56)
UBYTE = Kind({0x50: narrow()}, scalars.write_ubyte)
USHORT = Kind({0x60: fixed("H")}, scalars.write_ushort)
UINT = Kind({0x43: constant(0), 0x52: narrow(), 0x70: fixed("I")}, scalars.write_uint)
ULONG = Kind({0x44: constant(0), 0x53: narrow(), 0x80: fixed("Q")}, scalars.write_ulong)
TIMESTAMP = _like(encoder.write_value, 0x83)
BINARY = _like(scalars.write_binary, 0xA0, 0xB0)
STRING = _like(scalars.write_string, 0xA1, 0xB1)
SYMBOL = _like(scalars.write_symbol, 0xA3, 0xB3)
MAP = _like(encoder.write_map, 0xC1, 0xD1)
FIELDS = _like(encoder.write_symbol_map, 0xC1, 0xD1)
"""A map with symbols for keys. Other keys are let pass in what the peer says."""
LIST = _like(encoder.write_list, 0x45, 0xC0, 0xD0)
MESSAGE_ID = _like(
    encoder.write_value,
    *(0x44, 0x53, 0x80, 0x98, 0xA0, 0xB0, 0xA1, 0xB1),
    *(0x50, 0x60, 0x43, 0x52, 0x70, 0x51, 0x61, 0x54, 0x71, 0x55, 0x81, 0xA3, 0xB3),
)
"""A ulong, uuid, binary or string (3.2.11 to 3.2.14). Other integers and symbols are taken, too: uamqp writes int."""
ANY = Kind(READERS, encoder.write_value)


def _one_symbol(read: Reader) -> Reader:
    def read_one(data: bytes, at: int, budget: Budget) -> tuple[tuple[Symbol, ...], int]:
        symbol, at = read(data, at, budget)
        return (symbol,), at

    return read_one


def _many_symbols(read: Reader) -> Reader:
    def read_many(data: bytes, at: int, budget: Budget) -> tuple[tuple[Symbol, ...], int]:
        array, at = read(data, at, budget)
        if array.of is not Symbol or array.descriptor is not None:
            raise malformed("an array that should have symbols has other values")
        return array.values, at

    return read_many


SYMBOLS = Kind(
    {code: _one_symbol(READERS[code]) for code in (0xA3, 0xB3)}
    | {code: _many_symbols(READERS[code]) for code in (0xE0, 0xF0)},
    encoder.write_symbols,
    (),
)
"""One or many symbols (a field with multiple="true", 1.4) as a tuple, empty for null."""


# --- composite types -----------------------------------------------------------------------------------------------

_TWO_SIZES = struct.Struct(">II").unpack_from


class Field:
    """One field of a composite type; a default of None stands for "no default"."""

    def __init__(self, kind: Kind, *, required: bool = False, default: Any = None) -> None:
        self.kind = kind
        self.required = required
        self.default = kind.empty if default is None else default


CODES: dict[Any, int] = {}
"""The symbols of all composite types, which peers may say for their numbers."""


class Composite:
    """A list whose places have meanings: a performative, section, terminus, state or error (1.4)."""

    __slots__ = ("code", "defaults", "descriptor", "name", "readers", "required", "writers")

    def __init__(self, code: int, name: str, *fields: Field) -> None:
        self.code = code
        self.name = name
        self.descriptor = bytes((0x00, 0x53, code))
        CODES[Symbol(f"amqp:{name}:list")] = code
        self.readers = [field.kind.readers for field in fields]
        self.writers = [field.kind.write for field in fields]
        self.required = [place for place, field in enumerate(fields) if field.required]
        self.defaults = [(place, field.default) for place, field in enumerate(fields) if field.default is not None]

    def read(self, data: bytes, at: int, budget: Budget) -> tuple[list[Any], int]:
        """Read the list at `at`, its descriptor being behind us; return a value for every field, defaults filled in.

        Raises one of decoder.FAULTS for a field of another type, AmqpProtocolError for other faults.
        """
        code = data[at]
        if code == LIST8:
            end, count, at = at + 2 + data[at + 1], data[at + 2], at + 3
        elif code == LIST32:
            size, count = _TWO_SIZES(data, at + 1)
            end, at = at + 5 + size, at + 9
        elif code == LIST0:
            end = at = at + 1
            count = 0
        else:
            raise malformed(f"{self.name} is no list")
        readers = self.readers
        missing = len(readers) - count
        if missing < 0 or end > len(data):
            raise malformed(f"{self.name} has too many fields or too few bytes")
        budget.enter(count)
        values: list[Any] = []
        append = values.append
        for allowed in readers[:count] if missing else readers:
            code = data[at]
            if code == NULL:  # most fields are
                append(None)
                at += 1
            else:
                value, at = allowed[code](data, at + 1, budget)
                append(value)
        budget.depth += 1
        if at != end:
            raise malformed(f"{self.name} is not as long as it says")
        if missing:
            values += [None] * missing
        for place in self.required:
            if values[place] is None:
                raise AmqpProtocolError(f"{self.name} lacks a mandatory field", Condition.INVALID_FIELD)
        for place, default in self.defaults:
            if values[place] is None:
                values[place] = default
        return values, end

    def write(self, out: bytearray, values: Any) -> None:
        """Append descriptor and list with every field, trailing nulls too (contract hub.md 14.2)."""
        out += self.descriptor
        if not self.writers:
            out.append(LIST0)
            return
        items = bytearray()
        for write, value in zip(self.writers, values, strict=True):
            if value is None:
                items.append(NULL)
            else:
                write(items, value)
        encoder.write_items(out, LIST8, len(self.writers), items)


def read_descriptor(data: bytes, at: int, budget: Budget) -> tuple[Any, int]:
    """Read the descriptor whose constructor stands at `at`; the standard's symbols become their numbers."""
    if data[at] == 0x53:
        return data[at + 1], at + 2
    descriptor, at = READERS[data[at]](data, at + 1, budget)
    return CODES.get(descriptor, descriptor), at
