"""Which operations are one write with their hub, and which take the long way."""

from datetime import UTC, datetime
from typing import Any

import pytest

from homeport.dps.joint import JointDevice, NoJointHubs, concluded, joint_device
from homeport.dps.model import (
    Assignment,
    CertificateRef,
    DeviceSpec,
    LinkedHub,
    Registration,
    RegistrationStatus,
    SasCredential,
    Step,
    Substatus,
    TwinContent,
    TwinWrite,
)
from homeport.values import replace
from tests.contract.store.samples import finished, registration

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HUB = LinkedHub(name="hub", host_name="hub.example.net", created_at=NOW)
ELSEWHERE = Assignment(hub="old.example.net", device_id="dev")
SPEC = DeviceSpec(
    device_id="dev",
    credential=SasCredential(primary_key=b"p", secondary_key=b"s"),
    iot_edge=None,
    twin=TwinContent(tags={}, desired={}),
    twin_write=TwinWrite.ALWAYS,
)
CERTIFICATE = CertificateRef(serial_number="01", thumbprint="AB")


class Hubs:
    """Tells which of the two was asked."""

    def new_device(self, hub: LinkedHub, spec: DeviceSpec) -> JointDevice | None:
        return _joint("new", spec)

    def known_device(self, hub: LinkedHub, spec: DeviceSpec) -> JointDevice | None:
        return _joint("known", spec)


def _joint(name: str, spec: DeviceSpec) -> JointDevice:
    async def write(transaction: Any) -> bool:
        raise AssertionError(name)

    async def announce() -> None:
        raise AssertionError(name)

    write.__name__ = name
    assert spec.device_id == "dev"
    return JointDevice(write=write, announce=announce)


def way(opened: Registration, current: Registration | None) -> str | None:
    device = joint_device(Hubs(), HUB, opened, current)
    return None if device is None else device.write.__name__


def test_a_first_registration_and_one_that_stays_are_one_write() -> None:
    opened = registration("dev")
    assert way(opened, None) == "new"
    assert way(opened, finished(registration("dev"))) == "known"
    assert joint_device(NoJointHubs(), HUB, opened, None) is None
    assert joint_device(NoJointHubs(), HUB, opened, finished(registration("dev"))) is None


@pytest.mark.parametrize(
    "change",
    [
        {"step": Step.ASK},
        {"status": RegistrationStatus.FAILED, "step": Step.DONE},
        {"status": RegistrationStatus.DISABLED, "step": Step.DONE, "spec": None},
    ],
)
def test_what_has_another_step_before_its_end_is_not(change: dict[str, Any]) -> None:
    assert way(registration("dev", **change), None) is None
    assert way(registration("dev", **change), finished(registration("dev"))) is None


@pytest.mark.parametrize(
    "change",
    [
        {"leaves": ELSEWHERE},
        {"leaves": ELSEWHERE, "migrate_from": ELSEWHERE},
        {"target": ELSEWHERE},
        {"spec": SPEC},
    ],
)
def test_a_device_that_moves_or_whose_twin_is_written_takes_the_long_way(change: dict[str, Any]) -> None:
    assert way(registration("dev", **change), finished(registration("dev"))) is None


@pytest.mark.parametrize(
    "change", [{"status": RegistrationStatus.FAILED}, {"assignment": None}, {"certificate": CERTIFICATE}]
)
def test_a_record_that_says_more_than_assigned_takes_the_long_way(change: dict[str, Any]) -> None:
    assert way(registration("dev"), replace(finished(registration("dev")), **change)) is None


def test_what_is_concluded_is_as_if_it_had_gone_the_long_way() -> None:
    opened = registration("dev", success=Substatus.INITIAL_ASSIGNMENT, lease_owner="me", lease_until=NOW)
    wanted = replace(
        finished(opened, etag=opened.etag), substatus=Substatus.INITIAL_ASSIGNMENT, updated_at=opened.updated_at
    )
    assert concluded(opened) == wanted
