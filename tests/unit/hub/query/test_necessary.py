import pytest

from homeport.hub.model import Bounded, OneOf
from homeport.hub.query import necessary, parse_condition

A, B = ("tags", "a"), ("properties", "reported", "b", "c")


def one_of(path: tuple[str, ...], *values: str | float | bool) -> OneOf:
    return OneOf(path, frozenset(values))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tags.a = 'x'", [one_of(A, "x")]),
        ("7 = tags.a", [one_of(A, 7)]),
        ("tags.a IN [1, 'x', true]", [one_of(A, 1, "x", True)]),
        ("tags.a = 1 AND properties.reported.b.c > 5", [one_of(A, 1), Bounded(B, low=5)]),
        ("5 > properties.reported.b.c", [Bounded(B, high=5)]),
        ("tags.a = 1 OR tags.a IN [2, 3]", [one_of(A, 1, 2, 3)]),
        ("(tags.a = 1 AND connectionState = 'Connected') OR tags.a = 2", [one_of(A, 1, 2)]),
        # What a database would judge differently, or cannot look for.
        ("tags.a = 1 OR properties.reported.b.c = 1", []),
        ("tags.a = 1 OR tags.a > 5", []),
        ("NOT tags.a = 1", []),
        ("tags.a != 1", []),
        ("tags.a NIN [1]", []),
        ("tags.a = null", []),
        ("tags.a IN [1, null]", []),
        ("tags.a > 'x'", []),
        ("tags.a = 9007199254740993", []),
        ("tags.a = tags.b", []),
        ("tags.a + 1 = 2", []),
        ("deviceId = 'd'", []),
        ("status = 'enabled'", []),
        ("properties.reported.$version = 3", []),
        ("tags['a\"b'] = 1", []),
        ("", []),
    ],
)
def test_what_a_condition_cannot_hold_without(text: str, expected: list[OneOf | Bounded]) -> None:
    assert list(necessary(parse_condition(text) if text else None)) == expected


def test_no_more_than_a_few_are_looked_for() -> None:
    text = " AND ".join(f"tags.t{number} = {number}" for number in range(20))
    assert len(necessary(parse_condition(text))) == 4
