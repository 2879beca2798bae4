"""The evaluator against a plain one that knows nothing of it, over generated conditions and documents."""

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from homeport.hub.query import holds, parse, parse_condition, project
from homeport.hub.query.rows import Aggregation

NAMES = ("a", "b", "c")
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, -1.5, "", "x", "it's"])
documents = st.dictionaries(
    st.sampled_from(NAMES), scalars | st.dictionaries(st.sampled_from(NAMES), scalars, max_size=2), max_size=3
).map(lambda tags: {"deviceId": "d", "tags": tags})
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=2).map(tuple)
leaves = st.tuples(st.just("path"), paths) | st.tuples(st.just("value"), scalars)
comparisons = (
    st.tuples(st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), leaves, leaves)
    | st.tuples(st.sampled_from(["IN", "NIN"]), leaves, st.lists(scalars, max_size=3))
    | st.tuples(st.just("IS_DEFINED"), paths)
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.tuples(st.sampled_from(["AND", "OR"]), inner, inner) | st.tuples(st.just("NOT"), inner),
    max_leaves=6,
)


def written(condition: Any) -> str:
    match condition:
        case ("path", path):
            return "tags." + ".".join(path)
        case ("value", str() as text):
            return "'" + text.replace("'", "''") + "'"
        case ("value", value):
            return json.dumps(value)
        case ("IS_DEFINED", path):
            return f"IS_DEFINED(tags.{'.'.join(path)})"
        case ("NOT", inner):
            return f"NOT ({written(inner)})"
        case (("IN" | "NIN") as sign, left, values):
            return f"{written(left)} {sign} [{', '.join(written(('value', value)) for value in values)}]"
        case (("AND" | "OR") as sign, left, right):
            return f"({written(left)}) {sign} ({written(right)})"
        case (sign, left, right):
            return f"{written(left)} {sign} {written(right)}"
    raise AssertionError(condition)


def plain(condition: Any, tags: Mapping[str, Any]) -> bool | None:
    """True, false, or None for undefined: contract hub.md 8.2 word by word."""
    match condition:
        case ("IS_DEFINED", path):
            return len(look(path, tags)) == 1
        case ("NOT", inner):
            value = plain(inner, tags)
            return None if value is None else not value
        case ("AND", left, right):
            values = (plain(left, tags), plain(right, tags))
            return False if False in values else None if None in values else True
        case ("OR", left, right):
            values = (plain(left, tags), plain(right, tags))
            return True if True in values else None if None in values else False
        case (("IN" | "NIN") as sign, left, values):
            found = operand(left, tags)
            if not found or isinstance(found[0], dict):
                return None
            inside = any(compare("=", found[0], value) is True for value in values)
            return inside is (sign == "IN")
        case (sign, left, right):
            one, other = operand(left, tags), operand(right, tags)
            return compare(sign, one[0], other[0]) if one and other else None
    raise AssertionError(condition)


def operand(leaf: Any, tags: Mapping[str, Any]) -> list[Any]:
    return look(leaf[1], tags) if leaf[0] == "path" else [leaf[1]]


def look(path: tuple[str, ...], tags: Mapping[str, Any]) -> list[Any]:
    value: Any = tags
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return []
        value = value[name]
    return [value]


def compare(sign: str, one: Any, other: Any) -> bool | None:
    kinds = {
        "null" if v is None else "bool" if isinstance(v, bool) else "text" if isinstance(v, str) else
        "object" if isinstance(v, dict) else "number" for v in (one, other)
    }  # fmt: skip
    if len(kinds) == 2 or kinds == {"object"}:
        return None
    if sign in {"=", "!="}:
        return (one == other) is (sign == "=")
    if kinds <= {"null", "bool"}:
        return None
    return {"<": one < other, "<=": one <= other, ">": one > other, ">=": one >= other}[sign]


@given(conditions, documents)
def test_a_condition_holds_where_the_plain_evaluator_says_so(condition: Any, document: dict[str, Any]) -> None:
    assert holds(parse_condition(written(condition)), document) is (plain(condition, document["tags"]) is True)


@given(st.lists(documents, max_size=8))
def test_groups_are_the_documents_counted(found: list[dict[str, Any]]) -> None:
    aggregation = Aggregation(
        parse(
            "SELECT tags.a AS a, COUNT() AS n, SUM(tags.b) AS s, AVG(tags.b) AS m, MIN(tags.b) AS l, "
            "MAX(tags.b) AS g FROM devices GROUP BY tags.a"
        )
    )
    for document in found:
        aggregation.add(document)
    rows = list(aggregation.rows())
    assert sum(row["n"] for row in rows) == len(found)
    for row in rows:
        key = json.dumps(row.get("a"))
        group = [
            each["tags"] for each in found
            if ("a" in each["tags"] and not isinstance(each["tags"]["a"], dict)) == ("a" in row)
            and ("a" not in row or json.dumps(each["tags"]["a"]) == key)
        ]  # fmt: skip
        assert row["n"] == len(group)
        numbers = [v for tags in group if isinstance(v := tags.get("b"), int | float) and not isinstance(v, bool)]
        texts = [v for tags in group if isinstance(v := tags.get("b"), str)]
        assert row.get("s") == (sum(numbers) if numbers else None)
        assert row.get("m") == (sum(numbers) / len(numbers) if numbers else None)
        assert row.get("l") == (min(numbers) if numbers else min(texts, default=None))
        assert row.get("g") == (max(texts) if texts else max(numbers, default=None))


def test_a_row_leaves_out_what_is_missing() -> None:
    items = parse("SELECT deviceId, tags.a.b AS ab, tags.a, tags.gone FROM devices").items
    assert items is not None
    assert project(items, {"deviceId": "d", "tags": {"a": {"b": None}}}) == {
        "deviceId": "d",
        "ab": None,
        "a": {"b": None},
    }


def test_without_groups_there_is_one_row_even_of_nothing() -> None:
    aggregation = Aggregation(parse("SELECT COUNT() AS n, AVG(version) AS v FROM devices"))
    assert list(aggregation.rows()) == [{"n": 0}]
