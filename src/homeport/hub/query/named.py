"""Which devices a condition names, so that a query for a few need not look at all."""

from homeport.hub.query.syntax import Attribute, Binary, Both, Either, Expression, Literal, Membership, Operator

_DEVICE_ID = Attribute(("deviceId",))


def named_devices(condition: Expression | None) -> frozenset[str] | None:
    """Return the only device ids that can satisfy a condition; None if it names none."""
    match condition:
        case Binary(Operator.EQUAL, left, right):
            for one, other in ((left, right), (right, left)):
                if one == _DEVICE_ID and isinstance(other, Literal):
                    return frozenset({other.value} if isinstance(other.value, str) else ())
            return None
        case Membership(operand, values, negated=False) if operand == _DEVICE_ID:
            return frozenset(value for value in values if isinstance(value, str))
        case Both(parts):
            named = [found for part in parts if (found := named_devices(part)) is not None]
            return frozenset.intersection(*named) if named else None
        case Either(parts):
            each = [named_devices(part) for part in parts]
            some = [names for names in each if names is not None]
            return frozenset[str]().union(*some) if len(some) == len(each) else None
        case _:
            return None
