"""How entries of the journal become columns, and how what is wanted of it becomes a condition."""

from collections.abc import Mapping
from typing import Any

import msgspec

from homeport.dps.model import Recorded, Wanted
from homeport.security.chain import Broken, Head
from homeport.store.database import Row
from homeport.store.rows import from_micros, key_of, to_micros
from homeport.wire import parse_time

_ENCODER = msgspec.json.Encoder(order="sorted")
COLUMNS = "seq, at, kind, subject_key, data, hash"
"""What `recorded_of` and `unlike` expect, in that order."""


def conditions_of(wanted: Wanted) -> tuple[list[str], dict[str, Any]]:
    """Return conditions for a WHERE, and their parameters."""
    conditions: list[str] = []
    values: dict[str, Any] = {}
    for column, name, text, many in (
        ("kind", "kind", wanted.kind, (wanted.kind or "").endswith(".")),
        (
            "subject_key",
            "subject",
            key_of(wanted.subject or "").removesuffix("*"),
            (wanted.subject or "").endswith("*"),
        ),
    ):
        if not text:
            continue
        values[name] = text
        if many:
            conditions += [f"{column} >= :{name}", f"{column} < :{name}_end"]
            values[f"{name}_end"] = f"{text}\U0010ffff"
        else:
            conditions.append(f"{column} = :{name}")
    if wanted.since is not None:
        conditions.append("at >= :since")
        values["since"] = to_micros(wanted.since)
    if wanted.until is not None:
        conditions.append("at < :until")
        values["until"] = to_micros(wanted.until)
    return conditions, values


def plainly_canonical(document: Mapping[str, Any]) -> bytes | None:
    """Return what `chain.canonical` would, a good deal sooner, of a document that needs no escapes; None of any other.

    Its numbers must be whole.
    """
    try:
        data = _ENCODER.encode(document)
    except (UnicodeEncodeError, OverflowError):
        return None
    return data if data.isascii() and b"\\" not in data else None


def head_of(row: Row) -> Head:
    seq, hash_, anchor_seq, anchor_hash = row[:4]
    return Head(seq=seq, hash=bytes(hash_), anchor_seq=anchor_seq, anchor_hash=bytes(anchor_hash))


def recorded_of(row: Row) -> Recorded:
    seq, at, kind, _, data, hash_ = row
    document: Mapping[str, Any] = msgspec.json.decode(data)
    return Recorded(
        seq=seq, at=from_micros(at), kind=kind, subject=document["subject"], document=document, hash=bytes(hash_)
    )


def unlike(row: Row) -> Broken | None:
    """Compare the columns that are searched with the entry itself: the hash covers only the entry."""
    seq, at, kind, subject_key, data, _ = row
    document = msgspec.json.decode(data)
    same = document["kind"] == kind and key_of(document["subject"]) == subject_key
    if same and to_micros(parse_time(document["at"])) == at:
        return None
    return Broken(seq=seq, reason="the columns by which it is found say something else than it does")
