"""The administrator's questions: enrollments, groups, registration records (contract dps.md 8).

ETag rules and what must agree with what; documents are translated before they get here.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from homeport.dps.allocation import by_host
from homeport.dps.ca_certificates import check_references
from homeport.dps.model import Enrollment, EnrollmentGroup, IndividualEnrollment, Registration, attestation_kind
from homeport.dps.ports import CaCertificateStore, EnrollmentStore, LinkedHubStore, RegistrationStore
from homeport.dps.search import SearchService
from homeport.errors import Code, HomeportError
from homeport.security.callers import SYSTEM, Caller

T = TypeVar("T", IndividualEnrollment, EnrollmentGroup)

MAX_GROUPS = 1000
"""Of one attestation; the hosted service takes 100 (contract dps.md 10)."""
ANY_VERSION = "*"
_ROUNDS = 8
"""How often an update of any version is tried anew when another one comes in between."""


def parse_if_match(header: str | None) -> str | None:
    """Read If-Match: an ETag as it is or in quotes, `*` in either form, or None (contract dps.md 8.5)."""
    if header is None or not header.strip():
        return None
    # Bytes that are no text match no ETag, and must not reach the store.
    text = header.strip().encode(errors="replace").decode()
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] == '"' else text


class EnrollmentService:
    """Creates, changes and lists what lets devices in, and the records of those that came."""

    def __init__(
        self,
        *,
        enrollments: EnrollmentStore,
        registrations: RegistrationStore,
        hubs: LinkedHubStore,
        certificates: CaCertificateStore,
        max_groups: int = MAX_GROUPS,
    ) -> None:
        """`max_groups` is how many groups of one attestation there may be: every process keeps them in memory."""
        self._enrollments = enrollments
        self._registrations = registrations
        self._hubs = hubs
        self._certificates = certificates
        self._max_groups = max_groups
        self.search = SearchService(enrollments=enrollments, registrations=registrations)

    # ---------------------------------------------------------------- individual enrollments

    async def get_individual(self, registration_id: str) -> IndividualEnrollment:
        """Raise ENROLLMENT_NOT_FOUND."""
        return _found(await self._enrollments.get_individual(registration_id), Code.ENROLLMENT_NOT_FOUND)

    async def put_individual(
        self,
        registration_id: str,
        build: Callable[[IndividualEnrollment | None], IndividualEnrollment],
        *,
        if_match: str | None,
        by: Caller = SYSTEM,
    ) -> IndividualEnrollment:
        """Create without `if_match`, replace with it. `build` makes the new one from the stored one.

        Raise ENROLLMENT_EXISTS, ENROLLMENT_NOT_FOUND, PRECONDITION_FAILED, or what `build` raises.
        """
        if if_match is None:
            created = build(None)
            await self._check(created)
            await self._enrollments.create_individual(created, by=by)
            return created
        return await self._replace(
            lambda: self.get_individual(registration_id),
            build,
            lambda changed, etag: self._enrollments.replace_individual(changed, expected_etag=etag, by=by),
            if_match,
        )

    async def delete_individual(self, registration_id: str, *, if_match: str | None, by: Caller = SYSTEM) -> None:
        """Raise ENROLLMENT_NOT_FOUND or PRECONDITION_FAILED."""
        await self._enrollments.delete_individual(registration_id, expected_etag=_expected(if_match), by=by)

    # ---------------------------------------------------------------- groups

    async def get_group(self, group_id: str) -> EnrollmentGroup:
        """Raise GROUP_NOT_FOUND."""
        return _found(await self._enrollments.get_group(group_id), Code.GROUP_NOT_FOUND)

    async def put_group(
        self,
        group_id: str,
        build: Callable[[EnrollmentGroup | None], EnrollmentGroup],
        *,
        if_match: str | None,
        by: Caller = SYSTEM,
    ) -> EnrollmentGroup:
        """Do for a group what `put_individual` does; the codes are GROUP_EXISTS, GROUP_NOT_FOUND and QUOTA_EXCEEDED."""
        if if_match is None:
            created = build(None)
            await self._check(created)
            await self._check_room(created)
            await self._enrollments.create_group(created, by=by)
            return created
        return await self._replace(
            lambda: self.get_group(group_id),
            build,
            lambda changed, etag: self._enrollments.replace_group(changed, expected_etag=etag, by=by),
            if_match,
        )

    async def delete_group(self, group_id: str, *, if_match: str | None, by: Caller = SYSTEM) -> None:
        """Raise GROUP_NOT_FOUND or PRECONDITION_FAILED."""
        await self._enrollments.delete_group(group_id, expected_etag=_expected(if_match), by=by)

    # ---------------------------------------------------------------- registration records

    async def get_registration(self, registration_id: str) -> Registration:
        """Raise REGISTRATION_NOT_FOUND."""
        return _found(await self._registrations.get(registration_id), Code.REGISTRATION_NOT_FOUND)

    async def find_registration(self, registration_id: str) -> Registration | None:
        """Return the record, or None for a device that never registered."""
        return await self._registrations.get(registration_id)

    async def delete_registration(self, registration_id: str, *, if_match: str | None, by: Caller = SYSTEM) -> None:
        """Forget the record; the hub keeps the device. Raise REGISTRATION_NOT_FOUND or PRECONDITION_FAILED."""
        await self._registrations.delete(registration_id, expected_etag=_expected(if_match), by=by)

    # ---------------------------------------------------------------- rules

    async def _replace(
        self,
        get: Callable[[], Awaitable[T]],
        build: Callable[[T | None], T],
        replace: Callable[[T, str], Awaitable[None]],
        if_match: str,
    ) -> T:
        for _ in range(_ROUNDS):
            stored = await get()
            if if_match not in {ANY_VERSION, stored.etag}:
                break
            changed = build(stored)
            await self._check(changed)
            try:
                # What was left out came from this very version, so only this one may be replaced.
                await replace(changed, stored.etag)
            except HomeportError as error:
                if error.code is not Code.PRECONDITION_FAILED or if_match != ANY_VERSION:
                    raise
                continue
            return changed
        raise HomeportError(Code.PRECONDITION_FAILED, "Precondition failed: the enrollment has another etag.")

    async def _check(self, enrollment: Enrollment) -> None:
        """Refuse an enrollment that names what does not exist."""
        await self._check_hubs(enrollment)
        await check_references(enrollment, self._certificates)

    async def _check_room(self, group: EnrollmentGroup) -> None:
        """Refuse one group too many. Groups that are created at the same moment may exceed the limit by a few."""
        groups, kind = await self._enrollments.groups(), attestation_kind(group.attestation)
        taken = any(other.group_id.lower() == group.group_id.lower() for other in groups)
        if not taken and sum(attestation_kind(other.attestation) is kind for other in groups) >= self._max_groups:
            raise HomeportError(
                Code.QUOTA_EXCEEDED, f"There are {self._max_groups} enrollment groups with {kind} attestation already."
            )

    async def _check_hubs(self, enrollment: Enrollment) -> None:
        """Refuse names of hubs that no device could be assigned to."""
        named = [*(enrollment.iot_hubs or ()), *filter(None, (enrollment.iot_hub_host_name,))]
        if not named:
            return
        linked = await self._hubs.all()
        for host in named:
            if by_host(linked, host) is None:
                raise HomeportError(Code.INVALID_REQUEST, f"'{host[:255]}' is not the host name of a linked hub.")


def _expected(if_match: str | None) -> str | None:
    return None if if_match == ANY_VERSION else if_match


_MISSING = {
    Code.ENROLLMENT_NOT_FOUND: "Enrollment not found.",
    Code.GROUP_NOT_FOUND: "EnrollmentGroup not found.",
    Code.REGISTRATION_NOT_FOUND: "Registration not found.",
}

F = TypeVar("F")


def _found(value: F | None, code: Code) -> F:
    if value is None:
        raise HomeportError(code, _MISSING[code])
    return value
