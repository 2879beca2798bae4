"""How deeply a text is nested is told without parsing it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.nesting import MAX_NESTING, nests_beyond

values = st.recursive(
    st.none() | st.integers() | st.text(alphabet='ab[]{}"\\ \n'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='a[{"\\'), inner, max_size=4),
    max_leaves=60,
)


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


@given(value=values)
def test_depth_is_that_of_the_parsed_text(value: Any) -> None:
    text, depth = json.dumps(value).encode(), depth_of(value)
    assert not nests_beyond(text, depth)
    assert depth == 0 or nests_beyond(text, depth - 1)


def test_many_documents_side_by_side_are_not_deep() -> None:
    assert not nests_beyond(b"[" + b",".join([b'{"a":[]}'] * 2000) + b"]")


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000])
def test_what_never_ends(text: bytes) -> None:
    assert nests_beyond(text)


def test_a_string_without_an_end_is_read_once() -> None:
    """Read anew from each of its quotes, this would take days."""
    assert not nests_beyond(b'"' + b'\\"' * 5_000_000 + b"[" * 1000)


def test_brackets_in_text_do_not_count() -> None:
    assert not nests_beyond(json.dumps({"a": "[{" * 1000, "b": '"' + "[" * 1000}).encode())
    assert nests_beyond(b'"\\"[",' + b"[" * (MAX_NESTING + 1))
