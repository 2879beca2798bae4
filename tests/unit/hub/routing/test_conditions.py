"""Conditions of routes: what they see of a message, and the evaluator against a plain one."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.hub.model import Telemetry, Twin
from homeport.hub.query import QueryError
from homeport.hub.routing.condition import document_of, read_condition, twin_path
from homeport.hub.twin_patch import new_twin
from homeport.values import replace

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
TWIN: Twin = new_twin(
    "dev",
    NOW,
    tags={"site": "A", "Mixed": 1},
    desired={"rate": 5},
    reported={"fw": {"v": "1.2"}, "list": [1, {"x": 2}]},
)
JSON = {"ct": "application/json", "ce": "utf-8"}


def message(body: bytes = b"", system: Mapping[str, str | None] = JSON, **properties: str | None) -> Telemetry:
    return Telemetry(
        device_id="dev",
        body=body,
        system=system,
        properties=properties,
        annotations={"iothub-connection-device-id": "dev", "iothub-message-source": "Telemetry", "dt-subject": "c1"},
        enqueued_at=NOW,
    )


def judge(text: str, what: Telemetry, twin: Twin | None = TWIN) -> bool | None:
    condition = read_condition(text)
    return condition.value(document_of(what, twin if condition.needs_twin else None, body=condition.needs_body))


PROPERTIES = {"path": "hot", "level": "3", "nothing": None, "from": "here", "a b": "odd"}
BODY = json.dumps({"Weather": {"Temp": 51.5, "Hist": [{"t": 1}, {"t": 60}], "Loc": "x"}, "from": "y", "n": None})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True),
        ("", True),
        ("false", False),
        ("1", None),
        ("path = 'hot'", True),
        ("PATH = 'hot'", True),
        ("path = 'HOT'", False),
        ("path = 'hot' AND NOT level = '2'", True),
        ("level = 3", None),
        ("as_number(level) >= 3", True),
        ("missing = 'x'", None),
        ("NOT missing = 'x'", None),
        ("is_defined(missing)", False),
        ("is_defined(path) OR missing = 1", True),
        ("starts_with(path, 'h') AND length(path) = 3", True),
        ("{from} = 'here'", True),
        ("{a b} = 'odd'", True),
        ("nothing = null", True),
        ("$connectionDeviceId = 'dev'", True),
        ("$CONNECTIONDEVICEID = 'dev'", True),
        ("$contentType = 'application/json' AND $contentEncoding = 'utf-8'", True),
        ("{$dt-subject} = 'c1'", True),
        ("$messageId = 'm'", None),
        ("$enqueuedTime > '2024-06-01T11' AND $enqueuedTime < '2024-06-01T13'", True),
        ("$body.Weather.Temp > 50", True),
        ("$body.weather.Temp > 50", None),
        ("$body.Weather.Hist[1].t = 60", True),
        ("$body.Weather.Hist[7].t = 60", None),
        ("$body.Weather['Loc'] = 'x'", True),
        ("$body.Weather = 'x'", None),
        ("is_object($body.Weather)", True),
        ("$body.n = null", True),
        ("$body.from = 'y'", True),
        ("$twin.tags.site = 'A'", True),
        ("$twin.tags.mixed = 1", None),
        ("$TWIN.properties.Desired.rate + 1 = 6", True),
        ("$twin.properties.reported.fw.v IN ['1.1', '1.2']", True),
        ("$twin.properties.reported.list[1].x = 2", True),
        ("$twin.properties.reported.none = 1", None),
    ],
)
def test_what_a_condition_says(text: str, expected: bool | None) -> None:
    what = replace(message(BODY.encode()), properties=PROPERTIES)
    assert judge(text, what) is expected


@pytest.mark.parametrize(
    ("system", "body", "expected"),
    [
        (JSON, b'{"a": 1}', True),
        ({"ct": "application/json; charset=utf-8", "ce": "UTF-8"}, b'{"a": 1}', True),
        ({"ct": "application/json", "ce": "utf-16"}, '{"a": 1}'.encode("utf-16"), True),
        ({"ct": "application/json", "ce": "utf-32"}, '{"a": 1}'.encode("utf-32"), True),
        ({"ct": "application/json"}, b'{"a": 1}', None),
        ({"ce": "utf-8"}, b'{"a": 1}', None),
        ({"ct": "text/plain", "ce": "utf-8"}, b'{"a": 1}', None),
        ({"ct": "application/json", "ce": "latin-1"}, b'{"a": 1}', None),
        ({"ct": None, "ce": None}, b'{"a": 1}', None),
        (JSON, b'{"a": 1', None),
        (JSON, b"\xff\xfe", None),
        (JSON, b"[" * 100_000, None),
        ({"ct": "application/json", "ce": "utf-16"}, b"\x00", None),
    ],
)
def test_a_body_is_looked_at_only_if_it_says_that_it_is_json(
    system: Mapping[str, str | None],
    body: bytes,
    expected: bool | None,
) -> None:
    assert judge("$body.a = 1", message(body, system)) is expected


@pytest.mark.parametrize(
    "text",
    [
        "path =", "= 'x'", "path = 'x", "$nothing = 1", "$body.a[", "$body.a[-1] = 1", "$twin.x = 1", "$twin = 1",
        "$twin.properties.x = 1", "$contentType.x = 'a'", "nofunction(path)", "{} = 1", "from = 1", "a" * 9000,
        "(" * 100 + "true" + ")" * 100,
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        read_condition(text)


def test_what_a_condition_needs_is_known() -> None:
    needs = [
        (condition.needs_body, condition.needs_twin, condition.always)
        for condition in map(read_condition, ("true", "a = 1", "$body.a = 1", "$twin.tags.a = $body.b"))
    ]
    assert needs == [(False, False, True), (False, False, False), (True, False, False), (True, True, False)]


def test_without_a_twin_nothing_of_it_is_there() -> None:
    assert judge("$twin.tags.site = 'A'", message(), twin=None) is None
    assert judge("is_defined($twin.tags.site)", message(), twin=None) is False


def test_a_path_into_a_twin() -> None:
    assert twin_path("$twin.tags.a.b") == ("tags", "a", "b")
    assert twin_path("$twin.properties.desired.rate") == ("properties", "desired", "rate")
    for text in ("$body.a", "a", "$twin.x", "$twin.tags.a = 1", ""):
        with pytest.raises(QueryError):
            twin_path(text)


NAMES = ("a", "b", "c")
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x", "it's"])
bodies = st.dictionaries(st.sampled_from(NAMES), scalars | st.lists(scalars, max_size=2), max_size=3)
paths = st.lists(st.sampled_from([*NAMES, 0, 1]), min_size=1, max_size=2).filter(lambda path: isinstance(path[0], str))
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
            return "$body" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
        case ("value", str() as text):
            return "'" + text.replace("'", "''") + "'"
        case ("value", value):
            return json.dumps(value)
        case ("IS_DEFINED", path):
            return f"IS_DEFINED({written(('path', path))})"
        case ("NOT", inner):
            return f"NOT ({written(inner)})"
        case (("IN" | "NIN") as sign, left, values):
            return f"{written(left)} {sign} [{', '.join(written(('value', value)) for value in values)}]"
        case (("AND" | "OR") as sign, left, right):
            return f"({written(left)}) {sign} ({written(right)})"
        case (sign, left, right):
            return f"{written(left)} {sign} {written(right)}"
    raise AssertionError(condition)


def look(path: Any, body: Any) -> list[Any]:
    """Return the value at a path in a list, which is empty if there is none."""
    for step in path:
        if isinstance(step, int):
            if not isinstance(body, list) or step >= len(body):
                return []
        elif not isinstance(body, dict) or step not in body:
            return []
        body = body[step]
    return [body]


def plain(condition: Any, body: Any) -> bool | None:
    """True, false, or None for undefined: contract hub.md 8.2 word by word."""
    match condition:
        case ("IS_DEFINED", path):
            return bool(look(path, body))
        case ("NOT", inner):
            value = plain(inner, body)
            return None if value is None else not value
        case ("AND", left, right):
            both = [plain(left, body), plain(right, body)]
            return False if False in both else None if None in both else True
        case ("OR", left, right):
            both = [plain(left, body), plain(right, body)]
            return True if True in both else None if None in both else False
        case (("IN" | "NIN") as sign, left, values):
            found = operand(left, body)
            if not found or isinstance(found[0], list | dict):
                return None
            return any(same(found[0], each) for each in values) is (sign == "IN")
        case (sign, left, right):
            one, other = operand(left, body), operand(right, body)
            if not one or not other or kind(one[0]) is None or kind(one[0]) != kind(other[0]):
                return None
            return compare(sign, one[0], other[0])
    raise AssertionError(condition)


def operand(leaf: Any, body: Any) -> list[Any]:
    return look(leaf[1], body) if leaf[0] == "path" else [leaf[1]]


def kind(value: Any) -> str | None:
    if isinstance(value, list | dict):
        return None
    return "null" if value is None else "bool" if isinstance(value, bool) else type(value).__name__


def same(one: Any, other: Any) -> bool:
    return kind(one) == kind(other) and one == other


def compare(sign: str, one: Any, other: Any) -> bool | None:
    if sign in {"=", "!="}:
        return (one == other) is (sign == "=")
    if kind(one) in {"null", "bool"}:
        return None
    return {"<": one < other, "<=": one <= other, ">": one > other, ">=": one >= other}[sign]


@given(conditions, bodies)
def test_a_condition_says_what_a_plain_reading_says(condition: Any, body: dict[str, Any]) -> None:
    assert judge(written(condition), message(json.dumps(body).encode())) is plain(condition, body)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        condition = read_condition(text)
    except QueryError:
        return
    assert condition.value(document_of(message(b'{"a": 1}', a="1"), TWIN, body=True)) in {True, False, None}
