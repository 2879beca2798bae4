"""How a store walks over rows that a query may want: one index, a range or a few values of it, in its order.

A walk finds every item the query wants, and others; whoever asked looks at each.
"""

from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class ScanOrder(StrEnum):
    ID = "id"
    UPDATED = "updated"


class Index(StrEnum):
    """What rows can be found by, besides their id and the time of their last change."""

    GROUP = "group"
    ATTESTATION = "attestation"
    PROVISIONING_STATUS = "provisioningStatus"
    REGISTRATION_STATUS = "registrationStatus"
    HUB = "hub"


class Walk(Struct, frozen=True, kw_only=True):
    """Where to look, and in which order.

    In ID order: all rows, those with one of `values` in `index`, those with one of `ids`, or those from `first_id` to
    `last_id`. In UPDATED order: those last changed from `since` to `until`. Ids are in lower case, ends are included.
    """

    order: ScanOrder = ScanOrder.ID
    descending: bool = False
    index: Index | None = None
    values: tuple[str, ...] = ()
    ids: tuple[str, ...] | None = None
    first_id: str | None = None
    last_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Cursor(Struct, frozen=True, kw_only=True):
    """A place in a walk: the lower-cased id, and in UPDATED order the time before it."""

    id_key: str
    updated: datetime | None = None


class Found(Struct, Generic[T], frozen=True, kw_only=True):
    """A step of a walk; `item` is None where the index names what the queried table does not have."""

    cursor: Cursor
    item: T | None


class Count(Struct, frozen=True, kw_only=True):
    """How many there are of one kind (an attestation, a hub; in lower case, empty for none) in one status."""

    kind: str
    status: str
    number: int
