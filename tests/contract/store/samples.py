"""Values to store. Every function takes what a test is about and fills in the rest."""

from datetime import UTC, datetime, timedelta
from typing import Any

from homeport.dps.model import (
    Assignment,
    Attempt,
    AttestationKind,
    DeviceSpec,
    EnrollmentGroup,
    EnrollmentRef,
    IndividualEnrollment,
    LinkedHub,
    Operation,
    Outcome,
    PendingChallenge,
    Registration,
    RegistrationStatus,
    SasCredential,
    Step,
    SymmetricKeyAttestation,
    TwinContent,
)
from homeport.hub.model import Device, DeviceIdentity, Hub, Policy, SasAuthentication, Telemetry, Twin, TwinSection
from homeport.values import replace

NOW = datetime(2024, 5, 17, 12, 30, 1, 234567, tzinfo=UTC)
LEASE = timedelta(seconds=30)
KEYS = SymmetricKeyAttestation(primary_key=b"\0\xff" * 16, secondary_key=b"s" * 32)


def individual(registration_id: str, etag: str = "e1", **changes: Any) -> IndividualEnrollment:
    enrollment = IndividualEnrollment(
        attestation=KEYS, etag=etag, created_at=NOW, updated_at=NOW, registration_id=registration_id
    )
    return replace(enrollment, **changes)


def group(group_id: str, etag: str = "e1", **changes: Any) -> EnrollmentGroup:
    return replace(
        EnrollmentGroup(attestation=KEYS, etag=etag, created_at=NOW, updated_at=NOW, group_id=group_id), **changes
    )


def registration(
    registration_id: str,
    *,
    operation: str = "op1",
    etag: str = "e1",
    group_id: str | None = None,
    **of_operation: Any,
) -> Registration:
    """An open operation, not leased unless `of_operation` says so."""
    return Registration(
        registration_id=registration_id,
        enrollment=EnrollmentRef(group_id=group_id),
        attestation=AttestationKind.SYMMETRIC_KEY,
        status=RegistrationStatus.ASSIGNING,
        device_payload=b'{"a":1}',
        operation=Operation(
            **{
                "id": operation,
                "status": RegistrationStatus.ASSIGNING,
                "step": Step.PROVISION,
                "deadline": NOW + timedelta(minutes=5),
                "target": Assignment(hub="hub.example.net", device_id=registration_id),
                "spec": DeviceSpec(
                    device_id=registration_id,
                    credential=SasCredential(primary_key=b"p", secondary_key=b"s"),
                    iot_edge=None,
                    twin=TwinContent(tags={"t": [1]}, desired={}),
                ),
                **of_operation,
            }
        ),
        etag=etag,
        created_at=NOW,
        updated_at=NOW,
    )


def finished(opened: Registration, etag: str = "done") -> Registration:
    operation = replace(
        opened.operation,
        status=RegistrationStatus.ASSIGNED,
        step=Step.DONE,
        spec=None,
        lease_owner=None,
        lease_until=None,
    )
    return replace(
        opened,
        status=RegistrationStatus.ASSIGNED,
        assignment=opened.operation.target,
        operation=operation,
        etag=etag,
        updated_at=NOW + timedelta(seconds=1),
    )


def challenge(registration_id: str, key: bytes = b"k", expires_at: datetime = NOW + timedelta(minutes=5)) -> (
    PendingChallenge
):  # fmt: skip
    return PendingChallenge(
        registration_id=registration_id,
        key=key,
        endorsement_key=b"ek\0",
        storage_root_key=b"srk",
        expires_at=expires_at,
    )


def attempt(registration_id: str, number: int) -> Attempt:
    return Attempt(
        tracking_id=f"{registration_id}-{number}",
        registration_id=registration_id,
        at=NOW + timedelta(seconds=number),
        transport="mqtt",
        remote_address="127.0.0.1",
        id_scope="0ne00000001",
        api_version="2021-06-01",
        client_version=None,
        evidence="SAS token",
        enrollment=None,
        checks=(),
        outcome=Outcome.ASSIGNED,
        code=None,
        reason="",
        advice="",
    )


def linked(name: str, host_name: str | None = None, **changes: Any) -> LinkedHub:
    return replace(LinkedHub(name=name, host_name=host_name or f"{name}.example.net", created_at=NOW), **changes)


def hub(name: str, *host_names: str) -> Hub:
    policy = Policy(
        name="iothubowner", primary_key=b"p", secondary_key=b"s", rights=frozenset({"RegistryRead", "RegistryWrite"})
    )
    return Hub(name=name, host_names=host_names or (f"{name}.example.net",), policies=(policy,), created_at=NOW)


def device(device_id: str, etag: str = "e1", **of_identity: Any) -> Device:
    identity = DeviceIdentity(
        device_id=device_id,
        generation_id="1",
        etag=etag,
        authentication=SasAuthentication(primary_key=b"p\0", secondary_key=b"s"),
    )
    return Device(
        identity=replace(identity, **of_identity),
        twin=Twin(
            device_id=device_id,
            tags={"site": "Köln", "n": None, "f": 1.0},
            desired=TwinSection(content={"b": 1, "a": 2}, metadata={"$lastUpdated": "x"}),
            reported=TwinSection(content={}, metadata={}),
        ),
    )


def telemetry(device_id: str, body: bytes = b"\0body", at: datetime = NOW) -> Telemetry:
    return Telemetry(
        device_id=device_id,
        body=body,
        system={"mid": "1", "ct": None},
        properties={"ключ": "значение", "": None},
        annotations={"iothub-connection-device-id": device_id},
        enqueued_at=at,
    )
