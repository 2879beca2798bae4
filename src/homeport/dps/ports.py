"""What provisioning needs from the world.

A store method is one whole transaction; what an administrator changes is told in the journal within it, with who
it was done `by`. Each suite in tests/contract proves an implementation of these.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from homeport.dps.model import (
    AccessPolicy,
    AllocationSettings,
    Attempt,
    CaCertificate,
    Count,
    Cursor,
    CustomAllocation,
    DeviceSpec,
    EnrollmentGroup,
    Found,
    HubDevice,
    IndividualEnrollment,
    LinkedHub,
    PendingChallenge,
    Registration,
    StoredCrl,
    Walk,
)
from homeport.errors import ConflictError
from homeport.paging import Page
from homeport.security.callers import SYSTEM, Caller


class EnrollmentStore(Protocol):
    """Enrollments by id. Ids are found regardless of case and kept in the spelling of their creation."""

    async def get_individual(self, registration_id: str) -> IndividualEnrollment | None: ...

    async def get_group(self, group_id: str) -> EnrollmentGroup | None: ...

    async def groups(self) -> Sequence[EnrollmentGroup]:
        """Return every group, in id order.

        Implementations may answer from a cache, if a write by any process invalidates it before this call returns.
        """
        ...

    async def create_individual(self, enrollment: IndividualEnrollment, *, by: Caller = SYSTEM) -> None:
        """Raise HomeportError ENROLLMENT_EXISTS if the id is taken."""
        ...

    async def create_group(self, group: EnrollmentGroup, *, by: Caller = SYSTEM) -> None:
        """Raise HomeportError GROUP_EXISTS if the id is taken."""
        ...

    async def replace_individual(
        self, enrollment: IndividualEnrollment, *, expected_etag: str | None, by: Caller = SYSTEM
    ) -> None:
        """Replace the stored one. `expected_etag` None accepts any version.

        Raise ENROLLMENT_NOT_FOUND, or PRECONDITION_FAILED if the stored etag is another.
        """
        ...

    async def replace_group(self, group: EnrollmentGroup, *, expected_etag: str | None, by: Caller = SYSTEM) -> None:
        """Like `replace_individual`, with GROUP_NOT_FOUND."""
        ...

    async def delete_individual(self, registration_id: str, *, expected_etag: str | None, by: Caller = SYSTEM) -> None:
        """Raise ENROLLMENT_NOT_FOUND or PRECONDITION_FAILED."""
        ...

    async def delete_group(self, group_id: str, *, expected_etag: str | None, by: Caller = SYSTEM) -> None:
        """Raise GROUP_NOT_FOUND or PRECONDITION_FAILED."""
        ...

    async def page_individuals(self, *, after: str | None, limit: int) -> Page[IndividualEnrollment]:
        """Return up to `limit` enrollments in order of their lower-cased id, behind the key `after`."""
        ...

    async def page_groups(self, *, after: str | None, limit: int) -> Page[EnrollmentGroup]: ...

    async def walk_individuals(
        self, walk: Walk, *, after: Cursor | None, limit: int, with_registrations: bool
    ) -> Sequence[Found[tuple[IndividualEnrollment, Registration | None]]]:
        """Return the next `limit` steps of a walk, fewer only at its end; the cost grows with `limit` alone.

        `with_registrations` adds the registration of the same id, whichever enrollment it came through.
        """
        ...

    async def count_individuals(self) -> Sequence[Count]:
        """Count by attestation and provisioning status, in portions: changes meanwhile may or may not count."""
        ...


class RegistrationStore(Protocol):
    """Registration records and the operations in them."""

    async def get(self, registration_id: str) -> Registration | None: ...

    async def open(
        self, registration: Registration, *, expected_etag: str | None, durable: bool = True, room: int | None = None
    ) -> Registration:
        """Store a registration whose operation is open and return it.

        `expected_etag` is the etag of the record the decision was made from, None if there was none.
        If an open operation exists already, that registration is returned unchanged instead (the caller sees it
        by the operation id). Raise ConflictError if the record changed since it was read: read and decide again.
        Without `durable` it may be durable, and seen by `get`, only with the next write to the same database.
        `room` is the limit of a capped hub that the device is new to: raise HubFullError if the operation's target
        then had more devices, those on their way included. It is exact, whoever else registers meanwhile.
        """
        ...

    async def save(self, registration: Registration, *, lease_owner: str, room: int | None = None) -> None:
        """Record a step or the outcome of the open operation; the record's etag must be new.

        Raise ConflictError if the stored operation is another one or its lease belongs to somebody else. `room` is
        as with `open`.
        """
        ...

    async def conclude(
        self,
        registration: Registration,
        also: Callable[[Any], Coroutine[Any, Any, bool]],
        *,
        expected_etag: str | None,
    ) -> bool:
        """Store a finished record, and what its hub writes, in one transaction.

        `also` is a `joint.JointWrite`; `expected_etag` as with `open`. Return False, with nothing written, if the
        record changed since it was read, has an open operation, or `also` says so.
        """
        ...

    async def claim(self, *, now: datetime, lease: timedelta, owner: str, limit: int) -> Sequence[Registration]:
        """Lease open operations whose lease has run out and whose retry time has come, oldest first."""
        ...

    async def delete(self, registration_id: str, *, expected_etag: str | None, by: Caller = SYSTEM) -> None:
        """Raise REGISTRATION_NOT_FOUND or PRECONDITION_FAILED."""
        ...

    async def page(self, *, group_id: str | None, after: str | None, limit: int) -> Page[Registration]:
        """Return registrations in order of their lower-cased id; of one group, or of all when `group_id` is None."""
        ...

    async def walk(self, walk: Walk, *, after: Cursor | None, limit: int) -> Sequence[Found[Registration]]:
        """Return the next `limit` steps of a walk, fewer only at its end; the cost grows with `limit` alone."""
        ...

    async def count(self) -> Sequence[Count]:
        """Count by the hub's host name in lower case, empty for none, and by status; like `count_individuals`."""
        ...

    async def devices_by_hub(self) -> Mapping[str, int]:
        """Count the devices assigned to each hub, or on their way there, by lower-cased host name."""
        ...


class ChallengeStore(Protocol):
    """TPM challenges between the two requests; the last one of a registration wins."""

    async def put(self, challenge: PendingChallenge) -> None: ...

    async def get(self, registration_id: str, *, now: datetime) -> PendingChallenge | None:
        """Return the challenge unless it has expired."""
        ...


class AttemptStore(Protocol):
    """The record of why."""

    def record(self, attempt: Attempt) -> None:
        """Queue the record; it is durable soon after. Never blocks and never fails the device's call.

        At most a bounded number is kept per registration id (newest) and in total.
        """
        ...

    async def latest(self, registration_id: str, *, limit: int) -> Sequence[Attempt]:
        """Return the newest attempts first, everything recorded before this call included."""
        ...

    async def find(self, tracking_id: str) -> Attempt | None: ...

    async def page(self, *, after: str | None, limit: int) -> Page[Attempt]:
        """Return attempts of all devices, newest first."""
        ...


class LinkedHubStore(Protocol):
    """The hubs the service may use."""

    async def all(self) -> Sequence[LinkedHub]:
        """Return every linked hub in name order."""
        ...

    async def with_settings(self) -> tuple[Sequence[LinkedHub], AllocationSettings]:
        """Return every linked hub in name order, and what the operator set for allocation as a whole."""
        ...

    async def put(self, hub: LinkedHub, *, create: bool, by: Caller = SYSTEM) -> None:
        """Raise HUB_EXISTS when creating over an existing name or host name (compared without case)."""
        ...

    async def delete(self, name: str, *, by: Caller = SYSTEM) -> None:
        """Raise NOT_FOUND if there is none."""
        ...

    async def occupied(self) -> Mapping[str, int]:
        """Count the devices of each capped hub, by lower-cased host name; exact, and cheap at any size."""
        ...


class AllocationSettingsStore(Protocol):
    """What the operator set for allocation as a whole."""

    async def get(self) -> AllocationSettings:
        """Return the settings, the defaults if none were ever stored."""
        ...

    async def put(self, settings: AllocationSettings, *, by: Caller = SYSTEM) -> None:
        """Replace the settings; `LinkedHubStore.with_settings` has them from then on."""
        ...

    async def put_signing_keys(self, name: str, keys: bytes, *, by: Caller) -> None:
        """Replace what the service's settings hold under this name: the keys of webhook requests."""
        ...


class HubFullError(ConflictError):
    """A capped hub has taken its last device meanwhile: decide again."""

    def __init__(self) -> None:
        super().__init__("The hub is full.")


class AllocationUnavailableError(Exception):
    """Whoever is asked did not answer, or cannot answer now; asking again may help. The message holds no secret."""


class AllocationRefusedError(Exception):
    """The question was not answered, and asking again will not help. The message holds no secret."""

    def __init__(self, message: str, *, unauthorized: bool = False) -> None:
        super().__init__(message)
        self.unauthorized = unauthorized


class Allocator(Protocol):
    """Custom allocation: a webhook, or a function of this server (contract dps.md 9.3)."""

    async def ask(self, definition: CustomAllocation, request: bytes, *, question_id: str) -> bytes:
        """Return the answer's JSON, unchecked but bounded in size.

        `question_id` is the same whenever one question is repeated. Raises AllocationUnavailableError or
        AllocationRefusedError.
        """
        ...


class CaCertificateStore(Protocol):
    """Uploaded certificate authorities; few. Names are found regardless of case.

    After every change, by any process, `EnrollmentStore.groups` returns another sequence than before: who knows the
    groups by identity need not ask here.
    """

    async def all(self) -> Sequence[CaCertificate]:
        """Return every one, in name order."""
        ...

    async def create(self, certificate: CaCertificate, *, limit: int, by: Caller = SYSTEM) -> None:
        """Raise CA_CERTIFICATE_EXISTS if the name is taken, INVALID_REQUEST if there are `limit` already."""
        ...

    async def replace(self, certificate: CaCertificate, *, expected_etag: str | None, by: Caller = SYSTEM) -> None:
        """Raise NOT_FOUND or PRECONDITION_FAILED."""
        ...

    async def delete(self, name: str, *, expected_etag: str | None, by: Caller = SYSTEM) -> None:
        """Raise NOT_FOUND, PRECONDITION_FAILED, or CA_CERTIFICATE_IN_USE if enrollments refer to it."""
        ...


class CrlStore(Protocol):
    """Revocation lists, at most one of an authority.

    `told_as` is the name of the CA certificate under which the journal tells of what an administrator did; without
    it nothing is told: lists that are fetched come and go by themselves.
    """

    async def all(self) -> Sequence[StoredCrl]:
        """Return what is known of every list, without the lists."""
        ...

    async def read(self, authority: str) -> bytes | None:
        """Return an authority's list in DER."""
        ...

    async def put(self, crl: StoredCrl, der: bytes, *, told_as: str | None = None, by: Caller = SYSTEM) -> None:
        """Keep this list instead of the authority's last one."""
        ...

    async def delete(self, authority: str, *, told_as: str | None = None, by: Caller = SYSTEM) -> None:
        """Forget an authority's list; a missing one is fine."""
        ...


class RevocationFetcher(Protocol):
    """Reaches certificate authorities. Both raise RevocationError, whose text may be shown."""

    async def get(self, url: str, *, limit: int, seconds: float) -> bytes:
        """Fetch a document of at most `limit` bytes; only status 200 counts, and redirects are not followed."""
        ...

    async def post(self, url: str, body: bytes, content_type: str, *, limit: int, seconds: float) -> bytes: ...


class PolicyStore(Protocol):
    """Shared access policies, by name without case."""

    async def all(self) -> Sequence[AccessPolicy]:
        """Return every policy in name order; the same object as before if none has changed."""
        ...

    async def edit(
        self, edit: Callable[[Sequence[AccessPolicy]], Sequence[AccessPolicy]], *, by: Caller = SYSTEM
    ) -> Sequence[AccessPolicy]:
        """Replace the policies by what `edit` makes of them, in one transaction, and return that.

        `edit` may be called more than once; what it raises reaches the caller, and nothing is changed.
        """
        ...


class HubUnavailableError(Exception):
    """The hub did not answer, or asked to come back later; the assigner tries again until the deadline."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class HubRefusedError(Exception):
    """The hub answered and said no; trying again will not help. The message holds no secret."""

    def __init__(self, message: str, *, unauthorized: bool = False) -> None:
        super().__init__(message)
        self.unauthorized = unauthorized


class HubLink(Protocol):
    """One linked hub. Every call may safely be repeated; all raise HubUnavailableError or HubRefusedError."""

    async def provision(self, spec: DeviceSpec) -> None:
        """Make the device look like the spec: create it, or take an existing identity over.

        The identity and its twin are durable, and visible to the hub's users, when this returns; a hub in the
        registrations' own database may leave that to the write that records the outcome.
        """
        ...

    async def read(self, device_id: str) -> HubDevice | None:
        """Return what a move must carry along, or None if the hub has no such device."""
        ...

    async def remove(self, device_id: str) -> None:
        """Delete the identity; a missing one is fine."""
        ...

    async def withdraw(self, device_id: str, thumbprint: str) -> None:
        """Stop accepting a certificate, and end its connections; fine if the device does not use it, or is missing.

        Durable when this returns. Everything else of the identity stays as it is.
        """
        ...

    async def check(self) -> None:
        """Return if the hub can be reached and grants what the other calls need; change nothing.

        A HubRefusedError whose `unauthorized` is true says that the credentials or their rights do not suffice.
        """
        ...


class HubLinks(Protocol):
    """Finds the link for a linked hub."""

    def link(self, hub: LinkedHub) -> HubLink: ...
