"""Templates of what simulated devices send."""

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.simulation.values import TemplateError, check_template, fill

numbers = st.integers(-1000, 1000)
draws = st.one_of(
    st.tuples(numbers, st.integers(0, 100)).map(lambda pair: {"normal": list(pair)}),
    st.tuples(numbers, numbers).map(lambda pair: {"uniform": sorted(pair)}),
    st.tuples(numbers, numbers).map(lambda pair: {"integer": sorted(pair)}),
    st.lists(st.text(), min_size=1).map(lambda items: {"choice": items}),
    numbers.map(lambda first: {"counter": first}),
)
templates = st.recursive(
    st.none() | st.booleans() | numbers | st.text() | draws,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=9), inner, max_size=4),
    max_leaves=12,
)


@given(templates, st.integers(), st.integers(1, 1000))
def test_the_same_dice_draw_the_same(template: Any, seed: int, number: int) -> None:
    check_template(template)
    first = fill(template, random.Random(seed), number)
    assert first == fill(template, random.Random(seed), number)
    json.dumps(first)


@given(templates)
def test_what_is_no_draw_stays_as_it_is(template: Any) -> None:
    if not any(word in repr(template) for word in ("normal", "uniform", "integer", "choice", "counter")):
        assert fill(template, random.Random(1), 1) == template


def test_draws_are_what_they_say() -> None:
    dice = random.Random(1)
    assert all(3 <= fill({"integer": [3, 5]}, dice, 1) <= 5 for _ in range(50))
    assert all(-1 <= fill({"uniform": [-1, 1]}, dice, 1) <= 1 for _ in range(50))
    assert {fill({"choice": ["a", "b"]}, dice, 1) for _ in range(50)} == {"a", "b"}
    assert [fill({"n": {"counter": 10}}, dice, number) for number in (1, 2, 3)] == [{"n": 10}, {"n": 11}, {"n": 12}]
    assert fill({"normal": [5, 0]}, dice, 1) == 5


@pytest.mark.parametrize(
    "template",
    [
        {"normal": 3},
        {"normal": [1, -1]},
        {"normal": ["a", 1]},
        {"uniform": [2, 1]},
        {"integer": [0.5, 1]},
        {"choice": []},
        {"choice": [{"uniform": [2, 1]}]},
        {"counter": "x"},
        {"a": {"b": [{"counter": None}]}},
        {"a": object()},
        {1: "a"},
    ],
)
def test_what_cannot_be_followed_is_refused(template: Any) -> None:
    with pytest.raises(TemplateError, match="body"):
        check_template(template)
