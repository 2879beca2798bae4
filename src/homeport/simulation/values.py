"""What simulated devices measure: numbers drawn anew for each message, out of a template. Pure; dice are passed in."""

import random
from collections.abc import Mapping
from typing import Any

Draws = Mapping[str, Any]

_KINDS = ("normal", "uniform", "integer", "choice", "counter")


class TemplateError(ValueError):
    """A template that cannot be followed; the text says where and why."""


def check_template(template: Any, where: str = "body") -> None:
    """Raise TemplateError unless `fill` can follow the template."""
    match template:
        case {**members} if (kind := _kind_of(members)) is not None:
            _check_draw(kind, members[kind], where)
        case {**members}:
            for name, member in members.items():
                if not isinstance(name, str):
                    raise TemplateError(f"{where}: {name!r} is no name of a member")
                check_template(member, f"{where}.{name}")
        case [*items]:
            for position, item in enumerate(items):
                check_template(item, f"{where}[{position}]")
        case None | bool() | int() | float() | str():
            pass
        case _:
            raise TemplateError(f"{where}: a {type(template).__name__} cannot be sent as JSON")


def fill(template: Any, dice: random.Random, number: int) -> Any:
    """Return the template with its draws made; `number` counts a device's messages from 1."""
    match template:
        case {**members} if (kind := _kind_of(members)) is not None:
            return _draw(kind, members[kind], dice, number)
        case {**members}:
            return {name: fill(member, dice, number) for name, member in members.items()}
        case [*items]:
            return [fill(item, dice, number) for item in items]
        case _:
            return template


def _kind_of(members: Mapping[Any, Any]) -> str | None:
    if len(members) != 1:
        return None
    (name,) = members
    return name if name in _KINDS else None


def _check_draw(kind: str, given: Any, where: str) -> None:
    match kind, given:
        case "normal", [int() | float(), int() | float() as deviation] if deviation >= 0:
            pass
        case "uniform", [int() | float() as low, int() | float() as high] if low <= high:
            pass
        case "integer", [int() as low, int() as high] if low <= high:
            pass
        case "choice", [_, *_]:
            for item in given:
                check_template(item, f"{where}.choice")
        case "counter", int():
            pass
        case _:
            raise TemplateError(
                f"{where}: a draw is normal: [mean, deviation], uniform: [low, high], integer: [low, high], "
                "choice: [one, or, another] or counter: first"
            )


def _draw(kind: str, given: Any, dice: random.Random, number: int) -> Any:
    match kind:
        case "normal":
            return round(dice.gauss(*given), 3)
        case "uniform":
            return round(dice.uniform(*given), 3)
        case "integer":
            return dice.randint(*given)
        case "choice":
            return fill(dice.choice(given), dice, number)
        case _:
            return given + number - 1
