"""Registration records in SQL: who may open, continue and end an operation is decided inside single statements."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from homeport.dps.model import Count, Cursor, Entry, Found, Index, Kind, Registration, Walk, device, outcome
from homeport.dps.ports import HubFullError
from homeport.errors import Code, ConflictError, HomeportError
from homeport.paging import Page
from homeport.security.callers import SYSTEM, Caller
from homeport.store.counting import count_devices_by_hub, count_registrations
from homeport.store.database import Database, Parameters, Transaction
from homeport.store.issued_certificates import add_issued
from homeport.store.journal import SqlJournal
from homeport.store.registration_rows import COLUMNS, registration_of, registration_values
from homeport.store.rows import key_of, to_micros
from homeport.store.walking import FINISHED_UNUSUALLY, WITH_HUB, Place, cursor_of, joined, steps
from homeport.values import replace

_GET = f"SELECT {COLUMNS} FROM registrations WHERE id_key = :id_key"
_GET_OPEN = f"{_GET} AND is_open = 1"

_CREATE = """
    INSERT INTO registrations (
        id_key, id, group_key, home_key, etag, operation_id, is_open, deadline, retry_at, lease_owner, lease_until,
        status, hub_key, updated_at, data
    ) VALUES (
        :id_key, :id, :group_key, :home_key, :etag, :operation_id, :is_open, :deadline, :retry_at, :lease_owner,
        :lease_until, :status, :hub_key, :updated_at, :data
    ) ON CONFLICT (id_key) DO NOTHING"""
_CREATE_OR_SEE = f"{_CREATE} RETURNING id"

# The spelling of the first registration stays.
_SET = """
    UPDATE registrations SET
        group_key = :group_key, home_key = :home_key, etag = :etag, operation_id = :operation_id, is_open = :is_open,
        deadline = :deadline, retry_at = :retry_at, lease_owner = :lease_owner, lease_until = :lease_until,
        status = :status, hub_key = :hub_key, updated_at = :updated_at, data = :data"""

_REPLACE = f"{_SET} WHERE id_key = :id_key AND is_open = 0 AND etag = :expected"
_REOPEN = f"{_REPLACE} RETURNING id"

_SAVE = f"""{_SET}
    WHERE id_key = :id_key AND operation_id = :operation_id AND is_open = 1
    AND (lease_owner IS NULL OR lease_owner = :saver)"""

_CLAIM = f"""
    WITH due AS MATERIALIZED (
        SELECT id_key FROM registrations
        WHERE is_open = 1 AND (lease_until IS NULL OR lease_until <= :now) AND (retry_at IS NULL OR retry_at <= :now)
        ORDER BY deadline, id_key LIMIT :limit /*postgres FOR UPDATE SKIP LOCKED*/
    )
    UPDATE registrations SET lease_owner = :owner, lease_until = :until
    WHERE id_key IN (SELECT id_key FROM due) RETURNING {COLUMNS}"""

_RELEASE = "UPDATE registrations SET lease_owner = NULL, lease_until = NULL WHERE is_open = 1"

_PAGE = f"SELECT id_key, {COLUMNS} FROM registrations WHERE id_key > :after ORDER BY id_key LIMIT :limit"

_PAGE_OF_GROUP = f"""
    SELECT id_key, {COLUMNS} FROM registrations
    WHERE group_key = :group_key AND id_key > :after ORDER BY id_key LIMIT :limit"""

_OVERFULL = "SELECT 1 FROM hub_counts WHERE home_key = :home_key AND devices > :room"

_DELETE = "DELETE FROM registrations WHERE id_key = :id_key"

_PLACES = {
    Index.GROUP: Place(table="registrations", column="group_key"),
    Index.REGISTRATION_STATUS: FINISHED_UNUSUALLY,
    Index.HUB: WITH_HUB,
}
_REGISTRATION = (
    ", ".join(f"state.{column}" for column in COLUMNS.split(", ")),
    "LEFT JOIN registrations AS state ON state.id_key = step.id_key",
)


class SqlRegistrationStore:
    """RegistrationStore over a Database."""

    def __init__(self, database: Database, journal: SqlJournal) -> None:
        self._database = database
        self._journal = journal

    async def get(self, registration_id: str) -> Registration | None:
        row = await self._database.fetch_one(_GET, {"id_key": key_of(registration_id)})
        return None if row is None else registration_of(row)

    async def open(
        self, registration: Registration, *, expected_etag: str | None, durable: bool = True, room: int | None = None
    ) -> Registration:
        values = {**registration_values(registration), "expected": expected_etag}
        statement = _CREATE_OR_SEE if expected_etag is None else _REOPEN
        ended = outcome(registration)
        alone = expected_etag is None and ended is None and room is None
        # Most devices are new: a single statement, which needs no transaction around it.
        if alone and await self._database.execute(_CREATE, values, durable=durable):
            return registration

        async def work(transaction: Transaction) -> Registration:
            opened = await transaction.fetch_one(statement, values)
            if opened is not None:
                await _check_room(transaction, values, room)
                if ended is not None:
                    await self._journal.append(transaction, ended)
                same = opened[0] == registration.registration_id
                return registration if same else replace(registration, registration_id=opened[0])
            row = await transaction.fetch_one(_GET_OPEN, {"id_key": values["id_key"]})
            if row is None:
                raise ConflictError("The registration was changed since it was read.")
            return registration_of(row)

        return await self._database.write(work, durable=durable)

    async def save(self, registration: Registration, *, lease_owner: str, room: int | None = None) -> None:
        values = {**registration_values(registration), "saver": lease_owner}
        ended = outcome(registration)
        if ended is None and room is None:
            # A single statement needs no transaction around it, which saves PostgreSQL two round trips.
            changed = await self._database.execute(_SAVE, values)
        else:

            async def work(transaction: Transaction) -> int:
                saved = await transaction.execute(_SAVE, values)
                await _check_room(transaction, values, room)
                if saved and ended is not None:
                    await self._journal.append(transaction, ended)
                    await add_issued(transaction, registration, self._journal)
                return saved

            changed = await self._database.write(work)
        if not changed:
            raise ConflictError("The operation is not this process's to continue.")

    async def conclude(
        self,
        registration: Registration,
        also: Callable[[Any], Coroutine[Any, Any, bool]],
        *,
        expected_etag: str | None,
    ) -> bool:
        values = {**registration_values(registration), "expected": expected_etag}
        statement = _CREATE if expected_etag is None else _REPLACE
        ended = outcome(registration)
        assert ended is not None, "only what is finished is concluded"

        async def work(transaction: Transaction) -> None:
            if not await transaction.execute(statement, values):
                raise ConflictError
            await self._journal.append(transaction, ended)
            if not await also(transaction):
                raise ConflictError

        try:
            await self._database.write(work)
        except ConflictError:
            return False
        return True

    async def claim(self, *, now: datetime, lease: timedelta, owner: str, limit: int) -> Sequence[Registration]:
        parameters: Parameters = {
            "now": to_micros(now),
            "until": to_micros(now + lease),
            "owner": owner,
            "limit": limit,
        }
        rows = await self._database.write(lambda transaction: transaction.fetch_all(_CLAIM, parameters))
        claimed = [registration_of(row) for row in rows]
        # RETURNING promises no order.
        return sorted(claimed, key=lambda each: (each.operation.deadline, key_of(each.registration_id)))

    async def release(self) -> None:
        """Give up every lease. Only for the sole process of a database, before it begins: all holders are dead."""
        await self._database.execute(_RELEASE)

    async def delete(self, registration_id: str, *, expected_etag: str | None, by: Caller = SYSTEM) -> None:
        key = key_of(registration_id)

        async def work(transaction: Transaction) -> None:
            row = await transaction.fetch_one(_GET, {"id_key": key})
            matching = "" if expected_etag is None else " AND etag = :expected"
            if not await transaction.execute(_DELETE + matching, {"id_key": key, "expected": expected_etag}):
                if row is None:
                    raise HomeportError(Code.REGISTRATION_NOT_FOUND, f"'{registration_id}' has no registration.")
                raise HomeportError(
                    Code.PRECONDITION_FAILED, f"The registration '{registration_id}' was changed since it was read."
                )
            await self._journal.append(transaction, _deletion(None if row is None else registration_of(row), by))

        await self._database.write(work)

    async def devices_by_hub(self) -> Mapping[str, int]:
        return await count_devices_by_hub(self._database)

    async def page(self, *, group_id: str | None, after: str | None, limit: int) -> Page[Registration]:
        group_key = None if group_id is None else key_of(group_id)
        rows = await self._database.fetch_all(
            _PAGE if group_id is None else _PAGE_OF_GROUP,
            {"group_key": group_key, "after": after or "", "limit": limit + 1},
        )
        return Page(
            items=[registration_of(row[1:]) for row in rows[:limit]],
            after=rows[limit - 1][0] if len(rows) > limit else None,
        )

    async def walk(self, walk: Walk, *, after: Cursor | None, limit: int) -> Sequence[Found[Registration]]:
        found = steps(walk, "registrations", _PLACES, after=after, limit=limit)
        if found is None:
            return []
        rows = await self._database.fetch_all(*joined(found, *_REGISTRATION))
        return [
            Found(cursor=cursor_of(walk, row[0], row[1]), item=None if row[2] is None else registration_of(row[2:]))
            for row in rows
        ]

    async def count(self) -> Sequence[Count]:
        return await count_registrations(self._database)


async def _check_room(transaction: Transaction, values: Parameters, room: int | None) -> None:
    """Undo the write if it made the hub overfull: its count, which the write has changed, is ours until the end."""
    if room is None:
        return
    overfull = await transaction.fetch_one(_OVERFULL, {"home_key": values["home_key"], "room": room})
    if overfull is not None:
        raise HubFullError


def _deletion(before: Registration | None, by: Caller) -> Entry:
    assert before is not None, "what was deleted was there a statement ago"
    home = before.assignment
    return Entry(
        kind=Kind.REGISTRATION_DELETED,
        subject=device(before.registration_id),
        by=by,
        etag_before=before.etag,
        data={"status": before.status.value, "assignedHub": home.hub if home else None},
    )
