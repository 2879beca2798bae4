"""What a query says, as values: sources, items and expressions (contract hub.md 8.2)."""

from collections.abc import Sequence
from enum import Enum
from typing import Any

from msgspec import Struct


class Source(Enum):
    """What is queried."""

    DEVICES = "devices"
    MODULES = "devices.modules"
    JOBS = "devices.jobs"


class Operator(Enum):
    """What stands between two expressions."""

    EQUAL = "="
    DIFFERENT = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"
    REMAINDER = "%"


class Literal(Struct, frozen=True):
    """A constant: JSON's values, or `UNDEFINED` for the key word."""

    value: Any


class Attribute(Struct, frozen=True):
    """A path into a row's document: fixed fields in their own spelling, what is below them as written."""

    path: tuple[str, ...]


class Binary(Struct, frozen=True):
    """A comparison or a calculation."""

    operator: Operator
    left: "Expression"
    right: "Expression"


class Membership(Struct, frozen=True):
    """`IN [...]`, or with `negated` `NIN [...]`."""

    operand: "Expression"
    values: tuple[Any, ...]
    negated: bool


class Both(Struct, frozen=True):
    """AND of two or more."""

    parts: tuple["Expression", ...]


class Either(Struct, frozen=True):
    """OR of two or more."""

    parts: tuple["Expression", ...]


class Negation(Struct, frozen=True):
    operand: "Expression"


class Call(Struct, frozen=True):
    """A function by its upper-case name."""

    function: str
    arguments: tuple["Expression", ...]


Expression = Literal | Attribute | Binary | Membership | Both | Either | Negation | Call


class Aggregate(Enum):
    COUNT = "COUNT"
    SUM = "SUM"
    AVG = "AVG"
    MIN = "MIN"
    MAX = "MAX"


class Item(Struct, frozen=True):
    """One column of a row: an attribute, or an aggregate of one (of none for COUNT)."""

    name: str
    attribute: Attribute | None
    aggregate: Aggregate | None = None


class Query(Struct, frozen=True, kw_only=True):
    """A query. `items` None is `*`; `top` None is no limit."""

    source: Source
    items: Sequence[Item] | None = None
    top: int | None = None
    condition: Expression | None = None
    group_by: tuple[Attribute, ...] = ()

    @property
    def aggregates(self) -> bool:
        """Whether rows are made of groups of documents."""
        return bool(self.group_by) or any(item.aggregate is not None for item in self.items or ())

    @property
    def counts_everything(self) -> bool:
        """Whether the one row says only how many documents there are."""
        items = self.items or ()
        counts = all(item.aggregate is Aggregate.COUNT for item in items)
        return bool(items) and counts and self.condition is None and not self.group_by
