"""The arithmetic of twins: laws for anything, examples for what the contract names (contract hub.md 6)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.hub.errors import HubCode
from homeport.hub.model import format_time
from homeport.hub.twin_patch import (
    MAX_INTEGER,
    MIN_INTEGER,
    TwinContentError,
    TwinSizeError,
    check_content,
    content_size,
    merge,
    new_section,
    new_twin,
    patch_section,
    patch_twin,
    replace_section,
    replace_twin,
    report,
)

T0 = datetime(2022, 6, 1, 22, 27, 50, 261258, tzinfo=UTC)
T1 = datetime(2022, 6, 2, tzinfo=UTC)

Content = dict[str, Any]

keys = st.sampled_from(["a", "b", "c", "deep", "ä"])
leaves = (
    st.booleans()
    | st.integers(MIN_INTEGER, MAX_INTEGER)
    | st.text(max_size=5)
    | st.lists(st.integers(0, 9), max_size=2)
)


def objects(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(keys, values, max_size=4)


contents = st.recursive(objects(leaves), lambda inner: objects(leaves | inner), max_leaves=8)
patches = st.recursive(objects(leaves | st.none()), lambda inner: objects(leaves | st.none() | inner), max_leaves=8)


def without_nulls(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(member is not None and without_nulls(member) for member in value.values())
    return True


def same_shape(content: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    names = {key for key in metadata if not key.startswith("$")}
    if names != set(content) or "$lastUpdated" not in metadata:
        return False
    return all(
        same_shape(value, metadata[key]) if isinstance(value, Mapping) else set(metadata[key]) <= STAMPS
        for key, value in content.items()
    )


STAMPS = {"$lastUpdated", "$lastUpdatedVersion"}


@given(contents, patches)
def test_a_patch_applied_twice_is_a_patch_applied_once(content: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merge(content, patch)
    assert merge(once, patch) == once


@given(contents, patches)
def test_no_null_survives(content: dict[str, Any], patch: dict[str, Any]) -> None:
    assert without_nulls(merge(content, patch))


@given(contents)
def test_patching_nothing_with_content_gives_the_content(content: dict[str, Any]) -> None:
    assert merge({}, content) == content
    assert merge(content, {}) == content


@given(contents, patches)
def test_merging_leaves_its_arguments_alone(content: dict[str, Any], patch: dict[str, Any]) -> None:
    before = repr(content), repr(patch)
    merge(content, patch)
    assert (repr(content), repr(patch)) == before


@given(contents, st.lists(patches, max_size=4), st.booleans())
def test_metadata_always_mirrors_content(
    content: dict[str, Any], changes: list[dict[str, Any]], versioned: bool
) -> None:
    section = new_section(content, T0, versioned=versioned)
    for change in changes:
        section = patch_section(section, change, T1, versioned=versioned)
    assert same_shape(section.content, section.metadata)
    section = replace_section(section, content, T1, versioned=versioned)
    assert same_shape(section.content, section.metadata)


@given(contents, st.lists(patches, max_size=5))
def test_every_patch_that_says_something_is_one_version(content: dict[str, Any], changes: list[dict[str, Any]]) -> None:
    section = new_section(content, T0, versioned=True)
    for change in changes:
        section = patch_section(section, change, T1, versioned=True)
    assert section.version == 1 + sum(1 for change in changes if change)


@given(contents, patches)
def test_only_what_a_patch_touches_is_stamped(content: dict[str, Any], patch: dict[str, Any]) -> None:
    before = new_section(content, T0, versioned=True)
    after = patch_section(before, patch, T1, versioned=True)
    for key in after.content:
        expected = T1 if key in patch else T0
        assert after.metadata[key]["$lastUpdated"] == format_time(expected)
        assert after.metadata[key]["$lastUpdatedVersion"] == (2 if key in patch else 1)


def test_the_contracts_example() -> None:
    section = patch_section(new_section(None, T0, versioned=True), {"interval": 30}, T0, versioned=True)
    assert section.version == 2
    assert section.metadata == {
        "$lastUpdated": "2022-06-01T22:27:50.2612580Z",
        "$lastUpdatedVersion": 2,
        "interval": {"$lastUpdated": "2022-06-01T22:27:50.2612580Z", "$lastUpdatedVersion": 2},
    }


def test_a_new_section_has_never_been_updated() -> None:
    section = new_section(None, T0, versioned=False)
    assert section.metadata == {"$lastUpdated": "0001-01-01T00:00:00Z"}
    assert section.version == 1


def test_reported_metadata_counts_no_versions() -> None:
    twin = report(new_twin("d", T0), {"a": {"b": 1}}, T1)
    assert twin.reported.metadata["a"]["b"] == {"$lastUpdated": "2022-06-02T00:00:00.0000000Z"}
    assert (twin.version, twin.reported.version) == (1, 2)


def test_emptied_objects_stay() -> None:
    assert merge({"a": {"b": 1}}, {"a": {"b": None}}) == {"a": {}}


def test_a_patch_makes_objects_where_there_were_none() -> None:
    section = new_section({"a": 1}, T0, versioned=True)
    changed = patch_section(section, {"a": {"b": {"c": 2, "gone": None}}}, T1, versioned=True)
    assert changed.content == {"a": {"b": {"c": 2}}}
    assert changed.metadata["a"]["$lastUpdatedVersion"] == 2


def test_tags_and_desired_together_are_one_version_of_the_twin() -> None:
    twin = patch_twin(new_twin("d", T0), T1, tags={"site": "A"}, desired={"x": 1})
    assert (twin.version, twin.desired.version) == (2, 2)
    twin = patch_twin(twin, T1, tags={"site": None}, desired=None)
    assert (twin.version, twin.desired.version, twin.tags) == (3, 2, {})


def test_an_empty_patch_is_no_change() -> None:
    twin = new_twin("d", T0)
    assert patch_twin(twin, T1, tags={}, desired={}) is twin
    assert patch_twin(twin, T1, tags=None, desired=None) is twin


def test_replacing_empties_what_is_left_out_and_drops_nulls() -> None:
    twin = new_twin("d", T0, tags={"a": 1}, desired={"b": 1})
    twin = replace_twin(twin, T1, tags=None, desired={"c": {"d": None, "e": 2}})
    assert twin.tags == {}
    assert twin.desired.content == {"c": {"e": 2}}
    assert twin.desired.version == 2


def test_the_etag_is_the_version_in_eight_bytes() -> None:
    assert new_twin("d", T0).etag == "AAAAAAAAAAE="


@pytest.mark.parametrize(
    "content",
    [
        {"a.b": 1},
        {"a b": 1},
        {"$a": 1},
        {"a": {"$metadata": 1}},
        {"a#": 1},
        {"a\x00": 1},
        {"a\x7f": 1},
        {"a\x85": 1},
        {"": 1},
        {"k" * 1025: 1},
        {"ä" * 513: 1},
        {"a": MAX_INTEGER + 1},
        {"a": MIN_INTEGER - 1},
        {"a": [MAX_INTEGER + 1]},
        {"a": "x" * 4097},
        {"a": "ä" * 2049},
        {"a": [{"b.c": 1}]},
    ],
)
def test_what_a_twin_may_not_hold(content: dict[str, Any]) -> None:
    with pytest.raises(TwinContentError) as caught:
        check_content(content, "tags")
    assert caught.value.code is HubCode.ARGUMENT_INVALID
    assert caught.value.message.startswith("tags")


@pytest.mark.parametrize(
    "content",
    [
        {"k" * 1024: 1},
        {"a": "x" * 4096},
        {"a": "ä" * 2048},
        {"a": MAX_INTEGER, "b": MIN_INTEGER},
        {"a": 1.5e300},
        {"a": [1, "x", True, None, {"b": 1}]},
        {"$x"[1:]: None},
    ],
)
def test_what_a_twin_may_hold(content: dict[str, Any]) -> None:
    check_content(content, "tags")


def nested(levels: int) -> dict[str, Any]:
    content: dict[str, Any] = {"leaf": 1}
    for _ in range(levels):
        content = {"n": content}
    return content


def test_depth_is_counted_from_the_section() -> None:
    check_content(nested(10), "tags")
    with pytest.raises(TwinContentError, match="10 levels"):
        check_content(nested(11), "tags")


def test_size_counts_as_the_contract_does() -> None:
    assert content_size({"ab": "cd", "n": 5, "t": True, "l": [1, "ä"], "o": {"x": None}}) == (
        (2 + 2) + (1 + 8) + (1 + 4) + (1 + 8 + 2) + (1 + 1)
    )
    assert content_size({"a": "x\n\ty"}) == 1 + 2


def test_the_result_is_what_must_fit() -> None:
    half = {f"k{n}": "x" * 4000 for n in range(5)}
    other = {f"l{n}": "x" * 4000 for n in range(5)}
    twin = patch_twin(new_twin("d", T0), T0, tags=None, desired=half)
    with pytest.raises(TwinSizeError) as caught:
        patch_twin(twin, T1, tags=None, desired=other)
    assert caught.value.code is HubCode.BODY_TOO_LARGE
    patch_twin(twin, T1, tags=None, desired={**other, **dict.fromkeys(half)})
    with pytest.raises(TwinSizeError):
        patch_twin(twin, T1, tags={"a": "x" * 4096, "b": "x" * 4096}, desired=None)


def test_times_are_written_with_seven_digits() -> None:
    assert format_time(T1) == "2022-06-02T00:00:00.0000000Z"
    assert format_time(None) == "0001-01-01T00:00:00Z"
