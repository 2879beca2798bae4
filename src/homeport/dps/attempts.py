"""The record of why: one call of a device is followed to its end and written down once, whatever that end is."""

import asyncio
from types import TracebackType
from typing import Self

from homeport.clock import Clock
from homeport.dps.attestation import Findings, Refused, describe
from homeport.dps.model import Attempt, CallContext, DeviceClaim, Evidence, Outcome, Registration, RegistrationStatus
from homeport.dps.ports import AttemptStore
from homeport.errors import Code, HomeportError

_RETRY_AFTER = 5

_ADVICE = {
    Code.NO_HUB: "Link a hub, or correct the enrollment's hubs and allocation policy.",
    Code.CUSTOM_ALLOCATION_FAILED: "Read what was answered; correct the webhook or function, or the policy.",
    Code.CUSTOM_ALLOCATION_UNAUTHORIZED: "Correct the key in the query of the enrollment's webhook URL.",
    Code.HUB_REFUSED: "Read the hub's reason; check the linked hub's connection string and its rights.",
    Code.ASSIGNMENT_TIMED_OUT: "Check that the hub can be reached from this server; the device may register again.",
    Code.CERTIFICATE_REFUSED: "Correct the enrollment's authority and policy, or the key that the device makes.",
    Code.THROTTLED: "Look for what calls so often; `homeport serve --limit` changes the limits.",
    Code.CONFLICT: "The device may try again; if it goes on, two devices use the same registration id.",
    Code.INTERNAL: "The server's log has the details under this tracking id.",
}

_OUTCOMES = {
    RegistrationStatus.ASSIGNED: Outcome.ASSIGNED,
    RegistrationStatus.ASSIGNING: Outcome.ASSIGNING,
    RegistrationStatus.FAILED: Outcome.FAILED,
    RegistrationStatus.DISABLED: Outcome.DISABLED,
}


class RefusedError(HomeportError):
    """The device did not prove who it is; the record has more than the message tells."""

    def __init__(self, refused: Refused) -> None:
        # What is missing for a while may be there at the next try.
        wait = _RETRY_AFTER if refused.code is Code.UNAVAILABLE else None
        super().__init__(refused.code, refused.message, retry_after=wait)
        self.refused = refused


class Recorder:
    """A context around one call: says how it ended. A call that ends well and says nothing leaves no record."""

    def __init__(
        self,
        store: AttemptStore,
        clock: Clock,
        *,
        claim: DeviceClaim,
        evidence: Evidence,
        context: CallContext,
    ) -> None:
        self.findings = Findings()
        for text in context.injected:
            self.findings.passed("fault lab", text)
        self._store = store
        self._clock = clock
        self._claim = claim
        self._evidence = evidence
        self._context = context
        self._started = clock.now()

    def challenged(self) -> None:
        """Note that a TPM was asked to prove itself."""
        self._write(Outcome.CHALLENGED, None, "the TPM was challenged; it comes back with a token it signs", "")

    def registered(self, registration: Registration) -> None:
        """Note where the register call has led to."""
        outcome = _OUTCOMES[registration.status]
        hub = registration.assignment.hub if registration.assignment else None
        explanation = registration.operation.explanation
        if explanation:
            unanswered = registration.status is RegistrationStatus.FAILED or registration.operation.question is not None
            (self.findings.failed if unanswered else self.findings.passed)("custom allocation", explanation)
        match registration.status:
            case RegistrationStatus.ASSIGNED:
                self._write(outcome, None, f"assigned to {hub} ({registration.substatus})", "", hub=hub)
            case RegistrationStatus.FAILED:
                code = registration.failure.code if registration.failure else None
                reason = registration.failure.message if registration.failure else "the operation failed"
                self._write(outcome, code, reason, _advice(code))
            case RegistrationStatus.DISABLED:
                self._write(
                    outcome, None, "the enrollment is disabled", "Enable the enrollment if the device may come in."
                )
            case _:
                target = registration.operation.target
                where = f" to {target.hub}" if target else ""
                self._write(outcome, None, f"the assignment{where} goes on; the device asks again", "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        match error:
            case None:
                return
            case RefusedError():
                self._write(Outcome.REFUSED, error.code, error.refused.reason, error.refused.advice)
            case HomeportError():
                failed = next((check.detail for check in reversed(self.findings.checks) if not check.passed), None)
                self._write(Outcome.REFUSED, error.code, failed or error.message, _advice(error.code))
            case asyncio.CancelledError():
                self._write(Outcome.FAILED, None, "the connection ended before the answer was ready", "")
            case Exception():
                self._write(Outcome.FAILED, Code.INTERNAL, "a fault of the server", _advice(Code.INTERNAL))
            case _:
                return  # the process is going down

    def _write(self, outcome: Outcome, code: int | None, reason: str, advice: str, *, hub: str | None = None) -> None:
        now = self._clock.now()
        self._store.record(
            Attempt(
                tracking_id=self._context.tracking_id,
                registration_id=self._claim.registration_id,
                at=self._started,
                transport=self._context.transport,
                remote_address=self._context.remote_address,
                id_scope=self._claim.id_scope,
                api_version=self._claim.api_version,
                client_version=self._context.client_version,
                evidence=describe(self._evidence),
                enrollment=self.findings.enrollment,
                checks=tuple(self.findings.checks),
                outcome=outcome,
                code=None if code is None else int(code),
                reason=reason,
                advice=advice,
                assigned_hub=hub,
                duration_ms=(now - self._started).total_seconds() * 1000,
            )
        )


def _advice(code: int | None) -> str:
    return "" if code is None else _ADVICE.get(Code(code), "")
