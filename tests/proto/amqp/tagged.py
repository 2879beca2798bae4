"""AMQP values as JSON that keeps every type, and hypothesis strategies for them."""

import struct
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from homeport.proto.amqp import (
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

INTEGERS: dict[str, type[int]] = {
    "ubyte": UByte,
    "ushort": UShort,
    "uint": UInt,
    "ulong": ULong,
    "byte": Byte,
    "short": Short,
    "int": Int,
    "long": int,
    "timestamp": Timestamp,
}
OPAQUE: dict[str, type[bytes]] = {"decimal32": Decimal32, "decimal64": Decimal64, "decimal128": Decimal128}
NAMES: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    Float: "float",
    float: "double",
    Char: "char",
    UUID: "uuid",
    bytes: "binary",
    str: "string",
    Symbol: "symbol",
    list: "list",
    dict: "map",
    Array: "array",
    **{cls: name for name, cls in INTEGERS.items()},
    **{cls: name for name, cls in OPAQUE.items()},
}


_BY_NAME = {name: cls for cls, name in NAMES.items()}


def to_tagged(value: Any) -> list[Any]:
    kind = NAMES.get(type(value), "described")
    match value:
        case None:
            return [kind]
        case bool() | str() if kind != "char":
            return [kind, value if kind == "boolean" else str(value)]
        case Char():
            return [kind, ord(value)]
        case int():
            return [kind, str(int(value))]
        case Float():
            return [kind, struct.pack(">f", value).hex()]
        case float():
            return [kind, struct.pack(">d", value).hex()]
        case bytes() | UUID():
            return [kind, value.hex if isinstance(value, UUID) else value.hex()]
        case list():
            return [kind, [to_tagged(item) for item in value]]
        case dict():
            return [kind, [[to_tagged(key), to_tagged(item)] for key, item in value.items()]]
        case Array():
            descriptor = None if value.descriptor is None else to_tagged(value.descriptor)
            return [kind, NAMES[value.of], [to_tagged(item) for item in value.values], descriptor]
        case _:
            return [kind, to_tagged(value.descriptor), to_tagged(value.value)]


def from_tagged(tagged: list[Any]) -> Any:
    kind, *content = tagged
    match kind:
        case "null":
            return None
        case "boolean" | "string":
            return content[0]
        case "symbol":
            return Symbol(content[0])
        case "char":
            return Char(chr(content[0]))
        case "float":
            return Float(struct.unpack(">f", bytes.fromhex(content[0]))[0])
        case "double":
            return struct.unpack(">d", bytes.fromhex(content[0]))[0]
        case "uuid":
            return UUID(hex=content[0])
        case "binary":
            return bytes.fromhex(content[0])
        case "list":
            return [from_tagged(item) for item in content[0]]
        case "map":
            return {from_tagged(key): from_tagged(item) for key, item in content[0]}
        case "array":
            of, items, descriptor = content
            values = tuple(from_tagged(item) for item in items)
            return Array(_BY_NAME[of], values, None if descriptor is None else from_tagged(descriptor))
        case "described":
            return Described(from_tagged(content[0]), from_tagged(content[1]))
        case _ if kind in OPAQUE:
            return OPAQUE[kind](bytes.fromhex(content[0]))
        case _:
            return INTEGERS[kind](int(content[0]))


def _integers(cls: type[int]) -> st.SearchStrategy[int]:
    bounds = cls if cls is not int else Timestamp
    edges = [0, 1, -1, 127, 128, -128, -129, 255, 256, bounds.lowest, bounds.highest]  # type: ignore[attr-defined]
    within = [edge for edge in edges if bounds.lowest <= edge <= bounds.highest]  # type: ignore[attr-defined]
    spread = st.integers(bounds.lowest, bounds.highest)  # type: ignore[attr-defined]
    return (st.sampled_from(within) | spread).map(cls)


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_ascii = st.text(st.characters(max_codepoint=127), max_size=20)
_longer = st.integers(250, 260)

SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    **{name: _integers(cls) for name, cls in INTEGERS.items()},
    "float": st.floats(width=32, allow_nan=False).map(Float),
    "double": st.floats(allow_nan=False),
    "char": st.characters(exclude_categories=["Cs"]).map(Char),
    "decimal32": st.binary(min_size=4, max_size=4).map(Decimal32),
    "decimal64": st.binary(min_size=8, max_size=8).map(Decimal64),
    "decimal128": st.binary(min_size=16, max_size=16).map(Decimal128),
    "uuid": st.uuids(),
    "binary": st.binary(max_size=20) | _longer.map(bytes),
    "string": _text | _longer.map("x".__mul__),
    "symbol": (_ascii | _longer.map("s".__mul__)).map(Symbol),
}


def arrays(kinds: list[str]) -> st.SearchStrategy[Array]:
    def of(kind: str) -> st.SearchStrategy[Array]:
        return st.lists(SCALARS[kind], max_size=4).map(lambda values: Array(_BY_NAME[kind], tuple(values)))

    return st.sampled_from(kinds).flatmap(of)


def values(*, array_kinds: list[str] | None = None) -> st.SearchStrategy[Any]:
    """Any value, three levels or so deep. Keys that Python holds for equal do not meet in one map.

    No value is described twice in a row: proton and rhea lose what comes after it.
    """
    scalars = st.one_of(*SCALARS.values())
    keys = SCALARS["string"] | SCALARS["symbol"].map(lambda name: Symbol("#" + name)) | st.uuids()
    some_arrays = arrays(array_kinds if array_kinds is not None else list(SCALARS))

    def deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return (
            st.lists(inner, max_size=4)
            | st.dictionaries(keys, inner, max_size=4)
            | st.builds(
                Described,
                SCALARS["symbol"] | SCALARS["ulong"],
                inner.filter(lambda value: not isinstance(value, Described)),
            )
        )

    return st.recursive(scalars | some_arrays, deeper, max_leaves=10)
