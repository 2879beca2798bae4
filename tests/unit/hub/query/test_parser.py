"""What a text means, and where it stops meaning anything."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.hub.errors import HubCode
from homeport.hub.query import UNDEFINED, QueryError, Source, holds, named_devices, parse, parse_condition
from homeport.hub.query.functions import ROUTE_FUNCTIONS
from homeport.hub.query.syntax import Aggregate, Attribute, Binary, Item, Literal, Operator


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("SELECT * FROM devices", Source.DEVICES),
        ("select * from DEVICES", Source.DEVICES),
        ("  SELECT\n*\tFROM devices ", Source.DEVICES),
        ("SELECT*FROM devices", Source.DEVICES),
        ("SELECT * FROM devices.modules", Source.MODULES),
        ("SELECT * FROM Devices.Jobs", Source.JOBS),
    ],
)
def test_sources(text: str, source: Source) -> None:
    query = parse(text)
    assert (query.source, query.items, query.condition) == (source, None, None)


def test_columns() -> None:
    query = parse(
        "SELECT TOP 10 DeviceId, tags.Site AS site, devices.Properties.Reported['odd name'].x, "
        "COUNT(), sum(version) AS v "
        "FROM devices GROUP BY deviceID, tags.Site, properties.reported[[odd name]].x"
    )
    site, odd = Attribute(("tags", "Site")), Attribute(("properties", "reported", "odd name", "x"))
    assert query.top == 10
    assert query.items == (
        Item("deviceId", Attribute(("deviceId",))),
        Item("site", site),
        Item("x", odd),
        Item("$4", None, Aggregate.COUNT),
        Item("v", Attribute(("version",)), Aggregate.SUM),
    )
    assert query.group_by == (Attribute(("deviceId",)), site, odd)


def test_a_member_may_be_called_like_a_key_word() -> None:
    query = parse("SELECT tags.from, tags.select FROM devices WHERE tags.where = 1")
    assert query.items is not None
    assert [item.name for item in query.items] == ["from", "select"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-1.5", -1.5),
        (".5e1", 5.0),
        ("0x1F", 31),
        ("'it''s'", "it's"),
        (r'"a\"b\n\u0041"', 'a"b\nA'),
        ("TRUE", True),
        ("null", None),
        ("undefined", UNDEFINED),
        ("[1, 'a', [2]]", [1, "a", [2]]),
        ("[]", []),
    ],
)
def test_constants(text: str, value: Any) -> None:
    condition = parse_condition(f"tags.a = {text}")
    assert condition == Binary(Operator.EQUAL, Attribute(("tags", "a")), Literal(value))


@pytest.mark.parametrize(
    ("text", "holding"),
    [
        ("tags.n = 3", True),
        ("tags.n + 1 * 2 = 5", True),
        ("(tags.n + 1) * 2 = 8", True),
        ("tags.n - 1 - 1 = 1", True),
        ("NOT tags.n = 3 OR tags.n = 3", True),
        ("NOT (tags.n = 3 OR tags.n = 3)", False),
        ("tags.n = 4 AND tags.n = 3 OR tags.n = 3", True),
        ("tags.n = 4 AND (tags.n = 3 OR tags.n = 3)", False),
        ("tags.n IN [1, 3]", True),
        ("tags.n NIN [1, 3]", False),
        ("tags.n in []", False),
        ("tags.n <> 4", True),
        ("tags.s = 'A'", True),
        ("tags.s = 'a'", False),
        ("tags.gone = 1", False),
        ("tags.gone != 1", False),
        ("NOT tags.gone = 1", False),
        ("tags.gone NIN [1]", False),
        ("is_defined(tags.n)", True),
        ("NOT is_defined(tags.gone)", True),
        ("tags.n = '3'", False),
        ("tags.n != '3'", False),
        ("tags.nothing = null", True),
        ("tags.deep = tags.deep", False),
        ("tags.deep.x >= 1", True),
        ("tags.yes", True),
        ("tags.n", False),
        ("tags.yes = true", True),
        ("tags.yes < true", False),
        ("tags.n / 0 = 1", False),
        ("tags.n % 2 = 1", True),
        ("'A' = tags.s", True),
        ("tags.s > 'AA'", False),
        ("DEVICEID = 'd1'", True),
        ("devices.deviceId = 'd1'", True),
        ("properties.reported.temp > 20.5", True),
        ("PROPERTIES.REPORTED.temp > 20.5", True),
        ("tags.N = 3", False),
        ("deviceId = deviceid", True),
        ("", True),
        ("*", True),
    ],
)
def test_conditions(text: str, holding: bool) -> None:
    document = {
        "deviceId": "d1",
        "tags": {"n": 3, "s": "A", "nothing": None, "deep": {"x": 1}, "yes": True},
        "properties": {"reported": {"temp": 21}, "desired": {}},
    }
    assert holds(parse_condition(text), document) is holding


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "'the end"),
        ("DROP", "'DROP' at character 1 where SELECT"),
        ("SELECT *", "the end of the query at character 9 where FROM"),
        ("SELECT * FROM things", "'things' at character 15"),
        ("SELECT * FROM devices.x", "devices.modules"),
        ("SELECT nothing FROM devices", "'nothing' at character 8 is no field"),
        ("SELECT * FROM devices WHERE", "the end"),
        ("SELECT * FROM devices WHERE tags.a =", "the end"),
        ("SELECT * FROM devices WHERE tags.a = 'x", "does not end"),
        ("SELECT * FROM devices WHERE tags.a == 1", "'='"),
        ("SELECT * FROM devices ORDER BY deviceId", "'ORDER'"),
        ("SELECT * FROM devices WHERE (tags.a = 1", "')'"),
        ("SELECT * FROM devices WHERE tags.a IN (1)", "'['"),
        ("SELECT * FROM devices WHERE LOWER(tags.a) = 'a'", "'LOWER' at character 29 is no function"),
        ("SELECT * FROM devices WHERE is_defined(1)", "takes an attribute"),
        ("SELECT * FROM devices WHERE is_defined()", "takes 1"),
        ("SELECT * FROM devices GROUP BY status", "do not go together"),
        ("SELECT deviceId, COUNT() FROM devices", "deviceId is neither"),
        ("SELECT jobId FROM devices.jobs", "only SELECT *"),
        ("SELECT * FROM devices.jobs WHERE tags.a = 1", "'tags'"),
        ("SELECT TOP 0 * FROM devices", "from 1 up"),
        ("SELECT TOP 1.5 * FROM devices", "from 1 up"),
        ("SELECT * FROM devices WHERE " + "(" * 100 + "1" + ")" * 100, "64 deep"),
        ("SELECT * FROM devices WHERE " + "NOT " * 100 + "tags.a", "64 deep"),
        ("SELECT * FROM devices WHERE tags.a = " + "[" * 100 + "]" * 100, "64 deep"),
        ("SELECT * FROM devices WHERE tags.a = 1" + "+1" * 100, "64 operators"),
        ("SELECT * FROM devices WHERE tags.a = 1 ; DROP", "';'"),
        ("SELECT \0", "U+0000"),
        ("SELECT * FROM devices".ljust(8193), "8192"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, told: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert told.strip("'") in caught.value.message
    assert caught.value.code is HubCode.ARGUMENT_INVALID


@given(st.text(alphabet=" selctfromdvcwhrand().[]'\"\\*=<>!0x9,-+%/&é\n", max_size=60))
def test_nothing_but_a_query_error_comes_of_text(text: str) -> None:
    for whole in (text, f"SELECT * FROM devices WHERE {text}", f"SELECT {text} FROM devices"):
        with suppress(QueryError):
            parse(whole)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("deviceId = 'a'", {"a"}),
        ("'a' = deviceId AND status = 'enabled'", {"a"}),
        ("deviceId IN ['a', 'b', 1]", {"a", "b"}),
        ("deviceId IN ['a', 'b'] AND deviceId = 'b'", {"b"}),
        ("deviceId = 'a' OR deviceId = 'b'", {"a", "b"}),
        ("deviceId = 'a' OR status = 'enabled'", None),
        ("NOT deviceId = 'a'", None),
        ("deviceId NIN ['a']", None),
        ("deviceId > 'a'", None),
        ("deviceId = 1", set()),
        ("tags.deviceId = 'a'", None),
    ],
)
def test_the_devices_a_condition_names(text: str, names: set[str] | None) -> None:
    assert named_devices(parse_condition(text)) == names


@pytest.mark.parametrize(
    ("text", "holding"),
    [
        ("length(a) = 3", True),
        ("UPPER(a) = 'ABC' AND lower('X') = 'x'", True),
        ("STARTS_WITH(a, 'ab')", True),
        ("ends_with(a, 'bc') and contains(a, 'b') and index_of(a, 'c') = 2", True),
        ("substring(a, 1, 1) = 'b'", True),
        ("substring(a, 1) = 'bc'", True),
        ("concat(a, '-', a) = 'abc-abc'", True),
        ("as_number(n) + 1 = 43", True),
        ("abs(-1) = 1 and ceiling(1.2) = 2 and floor(1.8) = 1 and sign(-3) = -1", True),
        ("sqrt(9) = 3 and square(3) = 9 and power(2, 3) = 8 and exp(0) = 1", True),
        ("sqrt(-1) = 1", False),
        ("power(10, 400) > 1", False),
        ("is_string(a) and not is_number(a) and is_primitive(a)", True),
        ("is_bool(true) and is_null(null) and is_array([1]) and is_object(o)", True),
        ("length(o) = 1", False),
        ("not (length(o) = 1)", False),
        ("as_number('x') = 1", False),
        ("$body.x = 1", True),
    ],
)
def test_functions_of_routes(text: str, holding: bool) -> None:
    document = {"a": "abc", "n": "42", "o": {}, "$body": {"x": 1}}
    assert holds(parse_condition(text, None, functions=ROUTE_FUNCTIONS), document) is holding
