"""Many enrollments in one request: each item for itself, the answer says which failed (contract dps.md 8.7).

An item means exactly what the request for it alone would mean; its `etag` stands for If-Match.
"""

from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum

from msgspec import Raw

from homeport.clock import Clock
from homeport.dps.enrollments import EnrollmentService, parse_if_match
from homeport.dps.identifiers import Random
from homeport.dps.listing import read
from homeport.dps.reply import Call, Reply, success
from homeport.dps.translate_service import group_of, individual_of
from homeport.errors import Code, HomeportError
from homeport.wire import dps_service as wire

MAX_ITEMS = 10


class BulkMode(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    UPDATE_IF_MATCH = "updateIfMatchETag"
    DELETE = "delete"


_Change = Callable[[bytes, str | None], Awaitable[None]]
"""Carries one item out, given its document and the If-Match that its etag stands for."""


class BulkResponder:
    """Answers bulk requests. Raises HomeportError for a request that cannot be taken apart into items."""

    def __init__(self, service: EnrollmentService, clock: Clock, random: Random) -> None:
        self._service = service
        self._clock = clock
        self._random = random

    async def individuals(self, body: bytes, call: Call) -> Reply:
        document = read(wire.bulk_enrollments, body)
        mode = _mode(document.mode)
        errors = []
        for raw, item in _items(document.enrollments):
            name = item.registration_id
            if not isinstance(name, str):
                raise _nameless("registrationId")
            error = await self._carry_out(mode, raw, item, self._individual(name, mode, call))
            if error is not None:
                errors.append(_error(error, registration_id=name))
        return success(200, wire.BulkResult(errors=errors, is_successful=not errors), call.tracking_id)

    async def groups(self, body: bytes, call: Call) -> Reply:
        document = read(wire.bulk_enrollment_groups, body)
        mode = _mode(document.mode)
        errors = []
        for raw, item in _items(document.enrollment_groups):
            name = item.enrollment_group_id
            if not isinstance(name, str):
                raise _nameless("enrollmentGroupId")
            error = await self._carry_out(mode, raw, item, self._group(name, mode, call))
            if error is not None:
                errors.append(_error(error, enrollment_group_id=name))
        return success(200, wire.BulkResult(errors=errors, is_successful=not errors), call.tracking_id)

    def _individual(self, name: str, mode: BulkMode, call: Call) -> _Change:
        async def change(body: bytes, if_match: str | None) -> None:
            if mode is BulkMode.DELETE:
                await self._service.delete_individual(name, if_match=if_match, by=call.by)
                return
            if mode is BulkMode.UPDATE and if_match is None:
                await self._service.get_individual(name)
            document = read(wire.individual_enrollment, body)
            await self._service.put_individual(
                name,
                lambda stored: individual_of(
                    document, stored=stored, now=self._clock.now(), random=self._random, api_version=call.api_version
                ),
                if_match=if_match,
                by=call.by,
            )

        return change

    def _group(self, name: str, mode: BulkMode, call: Call) -> _Change:
        async def change(body: bytes, if_match: str | None) -> None:
            if mode is BulkMode.DELETE:
                await self._service.delete_group(name, if_match=if_match, by=call.by)
                return
            if mode is BulkMode.UPDATE and if_match is None:
                await self._service.get_group(name)
            document = read(wire.enrollment_group, body)
            await self._service.put_group(
                name,
                lambda stored: group_of(
                    document, stored=stored, now=self._clock.now(), random=self._random, api_version=call.api_version
                ),
                if_match=if_match,
                by=call.by,
            )

        return change

    async def _carry_out(
        self, mode: BulkMode, raw: bytes, item: wire.BulkItem, change: _Change
    ) -> HomeportError | None:
        """Return why the item failed. A store that is out of reach ends the whole request."""
        etag = item.etag if isinstance(item.etag, str) else None
        try:
            if_match = None if mode is BulkMode.CREATE else parse_if_match(etag)
            if mode is BulkMode.UPDATE_IF_MATCH and if_match is None:
                return HomeportError(Code.PRECONDITION_FAILED, "Precondition failed: the item has no etag.")
            await change(raw, if_match)
        except HomeportError as error:
            if error.code is Code.UNAVAILABLE:
                raise
            return error
        return None


def _mode(text: str) -> BulkMode:
    """Find the mode in any letter case: Node spells one differently."""
    for mode in BulkMode:
        if mode.value.lower() == text.lower():
            return mode
    raise HomeportError(Code.INVALID_REQUEST, f"mode is none of {', '.join(mode.value for mode in BulkMode)}.")


def _items(documents: Sequence[Raw]) -> list[tuple[bytes, wire.BulkItem]]:
    if len(documents) > MAX_ITEMS:
        raise HomeportError(
            Code.INVALID_REQUEST, f"A bulk request takes at most {MAX_ITEMS} items; this one has {len(documents)}."
        )
    return [(bytes(document), read(wire.bulk_item, bytes(document))) for document in documents]


def _nameless(member: str) -> HomeportError:
    """Refuse the whole request: without a name no error could say whose it is."""
    return HomeportError(Code.INVALID_REQUEST, f"An item has no {member}.")


_WORDS = {
    # As the hosted service was seen to word them.
    Code.ENROLLMENT_EXISTS: "Enrollment already exists.",
    Code.GROUP_EXISTS: "EnrollmentGroup already exists.",
}


def _error(error: HomeportError, **name: str) -> wire.BulkError:
    return wire.BulkError(error_code=int(error.code), error_status=_WORDS.get(error.code, error.message), **name)
