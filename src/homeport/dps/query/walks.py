"""Chooses how the store looks for what a condition wants. Pure; a walk may find too much, never too little.

From a condition follows what some columns must be (AND narrows, OR widens, NOT says nothing); the rarest of these is
walked along, and the condition itself judges what is found there.
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from homeport.dps.model import Index, ScanOrder, Walk
from homeport.dps.query.syntax import (
    All,
    Column,
    Comparison,
    Condition,
    Either,
    Literal,
    Not,
    OneOf,
    Operator,
    Query,
    SortKey,
    TextCondition,
    TextTest,
)
from homeport.values import replace

_MAX_VALUES = 20
"""Each value is a walk of its own, side by side."""
_LAST = "\U0010ffff"
_RARE_STATUS = frozenset({"failed", "disabled", "assigning"})
"""Of these the store keeps an index; that a device is assigned says little."""


class _Bounds(Struct, frozen=True, kw_only=True):
    """What a column must be: one of the values, if given; and within the range, of which None is no end."""

    values: frozenset[Literal] | None = None
    low: Literal = None
    high: Literal = None


_Facts = Mapping[Column, _Bounds]


def choose_walk(query: Query) -> Walk:
    """Return the walk for a query; without a condition it is over everything."""
    order = query.order
    facts = _facts(query.condition) if query.condition is not None else {}
    if order is not None and order.key is SortKey.UPDATED:
        return replace(_by_time(facts.get(Column.UPDATED, _Bounds())), descending=order.descending)
    walk = _by_id(facts, may_go_by_time=order is None)
    return replace(walk, descending=order.descending) if order is not None else walk


def names_registration(condition: Condition) -> bool:
    """Tell whether a condition over enrollments asks for the registration joined in."""
    match condition:
        case All() | Either():
            return any(map(names_registration, condition.parts))
        case Not():
            return names_registration(condition.part)
        case _:
            return condition.operand.field.name.startswith("registrationState.")


def _by_id(facts: _Facts, *, may_go_by_time: bool) -> Walk:
    ids = facts.get(Column.ID)
    if ids is not None and ids.values is not None and len(ids.values) <= _MAX_VALUES:
        return Walk(ids=tuple(sorted(ids.values)))
    status = _values(facts, Column.REGISTRATION_STATUS)
    if status is not None and _RARE_STATUS.issuperset(status):
        return Walk(index=Index.REGISTRATION_STATUS, values=status)
    if ids is not None and (ids.low is not None or ids.high is not None):
        return Walk(first_id=ids.low, last_id=ids.high)
    disabled = _values(facts, Column.PROVISIONING_STATUS)
    if disabled is not None and set(disabled) <= {"disabled"}:
        return Walk(index=Index.PROVISIONING_STATUS, values=disabled)
    if (groups := _values(facts, Column.GROUP)) is not None:
        return Walk(index=Index.GROUP, values=groups)
    updated = facts.get(Column.UPDATED)
    if may_go_by_time and updated is not None:
        return _by_time(updated)
    if (hubs := _values(facts, Column.HUB)) is not None:
        return Walk(index=Index.HUB, values=hubs)
    if (kinds := _values(facts, Column.ATTESTATION)) is not None:
        return Walk(index=Index.ATTESTATION, values=kinds)
    return Walk()


def _by_time(bounds: _Bounds) -> Walk:
    low, high = bounds.low, bounds.high
    if bounds.values:
        low, high = min(bounds.values), max(bounds.values)
    return Walk(order=ScanOrder.UPDATED, since=low, until=high)


def _values(facts: _Facts, column: Column) -> tuple[str, ...] | None:
    values = facts[column].values if column in facts else None
    return tuple(sorted(values)) if values is not None and len(values) <= _MAX_VALUES else None


# ---------------------------------------------------------------- what follows from a condition


def _facts(condition: Condition) -> _Facts:
    match condition:
        case All():
            known: dict[Column, _Bounds] = {}
            for part in condition.parts:
                for column, bounds in _facts(part).items():
                    known[column] = _both(known[column], bounds) if column in known else bounds
            return known
        case Either():
            first, *others = map(_facts, condition.parts)
            for facts in others:
                first = {column: _one_of(first[column], facts[column]) for column in first.keys() & facts.keys()}
            return first
        case Comparison():
            return _of(condition.operand.field.column, _compared(condition))
        case OneOf():
            return _of(condition.operand.field.column, _Bounds(values=frozenset(condition.literals)))
        case TextCondition():
            return _of(condition.operand.field.column, _starting(condition))
        case _:
            return {}


def _of(column: Column | None, bounds: _Bounds | None) -> _Facts:
    return {} if column is None or bounds is None else {column: bounds}


def _compared(condition: Comparison) -> _Bounds | None:
    match condition.operator:
        case Operator.EQUAL:
            return _Bounds(values=frozenset({condition.literal}))
        case Operator.LESS | Operator.LESS_OR_EQUAL if isinstance(condition.literal, datetime):
            return _Bounds(high=condition.literal)
        case Operator.GREATER | Operator.GREATER_OR_EQUAL if isinstance(condition.literal, datetime):
            return _Bounds(low=condition.literal)
        case _:
            return None


def _starting(condition: TextCondition) -> _Bounds | None:
    """Return the range of ids that begin as the condition says."""
    if condition.operand.field.column is not Column.ID:
        return None
    if condition.test is TextTest.STARTSWITH:
        start = condition.text
    elif condition.test is TextTest.LIKE:
        start = condition.text.partition("%")[0].partition("_")[0]
    else:
        return None
    return _Bounds(low=start, high=start + _LAST) if start else None


def _both(one: _Bounds, other: _Bounds) -> _Bounds:
    if one.values is not None or other.values is not None:
        given = [bounds.values for bounds in (one, other) if bounds.values is not None]
        return _Bounds(values=frozenset.intersection(*given))
    return _Bounds(
        low=max((end for end in (one.low, other.low) if end is not None), default=None),
        high=min((end for end in (one.high, other.high) if end is not None), default=None),
    )


def _one_of(one: _Bounds, other: _Bounds) -> _Bounds:
    if one.values is not None and other.values is not None:
        return _Bounds(values=one.values | other.values)
    ends = [
        (bounds.low, bounds.high)
        if bounds.values is None
        else (min(bounds.values, default=None), max(bounds.values, default=None))
        for bounds in (one, other)
    ]
    lows: list[Literal] = [low for low, _ in ends]
    highs: list[Literal] = [high for _, high in ends]
    return _Bounds(low=None if None in lows else min(lows), high=None if None in highs else max(highs))
