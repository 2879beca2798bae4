"""What a proven device's register call opens: the record with its operation, decided but not yet carried out.

Pure: attestation's verdict, the record so far and the linked hubs in; the new record out.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Any, assert_never

from msgspec import Struct

from homeport.dps.allocation import AskCustom, Assign, NoHub, allocate, by_host
from homeport.dps.applicant import applicant
from homeport.dps.attestation import Attested, Findings, Identity, TpmIdentity
from homeport.dps.identifiers import Random, new_etag, new_operation_id
from homeport.dps.model import (
    Assignment,
    DeviceClaim,
    EnrollmentGroup,
    EnrollmentRef,
    Failure,
    Fleet,
    LinkedHub,
    Operation,
    Question,
    Registration,
    RegistrationStatus,
    SasCredential,
    Step,
    Terms,
    ThumbprintCredential,
)
from homeport.dps.reprovisioning import stays
from homeport.dps.settlement import Settled, describe, settle, terms_of
from homeport.dps.translate_allocation import allocation_request, place_of
from homeport.errors import Code

_Decided = Settled | Question | Failure


class Opening(Struct, frozen=True, kw_only=True):
    """Everything the decision depends on."""

    claim: DeviceClaim
    attested: Attested
    current: Registration | None
    fleet: Fleet
    device_payload: bytes | None
    remote_address: str
    leaf: bytes | None
    """The certificate the device came with, DER."""
    tracking_id: str
    identity_digest: str
    lease_owner: str | None
    """Who carries the operation at once; None leaves it to whoever finds it."""
    lease: timedelta


def open_registration(
    opening: Opening, *, now: datetime, time_limit: timedelta, random: Random, findings: Findings
) -> Registration:
    """Return the record to store: with an open operation, or finished at once when there is nothing to carry out."""
    enrollment, current = opening.attested.enrollment, opening.current
    decided: _Decided | None = None
    if enrollment.enabled:
        findings.passed("provisioning status", "the enrollment is enabled")
        decided = _decide(opening, random, findings)
    else:
        findings.failed("provisioning status", "the enrollment is disabled")
    blob = None
    lease = {
        "lease_owner": opening.lease_owner,
        "lease_until": now + opening.lease if opening.lease_owner is not None else None,
    }
    deadline = now + time_limit
    match decided:
        case None:
            operation = _operation(opening, RegistrationStatus.DISABLED, Step.DONE, deadline, random)
        case Failure():
            operation = _operation(opening, RegistrationStatus.FAILED, Step.DONE, deadline, random)
        case Question():
            operation = _operation(
                opening, RegistrationStatus.ASSIGNING, Step.ASK, deadline, random, question=decided, **lease
            )
        case Settled():
            blob = decided.tpm_key_blob
            operation = _operation(
                opening,
                RegistrationStatus.ASSIGNING,
                Step.PROVISION,
                deadline,
                random,
                target=decided.plan.target,
                leaves=decided.leaves,
                migrate_from=decided.migrate_from,
                spec=decided.spec,
                success=decided.plan.success,
                **lease,
            )
        case _:
            assert_never(decided)
    is_open = operation.status is RegistrationStatus.ASSIGNING
    return Registration(
        registration_id=current.registration_id if current else opening.claim.registration_id,
        enrollment=EnrollmentRef(group_id=enrollment.group_id if isinstance(enrollment, EnrollmentGroup) else None),
        attestation=opening.attested.kind,
        status=operation.status,
        # Until the new operation has ended, these speak of the one before.
        substatus=current.substatus if current and is_open else None,
        assignment=current.assignment if current else None,
        failure=decided if isinstance(decided, Failure) else current.failure if current and is_open else None,
        device_payload=opening.device_payload,
        tpm_key_blob=blob,
        certificate=current.certificate if current else None,
        operation=operation,
        etag=new_etag(random),
        created_at=current.created_at if current else now,
        updated_at=now,
    )


def identity_digest(identity: Identity, key_digest: str | None = None) -> str:
    """Digest what a device proved itself with, and the key it asks a certificate for, if it does.

    Equal digests mean that one hub identity serves both calls.
    """
    parts: tuple[bytes, ...]
    match identity:
        case SasCredential():
            parts = (b"sas", identity.primary_key, identity.secondary_key)
        case ThumbprintCredential():
            parts = (b"x509", identity.primary.encode(), identity.secondary.encode())
        case TpmIdentity():
            parts = (b"tpm", identity.endorsement_key.encoded, identity.storage_root_key.encoded)
        case _:
            assert_never(identity)
    if key_digest is not None:
        parts = (*parts, b"csr", key_digest.encode())
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(4) + part)
    return digest.hexdigest()


def _operation(
    opening: Opening, status: RegistrationStatus, step: Step, deadline: datetime, random: Random, **members: Any
) -> Operation:
    return Operation(
        id=new_operation_id(opening.claim.id_scope, random),
        status=status,
        step=step,
        deadline=deadline,
        tracking_id=opening.tracking_id,
        remote_address=opening.remote_address,
        identity_digest=opening.identity_digest,
        **members,
    )


def _decide(opening: Opening, random: Random, findings: Findings) -> _Decided:
    enrollment, fleet = opening.attested.enrollment, opening.fleet
    current = opening.current.assignment if opening.current else None
    device_id = _device_id(opening.attested, current)
    terms = terms_of(enrollment, opening.attested.identity, device_id, opening.claim.api_version)
    if current is not None and stays(current, terms.policy, terms.api_version):
        if by_host(fleet.hubs, current.hub) is None:
            return _no_hub(
                findings, f"the device must stay on {current.hub} (reprovision policy), which is not linked any more"
            )
        findings.passed("allocation", f"not asked: the device stays on {current.hub}")
        return _settle(terms, current, current, opening, random, findings)
    device = applicant(
        enrollment,
        opening.claim.registration_id,
        current,
        fleet,
        address=opening.remote_address,
        payload=opening.device_payload,
    )
    decision = allocate(enrollment, device, fleet)
    match decision:
        case Assign():
            findings.passed("allocation", f"{decision.hub.host_name}: {decision.reason}")
            target = Assignment(hub=decision.hub.host_name, device_id=device_id)
            return _settle(terms, current, target, opening, random, findings)
        case NoHub():
            return _no_hub(findings, decision.reason)
        case AskCustom():
            offered = tuple(hub.host_name for hub in decision.candidates)
            findings.passed(
                "allocation", f"asks {place_of(decision.definition.webhook_url)} to choose among {', '.join(offered)}"
            )
            request = allocation_request(
                opening.attested,
                opening.claim.registration_id,
                current,
                decision.candidates,
                payload=opening.device_payload,
                leaf=opening.leaf,
            )
            return Question(definition=decision.definition, request=request, offered=offered, terms=terms)
        case _:
            assert_never(decision)


def _settle(
    terms: Terms,
    current: Assignment | None,
    target: Assignment,
    opening: Opening,
    random: Random,
    findings: Findings,
) -> Settled:
    settled = settle(terms, current, target, opening.fleet.hubs, random)
    if settled.left_behind is None:
        findings.passed("reprovisioning", describe(settled.plan))
    else:
        findings.failed(
            "reprovisioning", f"{settled.left_behind} is not linked any more: the device's data there is left behind"
        )
    return settled


def _device_id(attested: Attested, current: Assignment | None) -> str:
    """Keep the spelling a group's device already has at its hub: hubs tell letter cases apart, devices do not."""
    known = current.device_id if current else None
    if (
        known is not None
        and isinstance(attested.enrollment, EnrollmentGroup)
        and known.lower() == attested.device_id.lower()
    ):
        return known
    return attested.device_id


def _no_hub(findings: Findings, reason: str) -> Failure:
    findings.failed("allocation", reason)
    return Failure(code=Code.NO_HUB, message=f"No IoT hub to assign to: {reason}.")


def target_hub(operation: Operation, fleet: Fleet) -> LinkedHub | None:
    """Return the hub the operation goes to, None if it is not known yet."""
    return None if operation.target is None else by_host(fleet.hubs, operation.target.hub)


def must_last_at_once(operation: Operation, target: LinkedHub | None) -> bool:
    """Tell whether the opened operation must be on disk before anything else happens.

    A first assignment to a hub of our own need not: nothing outside this database follows from it before the
    outcome is written, and that write is durable.
    """
    if operation.status is not RegistrationStatus.ASSIGNING or operation.leaves:
        return True
    return target is None or target.connection_string is not None


def room_for(current: Registration | None, target: LinkedHub | None) -> int | None:
    """Return the limit of a capped hub that the device is new to."""
    if target is None or target.max_devices is None:
        return None
    home = current.assignment if current else None
    return None if home is not None and home.hub.lower() == target.host_name.lower() else target.max_devices
