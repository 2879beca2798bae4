"""The administrator's client of a provisioning service, ours or Azure's (contract dps.md 8)."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar, TypeVar

import msgspec

from homeport.client._async.http import only, segment
from homeport.client._async.service_client import ServiceClient
from homeport.client.answers import decode
from homeport.client.errors import NotFoundError
from homeport.client.models import (
    AttestationMechanism,
    BulkMode,
    BulkResult,
    Enrollment,
    EnrollmentGroup,
    IndividualEnrollment,
    Page,
    ProvisioningStatus,
    RegistrationState,
)

E = TypeVar("E", bound=Enrollment)

_ALL = "SELECT *"
_ANY = "*"
_INDIVIDUAL = "/enrollments"
_GROUP = "/enrollmentGroups"
_REGISTRATION = "/registrations"
_SHUT_OUT = {"homeport": {"shutOut": True}}
"""The mark of an enrollment that exists only to keep a group's device out."""


class ProvisioningServiceClient(ServiceClient):
    """Enrollments and registration states. Every method raises ProvisioningServiceError or TransportError.

    Requests that may safely be repeated are, with back-off, and not before the service's Retry-After.
    """

    API_VERSION: ClassVar[str] = "2021-10-01"

    # --- individual enrollments -------------------------------------------------------------------------------

    async def create_or_update_individual_enrollment(
        self, enrollment: IndividualEnrollment, *, etag: str | None = None, force: bool = False
    ) -> IndividualEnrollment:
        """Write an enrollment and return it as stored, generated keys included.

        Without an etag it is created, and ConflictError says that it exists. With one (`etag`, or else the
        enrollment's own) exactly that version is replaced, and PreconditionFailedError says that it is gone.
        `force` writes in either case, whatever is there.
        """
        path = f"{_INDIVIDUAL}/{segment(enrollment.registration_id)}"
        return await self._write(path, enrollment, etag, force=force)

    async def get_individual_enrollment(self, registration_id: str) -> IndividualEnrollment:
        """Return an enrollment, with its registration state and without secrets. NotFoundError if there is none."""
        return await self._get(f"{_INDIVIDUAL}/{segment(registration_id)}", IndividualEnrollment)

    async def delete_individual_enrollment(self, registration_id: str, *, etag: str | None = None) -> None:
        """Delete an enrollment; with `etag`, only that version. NotFoundError if there is none."""
        await self._delete(f"{_INDIVIDUAL}/{segment(registration_id)}", etag)

    async def disable_device(self, registration_id: str) -> IndividualEnrollment:
        """Shut one device out, whichever group it belongs to: it can register no more, the others can.

        Its individual enrollment is disabled, or a disabled one is made, with a key that nobody knows: that is what
        keeps it from coming in through its group (contract dps.md 9.5). The device's hub is not touched.
        """
        try:
            enrollment = await self.get_individual_enrollment(registration_id)
        except NotFoundError:
            enrollment = IndividualEnrollment(
                registration_id=registration_id,
                attestation=AttestationMechanism.for_symmetric_key(),
                optional_device_information=dict(_SHUT_OUT),
            )
        enrollment.registration_state = None
        enrollment.provisioning_status = ProvisioningStatus.DISABLED
        return await self.create_or_update_individual_enrollment(enrollment)

    async def enable_device(self, registration_id: str) -> IndividualEnrollment | None:
        """Take `disable_device` back. Return the enrollment that is enabled again.

        One that was made only to shut the device out is deleted, so that the device comes in through its group as
        before; then the answer is None. NotFoundError if there is no individual enrollment.
        """
        enrollment = await self.get_individual_enrollment(registration_id)
        if enrollment.optional_device_information == _SHUT_OUT:
            await self.delete_individual_enrollment(registration_id, etag=enrollment.etag)
            return None
        enrollment.registration_state = None
        enrollment.provisioning_status = ProvisioningStatus.ENABLED
        return await self.create_or_update_individual_enrollment(enrollment)

    async def get_individual_attestation_mechanism(self, registration_id: str) -> AttestationMechanism:
        """Return how an enrollment wants identity proven, symmetric keys included."""
        return await self._mechanism(f"{_INDIVIDUAL}/{segment(registration_id)}")

    def query_individual_enrollments(
        self, query: str = _ALL, *, page_size: int | None = None
    ) -> AsyncIterator[IndividualEnrollment]:
        """Yield enrollments; further pages are asked for when they are reached."""
        return self._every(f"{_INDIVIDUAL}/query", IndividualEnrollment, query=query, page_size=page_size)

    async def page_individual_enrollments(
        self, query: str = _ALL, *, page_size: int | None = None, continuation: str | None = None
    ) -> Page[IndividualEnrollment]:
        """Return one page; `continuation` is that of the page before, of the same query."""
        path = f"{_INDIVIDUAL}/query"
        return await self._page(path, IndividualEnrollment, query=query, page_size=page_size, continuation=continuation)

    async def run_bulk_individual_enrollments(
        self, enrollments: Sequence[IndividualEnrollment], mode: BulkMode | str
    ) -> BulkResult:
        """Create, update or delete at most 10 enrollments, each for itself; the result names those that failed.

        An update or a deletion goes by the enrollment's own etag. The service updates nothing that exists without
        one; it deletes without one whatever is there.
        """
        return await self._bulk(_INDIVIDUAL, {"enrollments": enrollments, "mode": mode})

    # --- enrollment groups ------------------------------------------------------------------------------------

    async def create_or_update_enrollment_group(
        self, group: EnrollmentGroup, *, etag: str | None = None, force: bool = False
    ) -> EnrollmentGroup:
        """Write a group and return it as stored; etags as for individual enrollments."""
        return await self._write(f"{_GROUP}/{segment(group.enrollment_group_id)}", group, etag, force=force)

    async def get_enrollment_group(self, group_id: str) -> EnrollmentGroup:
        """Return a group, without secrets. NotFoundError if there is none."""
        return await self._get(f"{_GROUP}/{segment(group_id)}", EnrollmentGroup)

    async def delete_enrollment_group(self, group_id: str, *, etag: str | None = None) -> None:
        """Delete a group; with `etag`, only that version. NotFoundError if there is none."""
        await self._delete(f"{_GROUP}/{segment(group_id)}", etag)

    async def get_group_attestation_mechanism(self, group_id: str) -> AttestationMechanism:
        """Return how a group wants identity proven, symmetric keys included."""
        return await self._mechanism(f"{_GROUP}/{segment(group_id)}")

    def query_enrollment_groups(
        self, query: str = _ALL, *, page_size: int | None = None
    ) -> AsyncIterator[EnrollmentGroup]:
        """Yield groups; further pages are asked for when they are reached."""
        return self._every(f"{_GROUP}/query", EnrollmentGroup, query=query, page_size=page_size)

    async def page_enrollment_groups(
        self, query: str = _ALL, *, page_size: int | None = None, continuation: str | None = None
    ) -> Page[EnrollmentGroup]:
        """Return one page; `continuation` is that of the page before, of the same query."""
        path = f"{_GROUP}/query"
        return await self._page(path, EnrollmentGroup, query=query, page_size=page_size, continuation=continuation)

    async def run_bulk_enrollment_groups(self, groups: Sequence[EnrollmentGroup], mode: BulkMode | str) -> BulkResult:
        """Do for groups what `run_bulk_individual_enrollments` does."""
        return await self._bulk(_GROUP, {"enrollmentGroups": groups, "mode": mode})

    # --- registration states ----------------------------------------------------------------------------------

    async def get_registration_state(self, registration_id: str) -> RegistrationState:
        """Return a device's registration. NotFoundError if it never registered."""
        return await self._get(f"{_REGISTRATION}/{segment(registration_id)}", RegistrationState)

    async def delete_registration_state(self, registration_id: str, *, etag: str | None = None) -> None:
        """Forget a registration: the device then registers as if for the first time. Its hub is not touched."""
        await self._delete(f"{_REGISTRATION}/{segment(registration_id)}", etag)

    def query_registration_states(
        self, group_id: str, query: str = _ALL, *, page_size: int | None = None
    ) -> AsyncIterator[RegistrationState]:
        """Yield the registrations made through a group; further pages are asked for when they are reached."""
        return self._every(
            f"{_REGISTRATION}/{segment(group_id)}/query", RegistrationState, query=query, page_size=page_size
        )

    async def page_registration_states(
        self, group_id: str, query: str = _ALL, *, page_size: int | None = None, continuation: str | None = None
    ) -> Page[RegistrationState]:
        """Return one page; `continuation` is that of the page before."""
        path = f"{_REGISTRATION}/{segment(group_id)}/query"
        return await self._page(path, RegistrationState, query=query, page_size=page_size, continuation=continuation)

    # --- the requests -----------------------------------------------------------------------------------------

    async def _write(self, path: str, enrollment: E, etag: str | None, *, force: bool) -> E:
        if force:
            try:
                return await self._put(path, enrollment, _ANY)
            except NotFoundError:
                return await self._put(path, enrollment, None)
        return await self._put(path, enrollment, etag or enrollment.etag)

    async def _put(self, path: str, enrollment: E, if_match: str | None) -> E:
        response = await self._session.send(
            "PUT",
            path,
            body=msgspec.json.encode(enrollment),
            headers=only({"If-Match": if_match}),
            # Repeated after an answer was lost, a creation would find itself, and an update its own new version.
            repeatable=if_match == _ANY,
        )
        return decode(response.content, type(enrollment))

    async def _bulk(self, path: str, document: dict[str, Any]) -> BulkResult:
        response = await self._session.send("POST", path, body=msgspec.json.encode(document), repeatable=False)
        return decode(response.content, BulkResult)

    async def _delete(self, path: str, etag: str | None) -> None:
        await self._session.send("DELETE", path, headers=only({"If-Match": etag}), repeatable=True)

    async def _mechanism(self, path: str) -> AttestationMechanism:
        response = await self._session.send("POST", f"{path}/attestationmechanism", repeatable=True)
        return decode(response.content, AttestationMechanism)
