"""Rows of projections, and of groups of documents (contract hub.md 8.2)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from homeport.hub.query.errors import QueryError
from homeport.hub.query.evaluate import Document, attribute_of
from homeport.hub.query.syntax import Aggregate, Attribute, Item, Query
from homeport.hub.query.values import UNDEFINED, is_number

MAX_GROUPS = 10_000
"""Groups are kept in memory until the last document has been seen."""


def project(items: Sequence[Item], document: Document) -> dict[str, Any]:
    """Return one document's row: what is missing is left out."""
    row = {}
    for item in items:
        assert item.attribute is not None, "an item without an aggregate has an attribute"
        value = attribute_of(item.attribute, document)
        if value is not UNDEFINED:
            row[item.name] = value
    return row


@dataclass(slots=True)
class _Running:
    """One aggregate so far."""

    count: int = 0
    total: float = 0
    least: Any = UNDEFINED
    greatest: Any = UNDEFINED

    def add(self, value: Any) -> None:
        if is_number(value):
            self.total += value
        elif not isinstance(value, str):
            return
        self.count += is_number(value)
        # Numbers come before texts, so that both can be told apart and nothing depends on the order of documents.
        key = (isinstance(value, str), value)
        if self.least is UNDEFINED or key < self.least:
            self.least = key
        if self.greatest is UNDEFINED or key > self.greatest:
            self.greatest = key

    def result(self, aggregate: Aggregate) -> Any:
        match aggregate:
            case Aggregate.SUM:
                return self.total if self.count else UNDEFINED
            case Aggregate.AVG:
                return self.total / self.count if self.count else UNDEFINED
            case Aggregate.MIN:
                return UNDEFINED if self.least is UNDEFINED else self.least[1]
            case Aggregate.MAX:
                return UNDEFINED if self.greatest is UNDEFINED else self.greatest[1]
            case Aggregate.COUNT:
                raise AssertionError("documents are counted by their group")


@dataclass(slots=True)
class _Group:
    keys: tuple[Any, ...]
    documents: int = 0
    running: dict[int, _Running] = field(default_factory=dict)


class Aggregation:
    """Takes the documents that a query's condition let through, one by one, and then has the rows."""

    def __init__(self, query: Query) -> None:
        assert query.items is not None, "the parser lets no other query through"
        self._items = query.items
        self._by = query.group_by
        self._groups: dict[bytes, _Group] = {}
        if not self._by:
            self._groups[b""] = _Group(())

    def add(self, document: Document) -> None:
        """Count a document in. Raises QueryError if there are too many groups."""
        keys = tuple(_key(attribute, document) for attribute in self._by)
        name = msgspec.json.encode([[key is UNDEFINED, None if key is UNDEFINED else key] for key in keys])
        group = self._groups.get(b"" if not self._by else name)
        if group is None:
            if len(self._groups) >= MAX_GROUPS:
                raise QueryError(f"The query makes more than {MAX_GROUPS} groups.")
            group = self._groups[name] = _Group(keys)
        group.documents += 1
        for place, item in enumerate(self._items):
            if item.aggregate not in {None, Aggregate.COUNT} and item.attribute is not None:
                group.running.setdefault(place, _Running()).add(attribute_of(item.attribute, document))

    def count(self, documents: int) -> None:
        """Count in so many documents of which nothing else is asked: `Query.counts_everything`."""
        self._groups[b""].documents += documents

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row for each group, in the order in which they were met."""
        for group in self._groups.values():
            yield self._row(group)

    def _row(self, group: _Group) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for place, item in enumerate(self._items):
            value: Any
            if item.aggregate is Aggregate.COUNT:
                value = group.documents
            elif item.aggregate is not None:
                value = group.running.get(place, _Running()).result(item.aggregate)
            else:
                assert item.attribute is not None, "an item without an aggregate has an attribute"
                value = group.keys[self._by.index(item.attribute)]
            if value is not UNDEFINED:
                row[item.name] = value
        return row


def _key(attribute: Attribute, document: Document) -> Any:
    """Return what a document is grouped by; objects and arrays group like what is missing."""
    value = attribute_of(attribute, document)
    return UNDEFINED if isinstance(value, dict | list) else value
