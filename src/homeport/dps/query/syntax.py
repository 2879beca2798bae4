"""What a query text means, once read: fields of the queried kind, conditions over them, an order. Values only."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from msgspec import Struct


class Kind(StrEnum):
    """How a field's values compare."""

    NAME = "name"
    """Text in which letter case does not count: ids, host names, words."""
    TEXT = "text"
    TIME = "time"
    NUMBER = "number"
    BOOL = "boolean"
    NAMES = "list"
    """Names, of which one may be asked for."""
    FREE = "free"
    """A JSON document of the customer's; members are named behind the field."""


class Column(StrEnum):
    """Fields that the store can find by."""

    ID = "id"
    GROUP = "group"
    ATTESTATION = "attestation"
    PROVISIONING_STATUS = "provisioningStatus"
    REGISTRATION_STATUS = "registrationStatus"
    HUB = "hub"
    UPDATED = "updated"


class Field(Struct, frozen=True, kw_only=True):
    """A member that may be asked for. `get` returns its value for one item, None where there is none."""

    name: str
    kind: Kind
    get: Callable[[Any], object]
    column: Column | None = None


Literal = Any
"""As the field's kind compares it: names in lower case, times as aware datetimes."""


class Operand(Struct, frozen=True, kw_only=True):
    """A field, or a member inside a document of the customer's."""

    field: Field
    members: tuple[str, ...] = ()


class Operator(StrEnum):
    EQUAL = "="
    DIFFERENT = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="


class Comparison(Struct, frozen=True, kw_only=True):
    operand: Operand
    operator: Operator
    literal: Literal


class OneOf(Struct, frozen=True, kw_only=True):
    """`IN (…)`."""

    operand: Operand
    literals: tuple[Literal, ...]


class TextTest(StrEnum):
    STARTSWITH = "STARTSWITH"
    ENDSWITH = "ENDSWITH"
    CONTAINS = "CONTAINS"
    LIKE = "LIKE"


class TextCondition(Struct, frozen=True, kw_only=True):
    """A part of a text; for a list, `CONTAINS` asks for one of its items."""

    operand: Operand
    test: TextTest
    text: str


class IsNull(Struct, frozen=True, kw_only=True):
    """There is no value, or it is null."""

    operand: Operand


class IsDefined(Struct, frozen=True, kw_only=True):
    """The member is there, even if it is null."""

    operand: Operand


class Not(Struct, frozen=True, kw_only=True):
    part: "Condition"


class All(Struct, frozen=True, kw_only=True):
    parts: "tuple[Condition, ...]"


class Either(Struct, frozen=True, kw_only=True):
    parts: "tuple[Condition, ...]"


Condition = Comparison | OneOf | TextCondition | IsNull | IsDefined | Not | All | Either


class SortKey(StrEnum):
    ID = "id"
    UPDATED = "updated"


class Order(Struct, frozen=True, kw_only=True):
    key: SortKey
    descending: bool = False


class Query(Struct, frozen=True, kw_only=True):
    """`SELECT *` with what narrows it; both None is everything, in id order."""

    condition: Condition | None = None
    order: Order | None = None

    def narrowed(self, condition: Condition) -> "Query":
        """Return the query for those of its items that satisfy this as well."""
        both = condition if self.condition is None else All(parts=(condition, self.condition))
        return Query(condition=both, order=self.order)
