"""Enrollments and groups in SQL."""

from collections.abc import Sequence

from homeport.dps.model import (
    Count,
    Cursor,
    Enrollment,
    EnrollmentGroup,
    Found,
    Index,
    IndividualEnrollment,
    Kind,
    Registration,
    Walk,
    attestation_kind,
    change,
    device,
)
from homeport.errors import Code, HomeportError
from homeport.paging import Page
from homeport.security.callers import SYSTEM, Caller
from homeport.store.cached import CachedTable
from homeport.store.counting import count_individuals
from homeport.store.database import Database, Transaction, Value
from homeport.store.enrollment_rows import encode_enrollment, group_of, individual_of
from homeport.store.journal import SqlJournal
from homeport.store.registration_rows import COLUMNS, registration_of
from homeport.store.rows import key_of, to_micros
from homeport.store.walking import FINISHED_UNUSUALLY, WITH_HUB, Place, cursor_of, joined, steps


class _Table:
    """The statements over one of the two tables, and how its refusals are called."""

    def __init__(self, name: str, *, missing: Code, exists: Code, noun: str, more: Sequence[str] = ()) -> None:
        """`more` are the columns besides those that both have."""
        self.get = f"SELECT id, etag, data FROM {name} WHERE id_key = :id_key"
        self.all = f"SELECT id, etag, data FROM {name} ORDER BY id_key"
        self.page = f"SELECT id_key, id, etag, data FROM {name} WHERE id_key > :after ORDER BY id_key LIMIT :limit"
        self.create = (
            f"INSERT INTO {name} (id_key, id, etag, data{''.join(f', {each}' for each in more)}) "
            f"VALUES (:id_key, :id, :etag, :data{''.join(f', :{each}' for each in more)}) "
            "ON CONFLICT (id_key) DO NOTHING"
        )
        # The spelling of the creation stays.
        self.replace = (
            f"UPDATE {name} SET etag = :etag, data = :data{''.join(f', {each} = :{each}' for each in more)} "
            "WHERE id_key = :id_key"
        )
        self.delete = f"DELETE FROM {name} WHERE id_key = :id_key"
        self._missing, self._exists, self._noun = missing, exists, noun

    def taken(self, identifier: str) -> HomeportError:
        return HomeportError(self._exists, f"The {self._noun} '{identifier}' exists already.")

    async def refusal(self, transaction: Transaction, identifier: str) -> HomeportError:
        """Say why a statement that names an etag changed nothing."""
        if await transaction.fetch_one(self.get, {"id_key": key_of(identifier)}) is None:
            return HomeportError(self._missing, f"There is no {self._noun} '{identifier}'.")
        return HomeportError(
            Code.PRECONDITION_FAILED, f"The {self._noun} '{identifier}' was changed since it was read."
        )

    async def change(
        self, transaction: Transaction, statement: str, identifier: str, values: dict[str, Value], etag: str | None
    ) -> None:
        """Run `replace` or `delete` under the etag it expects."""
        if etag is not None:
            statement += " AND etag = :expected"
        parameters = {**values, "id_key": key_of(identifier), "expected": etag}
        if not await transaction.execute(statement, parameters):
            raise await self.refusal(transaction, identifier)


# One table name each, from here: nothing that a caller wrote enters a statement.
_INDIVIDUALS = _Table(
    "individual_enrollments",
    missing=Code.ENROLLMENT_NOT_FOUND,
    exists=Code.ENROLLMENT_EXISTS,
    noun="enrollment",
    more=("kind", "status", "updated_at"),
)
_GROUPS = _Table("enrollment_groups", missing=Code.GROUP_NOT_FOUND, exists=Code.GROUP_EXISTS, noun="enrollment group")

_PLACES = {
    Index.ATTESTATION: Place(table="individual_enrollments", column="kind"),
    Index.PROVISIONING_STATUS: Place(table="individual_enrollments", column="status", condition="status = 'disabled'"),
    Index.REGISTRATION_STATUS: FINISHED_UNUSUALLY,
    Index.HUB: WITH_HUB,
}
_ENROLLMENT = (
    "enrollment.id, enrollment.etag, enrollment.data",
    "LEFT JOIN individual_enrollments AS enrollment ON enrollment.id_key = step.id_key",
)
_ENROLLED = (
    f"{_ENROLLMENT[0]}, {', '.join(f'state.{column}' for column in COLUMNS.split(', '))}",
    f"{_ENROLLMENT[1]} LEFT JOIN registrations AS state ON state.id_key = step.id_key",
)


class SqlEnrollmentStore:
    """EnrollmentStore over a Database."""

    def __init__(self, database: Database, journal: SqlJournal) -> None:
        self._database = database
        self._journal = journal
        self._groups = CachedTable(database, "enrollment_groups", _load_groups)

    async def get_individual(self, registration_id: str) -> IndividualEnrollment | None:
        row = await self._database.fetch_one(_INDIVIDUALS.get, {"id_key": key_of(registration_id)})
        return None if row is None else individual_of(*row)

    async def get_group(self, group_id: str) -> EnrollmentGroup | None:
        row = await self._database.fetch_one(_GROUPS.get, {"id_key": key_of(group_id)})
        return None if row is None else group_of(*row)

    async def groups(self) -> Sequence[EnrollmentGroup]:
        return await self._groups.content()

    async def create_individual(self, enrollment: IndividualEnrollment, *, by: Caller = SYSTEM) -> None:
        identifier = enrollment.registration_id

        async def work(transaction: Transaction) -> None:
            if not await transaction.execute(_INDIVIDUALS.create, _individual_values(identifier, enrollment)):
                raise _INDIVIDUALS.taken(identifier)
            await self._journal.append(
                transaction, change(Kind.ENROLLMENT_CREATED, device(identifier), by, after=enrollment)
            )

        await self._database.write(work)

    async def create_group(self, group: EnrollmentGroup, *, by: Caller = SYSTEM) -> None:
        async def work(transaction: Transaction) -> None:
            if not await transaction.execute(_GROUPS.create, _values(group.group_id, group)):
                raise _GROUPS.taken(group.group_id)
            await self._groups.changed(transaction)
            await self._journal.append(transaction, change(Kind.GROUP_CREATED, _group(group.group_id), by, after=group))

        await self._database.write(work)

    async def replace_individual(
        self, enrollment: IndividualEnrollment, *, expected_etag: str | None, by: Caller = SYSTEM
    ) -> None:
        identifier = enrollment.registration_id
        values = _individual_values(identifier, enrollment)

        async def work(transaction: Transaction) -> None:
            row = await transaction.fetch_one(_INDIVIDUALS.get, {"id_key": key_of(identifier)})
            await _INDIVIDUALS.change(transaction, _INDIVIDUALS.replace, identifier, values, expected_etag)
            before = None if row is None else individual_of(*row)
            kind = _kind(before, enrollment, _INDIVIDUAL_KINDS)
            entry = change(kind, device(identifier), by, before=before, after=enrollment)
            await self._journal.append(transaction, entry)

        await self._database.write(work)

    async def replace_group(self, group: EnrollmentGroup, *, expected_etag: str | None, by: Caller = SYSTEM) -> None:
        values = _values(group.group_id, group)

        async def work(transaction: Transaction) -> None:
            row = await transaction.fetch_one(_GROUPS.get, {"id_key": key_of(group.group_id)})
            await _GROUPS.change(transaction, _GROUPS.replace, group.group_id, values, expected_etag)
            await self._groups.changed(transaction)
            before = None if row is None else group_of(*row)
            kind = _kind(before, group, _GROUP_KINDS)
            await self._journal.append(
                transaction, change(kind, _group(group.group_id), by, before=before, after=group)
            )

        await self._database.write(work)

    async def delete_individual(self, registration_id: str, *, expected_etag: str | None, by: Caller = SYSTEM) -> None:
        async def work(transaction: Transaction) -> None:
            row = await transaction.fetch_one(_INDIVIDUALS.get, {"id_key": key_of(registration_id)})
            await _INDIVIDUALS.change(transaction, _INDIVIDUALS.delete, registration_id, {}, expected_etag)
            before = None if row is None else individual_of(*row)
            await self._journal.append(
                transaction, change(Kind.ENROLLMENT_DELETED, device(registration_id), by, before=before)
            )

        await self._database.write(work)

    async def delete_group(self, group_id: str, *, expected_etag: str | None, by: Caller = SYSTEM) -> None:
        async def work(transaction: Transaction) -> None:
            row = await transaction.fetch_one(_GROUPS.get, {"id_key": key_of(group_id)})
            await _GROUPS.change(transaction, _GROUPS.delete, group_id, {}, expected_etag)
            await self._groups.changed(transaction)
            before = None if row is None else group_of(*row)
            await self._journal.append(transaction, change(Kind.GROUP_DELETED, _group(group_id), by, before=before))

        await self._database.write(work)

    async def page_individuals(self, *, after: str | None, limit: int) -> Page[IndividualEnrollment]:
        rows = await self._database.fetch_all(_INDIVIDUALS.page, {"after": after or "", "limit": limit + 1})
        return Page(
            items=[individual_of(*row[1:]) for row in rows[:limit]],
            after=rows[limit - 1][0] if len(rows) > limit else None,
        )

    async def page_groups(self, *, after: str | None, limit: int) -> Page[EnrollmentGroup]:
        rows = await self._database.fetch_all(_GROUPS.page, {"after": after or "", "limit": limit + 1})
        return Page(
            items=[group_of(*row[1:]) for row in rows[:limit]],
            after=rows[limit - 1][0] if len(rows) > limit else None,
        )

    async def walk_individuals(
        self, walk: Walk, *, after: Cursor | None, limit: int, with_registrations: bool
    ) -> Sequence[Found[tuple[IndividualEnrollment, Registration | None]]]:
        found = steps(walk, "individual_enrollments", _PLACES, after=after, limit=limit)
        if found is None:
            return []
        columns, joins = _ENROLLED if with_registrations else _ENROLLMENT
        rows = await self._database.fetch_all(*joined(found, columns, joins))
        return [
            Found(
                cursor=cursor_of(walk, row[0], row[1]),
                item=None
                if row[2] is None
                else (individual_of(*row[2:5]), registration_of(row[5:]) if with_registrations and row[5] else None),
            )
            for row in rows
        ]

    async def count_individuals(self) -> Sequence[Count]:
        return await count_individuals(self._database)


async def _load_groups(transaction: Transaction) -> Sequence[EnrollmentGroup]:
    return [group_of(*row) for row in await transaction.fetch_all(_GROUPS.all)]


def _values(identifier: str, enrollment: Enrollment) -> dict[str, Value]:
    return {
        "id_key": key_of(identifier),
        "id": identifier,
        "etag": enrollment.etag,
        "data": encode_enrollment(enrollment),
    }


_INDIVIDUAL_KINDS = (Kind.ENROLLMENT_UPDATED, Kind.ENROLLMENT_ENABLED, Kind.ENROLLMENT_DISABLED)
_GROUP_KINDS = (Kind.GROUP_UPDATED, Kind.GROUP_ENABLED, Kind.GROUP_DISABLED)


def _kind(before: Enrollment | None, after: Enrollment, kinds: tuple[Kind, Kind, Kind]) -> Kind:
    updated, enabled, disabled = kinds
    if before is None or before.enabled == after.enabled:
        return updated
    return enabled if after.enabled else disabled


def _group(group_id: str) -> str:
    return f"enrollmentGroups/{group_id}"


def _individual_values(identifier: str, enrollment: IndividualEnrollment) -> dict[str, Value]:
    return {
        **_values(identifier, enrollment),
        "kind": key_of(attestation_kind(enrollment.attestation)),
        "status": "enabled" if enrollment.enabled else "disabled",
        "updated_at": to_micros(enrollment.updated_at),
    }
