"""Runs queries over one hub's registry, page by page (contract hub.md 8). The language is `query`'s.

Documents are read in order of device id and judged one by one, with room for others in between; only devices that the
condition names are read alone. What a row shows of a connection is as fresh as the sessions are.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from homeport.hub import translate
from homeport.hub.jobs import ScheduledJobs
from homeport.hub.jobs.part_document import device_job_document
from homeport.hub.messages import Messages
from homeport.hub.query import Aggregation, Query, QueryError, Source, holds, named_values, parse, project
from homeport.hub.registry import Registry
from homeport.hub.reply import Reply
from homeport.hub.selection import Counts, Selection, asks_for_counts, select
from homeport.hub.service.bodies import answer, continued, page_size, read
from homeport.paging import encode_token
from homeport.wire import hub_service as wire

_SCANNED = 500
"""Parts of jobs read at a time."""


class Rows(Struct, frozen=True, kw_only=True):
    """One page of an answer, and the value of `x-ms-item-type` for it.

    `after` is where the next page begins, None at the end: the last device id, and how many rows were told so far,
    which TOP limits.
    """

    item_type: str
    documents: Sequence[Any]
    after: str | None


class QueriesResponder:
    def __init__(self, registry: Registry, messages: Messages, jobs: ScheduledJobs) -> None:
        self._registry = registry
        self._messages = messages
        self._jobs = jobs

    async def query(self, body: bytes, *, max_items: str | None, continuation: str | None) -> Reply:
        text = read(wire.query_decoder, body).query
        rows = await self._run(text, after=continued(continuation, text), limit=page_size(max_items))
        # The header is left out on the last page: Node and Java take its mere presence to mean more.
        more = {} if rows.after is None else {"x-ms-continuation": encode_token(rows.after, text)}
        return answer(rows.documents, {"x-ms-item-type": rows.item_type, **more})

    async def _run(self, text: str, *, after: str | None, limit: int) -> Rows:
        """Answer a query's page of up to `limit` rows. Raises QueryError."""
        query = parse(text)
        counts = self._messages.counts if asks_for_counts(text) else None
        place, told = _continued(after)
        if query.top is not None:
            limit = min(limit, query.top - told)
        if query.source is Source.JOBS:
            return await self._device_jobs(query, place, told, limit)
        if query.aggregates:
            return await self._aggregate(query, told, limit, counts)
        rows: list[Any] = []
        async for device, document in select(self._registry, Selection(query.source, query.condition), place, counts):
            if len(rows) == limit:
                more = query.top is None or told + len(rows) < query.top
                return await self._rows(query, rows, f"{place} {told + len(rows)}" if more else None)
            place = device.identity.device_id
            if query.items is None:
                rows.append(device)
            else:
                rows.append(project(query.items, document))
        return await self._rows(query, rows, None)

    async def _rows(self, query: Query, rows: Sequence[Any], after: str | None) -> Rows:
        """Put a page together; twins are written here, with the messages that wait for just these devices."""
        if query.items is not None:
            return Rows(item_type="Raw", documents=rows, after=after)
        counts = await self._messages.counts([device.identity.device_id for device in rows])
        twins = [translate.twin_document(device, counts.get(device.identity.device_id, 0)) for device in rows]
        return Rows(item_type="Twin", documents=twins, after=after)

    async def _aggregate(self, query: Query, told: int, limit: int, counts: Counts | None) -> Rows:
        """Make all groups, and tell those of this page: groups are few, documents many."""
        aggregation = Aggregation(query)
        if query.counts_everything and query.source is Source.DEVICES:
            aggregation.count((await self._registry.statistics()).total)
        else:
            async for _, document in select(self._registry, Selection(query.source, query.condition), "", counts):
                aggregation.add(document)
        rows = list(aggregation.rows())
        total = len(rows) if query.top is None else min(len(rows), query.top)
        page = rows[told : told + limit]
        end = told + len(page)
        return Rows(item_type="Raw", documents=page, after=f" {end}" if end < total else None)

    async def _device_jobs(self, query: Query, place: str, told: int, limit: int) -> Rows:
        """Tell what jobs did with devices. A place is `{job}/{device}`: no job's id has a slash."""
        named = named_values(query.condition, ("jobId",))
        job_id, _, device_id = place.partition("/")
        after = (job_id, device_id) if place else None
        rows: list[Any] = []
        while True:
            parts = await self._jobs.device_page(after=after, limit=_SCANNED, job_ids=named)
            for part in parts:
                document = device_job_document(part)
                if not holds(query.condition, msgspec.json.decode(msgspec.json.encode(document))):
                    continue
                if len(rows) == limit:
                    more = query.top is None or told + len(rows) < query.top
                    place = f"{place} {told + len(rows)}" if more else ""
                    return Rows(item_type="DeviceJob", documents=rows, after=place or None)
                rows.append(document)
                place = f"{part.job_id}/{part.device_id}"
            if len(parts) < _SCANNED:
                return Rows(item_type="DeviceJob", documents=rows, after=None)
            after = (parts[-1].job_id, parts[-1].device_id)
            await asyncio.sleep(0)


def _continued(after: str | None) -> tuple[str, int]:
    """Read where a page begins. Raises QueryError for what is no place."""
    place, _, told = (after or " 0").rpartition(" ")
    if not (told.isascii() and told.isdigit() and len(told) < 10):
        raise QueryError("The continuation token is not one of this server.")
    return place, int(told)
