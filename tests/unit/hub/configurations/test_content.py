"""What configurations make of desired properties, and which of them win (contract hub.md 11)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.hub.configurations.content import applied, chosen, named_modules, statuses
from homeport.hub.model import Configuration, ConfigurationContent
from homeport.hub.twin_patch import difference, merge

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BASE: dict[str, Any] = {"$edgeAgent": {"properties.desired": {"modules": {}}}}
LAYER: dict[str, Any] = {"$edgeAgent": {"properties.desired.modules.m": {"type": "docker"}}}

scalars = st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, "", "x"]) | st.lists(st.integers(0, 1))
contents = st.recursive(
    st.dictionaries(st.sampled_from("abc"), scalars, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), scalars | inner, max_size=3),
    max_leaves=8,
)


def configuration(name: str, priority: int = 0, age: int = 0, modules: dict[str, Any] | None = None) -> Configuration:
    return Configuration(
        configuration_id=name,
        schema_version="1.0",
        labels={},
        content=ConfigurationContent(modules=modules) if modules else ConfigurationContent(device={}),
        target_condition="*",
        priority=priority,
        metrics={},
        created_at=NOW - timedelta(days=age),
        updated_at=NOW,
    )


@given(contents, contents)
def test_a_difference_makes_one_of_the_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert merge(old, difference(old, new)) == new
    assert difference(new, new) == {}


@pytest.mark.parametrize(
    ("settings", "result"),
    [
        ({}, {"a": {"b": 1, "c": 2}}),
        ({"properties.desired.a.b": 5}, {"a": {"b": 5, "c": 2}}),
        ({"properties.desired.a": {"x": 1}}, {"a": {"x": 1}}),
        ({"properties.desired.a.b": None}, {"a": {"c": 2}}),
        ({"properties.desired.n.e.w": True}, {"a": {"b": 1, "c": 2}, "n": {"e": {"w": True}}}),
        ({"properties.desired": {"z": 1}}, {"z": 1}),
        ({"properties.desired.y": 2, "properties.desired": {"z": 1}}, {"z": 1, "y": 2}),
    ],
)
def test_values_stand_at_their_path(settings: dict[str, Any], result: dict[str, Any]) -> None:
    assert applied({"a": {"b": 1, "c": 2}}, settings) == result


def test_priority_wins_and_then_the_newest() -> None:
    low, old, new = configuration("low", 1), configuration("old", 5, age=2), configuration("new", 5, age=1)
    assert list(chosen([low, old, new])) == [new]
    assert statuses([low, old, new], [new]) == {"low": "Targeted", "old": "Targeted", "new": "Applied"}
    assert chosen([]) == ()


def test_layers_above_the_base_are_written_from_below() -> None:
    below = configuration("below", 1, modules=LAYER)
    base, outdone = configuration("base", 5, modules=BASE), configuration("outdone", 4, modules=BASE)
    first, second = configuration("first", 6, modules=LAYER), configuration("second", 7, modules=LAYER)
    assert list(chosen([second, below, outdone, base, first])) == [base, first, second]
    assert chosen([first, second]) == (), "layers alone are nothing"


def test_the_agent_names_its_modules() -> None:
    assert named_modules({"modules": {"a": {}, "b": {}}}) == {"a", "b"}
    assert named_modules({"modules": 5}) == frozenset()
