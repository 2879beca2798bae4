"""Walks over an index, in SQL: a bounded number of steps from a place on, whatever the rows hold.

A statement is put together from the fragments here and named parameters; nothing that a caller wrote enters it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec import Struct

from homeport.dps.model import Cursor, Index, ScanOrder, Walk
from homeport.store.database import Parameters, Value
from homeport.store.rows import from_micros, to_micros

_OPEN = (
    "WITH open AS MATERIALIZED ("
    "SELECT id_key, status, updated_at FROM registrations WHERE is_open = 1 AND deadline > 0)"
)
"""Operations in progress; they are few, and have an index that nothing else could be found by."""
_FIRST, _LAST = "", "\U0010ffff"
_REGISTRATIONS = "registrations"
_FIRST_TIME, _LAST_TIME = -(2**62), 2**62


class Place(Struct, frozen=True, kw_only=True):
    """Where an index is: a table, a column, and the condition of a partial index, word by word."""

    table: str
    column: str
    condition: str = ""
    open_too: bool = False
    """Whether operations in progress must be looked at beside the index, which leaves them out."""


FINISHED_UNUSUALLY = Place(
    table=_REGISTRATIONS, column="status", condition="is_open = 0 AND status <> 'assigned'", open_too=True
)
"""Nearly all registrations are assigned: those that are not are found by their status."""
WITH_HUB = Place(table=_REGISTRATIONS, column="hub_key", condition="hub_key <> ''")


@dataclass(slots=True, kw_only=True)
class Steps:
    """A statement that yields `id_key` and `updated_at` (0 in ID order) of the next steps, in their order."""

    sql: str
    order: str
    """How whoever joins something to the steps keeps their order; the steps are called `step`."""
    parameters: dict[str, Value] = field(default_factory=dict)


def steps(walk: Walk, table: str, places: Mapping[Index, Place], *, after: Cursor | None, limit: int) -> Steps | None:
    """Return the statement for the next `limit` steps behind the cursor; None if there is nothing to look at."""
    return (
        _by_time(walk, table, after, limit)
        if walk.order is ScanOrder.UPDATED
        else _by_id(walk, table, places, after, limit)
    )


def cursor_of(walk: Walk, id_key: str, updated_at: int) -> Cursor:
    return Cursor(id_key=id_key, updated=from_micros(updated_at) if walk.order is ScanOrder.UPDATED else None)


def _by_id(walk: Walk, table: str, places: Mapping[Index, Place], after: Cursor | None, limit: int) -> Steps | None:
    parameters: dict[str, Value] = {"limit": limit}
    behind = _behind(walk, after, parameters)
    direction = " DESC" if walk.descending else ""
    if walk.index is None and walk.ids is None:
        parts = [_part(table, behind, direction)]
    else:
        place = Place(table=table, column="id_key") if walk.index is None else places[walk.index]
        parts = []
        for number, value in enumerate(walk.ids if walk.ids is not None else walk.values):
            name = f"value_{chr(ord('a') + number)}"
            parameters[name] = value
            wanted = [f"{place.column} = :{name}", *filter(None, (place.condition,)), *behind]
            parts.append(_part(place.table, wanted, direction))
            if place.open_too:
                parts.append(f"{_OPEN} {_part('open', [f'{place.column} = :{name}', *behind], direction)}")
    if not parts:
        return None
    union = " UNION ALL ".join(f"SELECT id_key FROM ({part}) AS part" for part in parts)
    return Steps(
        sql=f"SELECT id_key, 0 AS updated_at FROM ({union}) AS parts ORDER BY id_key{direction} LIMIT :limit",
        order=f"step.id_key{direction}",
        parameters=parameters,
    )


def _part(table: str, conditions: list[str], direction: str) -> str:
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT id_key FROM {table}{where} ORDER BY id_key{direction} LIMIT :limit"


def _behind(walk: Walk, after: Cursor | None, parameters: dict[str, Value]) -> list[str]:
    """Say where in the ids to look: one condition for each end, so that either database begins at the right place."""
    conditions = []
    low, high = (walk.first_id, ">="), (walk.last_id, "<=")
    if after is not None and walk.descending:
        high = (after.id_key, "<")
    elif after is not None:
        low = (after.id_key, ">")
    for name, (value, sign) in (("low", low), ("high", high)):
        if value is not None:
            parameters[name] = value
            conditions.append(f"id_key {sign} :{name}")
    return conditions


def _by_time(walk: Walk, table: str, after: Cursor | None, limit: int) -> Steps:
    since = _FIRST_TIME if walk.since is None else to_micros(walk.since)
    until = _LAST_TIME if walk.until is None else to_micros(walk.until)
    if after is not None and after.updated is not None:
        at, key = to_micros(after.updated), after.id_key
    else:
        at, key = (until, _LAST) if walk.descending else (since, _FIRST)
    sign, end = ("<", "updated_at >= :bound") if walk.descending else (">", "updated_at <= :bound")
    direction = " DESC" if walk.descending else ""
    where = f"WHERE (updated_at, id_key) {sign} (:at, :key) AND {end}"
    order = f"ORDER BY updated_at{direction}, id_key{direction} LIMIT :limit"
    sql = f"SELECT id_key, updated_at FROM {table} {where} {order}"
    if table == _REGISTRATIONS:
        finished = f"SELECT id_key, updated_at FROM {table} {where} AND is_open = 0 {order}"
        unfinished = f"{_OPEN} SELECT id_key, updated_at FROM open {where} {order}"
        sql = (
            f"SELECT * FROM (SELECT * FROM ({finished}) AS finished "
            f"UNION ALL SELECT * FROM ({unfinished}) AS unfinished) AS both_kinds {order}"
        )
    return Steps(
        sql=sql,
        order=f"step.updated_at{direction}, step.id_key{direction}",
        parameters={"at": at, "key": key, "bound": since if walk.descending else until, "limit": limit},
    )


def joined(found: Steps, columns: str, joins: str) -> tuple[str, Parameters]:
    """Return the statement that reads `columns` at each of the steps, and its parameters."""
    sql = f"SELECT step.id_key, step.updated_at, {columns} FROM ({found.sql}) AS step {joins} ORDER BY {found.order}"
    return sql, found.parameters
