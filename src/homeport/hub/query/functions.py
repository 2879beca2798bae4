"""The functions of expressions. Twin queries have one; the conditions of routes have them all (contract hub.md 8.2).

What is given a value it cannot take answers UNDEFINED, which satisfies no condition.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from homeport.hub.query.values import UNDEFINED, is_number

_MAX_TEXT = 64 * 1024


class Function(Struct, frozen=True):
    """A function and how many arguments it may have."""

    arguments: Sequence[int]
    call: Callable[..., Any]


def _numeric(call: Callable[..., Any]) -> Callable[..., Any]:
    def run(*numbers: Any) -> Any:
        if not all(is_number(number) for number in numbers):
            return UNDEFINED
        try:
            result = call(*numbers)
        except (ValueError, OverflowError, ZeroDivisionError):
            return UNDEFINED
        return UNDEFINED if isinstance(result, complex) or not math.isfinite(result) else result

    return run


def _textual(call: Callable[..., Any]) -> Callable[..., Any]:
    def run(*texts: Any) -> Any:
        return call(*texts) if all(isinstance(text, str) for text in texts) else UNDEFINED

    return run


def _power(base: float, exponent: float) -> Any:
    # Of floats: whole numbers could grow without bound. A root of a negative number is complex.
    return float(base) ** float(exponent)


def _as_number(value: Any) -> Any:
    if is_number(value):
        return value
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, str) or len(value) > 400:
        return UNDEFINED
    try:
        number = float(value)
    except ValueError:
        return UNDEFINED
    if not math.isfinite(number):
        return UNDEFINED
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _concat(*texts: Any) -> Any:
    if not all(isinstance(text, str) for text in texts):
        return UNDEFINED
    joined = "".join(texts)
    return joined if len(joined) <= _MAX_TEXT else UNDEFINED


def _substring(text: Any, start: Any, length: Any = None) -> Any:
    if not isinstance(text, str) or not _is_count(start) or not (length is None or _is_count(length)):
        return UNDEFINED
    return text[int(start) :] if length is None else text[int(start) : int(start) + int(length)]


def _is_count(value: Any) -> bool:
    return is_number(value) and 0 <= value < 2**31 and float(value).is_integer()


_PRIMITIVES = (str, int, float, bool, type(None))

FUNCTIONS: Mapping[str, Function] = {
    "IS_DEFINED": Function((1,), lambda value: value is not UNDEFINED),
    "IS_NULL": Function((1,), lambda value: value is None),
    "IS_BOOL": Function((1,), lambda value: isinstance(value, bool)),
    "IS_NUMBER": Function((1,), is_number),
    "IS_STRING": Function((1,), lambda value: isinstance(value, str)),
    "IS_ARRAY": Function((1,), lambda value: isinstance(value, list)),
    "IS_OBJECT": Function((1,), lambda value: isinstance(value, Mapping)),
    "IS_PRIMITIVE": Function((1,), lambda value: isinstance(value, _PRIMITIVES)),
    "AS_NUMBER": Function((1,), _as_number),
    "ABS": Function((1,), _numeric(abs)),
    "CEILING": Function((1,), _numeric(math.ceil)),
    "FLOOR": Function((1,), _numeric(math.floor)),
    "EXP": Function((1,), _numeric(math.exp)),
    "SQUARE": Function((1,), _numeric(lambda number: _power(number, 2))),
    "SQRT": Function((1,), _numeric(math.sqrt)),
    "POWER": Function((2,), _numeric(_power)),
    "SIGN": Function((1,), _numeric(lambda number: (number > 0) - (number < 0))),
    "CONCAT": Function(range(2, 33), _concat),
    "LENGTH": Function((1,), _textual(len)),
    "LOWER": Function((1,), _textual(str.lower)),
    "UPPER": Function((1,), _textual(str.upper)),
    "SUBSTRING": Function((2, 3), _substring),
    "INDEX_OF": Function((2,), _textual(str.find)),
    "STARTS_WITH": Function((2,), _textual(str.startswith)),
    "ENDS_WITH": Function((2,), _textual(str.endswith)),
    "CONTAINS": Function((2,), _textual(lambda text, part: part in text)),
}

ROUTE_FUNCTIONS = frozenset(FUNCTIONS)
