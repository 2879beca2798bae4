"""What a query text may be, and where a wrong one is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.dps.query import GROUPS, INDIVIDUALS, REGISTRATIONS, Query, parse_query
from homeport.dps.query.syntax import Comparison, Operator, Order, SortKey
from homeport.errors import Code, HomeportError


@pytest.mark.parametrize("text", ["", "  ", "SELECT  *", "select * from EnrollmentGroups", "SELECT*FROM registrations"])
def test_everything_is_asked_for_in_the_ways_of_the_samples(text: str) -> None:
    assert parse_query(text, INDIVIDUALS) == Query()


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("SELEKT *", 1, "SELECT"),
        ("SELECT id", 8, "*"),
        ("SELECT * FROM devices", 15, "registrations"),
        ("SELECT * FROM enrollments x", 27, "WHERE"),
        ("SELECT * WHERE", 15, "a condition"),
        ("SELECT * WHERE colour = 'red'", 16, "registrationId"),
        ("SELECT * WHERE registrationState.colour = 'red'", 16, "assignedHub"),
        ("SELECT * WHERE registrationId.x = 'a'", 16, "registrationId"),
        ("SELECT * WHERE attestation.symmetricKey.primaryKey = 'a'", 16, "keys cannot be asked for"),
        ("SELECT * WHERE registrationId = ", 33, "a text in quotes"),
        ("SELECT * WHERE registrationId = 5", 33, "a text in quotes"),
        ("SELECT * WHERE registrationId = NULL", 33, "IS NULL"),
        ("SELECT * WHERE registrationId == 'a'", 32, "a text in quotes"),
        ("SELECT * WHERE registrationId ! 'a'", 31, "character '!'"),
        ("SELECT * WHERE registrationId = 'a", 33, "no closing '"),
        ("SELECT * WHERE registrationId = 'a' AND", 40, "a condition"),
        ("SELECT * WHERE registrationId = 'a' registrationId = 'b'", 37, "AND, OR"),
        ("SELECT * WHERE (registrationId = 'a'", 37, ")"),
        ("SELECT * WHERE registrationId IN ()", 35, "a text in quotes"),
        ("SELECT * WHERE registrationId IN 'a'", 34, "a list in parentheses"),
        ("SELECT * WHERE registrationId NOT 'a'", 35, "IN or LIKE"),
        ("SELECT * WHERE registrationId LIKE 5", 36, "a text in quotes"),
        ("SELECT * WHERE UPPER(registrationId) = 'A'", 16, "STARTSWITH"),
        ("SELECT * WHERE createdDateTimeUtc > 'yesterday'", 37, "a time like"),
        ("SELECT * WHERE registrationState.errorCode = 'x'", 46, "a number"),
        ("SELECT * WHERE capabilities.iotEdge = 'yes'", 39, "true or false"),
        ("SELECT * WHERE capabilities.iotEdge < true", 16, "only = and !="),
        ("SELECT * WHERE iotHubs = 'a'", 16, "CONTAINS(iotHubs"),
        ("SELECT * WHERE 'a' IN deviceId", 23, "not a list"),
        ("SELECT * WHERE initialTwin = 'a'", 16, "name a member"),
        ("SELECT * WHERE STARTSWITH(createdDateTimeUtc, '2026')", 47, "needs a text"),
        ("SELECT * ORDER BY deviceId", 19, "lastUpdatedDateTimeUtc"),
        ("SELECT * ORDER registrationId", 16, "BY"),
        (f"SELECT * WHERE {'(' * 40}deviceId = 'a'", 48, "too deeply"),
        (f"SELECT * WHERE deviceId IN ({', '.join(['1'] * 3)})", 29, "a text in quotes"),
    ],
)
def test_a_refusal_says_where_and_what(text: str, position: int, expected: str) -> None:
    with pytest.raises(HomeportError) as refused:
        parse_query(text, INDIVIDUALS)
    assert refused.value.code is Code.INVALID_QUERY
    assert f"position {position}" in refused.value.message
    assert expected in refused.value.message


def test_sizes_are_bounded() -> None:
    for text in ("x" * 4097, f"SELECT * WHERE deviceId IN ({', '.join(['x'] * 101)})".replace("x", "'x'")):
        with pytest.raises(HomeportError) as refused:
            parse_query(text, INDIVIDUALS)
        assert refused.value.code is Code.INVALID_QUERY


@given(st.text(max_size=60), st.sampled_from([INDIVIDUALS, GROUPS, REGISTRATIONS]))
def test_nothing_but_a_refusal_comes_out_of_any_text(text: str, schema: object) -> None:
    for attempt in (text, f"SELECT * WHERE {text}", f"SELECT * WHERE deviceId = {text}"):
        try:
            parse_query(attempt, schema)  # type: ignore[arg-type]  # one of the three
        except HomeportError as error:
            assert error.code is Code.INVALID_QUERY  # noqa: PT017  # not raising is fine as well


def test_names_and_words_have_no_case_and_texts_do() -> None:
    query = parse_query("select * where REGISTRATIONID = 'Dev' order by registrationid desc", INDIVIDUALS)
    assert isinstance(query.condition, Comparison)
    assert (query.condition.literal, query.condition.operator) == ("dev", Operator.EQUAL)
    assert query.order == Order(key=SortKey.ID, descending=True)
    device = parse_query("""SELECT * WHERE deviceId = "It's" """, INDIVIDUALS).condition
    assert isinstance(device, Comparison)
    assert device.literal == "It's"


def test_a_value_may_stand_first() -> None:
    first = parse_query("SELECT * WHERE '2026-01-01' < createdDateTimeUtc", INDIVIDUALS)
    assert first == parse_query("SELECT * WHERE createdDateTimeUtc > '2026-01-01T00:00:00Z'", INDIVIDUALS)


def test_no_field_reads_a_secret() -> None:
    names = {field.name.lower() for schema in (INDIVIDUALS, GROUPS, REGISTRATIONS) for field in schema.fields}
    assert not [name for name in names if "symmetric" in name or "blob" in name or name.endswith("primarykey")]
