"""The fields whose values are composite themselves: errors, delivery states and termini, to and from bytes."""

from typing import Any

from msgspec import Struct

from homeport.proto import LocalProtocolError
from homeport.proto.amqp import kinds as k
from homeport.proto.amqp.composites import (
    ACCEPTED,
    Accepted,
    Error,
    Modified,
    Received,
    Rejected,
    Released,
    Source,
    Target,
)
from homeport.proto.amqp.decoder import DESCRIBED, Budget, malformed, read_value
from homeport.proto.amqp.encoder import WRITERS
from homeport.proto.amqp.kinds import Composite, Field, Kind, read_descriptor
from homeport.proto.amqp.types import Described, ULong

_ACCEPTED = bytes((0x53, 0x24, 0x45))


def _composites(types: dict[type[Struct], Composite], *, others: bool) -> Kind:
    """Make the kind of a field that holds one of these types or, with `others`, any other described value."""
    by_class = {cls: (composite, cls.__struct_fields__) for cls, composite in types.items()}
    by_code = {composite.code: (composite, cls, by_class[cls][1]) for cls, composite in types.items()}

    def read(data: bytes, at: int, budget: Budget) -> tuple[Any, int]:
        if data.startswith(_ACCEPTED, at) and Accepted in types:
            return ACCEPTED, at + 3
        code, at = read_descriptor(data, at, budget)
        known = by_code.get(code)
        if known is not None:
            composite, cls, names = known
            values, at = composite.read(data, at, budget)
            return cls(**dict(zip(names, values, strict=True))), at
        if not others:
            raise malformed("a described value of another type stands where it may not")
        budget.enter(1)
        value, at = read_value(data, at, budget)
        budget.depth += 1
        return Described(ULong(code) if type(code) is int else code, value), at

    def write(out: bytearray, value: Any) -> None:
        known = by_class.get(type(value))
        if known is not None:
            composite, names = known
            composite.write(out, [getattr(value, name) for name in names])
        elif others and type(value) is Described:
            WRITERS[Described](out, value)
        else:
            raise LocalProtocolError(f"{type(value).__name__} stands where AMQP has no place for it")

    return Kind({DESCRIBED: read}, write)


ERROR = _composites(
    {Error: Composite(0x1D, "error", Field(k.SYMBOL, required=True), Field(k.STRING), Field(k.FIELDS))},
    others=False,
)

STATE = _composites(
    {
        Received: Composite(0x23, "received", Field(k.UINT, required=True), Field(k.ULONG, required=True)),
        Accepted: Composite(0x24, "accepted"),
        Rejected: Composite(0x25, "rejected", Field(ERROR)),
        Released: Composite(0x26, "released"),
        Modified: Composite(
            0x27,
            "modified",
            Field(k.BOOLEAN, default=False),
            Field(k.BOOLEAN, default=False),
            Field(k.FIELDS),
        ),
    },
    others=True,
)

_TERMINUS = (
    Field(k.ANY),  # address
    Field(k.UINT, default=0),  # durable
    Field(k.SYMBOL, default="session-end"),  # expiry-policy
    Field(k.UINT, default=0),  # timeout
    Field(k.BOOLEAN, default=False),  # dynamic
    Field(k.FIELDS),  # dynamic-node-properties
)

SOURCE = _composites(
    {
        Source: Composite(
            0x28,
            "source",
            *_TERMINUS,
            Field(k.SYMBOL),  # distribution-mode
            Field(k.FIELDS),  # filter
            Field(STATE),  # default-outcome
            Field(k.SYMBOLS),  # outcomes
            Field(k.SYMBOLS),  # capabilities
        )
    },
    others=False,
)

TARGET = _composites({Target: Composite(0x29, "target", *_TERMINUS, Field(k.SYMBOLS))}, others=True)
