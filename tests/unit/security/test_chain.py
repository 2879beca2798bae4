import base64
import json
from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.client.audit_file import AuditFileError, Begin, entry_line, first_line, prove, read_export
from homeport.client.journal_models import AuditEntry, AuditHead
from homeport.security.chain import (
    GENESIS,
    Broken,
    Head,
    SigningKey,
    Verifier,
    canonical,
    is_signed,
    link,
)
from homeport.values import replace

KEY = SigningKey(bytes(range(32)))
Link = tuple[int, bytes, bytes]

documents = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


def chained(entries: Sequence[bytes]) -> list[Link]:
    links, previous = [], GENESIS
    for seq, entry in enumerate(entries, 1):
        previous = link(previous, seq, entry)
        links.append((seq, entry, previous))
    return links


def head_of(links: Sequence[Link]) -> Head:
    return Head(seq=links[-1][0], hash=links[-1][2]) if links else Head()


def follow(links: Sequence[Link], head: Head) -> Broken | None:
    verifier = Verifier()
    for seq, entry, claimed in links:
        if (broken := verifier.feed(seq, entry, claimed)) is not None:
            return broken
    return verifier.finish(head)


@given(documents)
def test_canonical_bytes_do_not_depend_on_order_or_spelling(document: dict[str, object]) -> None:
    again = json.loads(json.dumps(dict(reversed(document.items())), indent=2, ensure_ascii=False))
    assert canonical(again) == canonical(document)
    assert canonical(document).isascii()


@given(st.lists(documents, max_size=6))
def test_a_chain_holds_as_it_was_made(entries: list[dict[str, object]]) -> None:
    links = chained([canonical(entry) for entry in entries])
    assert follow(links, head_of(links)) is None


def _changed(links: list[Link], at: int) -> list[Link]:
    seq, entry, claimed = links[at]
    return [*links[:at], (seq, entry + b" ", claimed), *links[at + 1 :]]


def _dropped(links: list[Link], at: int) -> list[Link]:
    return links[:at] + links[at + 1 :]


def _renumbered(links: list[Link], at: int) -> list[Link]:
    """Drop one and close the gap in the numbers."""
    return links[:at] + [(seq - 1, entry, claimed) for seq, entry, claimed in links[at + 1 :]]


def _swapped(links: list[Link], at: int) -> list[Link]:
    other = (at + 1) % len(links)
    mixed = list(links)
    mixed[at] = (links[at][0], *links[other][1:])
    mixed[other] = (links[other][0], *links[at][1:])
    return mixed


def _doubled(links: list[Link], at: int) -> list[Link]:
    return [*links[: at + 1], links[at], *links[at + 1 :]]


def _cut(links: list[Link], at: int) -> list[Link]:
    return links[:at]


@pytest.mark.parametrize("tamper", [_changed, _dropped, _renumbered, _swapped, _doubled, _cut])
@given(data=st.data(), count=st.integers(2, 8))
def test_whatever_is_done_to_a_chain_is_found_where_it_was_done(
    tamper: Callable[[list[Link], int], list[Link]], data: st.DataObject, count: int
) -> None:
    links = chained([canonical({"number": number}) for number in range(count)])
    at = data.draw(st.integers(0, count - 1))
    broken = follow(tamper(links, at), head_of(links))
    assert broken is not None
    first = min(at, (at + 1) % count) if tamper is _swapped else at
    assert broken.seq in {first + 1, first + 2}


def test_a_head_is_signed_for_what_it_is() -> None:
    head = Head(seq=3, hash=b"h" * 32, anchor_seq=1, anchor_hash=b"a" * 32)
    signature = KEY.sign(head)
    assert is_signed(head, signature, KEY.public_key)
    for other in (
        replace(head, seq=2),
        replace(head, hash=b"i" * 32),
        replace(head, anchor_seq=0),
        replace(head, anchor_hash=b"b" * 32),
    ):
        assert not is_signed(other, signature, KEY.public_key)
    assert not is_signed(head, signature, SigningKey(SigningKey.new_secret()).public_key)
    assert not is_signed(head, b"", b"")


# ---------------------------------------------------------------- exported


def exported(count: int, *, after: int = 0) -> tuple[AuditHead, Begin, list[AuditEntry]]:
    links = chained([canonical({"number": number}) for number in range(count)])
    head = head_of(links)
    told = AuditHead(
        seq=head.seq,
        hash=head.hash.hex(),
        anchor_seq=0,
        anchor_hash=GENESIS.hex(),
        signature=base64.b64encode(KEY.sign(head)).decode(),
        public_key=base64.b64encode(KEY.public_key).decode(),
    )
    begin = Begin(seq=after, hash=links[after - 1][2].hex()) if after else Begin()
    entries = [AuditEntry(seq=seq, hash=claimed.hex(), entry={"number": seq - 1}) for seq, _, claimed in links[after:]]
    return told, begin, entries


def test_an_export_is_proven_without_a_server() -> None:
    head, begin, entries = exported(5, after=2)
    lines = [first_line(head, begin), *map(entry_line, entries)]
    read_head, read_begin, read_entries = read_export(lines)
    proof = prove(read_head, read_begin, read_entries, key=KEY.public_key)
    assert (proof.broken, proof.entries) == (None, 3)


def test_a_head_that_was_kept_finds_a_chain_that_was_made_anew() -> None:
    kept, _, _ = exported(3)
    head, begin, entries = exported(5)
    assert prove(head, begin, entries, earlier=kept).broken is None
    other = msgspec.structs.replace(kept, hash="00" * 32)
    broken = prove(head, begin, entries, earlier=other).broken
    assert broken is not None
    assert broken.seq == 3
    shorter, begin, entries = exported(2)
    broken = prove(shorter, begin, entries, earlier=kept).broken
    assert broken is not None
    assert broken.seq == 3


def test_another_key_does_not_vouch() -> None:
    head, begin, entries = exported(2)
    broken = prove(head, begin, entries, key=b"k" * 32).broken
    assert broken is not None
    assert "another key" in broken.reason
    forged = msgspec.structs.replace(head, signature="AAAA")
    broken = prove(forged, begin, entries).broken
    assert broken is not None
    assert "signature" in broken.reason


@pytest.mark.parametrize("lines", [[], [b"{}"], [b'{"homeportAudit":1}'], [b"\xff"]])
def test_what_is_no_export_is_called_so(lines: list[bytes]) -> None:
    with pytest.raises(AuditFileError, match="line 1"):
        read_export(lines)
    head, begin, _ = exported(1)
    _, _, entries = read_export([first_line(head, begin), b"[]"])
    with pytest.raises(AuditFileError, match="line 2"):
        list(entries)
