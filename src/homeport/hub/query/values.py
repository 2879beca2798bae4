"""The values of expressions: JSON's, and one that stands for what is not there."""

from enum import Enum
from typing import Any, Final


class _Undefined(Enum):
    """A type with one value, so that it can be told from everything JSON has."""

    UNDEFINED = "undefined"


UNDEFINED: Final = _Undefined.UNDEFINED

Undefined = _Undefined


def is_number(value: Any) -> bool:
    """Tell a number from everything else; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def sort_of(value: Any) -> type | None:
    """Return what a value compares with, None for nothing: objects, arrays and what is undefined."""
    if value is None:
        return type(None)
    if isinstance(value, bool):
        return bool
    if isinstance(value, int | float):
        return float
    return str if isinstance(value, str) else None
