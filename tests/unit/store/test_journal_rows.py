from hypothesis import given
from hypothesis import strategies as st

from homeport.security.chain import canonical
from homeport.store.journal_rows import plainly_canonical

documents = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


@given(documents)
def test_the_quick_way_to_write_an_entry_writes_the_same(document: dict[str, object]) -> None:
    assert plainly_canonical(document) in (None, canonical(document))


def test_what_devices_write_goes_the_quick_way() -> None:
    document = {"kind": "device.assigned", "by": {"name": "d-1"}, "data": {"n": 1, "x": None, "a": ["b", True]}}
    assert plainly_canonical(document) == canonical(document)
    for text in ("a\\b", "\n", "ü", "\ud800", "\0"):
        assert plainly_canonical({"name": text}) is None
