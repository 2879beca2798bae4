"""An administrator's call in, a reply out: the service API without its HTTP (contract dps.md 8)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from msgspec.json import Decoder

from homeport.clock import Clock
from homeport.dps.enrollments import EnrollmentService, parse_if_match
from homeport.dps.identifiers import Random
from homeport.dps.query import check_query
from homeport.dps.reply import Reply, success, unreadable
from homeport.dps.translate_attestation import attestation_document
from homeport.dps.translate_service import (
    group_document,
    group_of,
    individual_document,
    individual_of,
    state_document,
    unassigned_document,
)
from homeport.errors import Code, HomeportError
from homeport.paging import Page, TokenError, decode_token, encode_token
from homeport.security.callers import Caller
from homeport.wire import WireError, decode
from homeport.wire import dps_service as wire

T = TypeVar("T")

DEFAULT_PAGE = 100
MAX_PAGE = 1000


class ServiceResponder:
    """Answers administrators. Methods raise HomeportError; `reply.answer` around them makes the error body."""

    def __init__(self, service: EnrollmentService, clock: Clock, random: Random) -> None:
        self._service = service
        self._clock = clock
        self._random = random

    # ---------------------------------------------------------------- individual enrollments

    async def get_individual(self, registration_id: str, tracking_id: str) -> Reply:
        enrollment = await self._service.get_individual(registration_id)
        record = await self._service.find_registration(registration_id)
        state = unassigned_document(enrollment.registration_id) if record is None else state_document(record)
        return success(200, individual_document(enrollment, secrets=False, state=state), tracking_id)

    async def put_individual(self, registration_id: str, body: bytes, if_match: str | None, by: Caller) -> Reply:
        document = read(wire.individual_enrollment, body)
        _same_id(registration_id, document.registration_id, "registrationId")
        enrollment = await self._service.put_individual(
            registration_id,
            lambda stored: individual_of(document, stored=stored, now=self._clock.now(), random=self._random),
            if_match=parse_if_match(if_match),
            by=by,
        )
        return success(200, individual_document(enrollment, secrets=True), by.tracking_id)

    async def delete_individual(self, registration_id: str, if_match: str | None, by: Caller) -> Reply:
        await self._service.delete_individual(registration_id, if_match=parse_if_match(if_match), by=by)
        return Reply(status=204, body=b"", tracking_id=by.tracking_id)

    async def individual_mechanism(self, registration_id: str, tracking_id: str) -> Reply:
        enrollment = await self._service.get_individual(registration_id)
        return success(200, attestation_document(enrollment.attestation, secrets=True), tracking_id)

    async def query_individuals(self, body: bytes, paging: "Paging", tracking_id: str) -> Reply:
        _check_query_body(body)
        page = await self._service.page_individuals(after=paging.after("enrollments"), limit=paging.limit)
        return listing(
            page,
            [individual_document(item, secrets=False) for item in page.items],
            "enrollments",
            tracking_id,
            item_type="Enrollment",
        )

    # ---------------------------------------------------------------- groups

    async def get_group(self, group_id: str, tracking_id: str) -> Reply:
        return success(200, group_document(await self._service.get_group(group_id), secrets=False), tracking_id)

    async def put_group(self, group_id: str, body: bytes, if_match: str | None, by: Caller) -> Reply:
        document = read(wire.enrollment_group, body)
        _same_id(group_id, document.enrollment_group_id, "enrollmentGroupId")
        group = await self._service.put_group(
            group_id,
            lambda stored: group_of(document, stored=stored, now=self._clock.now(), random=self._random),
            if_match=parse_if_match(if_match),
            by=by,
        )
        return success(200, group_document(group, secrets=True), by.tracking_id)

    async def delete_group(self, group_id: str, if_match: str | None, by: Caller) -> Reply:
        await self._service.delete_group(group_id, if_match=parse_if_match(if_match), by=by)
        return Reply(status=204, body=b"", tracking_id=by.tracking_id)

    async def group_mechanism(self, group_id: str, tracking_id: str) -> Reply:
        group = await self._service.get_group(group_id)
        return success(200, attestation_document(group.attestation, secrets=True), tracking_id)

    async def query_groups(self, body: bytes, paging: "Paging", tracking_id: str) -> Reply:
        _check_query_body(body)
        page = await self._service.page_groups(after=paging.after("groups"), limit=paging.limit)
        return listing(
            page,
            [group_document(item, secrets=False) for item in page.items],
            "groups",
            tracking_id,
            item_type="EnrollmentGroup",
        )

    # ---------------------------------------------------------------- registration states

    async def get_registration(self, registration_id: str, tracking_id: str) -> Reply:
        return success(200, state_document(await self._service.get_registration(registration_id)), tracking_id)

    async def delete_registration(self, registration_id: str, if_match: str | None, by: Caller) -> Reply:
        await self._service.delete_registration(registration_id, if_match=parse_if_match(if_match), by=by)
        return Reply(status=204, body=b"", tracking_id=by.tracking_id)

    async def query_registrations(self, group_id: str, body: bytes, paging: "Paging", tracking_id: str) -> Reply:
        _check_query_body(body)
        name = f"registrations of {group_id.lower()}"
        page = await self._service.page_registrations(group_id=group_id, after=paging.after(name), limit=paging.limit)
        documents = [state_document(item) for item in page.items]
        return listing(page, documents, name, tracking_id, item_type="DeviceRegistration")


class Paging:
    """What a caller wants of a listing: page size and continuation, as their headers say (contract dps.md 8.2)."""

    def __init__(self, max_items: str | None, continuation: str | None) -> None:
        """Raise HomeportError INVALID_REQUEST for a page size that is no number."""
        self.limit = DEFAULT_PAGE
        if max_items:
            if not (max_items.isascii() and max_items.isdigit()) or not int(max_items[:9]) >= 1:
                raise HomeportError(Code.INVALID_REQUEST, "x-ms-max-item-count is not a whole number from 1 up.")
            self.limit = min(int(max_items[:9]), MAX_PAGE)
        self._continuation = continuation or None

    def after(self, query: str) -> str | None:
        """Return the key to continue behind. Raises HomeportError INVALID_REQUEST for another query's token."""
        if self._continuation is None:
            return None
        try:
            key = decode_token(self._continuation, query)
        except TokenError as error:
            raise HomeportError(Code.INVALID_REQUEST, str(error)) from None
        if not key.isprintable():
            # Tokens are checked, not signed, and what continues here goes to a database.
            raise HomeportError(Code.INVALID_REQUEST, "The continuation token is not one of this server.")
        return key


def listing(
    page: Page[Any], documents: Sequence[Any], query: str, tracking_id: str, *, item_type: str | None = None
) -> Reply:
    """Answer with a page; the continuation header is absent on the last one (contract dps.md 8.2)."""
    headers = {} if item_type is None else {"x-ms-item-type": item_type}
    if page.after is not None:
        headers["x-ms-continuation"] = encode_token(page.after, query)
    return replace(success(200, documents, tracking_id), headers=headers)


def read(decoder: Decoder[T], body: bytes) -> T:
    """Read a request's document. Raises HomeportError."""
    try:
        return decode(decoder, body)
    except WireError as error:
        raise unreadable(error) from None


def _check_query_body(body: bytes) -> None:
    """Accept a missing body like an empty query: listing registrations sends none."""
    if body.strip():
        query = read(wire.query_specification, body).query
        check_query(query if isinstance(query, str) else "")


def _same_id(in_path: str, in_body: str, member: str) -> None:
    if in_path.lower() != in_body.lower():
        raise HomeportError(Code.INVALID_REQUEST, f"The path and the member {member} name different ids.")
