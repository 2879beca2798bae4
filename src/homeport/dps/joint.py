"""Hubs that share the registrations' database: there a device that is new, or stays as it is, is one write.

Whatever takes more than that one write, or goes elsewhere, is `carrying`'s.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from msgspec import Struct

from homeport.dps.model import (
    DeviceSpec,
    LinkedHub,
    Operation,
    Registration,
    RegistrationStatus,
    Step,
    TwinWrite,
)

JointWrite = Callable[[Any], Coroutine[Any, Any, bool]]
"""Called with the store's transaction: make the device as wished, or return False if that takes another way."""


class JointDevice(Struct, frozen=True, kw_only=True):
    """A hub's part in the write."""

    write: JointWrite
    announce: Callable[[], Awaitable[None]]
    """To be called once that is durable."""


class JointHubs(Protocol):
    """Finds the hubs that can do this."""

    def new_device(self, hub: LinkedHub, spec: DeviceSpec) -> JointDevice | None:
        """Return how this hub makes a device that it has not met; None if the device has to take the long way to it."""
        ...

    def known_device(self, hub: LinkedHub, spec: DeviceSpec) -> JointDevice | None:
        """Return how this hub makes sure that it has the device just so already, and need not write anything."""
        ...


class NoJointHubs:
    """All hubs are elsewhere."""

    def new_device(self, hub: LinkedHub, spec: DeviceSpec) -> JointDevice | None:  # noqa: ARG002  # the port's
        return None

    def known_device(self, hub: LinkedHub, spec: DeviceSpec) -> JointDevice | None:  # noqa: ARG002  # the port's
        return None


def joint_device(hubs: JointHubs, target: LinkedHub, opened: Registration, current: Registration | None) -> (
    JointDevice | None
):  # fmt: skip
    """Return the hub's part if the operation is one write: the device's first, or one that leaves it where it is."""
    operation = opened.operation
    spec = operation.spec
    if operation.status is not RegistrationStatus.ASSIGNING or operation.step is not Step.PROVISION or spec is None:
        return None
    if operation.issuance is not None:
        return None
    if current is None:
        return hubs.new_device(target, spec)
    stays = (
        current.status is RegistrationStatus.ASSIGNED
        and current.assignment == operation.target
        and current.certificate is None
        and operation.leaves is None
        and operation.migrate_from is None
        and spec.twin_write is TwinWrite.IF_CREATED
    )
    return hubs.known_device(target, spec) if stays else None


def concluded(opened: Registration) -> Registration:
    """Return the record of such an operation as it is once the hub has the device."""
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
