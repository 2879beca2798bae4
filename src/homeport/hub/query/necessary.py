"""What a condition cannot hold without, said so simply that a database can look for it (contract hub.md 8.2).

Less than the condition: whoever uses this still judges what is found. More would be wrong: what it leaves out is
never seen by the evaluator.
"""

import math
from collections.abc import Sequence
from typing import Any

from homeport.hub.model import Bounded, OneOf, Sought
from homeport.hub.query.syntax import Attribute, Binary, Both, Either, Expression, Literal, Membership, Operator
from homeport.hub.query.values import is_number

MOST = 4
"""Necessary conditions worth looking for at a time."""
_MOST_VALUES = 100
_EXACT = 2**53
"""Beyond it databases and Python may disagree whether two numbers are equal."""
_BELOW = (("tags",), ("properties", "desired"), ("properties", "reported"))
_MIRRORED = {
    Operator.LESS: Operator.GREATER,
    Operator.LESS_OR_EQUAL: Operator.GREATER_OR_EQUAL,
    Operator.GREATER: Operator.LESS,
    Operator.GREATER_OR_EQUAL: Operator.LESS_OR_EQUAL,
    Operator.EQUAL: Operator.EQUAL,
}


def necessary(condition: Expression | None) -> Sequence[Sought]:
    """Return up to `MOST` necessary conditions about tags and properties; none if there is none of this form."""
    return _of(condition)[:MOST]


def _of(condition: Expression | None) -> Sequence[Sought]:
    match condition:
        case Both(parts):
            return [sought for part in parts for sought in _of(part)]
        case Either(parts):
            return _union([_of(part) for part in parts])
        case Membership(Attribute(path), values, negated=False):
            return _one_of(path, values)
        case Binary(operator, Attribute(path), Literal(value)):
            return _compared(path, operator, value)
        case Binary(operator, Literal(value), Attribute(path)) if operator in _MIRRORED:
            return _compared(path, _MIRRORED[operator], value)
        case _:
            return ()


def _union(alternatives: Sequence[Sequence[Sought]]) -> Sequence[Sought]:
    """Values of one attribute in each alternative make one necessary condition; anything else makes none."""
    values: set[str | float | bool] = set()
    paths = set()
    for alternative in alternatives:
        one = next((sought for sought in alternative if isinstance(sought, OneOf)), None)
        if one is None:
            return ()
        values |= one.values
        paths.add(one.path)
    return [OneOf(paths.pop(), frozenset(values))] if len(paths) == 1 and len(values) <= _MOST_VALUES else ()


def _compared(path: tuple[str, ...], operator: Operator, value: Any) -> Sequence[Sought]:
    if operator is Operator.EQUAL:
        return _one_of(path, (value,))
    if not _is_searchable(path) or not is_number(value) or not _is_exact(value):
        return ()
    match operator:
        case Operator.GREATER | Operator.GREATER_OR_EQUAL:
            return [Bounded(path, low=value)]
        case Operator.LESS | Operator.LESS_OR_EQUAL:
            return [Bounded(path, high=value)]
        case _:
            return ()


def _one_of(path: tuple[str, ...], values: Sequence[Any]) -> Sequence[Sought]:
    if not _is_searchable(path) or len(values) > _MOST_VALUES or not all(map(_is_plain, values)):
        return ()
    return [OneOf(path, frozenset(values))]


def _is_searchable(path: tuple[str, ...]) -> bool:
    """Tell whether a path leads to what a device or service wrote, and can be written in a database's own paths."""
    front = next((front for front in _BELOW if path[: len(front)] == front), None)
    if front is None or len(path) == len(front):
        return False
    return all(name and name.isprintable() and not set('"\\').intersection(name) for name in path) and not path[
        len(front)
    ].startswith("$")


def _is_plain(value: Any) -> bool:
    """Tell what databases compare as the evaluator does. null is none of it: to them it is like nothing at all."""
    if isinstance(value, str):
        return value.isprintable()
    return isinstance(value, bool) or (is_number(value) and _is_exact(value))


def _is_exact(value: float) -> bool:
    return math.isfinite(value) and abs(value) <= _EXACT
