"""A device's call in, a reply out, the same for every transport: JSON ends here, status numbers begin here."""

from math import ceil
from types import TracebackType

from homeport.clock import Clock
from homeport.dps.admission import Admission, Admitted
from homeport.dps.attestation import IssuedChallenge
from homeport.dps.engine import ChallengeIssued, Engine
from homeport.dps.identifiers import Random, check_registration_id, is_registration_id, new_guid
from homeport.dps.model import CallContext, DeviceClaim, Evidence, Registration, RegistrationStatus, TpmEvidence
from homeport.dps.refusals import Refusals
from homeport.dps.reply import Reply, answer, failure, success, unreadable
from homeport.dps.throttle import Call, ThrottledError
from homeport.dps.translate import (
    certificate_request_of,
    challenge_document,
    operation_document,
    payload_of,
    refuse_certificate_request,
    registration_document,
    with_keys,
)
from homeport.errors import Code, HomeportError
from homeport.security.x509_request import CertificateRequest
from homeport.values import replace
from homeport.wire import WireError, decode
from homeport.wire.custom_allocation import CandidateHubs
from homeport.wire.dps_device import RegisterBody, register_body
from homeport.wire.versions import is_api_version

RETRY_AFTER = 3
_PROVES_NOTHING = frozenset({400, 401, 404, 413})
_RETRY_RANGE = (2, 5)
"""Seconds that C, C#, Java and Node all use unchanged (contract dps.md 3.2)."""


class DeviceResponder:
    """Answers devices of one id scope. Never raises: every refusal is a Reply too.

    Without an `admission` of its own it has the default limits. `refusals` is to be run beside it.
    """

    def __init__(self, engine: Engine, clock: Clock, random: Random, *, admission: Admission | None = None) -> None:
        self._engine = engine
        self._clock = clock
        self._random = random
        self._admission = admission or Admission(clock, random)
        self.refusals = Refusals(engine.record_refusal, clock)

    @property
    def id_scope(self) -> str:
        """The id scope whose devices it answers."""
        return self._engine.id_scope

    def new_tracking_id(self) -> str:
        """Return the id under which answer, log and record of one call are found."""
        return new_guid(self._random)

    async def register(self, claim: DeviceClaim, evidence: Evidence, body: bytes, context: CallContext) -> Reply:
        """Answer 202 with the operation, finished or not; 401 with a challenge; or an error."""
        return await answer(self._register(claim, evidence, body, context), context.tracking_id, self._clock)

    async def operation_status(
        self, claim: DeviceClaim, evidence: Evidence, operation_id: str, context: CallContext
    ) -> Reply:
        """Answer 202 while assigning, 200 when finished, or an error."""
        call = self._operation_status(claim, evidence, operation_id, context)
        return await answer(call, context.tracking_id, self._clock)

    async def registration_state(
        self, claim: DeviceClaim, evidence: Evidence, body: bytes, context: CallContext
    ) -> Reply:
        """Answer 200 with the device's record, or an error."""
        call = self._registration_state(claim, evidence, body, context)
        return await answer(call, context.tracking_id, self._clock)

    async def candidates(self, claim: DeviceClaim, evidence: Evidence, context: CallContext) -> Reply:
        """Answer 200 with the hubs the device could be assigned to, or an error."""
        return await answer(self._candidates(claim, evidence, context), context.tracking_id, self._clock)

    async def authenticate(self, claim: DeviceClaim, evidence: Evidence, context: CallContext) -> Reply:
        """Answer 200 without a body if this connection may be let in, or an error."""
        return await answer(self._authenticate(claim, evidence, context), context.tracking_id, self._clock)

    def challenge(self, claim: DeviceClaim, keys: TpmEvidence, context: CallContext) -> IssuedChallenge:
        """Challenge a TPM for as long as its connection lives. Raises HomeportError."""
        check_registration_id(claim.registration_id)
        return self._engine.challenge(claim, keys, context)

    def refuse(
        self,
        error: HomeportError,
        context: CallContext,
        claim: DeviceClaim | None = None,
        evidence: Evidence | None = None,
    ) -> Reply:
        """Answer what a transport found wrong itself; with a claim, it is recorded for the operator too."""
        if claim is not None and evidence is not None:
            self._engine.record_refusal(claim, evidence, context, error)
        return failure(error, context.tracking_id, self._clock)

    async def _candidates(self, claim: DeviceClaim, evidence: Evidence, context: CallContext) -> Reply:
        async with self._admitted(Call.POLL, claim, evidence, context):
            self._read(claim, evidence, b"", context)
            hosts = await self._engine.candidates(claim, evidence, context)
        return success(200, CandidateHubs(hubs=list(hosts)), context.tracking_id)

    async def _authenticate(self, claim: DeviceClaim, evidence: Evidence, context: CallContext) -> Reply:
        # The api-version comes with the first request.
        check_registration_id(claim.registration_id)
        async with self._admitted(Call.REGISTER, claim, evidence, context) as admitted:
            await self._engine.authenticate(claim, evidence, context)
            # The request that follows is the one that counts for the service.
            admitted.forgive()
        return Reply(status=200, body=b"", tracking_id=context.tracking_id)

    async def _register(self, claim: DeviceClaim, evidence: Evidence, body: bytes, context: CallContext) -> Reply:
        async with self._admitted(Call.REGISTER, claim, evidence, context) as admitted:
            evidence, document, request = self._read(claim, evidence, body, context)
            result = await self._engine.register(
                claim, evidence, payload_of(document), context, request, waits=admitted.end
            )
        if isinstance(result, ChallengeIssued):
            return success(401, challenge_document(result.blob), context.tracking_id)
        registration = result.registration
        return success(
            202,
            operation_document(registration),
            context.tracking_id,
            retry_after=self._retry_after(registration),
        )

    async def _operation_status(
        self, claim: DeviceClaim, evidence: Evidence, operation_id: str, context: CallContext
    ) -> Reply:
        async with self._admitted(Call.POLL, claim, evidence, context):
            self._read(claim, evidence, b"", context)
            registration = await self._engine.operation_status(claim, evidence, operation_id, context)
        document = operation_document(registration)
        if registration.status is RegistrationStatus.ASSIGNING:
            return success(202, document, context.tracking_id, retry_after=self._retry_after(registration))
        return success(200, document, context.tracking_id)

    async def _registration_state(
        self, claim: DeviceClaim, evidence: Evidence, body: bytes, context: CallContext
    ) -> Reply:
        async with self._admitted(Call.POLL, claim, evidence, context):
            evidence, *_ = self._read(claim, evidence, body, context, registers=False)
            registration = await self._engine.registration_state(claim, evidence, context)
        return success(200, registration_document(registration), context.tracking_id)

    def _admitted(self, call: Call, claim: DeviceClaim, evidence: Evidence, context: CallContext) -> "_Turn":
        """Begin a call when its turn has come; one that proves nothing leaves the service's account untouched."""
        return _Turn(self._admission, self.refusals, call, claim, evidence, context)

    def _read(
        self, claim: DeviceClaim, evidence: Evidence, body: bytes, context: CallContext, *, registers: bool = True
    ) -> tuple[Evidence, RegisterBody, CertificateRequest | None]:
        """Check the form of everything the device said, before any of it is believed."""
        check_registration_id(claim.registration_id)
        try:
            _check(claim)
            document = _read_body(claim, body)
            evidence = with_keys(evidence, document)
            if not registers:
                refuse_certificate_request(document, claim.api_version)
                return evidence, document, None
            request = certificate_request_of(document, claim.api_version, claim.registration_id)
            return evidence, document, request  # noqa: TRY300 - what was read may refuse until here
        except HomeportError as error:
            self._engine.record_refusal(_shown(claim), evidence, context, error)
            raise

    def _retry_after(self, registration: Registration) -> int:
        retry_at = registration.operation.retry_at
        if registration.status is not RegistrationStatus.ASSIGNING or retry_at is None:
            return RETRY_AFTER
        least, most = _RETRY_RANGE
        return max(least, min(most, ceil((retry_at - self._clock.now()).total_seconds())))


class _Turn:
    """The context in which a call is answered. By hand: a generator's costs as much as a look into the database."""

    __slots__ = ("_admission", "_admitted", "_call", "_claim", "_context", "_evidence", "_refusals")

    def __init__(
        self,
        admission: Admission,
        refusals: Refusals,
        call: Call,
        claim: DeviceClaim,
        evidence: Evidence,
        context: CallContext,
    ) -> None:
        self._admission = admission
        self._refusals = refusals
        self._call = call
        self._claim = claim
        self._evidence = evidence
        self._context = context

    async def __aenter__(self) -> Admitted:
        claim, context = self._claim, self._context
        try:
            self._admitted = await self._admission.device(
                self._call, address=context.remote_address, device=claim.registration_id
            )
        except ThrottledError as error:
            if is_registration_id(claim.registration_id):
                self._refusals.note(_shown(claim), self._evidence, context, error)
            raise
        return self._admitted

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, HomeportError) and error.code.status in _PROVES_NOTHING:
            self._admitted.forgive()
        self._admitted.end()


def _shown(claim: DeviceClaim) -> DeviceClaim:
    """Return the claim for the record, where the API version stands as a column: no stranger's text of any length."""
    return claim if is_api_version(claim.api_version) else replace(claim, api_version="")


def _check(claim: DeviceClaim) -> None:
    check_registration_id(claim.registration_id)
    if not claim.api_version:
        raise HomeportError(Code.INVALID_REQUEST, "The api-version is missing.")
    if not is_api_version(claim.api_version):
        raise HomeportError(Code.INVALID_REQUEST, "The api-version is not of the form YYYY-MM-DD.")


def _read_body(claim: DeviceClaim, body: bytes) -> RegisterBody:
    if not body.strip():
        # C# sends nothing over MQTT and AMQP (contract dps.md 3.1).
        return RegisterBody()
    try:
        document = decode(register_body, body)
    except WireError as error:
        raise unreadable(error) from None
    named = document.registration_id
    if isinstance(named, str) and named.lower() != claim.registration_id.lower():
        raise HomeportError(
            Code.INVALID_REGISTRATION_ID, "Invalid RegistrationId: the body names another one than the request."
        )
    return document
