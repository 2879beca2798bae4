"""The one query that is understood, and refusals that say what is not."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.hub.errors import HubCode
from homeport.hub.query import Query, QueryError, Source, parse


@pytest.mark.parametrize(
    "text", ["SELECT * FROM devices", "select * from DEVICES", "  SELECT\n*\tFROM devices ", "SELECT*FROM devices"]
)
def test_all_devices(text: str) -> None:
    assert parse(text) == Query(source=Source.DEVICES)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("SELECT deviceId FROM devices", "'deviceId'"),
        ("SELECT * FROM devices WHERE tags.site = 'A'", "'WHERE'"),
        ("SELECT * FROM devices.jobs", "'devices.jobs'"),
        ("SELECT COUNT() AS n FROM devices", "'COUNT'"),
        ("SELECT * FROM 'devices'", "\"'devices'\""),
        ("DROP", "'DROP'"),
        ("SELECT *", "FROM"),
        ("", "SELECT"),
    ],
)
def test_what_is_not_understood_is_named(text: str, named: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert named in caught.value.message
    assert caught.value.code is HubCode.ARGUMENT_INVALID


def test_the_longest_query() -> None:
    with pytest.raises(QueryError, match="8192"):
        parse("SELECT * FROM devices".ljust(8193))


@given(st.text(max_size=200))
def test_nothing_but_a_query_error_comes_of_text(text: str) -> None:
    understood = text.split() and " ".join(text.split()).lower().startswith("select")
    with suppress(QueryError):
        parse(text)
        assert understood
