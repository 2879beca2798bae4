"""An administrator's call in, a reply out: the service API without its HTTP (contract dps.md 8)."""

from homeport.clock import Clock
from homeport.dps.bulk import BulkResponder
from homeport.dps.enrollments import EnrollmentService, parse_if_match
from homeport.dps.identifiers import Random
from homeport.dps.listing import Paging, listing, read
from homeport.dps.query import GROUPS, INDIVIDUALS, REGISTRATIONS, continued_as
from homeport.dps.reply import Call, Reply, success
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
from homeport.security.callers import Caller
from homeport.wire import dps_service as wire

__all__ = ["Paging", "ServiceResponder", "listing", "query_text", "read"]


class ServiceResponder:
    """Answers administrators. Methods raise HomeportError; `reply.answer` around them makes the error body."""

    def __init__(self, service: EnrollmentService, clock: Clock, random: Random) -> None:
        self._service = service
        self._search = service.search
        self.bulk = BulkResponder(service, clock, random)
        self._clock = clock
        self._random = random

    # ---------------------------------------------------------------- individual enrollments

    async def get_individual(self, registration_id: str, call: Call) -> Reply:
        enrollment = await self._service.get_individual(registration_id)
        record = await self._service.find_registration(registration_id)
        state = unassigned_document(enrollment.registration_id) if record is None else state_document(record)
        return success(
            200,
            individual_document(enrollment, secrets=False, api_version=call.api_version, state=state),
            call.tracking_id,
        )

    async def put_individual(self, registration_id: str, body: bytes, if_match: str | None, call: Call) -> Reply:
        document = read(wire.individual_enrollment, body)
        _same_id(registration_id, document.registration_id, "registrationId")
        enrollment = await self._service.put_individual(
            registration_id,
            lambda stored: individual_of(
                document, stored=stored, now=self._clock.now(), random=self._random, api_version=call.api_version
            ),
            if_match=parse_if_match(if_match),
            by=call.by,
        )
        return success(
            200, individual_document(enrollment, secrets=True, api_version=call.api_version), call.tracking_id
        )

    async def delete_individual(self, registration_id: str, if_match: str | None, by: Caller) -> Reply:
        await self._service.delete_individual(registration_id, if_match=parse_if_match(if_match), by=by)
        return Reply(status=204, body=b"", tracking_id=by.tracking_id)

    async def individual_mechanism(self, registration_id: str, tracking_id: str) -> Reply:
        enrollment = await self._service.get_individual(registration_id)
        return success(200, attestation_document(enrollment.attestation, secrets=True), tracking_id)

    async def query_individuals(self, body: bytes, paging: Paging, call: Call) -> Reply:
        text = query_text(body)
        name = f"enrollments {continued_as(text, INDIVIDUALS)}"
        page = await self._search.individuals(text, after=paging.after(name), limit=paging.limit)
        return listing(
            page,
            [individual_document(item, secrets=False, api_version=call.api_version) for item in page.items],
            name,
            call.tracking_id,
            item_type="Enrollment",
        )

    # ---------------------------------------------------------------- groups

    async def get_group(self, group_id: str, call: Call) -> Reply:
        group = await self._service.get_group(group_id)
        return success(200, group_document(group, secrets=False, api_version=call.api_version), call.tracking_id)

    async def put_group(self, group_id: str, body: bytes, if_match: str | None, call: Call) -> Reply:
        document = read(wire.enrollment_group, body)
        _same_id(group_id, document.enrollment_group_id, "enrollmentGroupId")
        group = await self._service.put_group(
            group_id,
            lambda stored: group_of(
                document, stored=stored, now=self._clock.now(), random=self._random, api_version=call.api_version
            ),
            if_match=parse_if_match(if_match),
            by=call.by,
        )
        return success(200, group_document(group, secrets=True, api_version=call.api_version), call.tracking_id)

    async def delete_group(self, group_id: str, if_match: str | None, by: Caller) -> Reply:
        await self._service.delete_group(group_id, if_match=parse_if_match(if_match), by=by)
        return Reply(status=204, body=b"", tracking_id=by.tracking_id)

    async def group_mechanism(self, group_id: str, tracking_id: str) -> Reply:
        group = await self._service.get_group(group_id)
        return success(200, attestation_document(group.attestation, secrets=True), tracking_id)

    async def query_groups(self, body: bytes, paging: Paging, call: Call) -> Reply:
        text = query_text(body)
        name = f"groups {continued_as(text, GROUPS)}"
        page = await self._search.groups(text, after=paging.after(name), limit=paging.limit)
        return listing(
            page,
            [group_document(item, secrets=False, api_version=call.api_version) for item in page.items],
            name,
            call.tracking_id,
            item_type="EnrollmentGroup",
        )

    # ---------------------------------------------------------------- registration states

    async def get_registration(self, registration_id: str, tracking_id: str) -> Reply:
        return success(200, state_document(await self._service.get_registration(registration_id)), tracking_id)

    async def delete_registration(self, registration_id: str, if_match: str | None, by: Caller) -> Reply:
        await self._service.delete_registration(registration_id, if_match=parse_if_match(if_match), by=by)
        return Reply(status=204, body=b"", tracking_id=by.tracking_id)

    async def query_registrations(self, group_id: str, body: bytes, paging: Paging, tracking_id: str) -> Reply:
        text = query_text(body)
        name = f"registrations of {group_id.lower()} {continued_as(text, REGISTRATIONS)}"
        page = await self._search.registrations(text, group_id=group_id, after=paging.after(name), limit=paging.limit)
        documents = [state_document(item) for item in page.items]
        return listing(page, documents, name, tracking_id, item_type="DeviceRegistration")


def query_text(body: bytes) -> str:
    """Read a query; a missing body is an empty one: listing registrations sends none. Raises HomeportError."""
    query = read(wire.query_specification, body).query if body.strip() else ""
    return query if isinstance(query, str) else ""


def _same_id(in_path: str, in_body: str, member: str) -> None:
    if in_path.lower() != in_body.lower():
        raise HomeportError(Code.INVALID_REQUEST, f"The path and the member {member} name different ids.")
