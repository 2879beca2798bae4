"""What a condition is about: the attributes in it, and the devices or jobs it names, so that others are not read."""

from collections.abc import Callable
from typing import assert_never

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


def named_devices(condition: Expression | None) -> frozenset[str] | None:
    """Return the only device ids that can satisfy a condition; None if it names none."""
    return named_values(condition, ("deviceId",))


def named_values(condition: Expression | None, path: tuple[str, ...]) -> frozenset[str] | None:
    """Return the only texts at `path` that can satisfy a condition; None if it names none."""
    attribute = Attribute(path)
    match condition:
        case Binary(Operator.EQUAL, left, right):
            for one, other in ((left, right), (right, left)):
                if one == attribute and isinstance(other, Literal):
                    return frozenset({other.value} if isinstance(other.value, str) else ())
            return None
        case Membership(operand, values, negated=False) if operand == attribute:
            return frozenset(value for value in values if isinstance(value, str))
        case Both(parts):
            named = [found for part in parts if (found := named_values(part, path)) is not None]
            return frozenset.intersection(*named) if named else None
        case Either(parts):
            each = [named_values(part, path) for part in parts]
            some = [names for names in each if names is not None]
            return frozenset[str]().union(*some) if len(some) == len(each) else None
        case _:
            return None


def attributes_of(condition: Expression | None) -> frozenset[tuple[str, ...]]:
    """Return the path of every attribute in a condition."""
    match condition:
        case None | Literal():
            return frozenset()
        case Attribute(path):
            return frozenset({path})
        case Binary(_, left, right):
            return attributes_of(left) | attributes_of(right)
        case Membership(operand, _, _) | Negation(operand):
            return attributes_of(operand)
        case Both(parts) | Either(parts) | Call(_, parts):
            return frozenset[tuple[str, ...]]().union(*(attributes_of(part) for part in parts))
        case _:
            assert_never(condition)


def renamed(expression: Expression, rename: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Expression:
    """Return the expression with the path of every attribute passed through `rename`; it may raise."""

    def again(inner: Expression) -> Expression:
        return renamed(inner, rename)

    match expression:
        case Literal():
            return expression
        case Attribute(path):
            return Attribute(rename(path))
        case Binary(sign, left, right):
            return Binary(sign, again(left), again(right))
        case Membership(operand, values, negated):
            return Membership(again(operand), values, negated=negated)
        case Both(parts):
            return Both(tuple(map(again, parts)))
        case Either(parts):
            return Either(tuple(map(again, parts)))
        case Negation(operand):
            return Negation(again(operand))
        case Call(name, arguments):
            return Call(name, tuple(map(again, arguments)))
        case _:
            assert_never(expression)
