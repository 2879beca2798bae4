"""From a device that has proven itself to its home: join the operation that is open, or open one and have it carried.

What is decided here stands on two reads, of the record and then of the enrollment. If another call has changed the
record since, nothing is written, and the caller reads and judges anew.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from msgspec import Struct

from homeport.bus import Bus, RegistrationOpened
from homeport.clock import Clock
from homeport.dps.assigner import Assigner
from homeport.dps.attestation import Attested, Findings
from homeport.dps.fleet import read_fleet
from homeport.dps.identifiers import Random
from homeport.dps.issuing.issuance import Issuer, Terms
from homeport.dps.joint import JointHubs, NoJointHubs, concluded, joint_device
from homeport.dps.model import CallContext, DeviceClaim, Fleet, LinkedHub, Registration, RegistrationStatus
from homeport.dps.opening import Opening, must_last_at_once, open_registration, room_for, target_hub
from homeport.dps.ports import LinkedHubStore, RegistrationStore
from homeport.errors import Code, ConflictError, HomeportError
from homeport.security.x509_request import CertificateRequest


class RegisterCall(Struct, frozen=True, kw_only=True):
    """One register call of a device that has proven itself."""

    claim: DeviceClaim
    attested: Attested
    digest: str
    payload: bytes | None
    leaf: bytes | None
    """The certificate the device came with, DER."""
    context: CallContext
    findings: Findings
    patience: float
    """Seconds to wait for the outcome."""
    request: CertificateRequest | None
    """The certificate it asks for."""
    waits: Callable[[], None]


class Registering:
    """Opens operations, and waits a little for their end. `time_limit` is the engine's."""

    def __init__(
        self,
        *,
        registrations: RegistrationStore,
        hubs: LinkedHubStore,
        assigner: Assigner,
        issuer: Issuer | None,
        bus: Bus,
        clock: Clock,
        random: Random,
        time_limit: timedelta,
        joint: JointHubs | None = None,
    ) -> None:
        self._registrations = registrations
        self._hubs = hubs
        self._assigner = assigner
        self._issuer = issuer
        self._bus = bus
        self._clock = clock
        self._random = random
        self._time_limit = time_limit
        self._joint = joint or NoJointHubs()

    async def register(self, call: RegisterCall, current: Registration | None) -> Registration | None:
        """Return the record as it stands after a little waiting; None if `current` no longer was it.

        `current` was read before the enrollment. Raises ConflictError if another credential takes too long, and
        HomeportError CERTIFICATE_REFUSED or UNAVAILABLE if the certificate it asks for cannot be had.
        """
        if not call.attested.enrollment.enabled:
            # It is granted no certificate, either.
            return await self._turn_away(call, current)
        terms = await self._terms(call)
        if current is not None and current.status is RegistrationStatus.ASSIGNING:
            return await self._join(call, current)
        so_far = len(call.findings.checks)
        fleet = await read_fleet(self._hubs)
        wanted = await self._certified(call, current, self._decide(call, current, fleet), terms)
        target = target_hub(wanted.operation, fleet)
        durable = must_last_at_once(wanted.operation, target)
        room = room_for(current, target)
        if target is not None and room is None and call.patience > 0:
            finished = await self._at_once(wanted, current, target)
            if finished is not None:
                return finished
        try:
            stored = await self._registrations.open(
                wanted,
                expected_etag=current.etag if current else None,
                durable=durable,
                room=room,
            )
        except ConflictError:
            stored = None
        if stored is not None and stored.operation.id == wanted.operation.id:
            if durable:
                # For a hub elsewhere, or a webhook. One of our own is work for this processor: part of the turn.
                call.waits()
            return await self._carry(call, stored)
        latest = stored or await self._registrations.get(call.claim.registration_id)
        if latest is None or latest.operation.identity_digest != call.digest:
            return None
        del call.findings.checks[so_far:]
        if latest.status is RegistrationStatus.ASSIGNING:
            return await self._join(call, latest)
        if current is not None and latest.operation.id == current.operation.id:
            return None
        # Opened by the same device and finished while this call was under way: it answers both.
        call.findings.passed("operation", "shared with a call made at the same time")
        return latest

    async def _at_once(
        self, wanted: Registration, current: Registration | None, target: LinkedHub
    ) -> Registration | None:
        """Give a device its home in the one write that records it; None if it must take the long way.

        That is: its hub is elsewhere, or has more to do for it, or another call was faster. Then nothing is written.
        """
        device = joint_device(self._joint, target, wanted, current)
        if device is None:
            return None
        finished = concluded(wanted)
        expected = current.etag if current else None
        if not await self._registrations.conclude(finished, device.write, expected_etag=expected):
            return None
        await device.announce()
        return finished

    async def _turn_away(self, call: RegisterCall, current: Registration | None) -> Registration:
        """Answer a genuine device of a disabled enrollment; an operation that is still open stays what is stored."""
        wanted = self._decide(call, current, await read_fleet(self._hubs))
        with suppress(ConflictError):
            await self._registrations.open(wanted, expected_etag=current.etag if current else None)
        return wanted

    async def _terms(self, call: RegisterCall) -> Terms | None:
        """Ask what its request for a certificate is granted."""
        if call.request is None:
            return None
        if self._issuer is None:
            raise HomeportError(Code.CERTIFICATE_REFUSED, "This server issues no certificates.")
        return await self._issuer.terms(call.request, call.attested.enrollment, call.findings)

    async def _certified(
        self, call: RegisterCall, current: Registration | None, wanted: Registration, terms: Terms | None
    ) -> Registration:
        """Sign the certificate that was asked for, as part of the operation that is about to be opened."""
        if self._issuer is None or wanted.status is not RegistrationStatus.ASSIGNING:
            return wanted
        if terms is None:
            await self._issuer.note_revoked(current, call.findings)
            return wanted
        return await self._issuer.certify(wanted, terms, current, call.findings)

    async def _join(self, call: RegisterCall, current: Registration) -> Registration | None:
        """Wait for the operation that is open; None if it was another credential's, whose turn had to end first."""
        if current.operation.identity_digest == call.digest:
            call.findings.passed("operation", "joined the one that is already open")
        call.waits()
        latest = await self._assigner.outcome(current, call.patience)
        if latest.operation.identity_digest == call.digest:
            return latest
        if latest.status is RegistrationStatus.ASSIGNING:
            call.findings.failed("operation", "one for another credential of this device is still open")
            raise ConflictError
        return None

    async def _carry(self, call: RegisterCall, registration: Registration) -> Registration:
        if registration.status is not RegistrationStatus.ASSIGNING:
            return registration
        if registration.operation.lease_owner is None:
            await self._bus.publish(RegistrationOpened(registration_id=registration.registration_id))
        else:
            self._assigner.begin(registration)
        return await self._assigner.outcome(registration, call.patience)

    def _decide(self, call: RegisterCall, current: Registration | None, fleet: Fleet) -> Registration:
        opening = Opening(
            claim=call.claim,
            attested=call.attested,
            current=current,
            fleet=fleet,
            device_payload=call.payload,
            remote_address=call.context.remote_address,
            leaf=call.leaf,
            tracking_id=call.context.tracking_id,
            identity_digest=call.digest,
            lease_owner=self._assigner.owner,
            lease=self._assigner.lease,
        )
        return open_registration(
            opening,
            now=self._clock.now(),
            time_limit=self._time_limit,
            random=self._random,
            findings=call.findings,
        )
