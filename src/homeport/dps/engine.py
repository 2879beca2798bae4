"""The device's questions: register, how is my operation, where do I live. One engine serves one id scope.

Authentication comes first in each; every register call, and every refusal, leaves one record that says why.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import assert_never

from msgspec import Struct

from homeport.bus import Bus
from homeport.clock import Clock
from homeport.dps.allocation import open_hosts
from homeport.dps.assigner import Assigner
from homeport.dps.attempts import Recorder, RefusedError
from homeport.dps.attestation import (
    UNAUTHORIZED,
    Attested,
    ChainProof,
    Challenge,
    Findings,
    IssuedChallenge,
    Proof,
    Refused,
    TokenProof,
    TpmProof,
    Trust,
    Verdict,
    challenge_keys,
    may_be_of_group,
    read,
    verify,
)
from homeport.dps.fleet import read_fleet
from homeport.dps.identifiers import Random
from homeport.dps.issuing.issuance import Issuer, refuse_revoked
from homeport.dps.joint import JointHubs
from homeport.dps.model import (
    CallContext,
    CaReferences,
    CertificateEvidence,
    DeviceClaim,
    Evidence,
    NoEvidence,
    Outcome,
    Registration,
    RegistrationStatus,
    SymmetricKeyAttestation,
    TpmAttestation,
    TpmEvidence,
)
from homeport.dps.opening import identity_digest
from homeport.dps.ports import (
    AttemptStore,
    CaCertificateStore,
    ChallengeStore,
    EnrollmentStore,
    LinkedHubStore,
    RegistrationStore,
)
from homeport.dps.possession import refuse_without_possession
from homeport.dps.registering import RegisterCall, Registering
from homeport.dps.revocation import Revocation
from homeport.errors import Code, ConflictError, HomeportError
from homeport.security.explain import quoted
from homeport.security.x509_request import CertificateRequest
from homeport.wire.versions import hears_assigning_first

_NO_TRUST = Trust()
_ROUNDS = 16
"""How often a record that keeps changing under us is read and decided anew before the device is sent away.

A rival costs two: waiting for its turn to end, and finding that another one came first.
"""
_LATEST = 8
"""Attempts looked at to tell whether a poll has anything new to record; polls that came too soon stand among them."""


class Registered(Struct, frozen=True, kw_only=True):
    """The registration as it stands: finished, or `assigning` and to be polled."""

    registration: Registration


class ChallengeIssued(Struct, frozen=True, kw_only=True):
    """The TPM must import the key in this blob and register again with a token signed by it."""

    blob: bytes


class Stores(Struct, frozen=True, kw_only=True):
    """What the engine remembers, and where."""

    enrollments: EnrollmentStore
    registrations: RegistrationStore
    challenges: ChallengeStore
    attempts: AttemptStore
    hubs: LinkedHubStore
    certificates: CaCertificateStore


class Engine:
    """Answers devices. `patience` is how many seconds a register call may wait for its hub before it says `assigning`.

    `time_limit` is how long an operation may go on in the background; then it has failed. Without `revocation` no
    certificate authority is asked whether it took a certificate back. `joint` knows the hubs that share the database.
    """

    def __init__(
        self,
        *,
        id_scope: str,
        stores: Stores,
        assigner: Assigner,
        bus: Bus,
        clock: Clock,
        random: Random,
        issuer: Issuer | None = None,
        patience: float = 2.0,
        time_limit: timedelta = timedelta(minutes=10),
        revocation: Revocation | None = None,
        clock_shift: Callable[[str], timedelta] | None = None,
        joint: JointHubs | None = None,
    ) -> None:
        """`clock_shift` says by how much the clock is wrong for a device's proof: the fault lab's doing."""
        self.id_scope = id_scope
        self._stores = stores
        self._clock = clock
        self._random = random
        self._issuer = issuer
        self._revocation = revocation
        self._clock_shift = clock_shift
        self._trust = Trust()
        self._registering = Registering(
            registrations=stores.registrations,
            hubs=stores.hubs,
            assigner=assigner,
            issuer=issuer,
            bus=bus,
            clock=clock,
            random=random,
            time_limit=time_limit,
            joint=joint,
        )
        self._patience = patience

    async def register(
        self,
        claim: DeviceClaim,
        evidence: Evidence,
        payload: bytes | None,
        context: CallContext,
        request: CertificateRequest | None = None,
        *,
        waits: Callable[[], None] = lambda: None,
    ) -> Registered | ChallengeIssued:
        """Prove the device, give it a home, and wait a little for the hub; with a `request`, issue a certificate.

        `waits` is called when what is left is to wait for a hub elsewhere, which costs no processor time here.
        Raises RefusedError, and HomeportError CONFLICT if registrations with different credentials race,
        CERTIFICATE_REFUSED if the request cannot be granted, UNAVAILABLE if its authority cannot sign now.
        """
        with self._record(claim, evidence, context) as attempt:
            findings = attempt.findings
            proof = self._read(claim, evidence, findings)
            if isinstance(proof, Refused):
                raise RefusedError(proof)
            so_far = len(findings.checks)
            assigning_first = hears_assigning_first(claim.api_version, context.client_version)
            for _ in range(_ROUNDS):
                # Before the enrollment is: then whoever registers in between has changed what is to be replaced.
                current = await self._stores.registrations.get(claim.registration_id)
                verdict = await self._verify(proof, claim, evidence, findings)
                match verdict:
                    case Refused():
                        raise RefusedError(verdict)
                    case Challenge():
                        await self._stores.challenges.put(verdict.pending)
                        attempt.challenged()
                        return ChallengeIssued(blob=verdict.blob)
                    case Attested():
                        call = RegisterCall(
                            claim=claim,
                            attested=verdict,
                            digest=identity_digest(verdict.identity, request.key_digest if request else None),
                            payload=payload,
                            leaf=evidence.chain[0] if isinstance(evidence, CertificateEvidence) else None,
                            context=context,
                            findings=findings,
                            patience=0.0 if assigning_first else self._patience,
                            request=request,
                            waits=waits,
                        )
                        registration = await self._registering.register(call, current)
                        if registration is not None:
                            attempt.registered(registration)
                            return Registered(registration=registration)
                    case _:
                        assert_never(verdict)
                del findings.checks[so_far:]
            findings.failed("operation", "the registration kept changing while it was decided")
            raise ConflictError

    async def authenticate(self, claim: DeviceClaim, evidence: Evidence, context: CallContext) -> None:
        """Let a connection in whose first request is still to come. Raises RefusedError; each request is judged anew.

        A TPM has to show no more than that it holds its keys: whether they are enrolled, the request is told.
        """
        with self._record(claim, evidence, context) as attempt:
            findings = attempt.findings
            verdict: Verdict | None
            if isinstance(evidence, TpmEvidence) and evidence.challenge is not None:
                verdict = self._refuse_other_scope(claim, findings) or refuse_without_possession(
                    claim, evidence, evidence.challenge, now=self._clock.now(), findings=findings
                )
            else:
                verdict = await self._judge(claim, evidence, findings)
            if isinstance(verdict, Refused):
                raise RefusedError(verdict)

    def challenge(self, claim: DeviceClaim, keys: TpmEvidence, context: CallContext) -> IssuedChallenge:
        """Challenge a TPM for the keys it offers, for the life of one connection: nothing is stored.

        Raises RefusedError.
        """
        with self._record(claim, keys, context) as attempt:
            findings = attempt.findings
            issued = self._refuse_other_scope(claim, findings) or challenge_keys(
                keys.endorsement_key or b"",
                keys.storage_root_key or b"",
                claim,
                now=self._clock.now(),
                random=self._random,
                findings=findings,
            )
            if isinstance(issued, Refused):
                raise RefusedError(issued)
            attempt.challenged()
            return issued

    async def operation_status(
        self, claim: DeviceClaim, evidence: Evidence, operation_id: str, context: CallContext
    ) -> Registration:
        """Return the registration that this operation is the latest of. Raises RefusedError or NOT_FOUND."""
        with self._record(claim, evidence, context) as attempt:
            registration = await self._prove_and_get(claim, evidence, attempt.findings)
            if registration is None or registration.operation.id != operation_id:
                attempt.findings.failed("operation", "it is not this device's latest operation")
                raise HomeportError(Code.NOT_FOUND, "Operation not found.")
            if registration.status is not RegistrationStatus.ASSIGNING and await self._is_news(claim):
                attempt.registered(registration)
            return registration

    async def registration_state(self, claim: DeviceClaim, evidence: Evidence, context: CallContext) -> Registration:
        """Return the device's record. Raises RefusedError or REGISTRATION_NOT_FOUND."""
        with self._record(claim, evidence, context) as attempt:
            registration = await self._prove_and_get(claim, evidence, attempt.findings)
            if registration is None:
                attempt.findings.failed("registration", "the device has never registered")
                raise HomeportError(Code.REGISTRATION_NOT_FOUND, "Registration not found.")
            return registration

    async def candidates(self, claim: DeviceClaim, evidence: Evidence, context: CallContext) -> Sequence[str]:
        """Return the hubs this device could be assigned to, so that it can measure. Raises RefusedError."""
        with self._record(claim, evidence, context) as attempt:
            verdict = await self._judge(claim, evidence, attempt.findings)
            if isinstance(verdict, Refused):
                raise RefusedError(verdict)
            if not isinstance(verdict, Attested):
                raise HomeportError(Code.UNAUTHORIZED, UNAUTHORIZED)
            current = await self._stores.registrations.get(claim.registration_id)
            home = current.assignment if current else None
            fleet = await read_fleet(self._stores.hubs)
            return open_hosts(verdict.enrollment, fleet, home.hub if home else None)

    def record_refusal(
        self,
        claim: DeviceClaim,
        evidence: Evidence,
        context: CallContext,
        error: HomeportError,
        *,
        check: str = "request",
    ) -> None:
        """Leave the record of a call that was refused before it could be judged, for its form."""
        with suppress(HomeportError), self._record(claim, evidence, context) as attempt:
            attempt.findings.failed(check, error.message)
            raise error

    async def _is_news(self, claim: DeviceClaim) -> bool:
        """Tell whether the record says no more yet than that the assignment goes on."""
        latest = await self._stores.attempts.latest(claim.registration_id, limit=_LATEST)
        # That a poll came too soon says nothing about the operation.
        told = next((attempt for attempt in latest if attempt.code != Code.THROTTLED), None)
        return told is not None and told.outcome is Outcome.ASSIGNING

    def _record(self, claim: DeviceClaim, evidence: Evidence, context: CallContext) -> Recorder:
        return Recorder(self._stores.attempts, self._clock, claim=claim, evidence=evidence, context=context)

    # ---------------------------------------------------------------- who is it

    async def _prove_and_get(self, claim: DeviceClaim, evidence: Evidence, findings: Findings) -> Registration | None:
        if isinstance(evidence, TpmEvidence) and evidence.token is None:
            # Keys alone prove nothing, and only a register call is answered with a challenge.
            evidence = NoEvidence()
        verdict = await self._judge(claim, evidence, findings)
        if isinstance(verdict, Attested):
            return await self._stores.registrations.get(claim.registration_id)
        if isinstance(verdict, Refused):
            raise RefusedError(verdict)
        raise HomeportError(Code.UNAUTHORIZED, UNAUTHORIZED)

    def _refuse_other_scope(self, claim: DeviceClaim, findings: Findings) -> Refused | None:
        if claim.id_scope.lower() != self.id_scope.lower():
            return findings.refuse(
                "id scope",
                f"the device asks for the id scope {quoted(claim.id_scope)}; this service's is {self.id_scope}",
                code=Code.UNMATCHED,
                advice="Give the device this service's id scope.",
            )
        findings.passed("id scope", f"it is {self.id_scope}")
        return None

    def _read(self, claim: DeviceClaim, evidence: Evidence, findings: Findings) -> Proof | Refused:
        return self._refuse_other_scope(claim, findings) or read(evidence, claim, findings)

    async def _judge(self, claim: DeviceClaim, evidence: Evidence, findings: Findings) -> Verdict:
        proof = self._read(claim, evidence, findings)
        return proof if isinstance(proof, Refused) else await self._verify(proof, claim, evidence, findings)

    async def _verify(self, proof: Proof, claim: DeviceClaim, evidence: Evidence, findings: Findings) -> Verdict:
        individual = await self._stores.enrollments.get_individual(claim.registration_id)
        trust = _NO_TRUST
        if individual is None or isinstance(individual.attestation, CaReferences):
            trust = await self._current_trust()
        if individual is None:
            challenged = trust.has_tpm_groups and isinstance(proof, TpmProof | TokenProof)
            challenged = challenged and may_be_of_group(claim.registration_id)
        else:
            challenged = isinstance(individual.attestation, TpmAttestation)
        pending = None
        if isinstance(evidence, TpmEvidence) and evidence.challenge is not None:
            # The connection itself carried the challenge.
            pending = evidence.challenge
        elif challenged:
            pending = await self._stores.challenges.get(claim.registration_id, now=self._clock.now())
        so_far = len(findings.checks)
        shift = self._clock_shift(claim.registration_id) if self._clock_shift is not None else timedelta()

        def judge() -> Verdict:
            return verify(
                proof,
                claim,
                individual=individual,
                trust=trust,
                pending=pending,
                now=self._clock.now() + shift,
                random=self._random,
                findings=findings,
            )

        verdict = judge()
        if (
            isinstance(verdict, Refused)
            and individual is not None
            and isinstance(individual.attestation, SymmetricKeyAttestation)
        ):
            # Once more with the groups at hand, for a better explanation: it may be a group's key.
            trust = await self._current_trust()
            del findings.checks[so_far:]
            verdict = judge()
        if self._issuer is not None and isinstance(verdict, Attested) and isinstance(proof, ChainProof):
            revoked = await self._issuer.revocation_of(proof.chain[0])
            if revoked is not None:
                return refuse_revoked(revoked, findings)
        if self._revocation is not None and isinstance(verdict, Attested | Challenge) and verdict.path:
            refused = await self._revocation.check(verdict.path, trust, findings)
            return refused or verdict
        return verdict

    async def _current_trust(self) -> Trust:
        """Return what chains may end at, made anew when a group or CA certificate was changed by any process."""
        groups = await self._stores.enrollments.groups()
        if groups is not self._trust.groups:
            # A change of CA certificates gives the groups anew, too (CaCertificateStore).
            self._trust = Trust(groups, await self._stores.certificates.all(), before=self._trust)
        return self._trust
