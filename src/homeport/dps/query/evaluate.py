"""Whether an item satisfies a condition. Pure; items are the model's own objects, read through their fields.

A member that has no value satisfies no comparison, whatever the operator; `IS NULL` asks for it. NOT turns any
condition round, so `NOT tags.site = 'x'` holds where there is no site, and `tags.site != 'x'` does not.
"""

import operator as operator_module
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, assert_never

from homeport.dps.query.syntax import (
    All,
    Comparison,
    Condition,
    Either,
    IsDefined,
    IsNull,
    Kind,
    Literal,
    Not,
    OneOf,
    Operand,
    Operator,
    TextCondition,
    TextTest,
)

_MISSING = object()
_COMPARE: Mapping[Operator, Callable[[Any, Any], Any]] = {
    Operator.EQUAL: operator_module.eq,
    Operator.DIFFERENT: operator_module.ne,
    Operator.LESS: operator_module.lt,
    Operator.LESS_OR_EQUAL: operator_module.le,
    Operator.GREATER: operator_module.gt,
    Operator.GREATER_OR_EQUAL: operator_module.ge,
}


def matches(condition: Condition, item: Any) -> bool:
    """Tell whether the item is one of those asked for."""
    match condition:
        case All():
            return all(matches(part, item) for part in condition.parts)
        case Either():
            return any(matches(part, item) for part in condition.parts)
        case Not():
            return not matches(condition.part, item)
        case Comparison():
            return _compare(_value(condition.operand, item), condition.operator, condition.literal)
        case OneOf():
            value = _value(condition.operand, item)
            return any(_compare(value, Operator.EQUAL, literal) for literal in condition.literals)
        case TextCondition():
            return _text(_value(condition.operand, item), condition)
        case IsNull():
            value = _value(condition.operand, item)
            return value is _MISSING or value is None
        case IsDefined():
            return _value(condition.operand, item) is not _MISSING
        case _:
            assert_never(condition)


def _value(operand: Operand, item: Any) -> object:
    field = operand.field
    value = field.get(item)
    if value is None:
        return _MISSING
    if field.kind is Kind.NAME:
        return str(value).lower()
    if field.kind is Kind.NAMES:
        return tuple(name.lower() for name in value) if isinstance(value, tuple) else _MISSING
    for member in operand.members:
        if not isinstance(value, Mapping) or member not in value:
            return _MISSING
        value = value[member]
    return value


def _compare(value: object, operator: Operator, literal: Literal) -> bool:
    if value is _MISSING or value is None:
        return False
    if _sort_of(value) is not _sort_of(literal):
        return operator is Operator.DIFFERENT
    if isinstance(value, bool) and operator not in {Operator.EQUAL, Operator.DIFFERENT}:
        return False
    return bool(_COMPARE[operator](value, literal))


def _sort_of(value: object) -> object:
    """Values of one sort compare; a boolean is no number, and objects and arrays are unlike any literal."""
    if isinstance(value, bool):
        return bool
    if isinstance(value, int | float):
        return float
    if isinstance(value, str):
        return str
    return datetime if isinstance(value, datetime) else None


def _text(value: object, condition: TextCondition) -> bool:
    if isinstance(value, tuple):
        return condition.text in value
    if not isinstance(value, str):
        return False
    match condition.test:
        case TextTest.STARTSWITH:
            return value.startswith(condition.text)
        case TextTest.ENDSWITH:
            return value.endswith(condition.text)
        case TextTest.CONTAINS:
            return condition.text in value
        case TextTest.LIKE:
            return is_like(value, condition.text)
        case _:
            assert_never(condition.test)


def is_like(value: str, pattern: str) -> bool:
    """Compare with a pattern: `%` stands for any text, `_` for one character.

    The parts between `%` are searched one behind the other: no pattern makes this slow, as a regular expression could.
    """
    first, *rest = pattern.split("%")
    if not rest:
        return len(value) == len(pattern) and _fits(value, 0, pattern)
    *middle, last = rest
    if len(value) < len(first) + len(last) or not _fits(value, 0, first):
        return False
    end = len(value) - len(last)
    if not _fits(value, end, last):
        return False
    place = len(first)
    for part in middle:
        place = _search(value, part, place, end)
        if place < 0:
            return False
    return True


def _fits(value: str, place: int, part: str) -> bool:
    """Tell whether the part, in which `_` is any character, stands at this place."""
    if "_" not in part:
        return value.startswith(part, place)
    return all(wanted in ("_", there) for wanted, there in zip(part, value[place : place + len(part)], strict=True))


def _search(value: str, part: str, place: int, end: int) -> int:
    """Return the place behind the part's first occurrence between the two places, -1 if there is none."""
    if "_" not in part:
        found = value.find(part, place, end)
        return -1 if found < 0 else found + len(part)
    # Of fixed length, so nothing is tried twice at one place.
    match = _pattern(part).search(value, place, end)
    return -1 if match is None else match.end()


def _pattern(part: str) -> re.Pattern[str]:
    return re.compile("".join("." if sign == "_" else re.escape(sign) for sign in part), re.DOTALL)
