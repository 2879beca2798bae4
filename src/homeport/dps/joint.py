"""Hubs that share the registrations' database: there a device that is new and its outcome are one write.

Whatever takes more than that one write, or goes elsewhere, is `carrying`'s.
"""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from homeport.dps.model import DeviceSpec, LinkedHub, Operation, Registration, RegistrationStatus, Step

JointWrite = Callable[[Any], Coroutine[Any, Any, bool]]
"""Called with the store's transaction: write the device, or return False if the hub has one of this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDevice:
    """What a hub does for a device it has not met."""

    write: JointWrite
    announce: Callable[[], Awaitable[None]]
    """To be called once that is durable."""


class JointHubs(Protocol):
    """Finds the hubs that can do this."""

    def new_device(self, hub: LinkedHub, spec: DeviceSpec) -> NewDevice | None:
        """Return what this hub would write; None if the device has to take the long way to it."""
        ...


class NoJointHubs:
    """All hubs are elsewhere."""

    def new_device(self, hub: LinkedHub, spec: DeviceSpec) -> NewDevice | None:  # noqa: ARG002  # the port's signature
        return None


def is_first_and_known(opened: Registration, current: Registration | None) -> bool:
    """Tell whether the operation does no more than give a new device the identity that was decided for it."""
    operation = opened.operation
    return (
        current is None
        and operation.status is RegistrationStatus.ASSIGNING
        and operation.step is Step.PROVISION
        and operation.issuance is None
    )


def concluded(opened: Registration) -> Registration:
    """Return the record of a first assignment as it is once the hub has the device."""
    operation = opened.operation
    return Registration(
        registration_id=opened.registration_id,
        enrollment=opened.enrollment,
        attestation=opened.attestation,
        status=RegistrationStatus.ASSIGNED,
        substatus=operation.success,
        assignment=operation.target,
        device_payload=opened.device_payload,
        tpm_key_blob=opened.tpm_key_blob,
        operation=Operation(
            id=operation.id,
            status=RegistrationStatus.ASSIGNED,
            step=Step.DONE,
            deadline=operation.deadline,
            target=operation.target,
            success=operation.success,
            tracking_id=operation.tracking_id,
            remote_address=operation.remote_address,
            identity_digest=operation.identity_digest,
        ),
        etag=opened.etag,
        created_at=opened.created_at,
        updated_at=opened.updated_at,
    )
