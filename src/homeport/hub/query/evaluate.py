"""The value of an expression for one document, and whether a condition holds for it (contract hub.md 8.2).

Three answers are possible: true, false, and undefined, which is what comes of a missing attribute or of two values that
do not compare. Only true satisfies a condition; NOT of undefined is undefined, too.
"""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, assert_never

from homeport.hub.query.functions import FUNCTIONS
from homeport.hub.query.syntax import (
    Attribute,
    Binary,
    Both,
    Call,
    Either,
    Expression,
    Literal,
    Membership,
    Negation,
    Operator,
)
from homeport.hub.query.values import UNDEFINED, is_number, sort_of

Document = Mapping[str, Any]

_ORDERED = frozenset({float, str})
_COMPARE: Mapping[Operator, Callable[[Any, Any], bool]] = {
    Operator.EQUAL: operator.eq,
    Operator.DIFFERENT: operator.ne,
    Operator.LESS: operator.lt,
    Operator.LESS_OR_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_OR_EQUAL: operator.ge,
}
_CALCULATE: Mapping[Operator, Callable[[Any, Any], Any]] = {
    Operator.ADD: operator.add,
    Operator.SUBTRACT: operator.sub,
    Operator.MULTIPLY: operator.mul,
    Operator.DIVIDE: operator.truediv,
    Operator.REMAINDER: math.fmod,
}


def holds(condition: Expression | None, document: Document) -> bool:
    """Tell whether a document satisfies a condition; every one satisfies None."""
    return condition is None or value_of(condition, document) is True


def value_of(expression: Expression, document: Document) -> Any:
    """Return the value of an expression: JSON's values, or UNDEFINED."""
    match expression:
        case Literal():
            return expression.value
        case Attribute():
            return attribute_of(expression, document)
        case Binary():
            left, right = value_of(expression.left, document), value_of(expression.right, document)
            return _binary(expression.operator, left, right)
        case Membership():
            return _member(expression, value_of(expression.operand, document))
        case Both():
            return _both(expression.parts, document)
        case Either():
            return _either(expression.parts, document)
        case Negation():
            value = value_of(expression.operand, document)
            return not value if isinstance(value, bool) else UNDEFINED
        case Call():
            return FUNCTIONS[expression.function].call(*(value_of(each, document) for each in expression.arguments))
        case _:
            assert_never(expression)


def attribute_of(attribute: Attribute, document: Document) -> Any:
    """Follow a path into a document; UNDEFINED where it leads nowhere."""
    value: Any = document
    for name in attribute.path:
        if isinstance(value, list) and name.isdecimal() and int(name[:9]) < len(value):
            value = value[int(name[:9])]
        elif isinstance(value, Mapping) and name in value:
            value = value[name]
        else:
            return UNDEFINED
    return value


def _binary(sign: Operator, left: Any, right: Any) -> Any:
    compare = _COMPARE.get(sign)
    if compare is None:
        return _calculate(sign, left, right)
    sort = sort_of(left)
    if sort is None or sort is not sort_of(right):
        return UNDEFINED
    if sort not in _ORDERED and sign not in {Operator.EQUAL, Operator.DIFFERENT}:
        return UNDEFINED
    return compare(left, right)


def _calculate(sign: Operator, left: Any, right: Any) -> Any:
    if not (is_number(left) and is_number(right)):
        return UNDEFINED
    try:
        result = _CALCULATE[sign](left, right)
        # Whole numbers have no bound here, and JSON's have one.
        return result if abs(result) < math.inf and abs(result) <= 1e308 else UNDEFINED
    except (ArithmeticError, ValueError):
        return UNDEFINED


def _member(membership: Membership, value: Any) -> Any:
    sort = sort_of(value)
    if sort is None:
        return UNDEFINED
    found = any(sort_of(each) is sort and each == value for each in membership.values)
    return found is not membership.negated


def _both(parts: tuple[Expression, ...], document: Document) -> Any:
    result: Any = True
    for part in parts:
        value = value_of(part, document)
        if value is False:
            return False
        if value is not True:
            result = UNDEFINED
    return result


def _either(parts: tuple[Expression, ...], document: Document) -> Any:
    result: Any = False
    for part in parts:
        value = value_of(part, document)
        if value is True:
            return True
        if value is not False:
            result = UNDEFINED
    return result
