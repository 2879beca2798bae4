"""What a proven device's register call opens: the record with its operation, decided but not yet carried out.

Pure: attestation's verdict, the record so far and the linked hubs in; the new record out.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, assert_never

from homeport.dps.allocation import AskWebhook, Assign, NoHub, allocate, by_host
from homeport.dps.attestation import Attested, Findings, Identity, TpmIdentity
from homeport.dps.identifiers import Random, new_etag, new_operation_id
from homeport.dps.model import (
    AllocationPolicy,
    Assignment,
    DeviceClaim,
    DeviceSpec,
    Enrollment,
    EnrollmentGroup,
    EnrollmentRef,
    Failure,
    HubCredential,
    LinkedHub,
    Operation,
    Registration,
    RegistrationStatus,
    SasCredential,
    Step,
    ThumbprintCredential,
    TwinContent,
    TwinWrite,
)
from homeport.dps.reprovisioning import Begin, Keep, Move, Plan, Reset, plan, stays
from homeport.errors import Code
from homeport.security.tpm import HMAC_KEY_BYTES, MAX_URI_BYTES, make_challenge


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Everything the decision depends on."""

    claim: DeviceClaim
    attested: Attested
    current: Registration | None
    hubs: Sequence[LinkedHub]
    device_payload: bytes | None
    tracking_id: str
    remote_address: str
    default_policy: AllocationPolicy
    identity_digest: str
    lease_owner: str | None
    """Who carries the operation at once; None leaves it to whoever finds it."""
    lease: timedelta


def open_registration(
    opening: Opening, *, now: datetime, time_limit: timedelta, random: Random, findings: Findings
) -> Registration:
    """Return the record to store: with an open operation, or finished at once when there is nothing to carry out."""
    enrollment, current = opening.attested.enrollment, opening.current
    planned: Plan | Failure | None = None
    if enrollment.enabled:
        findings.passed("provisioning status", "the enrollment is enabled")
        planned = _plan(opening, findings)
    else:
        findings.failed("provisioning status", "the enrollment is disabled")
    blob = None
    match planned:
        case None:
            operation = _operation(opening, RegistrationStatus.DISABLED, now + time_limit, random)
        case Failure():
            operation = _operation(opening, RegistrationStatus.FAILED, now + time_limit, random)
        case _:
            credential, blob = _hub_credential(opening.attested.identity, planned.target, random)
            operation = _operation(
                opening,
                RegistrationStatus.ASSIGNING,
                now + time_limit,
                random,
                target=planned.target,
                leaves=planned.leaves if isinstance(planned, Move | Reset) else None,
                migrate_from=planned.leaves if isinstance(planned, Move) else None,
                spec=_device_spec(enrollment, planned, credential),
                success=planned.success,
                lease_owner=opening.lease_owner,
                lease_until=now + opening.lease if opening.lease_owner is not None else None,
            )
    is_open = operation.status is RegistrationStatus.ASSIGNING
    return Registration(
        registration_id=current.registration_id if current else opening.claim.registration_id,
        enrollment=EnrollmentRef(group_id=enrollment.group_id if isinstance(enrollment, EnrollmentGroup) else None),
        attestation=opening.attested.kind,
        status=operation.status,
        # Until the new operation has ended, these speak of the one before.
        substatus=current.substatus if current and is_open else None,
        assignment=current.assignment if current else None,
        failure=planned if isinstance(planned, Failure) else current.failure if current and is_open else None,
        device_payload=opening.device_payload,
        tpm_key_blob=blob,
        operation=operation,
        etag=new_etag(random),
        created_at=current.created_at if current else now,
        updated_at=now,
    )


def identity_digest(identity: Identity) -> str:
    """Digest what a device proved itself with; equal digests mean that one hub identity serves both calls."""
    match identity:
        case SasCredential():
            parts = (b"sas", identity.primary_key, identity.secondary_key)
        case ThumbprintCredential():
            parts = (b"x509", identity.primary.encode(), identity.secondary.encode())
        case TpmIdentity():
            parts = (b"tpm", identity.endorsement_key.encoded, identity.storage_root_key.encoded)
        case _:
            assert_never(identity)
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(4) + part)
    return digest.hexdigest()


def _operation(
    opening: Opening, status: RegistrationStatus, deadline: datetime, random: Random, **members: Any
) -> Operation:
    return Operation(
        id=new_operation_id(opening.claim.id_scope, random),
        status=status,
        step=Step.PROVISION if status is RegistrationStatus.ASSIGNING else Step.DONE,
        deadline=deadline,
        tracking_id=opening.tracking_id,
        remote_address=opening.remote_address,
        identity_digest=opening.identity_digest,
        **members,
    )


def _plan(opening: Opening, findings: Findings) -> Plan | Failure:
    enrollment, hubs = opening.attested.enrollment, opening.hubs
    policy, version = enrollment.reprovision_policy, opening.claim.api_version
    current = opening.current.assignment if opening.current else None
    if current is not None and stays(current, policy, version):
        target = current
        if by_host(hubs, target.hub) is None:
            return _no_hub(
                findings, f"the device must stay on {target.hub} (reprovision policy), which is not linked any more"
            )
        findings.passed("allocation", f"not asked: the device stays on {target.hub}")
    else:
        decision = allocate(enrollment, opening.claim.registration_id, hubs, default=opening.default_policy)
        match decision:
            case Assign():
                target = Assignment(hub=decision.hub.host_name, device_id=_device_id(opening.attested, current))
                findings.passed("allocation", f"{target.hub}: {decision.reason}")
            case NoHub():
                return _no_hub(findings, decision.reason)
            case AskWebhook():
                reason = "custom allocation is not offered yet"
                findings.failed("allocation", reason)
                return Failure(code=Code.CUSTOM_ALLOCATION_FAILED, message=f"CustomAllocationFailed: {reason}.")
            case _:
                assert_never(decision)
    return _reachable(plan(current, target, policy, version), hubs, findings)


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


def _reachable(planned: Plan, hubs: Sequence[LinkedHub], findings: Findings) -> Plan:
    """Give up what cannot be reached: data on a hub that is not linked any more can be neither moved nor removed."""
    leaves = planned.leaves if isinstance(planned, Move | Reset) else None
    if leaves is None or by_host(hubs, leaves.hub) is not None:
        findings.passed("reprovisioning", _describe(planned))
        return planned
    findings.failed("reprovisioning", f"{leaves.hub} is not linked any more: the device's data there is left behind")
    return Reset(target=planned.target, moved=True, leaves=None)


def _describe(planned: Plan) -> str:
    match planned:
        case Begin():
            return "first assignment"
        case Keep():
            return "the device stays, with its twin"
        case Move():
            return f"the device moves from {planned.leaves.hub}, with its twin"
        case Reset(moved=False):
            return "the device stays, its twin is reset"
        case Reset():
            return "the device moves and starts with the initial twin"
        case _:
            assert_never(planned)


def _hub_credential(identity: Identity, target: Assignment, random: Random) -> tuple[HubCredential, bytes | None]:
    """Return what the hub is to accept, and for a TPM its new key, wrapped (contract dps.md 7.6, 9.6)."""
    if not isinstance(identity, TpmIdentity):
        return identity, None
    key = random(HMAC_KEY_BYTES)
    uri = f"{target.hub}/devices/{target.device_id}".encode()[:MAX_URI_BYTES]
    blob = make_challenge(identity.endorsement_key, identity.storage_root_key, key, uri, random)
    return SasCredential(primary_key=key, secondary_key=random(HMAC_KEY_BYTES)), blob


def _device_spec(enrollment: Enrollment, planned: Plan, credential: HubCredential) -> DeviceSpec:
    overwrites = isinstance(planned, Move | Reset)
    return DeviceSpec(
        device_id=planned.target.device_id,
        credential=credential,
        iot_edge=enrollment.iot_edge,
        twin=_initial_twin(enrollment),
        twin_write=TwinWrite.ALWAYS if overwrites else TwinWrite.IF_CREATED,
    )


def _initial_twin(enrollment: Enrollment) -> TwinContent:
    twin = enrollment.initial_twin or {}
    properties = twin.get("properties") or {}
    return TwinContent(tags=_content(twin.get("tags")), desired=_content(properties.get("desired")))


def _content(section: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Drop `$version` and `$metadata`, which the C# collections carry along and no hub takes back."""
    return {key: value for key, value in (section or {}).items() if not key.startswith("$")}
