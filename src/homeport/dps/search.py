"""Queries that filter, over any number of rows: walk along an index, judge what is there, stop at a bound.

A page may be short, even empty, and yet carry a continuation: the bound was reached before the page was full.
"""

import asyncio
import heapq
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from homeport.dps.model import Cursor, EnrollmentGroup, Found, IndividualEnrollment, Registration, Walk
from homeport.dps.ports import EnrollmentStore, RegistrationStore
from homeport.dps.query import (
    GROUPS,
    INDIVIDUALS,
    REGISTRATIONS,
    EnrolledDevice,
    Query,
    choose_walk,
    matches,
    names_registration,
    parse_query,
)
from homeport.dps.query.syntax import Column, Comparison, Operand, Operator, SortKey
from homeport.errors import Code, HomeportError
from homeport.paging import Page

T = TypeVar("T")

MAX_STEPS = 5000
"""Rows that are looked at for one page."""
_PORTION = 250
"""Rows that are read at once; other requests get their turn in between."""

_LONGEST_TIME = 17
"""Digits; no date of the calendar has more microseconds."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SearchService:
    """Answers queries over enrollments, groups and registrations; keys of the pages are opaque to callers."""

    def __init__(
        self, *, enrollments: EnrollmentStore, registrations: RegistrationStore, max_steps: int = MAX_STEPS
    ) -> None:
        self._enrollments = enrollments
        self._registrations = registrations
        self._max_steps = max_steps

    async def individuals(self, text: str, *, after: str | None, limit: int) -> Page[IndividualEnrollment]:
        """Return a page of individual enrollments. Raises HomeportError INVALID_QUERY or INVALID_REQUEST."""
        query = parse_query(text, INDIVIDUALS)
        if query == Query():
            return await self._enrollments.page_individuals(after=after, limit=limit)
        joined = query.condition is not None and names_registration(query.condition)

        async def steps(walk: Walk, cursor: Cursor | None, count: int) -> Sequence[Found[EnrolledDevice]]:
            found = await self._enrollments.walk_individuals(walk, after=cursor, limit=count, with_registrations=joined)
            return [
                Found(
                    cursor=each.cursor,
                    item=each.item and EnrolledDevice(enrollment=each.item[0], registration=each.item[1]),
                )
                for each in found
            ]

        page = await self._page(query, steps, after, limit)
        return Page(items=[device.enrollment for device in page.items], after=page.after)

    async def registrations(
        self, text: str, *, group_id: str | None, after: str | None, limit: int
    ) -> Page[Registration]:
        """Return a page of registrations, of one group or of all. Raises like `individuals`."""
        query = parse_query(text, REGISTRATIONS)
        if query == Query():
            return await self._registrations.page(group_id=group_id, after=after, limit=limit)
        if group_id is not None:
            query = _within_group(query, group_id)

        async def steps(walk: Walk, cursor: Cursor | None, count: int) -> Sequence[Found[Registration]]:
            return await self._registrations.walk(walk, after=cursor, limit=count)

        return await self._page(query, steps, after, limit)

    async def groups(self, text: str, *, after: str | None, limit: int) -> Page[EnrollmentGroup]:
        """Return a page of groups. Raises like `individuals`."""
        query = parse_query(text, GROUPS)
        if query == Query():
            return await self._enrollments.page_groups(after=after, limit=limit)
        condition, order = query.condition, query.order
        by_time = order is not None and order.key is SortKey.UPDATED
        turned = order is not None and order.descending

        def place(group: EnrollmentGroup) -> tuple[datetime, str]:
            return (group.updated_at if by_time else _EPOCH), group.group_id.lower()

        cursor = None if after is None else _cursor(after)
        start = None if cursor is None else (cursor.updated or _EPOCH, cursor.id_key)
        # There are few, and the store has them all in memory.
        wanted = [
            group
            for group in await self._enrollments.groups()
            if (start is None or (place(group) < start if turned else place(group) > start))
            and (condition is None or matches(condition, group))
        ]
        choose = heapq.nlargest if turned else heapq.nsmallest
        items = choose(limit + 1, wanted, key=place)
        if len(items) <= limit:
            return Page(items=items, after=None)
        updated, key = place(items[limit - 1])
        return Page(items=items[:limit], after=_text(Cursor(id_key=key, updated=updated if by_time else None)))

    async def _page(
        self,
        query: Query,
        steps: Callable[[Walk, Cursor | None, int], Coroutine[Any, Any, Sequence[Found[T]]]],
        after: str | None,
        limit: int,
    ) -> Page[T]:
        walk = choose_walk(query)
        condition = query.condition
        cursor = None if after is None else _cursor(after)
        items: list[T] = []
        looked = 0
        while looked < self._max_steps:
            portion = min(_PORTION, self._max_steps - looked)
            found = await steps(walk, cursor, portion)
            for each in found:
                if each.item is not None and (condition is None or matches(condition, each.item)):
                    if len(items) == limit:
                        # This one begins the next page.
                        return Page(items=items, after=None if cursor is None else _text(cursor))
                    items.append(each.item)
                cursor = each.cursor
            looked += len(found)
            if len(found) < portion:
                return Page(items=items, after=None)
            await asyncio.sleep(0)
        return Page(items=items, after=None if cursor is None else _text(cursor))


def _within_group(query: Query, group_id: str) -> Query:
    field = next(field for field in REGISTRATIONS.fields if field.column is Column.GROUP)
    within = Comparison(operand=Operand(field=field), operator=Operator.EQUAL, literal=group_id.lower())
    return query.narrowed(within)


def _text(cursor: Cursor) -> str:
    micros = "" if cursor.updated is None else str((cursor.updated - _EPOCH) // timedelta(microseconds=1))
    return f"{micros}/{cursor.id_key}"


def _cursor(text: str) -> Cursor:
    """Read a place that came back from a client: tokens are checked, not signed."""
    micros, separator, key = text.partition("/")
    if not separator or not (micros.removeprefix("-").isdecimal() or not micros) or len(micros) > _LONGEST_TIME:
        raise HomeportError(Code.INVALID_REQUEST, "The continuation token is not one of this server.")
    return Cursor(id_key=key, updated=_EPOCH + timedelta(microseconds=int(micros)) if micros else None)
