"""One open operation on its way: ask for the hub, read the twin to be moved, write the hub, clear the old one, end.

A device hears `assigned` only after the last write here, and that one comes after the hub has identity and twin.
"""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar, assert_never

from msgspec import Struct

from homeport.clock import Clock
from homeport.dps.allocation import by_host
from homeport.dps.asking import AskAgain, Chosen, Unanswered, ask, no_room, out_of_time
from homeport.dps.identifiers import Random, new_etag
from homeport.dps.issuing.ports import IssuedCertificateStore
from homeport.dps.model import (
    Assignment,
    CertificateRef,
    DeviceSpec,
    Failure,
    Issuance,
    LinkedHub,
    Operation,
    Registration,
    RegistrationStatus,
    Step,
    ThumbprintCredential,
)
from homeport.dps.opening import identity_digest
from homeport.dps.ports import (
    Allocator,
    HubFullError,
    HubLink,
    HubLinks,
    HubRefusedError,
    HubUnavailableError,
    LinkedHubStore,
    RegistrationStore,
)
from homeport.errors import Code, ConflictError
from homeport.values import replace

log = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST_RETRY = timedelta(milliseconds=500)
_LAST_RETRY = timedelta(seconds=30)
_HUB_TIME_LIMIT = 60.0
"""Seconds for one call to a hub, fewer near the operation's deadline; links have their own, shorter limits."""
_LEAST_TIME_LIMIT = 2.0
"""Seconds that are always allowed: clearing the old hub is tried even when the deadline has passed."""


class Settings(Struct, frozen=True, kw_only=True):
    """What all operations of a process share."""

    registrations: RegistrationStore
    hubs: LinkedHubStore
    links: HubLinks
    issued: IssuedCertificateStore | None
    clock: Clock
    random: Random
    allocator: Allocator
    owner: str
    lease: timedelta


class Carrying:
    """One operation, leased to this process. `tasks` owns the renewal of the lease while a hub is slow."""

    def __init__(self, registration: Registration, settings: Settings, tasks: asyncio.TaskGroup) -> None:
        self._registration = registration
        self._settings = settings
        self._tasks = tasks

    async def to_the_end(self) -> Registration:
        """Take the steps that remain; return the record, finished or set aside for another try.

        Raises ConflictError when the operation is no longer ours.
        """
        late = self._settings.clock.now() >= self._operation.deadline
        if late and self._operation.step in {Step.ASK, Step.PROVISION}:
            return await self._end_late()
        try:
            if self._operation.step is Step.ASK and (unsettled := await self._ask()) is not None:
                return unsettled
            hubs = await self._settings.hubs.all()
            if self._operation.step is Step.PROVISION:
                missing = self._unlinked(hubs)
                if missing is not None:
                    return await self._fail(Code.NO_HUB, f"The hub {missing} is not linked any more.")
                await self._provision(hubs)
            if self._operation.step is Step.REMOVE_OLD:
                await self._remove_old(hubs)
        except HubUnavailableError as error:
            return await self._try_later(error)
        except HubRefusedError as error:
            return await self._fail(Code.HUB_REFUSED, f"The hub refused the device: {error}")
        return await self._succeed()

    async def _end_late(self) -> Registration:
        question = self._operation.question
        if self._operation.step is Step.ASK and question is not None:
            return await self._unanswered(out_of_time(question, self._operation.explanation))
        return await self._fail(Code.ASSIGNMENT_TIMED_OUT, self._too_late())

    def _too_late(self) -> str:
        attempts = self._operation.attempts
        if not attempts:
            return "The operation's deadline passed before it was carried out."
        times = "once" if attempts == 1 else f"{attempts} times"
        return f"The operation's deadline passed; the hub {self._target.hub} was asked {times} and was not available."

    @property
    def _operation(self) -> Operation:
        return self._registration.operation

    @property
    def _target(self) -> Assignment:
        assert self._operation.target is not None
        return self._operation.target

    def _unlinked(self, hubs: Sequence[LinkedHub]) -> str | None:
        homes = (self._target, self._operation.migrate_from)
        return next((home.hub for home in homes if home is not None and by_host(hubs, home.hub) is None), None)

    def _link(self, home: Assignment, hubs: Sequence[LinkedHub]) -> HubLink | None:
        hub = by_host(hubs, home.hub)
        return None if hub is None else self._settings.links.link(hub)

    # ---------------------------------------------------------------- steps

    async def _ask(self) -> Registration | None:
        """Put the question; return the record if the operation ends or rests here, None if it goes on."""
        settings, question = self._settings, self._operation.question
        assert question is not None
        asked = await ask(self._registration, settings.allocator, settings.hubs, settings.random, self._patiently)
        match asked:
            case AskAgain():
                retry_at = settings.clock.now() + asked.after
                log.warning(
                    "%s, operation %s: %s", self._registration.registration_id, self._operation.id, asked.explanation
                )
                if retry_at >= self._operation.deadline:
                    return await self._unanswered(out_of_time(question, asked.explanation))
                return await self._rest(retry_at, explanation=asked.explanation)
            case Unanswered():
                return await self._unanswered(asked)
            case Chosen():
                try:
                    await self._settle_on(asked)
                except HubFullError:
                    return await self._unanswered(no_room(question, asked.settled.plan.target.hub))
                return None
            case _:
                assert_never(asked)

    async def _settle_on(self, chosen: Chosen) -> None:
        """Record the answer before anything follows from it: from here on the question is never put again."""
        settled = chosen.settled
        await self._store(
            replace(
                self._operation,
                step=Step.PROVISION,
                target=settled.plan.target,
                leaves=settled.leaves,
                migrate_from=settled.migrate_from,
                spec=settled.spec,
                success=settled.plan.success,
                own_twin=chosen.own_twin,
                question=None,
                explanation=chosen.explanation,
                attempts=0,
                lease_until=self._settings.clock.now() + self._settings.lease,
            ),
            room=chosen.room,
            payload=chosen.payload,
            tpm_key_blob=settled.tpm_key_blob,
        )

    async def _unanswered(self, unanswered: Unanswered) -> Registration:
        failure = unanswered.failure
        return await self._fail(failure.code, failure.message, explanation=unanswered.explanation)

    async def _patiently(self, call: Awaitable[bytes], seconds: float) -> bytes:
        async with asyncio.timeout(seconds):
            return await self._held(call)

    async def _provision(self, hubs: Sequence[LinkedHub]) -> None:
        spec = self._operation.spec
        link = self._link(self._target, hubs)
        assert spec is not None
        assert link is not None
        if self._operation.migrate_from is not None:
            spec = await self._with_migrated_data(spec, self._operation.migrate_from, hubs)
        if self._operation.issuance is not None:
            spec = replace(spec, credential=accepting(self._operation.issuance))
        await self._held(link.provision(spec))
        await self._withdraw_revoked(link)
        if self._operation.leaves is not None:
            # From here on the old identity may go, so the way back to reading it must be closed first.
            await self._save(replace(self._operation, step=Step.REMOVE_OLD, spec=None))

    async def _withdraw_revoked(self, link: HubLink) -> None:
        """Take a certificate of before back from the hub if it was revoked since the operation was opened.

        Whoever revokes marks first and then looks at the hubs: one of the two sees what the other did.
        """
        issuance, issued = self._operation.issuance, self._settings.issued
        if issuance is None or issued is None:
            return
        for before in (issuance.replaces, None if issuance.is_new else issuance.ref):
            known = None if before is None else await issued.get(before.serial_number)
            if known is not None and known.revocation is not None:
                await self._held(link.withdraw(self._target.device_id, known.ref.thumbprint))

    async def _with_migrated_data(self, spec: DeviceSpec, home: Assignment, hubs: Sequence[LinkedHub]) -> DeviceSpec:
        link = self._link(home, hubs)
        assert link is not None
        device = await self._held(link.read(home.device_id))
        if device is None:
            # Deleted there by hand: nothing to move, so the device starts with its initial twin.
            return spec
        if self._operation.own_twin:
            return replace(spec, twin=replace(spec.twin, reported=device.twin.reported), iot_edge=device.iot_edge)
        return replace(spec, twin=device.twin, iot_edge=device.iot_edge)

    async def _remove_old(self, hubs: Sequence[LinkedHub]) -> None:
        """Clear the hub the device left; an old hub that refuses does not undo the device's new home."""
        leaves = self._operation.leaves
        assert leaves is not None
        link = self._link(leaves, hubs)
        if link is None:
            log.warning("%s is not linked any more; device %s stays there", leaves.hub, leaves.device_id)
            return
        try:
            await self._held(link.remove(leaves.device_id))
        except HubRefusedError as error:
            log.warning("%s refused to remove device %s: %s", leaves.hub, leaves.device_id, error)

    # ---------------------------------------------------------------- outcomes

    async def _succeed(self) -> Registration:
        return await self._store(
            self._ended(RegistrationStatus.ASSIGNED),
            status=RegistrationStatus.ASSIGNED,
            substatus=self._operation.success,
            assignment=self._target,
            failure=None,
            certificate=self._certificate(),
        )

    def _certificate(self) -> CertificateRef | None:
        """Return the issued certificate that the hub accepts now: the new one, or the one the device showed itself."""
        operation, before = self._operation, self._registration.certificate
        if operation.issuance is not None:
            return operation.issuance.ref
        if before is None:
            return None
        shown = identity_digest(ThumbprintCredential(primary=before.thumbprint, secondary=before.thumbprint))
        return before if operation.identity_digest == shown else None

    async def _fail(self, code: int, message: str, *, explanation: str | None = None) -> Registration:
        ended = self._ended(RegistrationStatus.FAILED)
        return await self._store(
            ended if explanation is None else replace(ended, explanation=explanation),
            status=RegistrationStatus.FAILED,
            substatus=None,
            failure=Failure(code=code, message=message),
            tpm_key_blob=None,
        )

    def _ended(self, status: RegistrationStatus) -> Operation:
        return replace(
            self._operation,
            status=status,
            step=Step.DONE,
            spec=None,
            question=None,
            retry_at=None,
            lease_owner=None,
            lease_until=None,
        )

    async def _try_later(self, error: HubUnavailableError) -> Registration:
        operation = self._operation
        wait = max(
            min(_FIRST_RETRY * 2 ** min(operation.attempts, 16), _LAST_RETRY),
            timedelta(seconds=error.retry_after or 0),
        )
        retry_at = self._settings.clock.now() + wait
        log.warning("%s, operation %s: %s", self._registration.registration_id, operation.id, error)
        if retry_at >= operation.deadline:
            if operation.step is Step.REMOVE_OLD:
                # The device's new home stands; that its old one could not be cleared is no reason to turn it away.
                return await self._succeed()
            return await self._fail(
                Code.ASSIGNMENT_TIMED_OUT, f"The hub did not answer before the operation's deadline: {error}"
            )
        return await self._rest(retry_at)

    async def _rest(self, retry_at: datetime, **changes: Any) -> Registration:
        """Set the operation aside for another try, whoever makes it."""
        return await self._store(
            replace(
                self._operation,
                attempts=self._operation.attempts + 1,
                retry_at=retry_at,
                lease_owner=None,
                lease_until=None,
                **changes,
            )
        )

    # ---------------------------------------------------------------- record and lease

    async def _save(self, operation: Operation) -> None:
        """Record progress and renew the lease with it."""
        until = self._settings.clock.now() + self._settings.lease
        await self._store(replace(operation, lease_until=until))

    async def _store(self, operation: Operation, *, room: int | None = None, **changes: Any) -> Registration:
        settings = self._settings
        changed = replace(
            self._registration,
            operation=operation,
            etag=new_etag(settings.random),
            updated_at=settings.clock.now(),
            **changes,
        )
        await settings.registrations.save(changed, lease_owner=settings.owner, room=room)
        self._registration = changed
        return changed

    async def _held(self, call: Awaitable[T]) -> T:
        """Wait for a hub, keeping the lease while it takes its time."""
        renewals: list[asyncio.Task[None]] = []
        left = (self._operation.deadline - self._settings.clock.now()).total_seconds()
        limit = min(_HUB_TIME_LIMIT, max(left, _LEAST_TIME_LIMIT))
        interval = self._settings.lease.total_seconds() / 3
        timer = asyncio.get_running_loop().call_later(
            interval, lambda: renewals.append(self._tasks.create_task(self._renew(interval)))
        )
        try:
            async with asyncio.timeout(limit):
                return await call
        except TimeoutError:
            raise HubUnavailableError(f"the hub did not answer within {limit:.0f} seconds") from None
        finally:
            timer.cancel()
            for renewal in renewals:
                renewal.cancel()
                await asyncio.wait((renewal,))

    async def _renew(self, interval: float) -> None:
        while True:
            try:
                await self._save(self._operation)
            except ConflictError:
                return  # taken over: our next write will find that out
            except Exception:
                log.exception("could not renew the lease of operation %s", self._operation.id)
            await asyncio.sleep(interval)


def accepting(issuance: Issuance) -> ThumbprintCredential:
    """Return what the hub is to accept: the new certificate, and the one before until the device has changed over."""
    before = issuance.replaces or issuance.ref
    return ThumbprintCredential(primary=issuance.ref.thumbprint, secondary=before.thumbprint)
