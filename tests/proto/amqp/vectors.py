"""The table tests/vectors/amqp.json as values and bytes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homeport.proto.amqp import performatives
from homeport.proto.amqp.kinds import Composite
from homeport.proto.amqp.performatives import SASL_CHALLENGE, SASL_INIT, TRANSFER
from tests.proto.amqp.tagged import from_tagged

_TABLE = json.loads((Path(__file__).parents[2] / "vectors" / "amqp.json").read_text())


@dataclass(frozen=True)
class Vector:
    name: str
    data: bytes
    value: Any = None

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Body:
    name: str
    performative: Composite
    data: bytes
    values: list[Any]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Recording:
    """What a client put on its socket, and the names of the events that came of it."""

    name: str
    sasl: bool
    data: bytes
    events: list[str]

    def __str__(self) -> str:
        return self.name


def _vector(row: dict[str, Any]) -> Vector:
    value = from_tagged(row["value"]) if "value" in row else None
    return Vector(name=row["name"], data=bytes.fromhex(row["hex"]), value=value)


def _body(row: dict[str, Any]) -> Body:
    performative: Composite = getattr(performatives, row["performative"])
    values: list[Any] = [tuple(value) if isinstance(value, list) else value for value in row["values"]]
    # Binary fields are hex in the table.
    for place, of in ((2, TRANSFER), (1, SASL_INIT), (0, SASL_CHALLENGE)):
        if performative is of and values[place] is not None:
            values[place] = bytes.fromhex(values[place])
    return Body(name=row["name"], performative=performative, data=bytes.fromhex(row["hex"]), values=values)


VALUES = [_vector(row) for row in _TABLE["values"]]
"""True in both directions."""

ONE_WAY = [_vector(row) for row in _TABLE["one_way"]]
"""Understood, but not how we would write it."""

MALFORMED = [_vector(row) for row in _TABLE["malformed"]]

BODIES = [_body(row) for row in _TABLE["bodies"]]
"""Performatives, true in both directions."""

MALFORMED_BODIES = [_vector(row) for row in _TABLE["malformed_bodies"]]

CONVERSATIONS = [
    Recording(name=row["name"], sasl=row["sasl"], data=bytes.fromhex(row["hex"]), events=row["events"])
    for row in _TABLE["conversations"]
]
