"""Registering, asked of the engine: what comes out, what stands in hub and record, and why."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from homeport.dps.attempts import RefusedError
from homeport.dps.engine import Registered
from homeport.dps.model import (
    AllocationPolicy,
    CertificateEvidence,
    NoEvidence,
    Outcome,
    ProvisioningStatus,
    Registration,
    RegistrationStatus,
    ReprovisionPolicy,
    SasCredential,
    Substatus,
)
from homeport.dps.ports import HubRefusedError, HubUnavailableError
from homeport.errors import Code, HomeportError
from homeport.security.sas import derive_device_key
from homeport.values import replace
from tests.transports.world import (
    GROUP_KEY,
    KEY,
    OTHER_KEY,
    World,
    claim,
    context,
    evidence,
    new_world,
    process,
    reported,
    symmetric,
    twin,
)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with new_world() as fresh:
        yield fresh


async def register(world: World, registration_id: str = "dev-1", key: bytes = KEY, **options: str) -> Registration:
    proof = evidence(registration_id, key, now=world.clock.now())
    answer = await world.engine.register(claim(registration_id, **options), proof, None, context())
    assert isinstance(answer, Registered)
    return answer.registration


async def refused(world: World, registration_id: str = "dev-1", key: bytes = KEY) -> HomeportError:
    with pytest.raises(HomeportError) as caught:
        await register(world, registration_id, key)
    return caught.value


async def test_one_call_gives_a_device_its_home(world: World) -> None:
    await world.enroll("dev-1", initial_twin=twin(interval=5), iot_edge=True)
    registration = await register(world)
    assert registration.status is RegistrationStatus.ASSIGNED
    assert registration.substatus is Substatus.INITIAL_ASSIGNMENT
    assert registration.assignment is not None
    assert (registration.assignment.hub, registration.assignment.device_id) == ("alpha.example", "dev-1")
    hub = world.hub("alpha.example")
    assert hub.specs["dev-1"].credential == SasCredential(primary_key=KEY, secondary_key=OTHER_KEY)
    assert hub.devices["dev-1"].twin.desired == {"interval": 5}
    assert hub.devices["dev-1"].twin.tags == {"site": "north"}
    assert hub.devices["dev-1"].iot_edge
    stored = await world.database.registrations.get("DEV-1")
    assert stored == registration
    assert stored.operation.spec is None, "hub keys do not stay in the record"


async def test_the_operation_can_be_polled_with_the_same_result(world: World) -> None:
    await world.enroll("dev-1")
    registration = await register(world)
    for _ in range(2):
        polled = await world.engine.operation_status(
            claim("dev-1"), evidence("dev-1"), registration.operation.id, context()
        )
        assert polled == registration
    with pytest.raises(HomeportError) as caught:
        await world.engine.operation_status(claim("dev-1"), evidence("dev-1"), "5.0.other", context())
    assert caught.value.code is Code.NOT_FOUND


async def test_a_group_device_gets_its_derived_keys(world: World) -> None:
    await world.enroll_group("fleet")
    key = derive_device_key(GROUP_KEY, "sn-7")
    registration = await register(world, "sn-7", key)
    assert registration.enrollment.group_id == "fleet"
    credential = world.hub("alpha.example").specs["sn-7"].credential
    assert credential == SasCredential(primary_key=key, secondary_key=derive_device_key(OTHER_KEY, "sn-7"))


async def test_another_spelling_is_the_same_device(world: World) -> None:
    await world.enroll_group("fleet")
    first = await register(world, "SN-7", derive_device_key(GROUP_KEY, "SN-7"))
    again = await register(world, "sn-7", derive_device_key(GROUP_KEY, "sn-7"))
    assert again.assignment == first.assignment
    assert list(world.hub("alpha.example").devices) == ["SN-7"]


async def test_a_wanted_device_id_is_taken(world: World) -> None:
    await world.enroll("dev-1", device_id="Pump 7".replace(" ", "_"))
    registration = await register(world)
    assert registration.assignment is not None
    assert registration.assignment.device_id == "Pump_7"


async def test_fifty_calls_at_once_are_one_operation_and_one_identity(world: World) -> None:
    await world.enroll("dev-1")
    results = await asyncio.gather(*(register(world) for _ in range(50)))
    assert len({result.operation.id for result in results}) == 1
    assert {result.status for result in results} == {RegistrationStatus.ASSIGNED}
    assert world.hub("alpha.example").calls == ["provision"]
    assert len(await world.database.attempts.latest("dev-1", limit=100)) == 20, "the newest are kept"


async def test_two_processes_on_one_database_share_the_operation(world: World) -> None:
    await world.enroll("dev-1")
    world.hub("alpha.example").delay = 0.05
    other = process(world.database, world.links, world.clock)
    async with other.running():
        results = await asyncio.gather(*(register(each) for each in (world, other) for _ in range(10)))
    assert len({result.operation.id for result in results}) == 1
    assert world.hub("alpha.example").calls == ["provision"]


async def test_a_rolled_credential_waits_for_the_open_operation_and_then_gets_its_own(world: World) -> None:
    await world.enroll_group("fleet")
    await world.enroll_group("second", symmetric(KEY, KEY))
    world.hub("alpha.example").delay = 0.05
    one, other = await asyncio.gather(
        register(world, "sn-7", derive_device_key(GROUP_KEY, "sn-7")),
        register(world, "sn-7", derive_device_key(KEY, "sn-7")),
    )
    assert one.operation.id != other.operation.id
    assert world.hub("alpha.example").calls == ["provision", "provision"]


# ---------------------------------------------------------------- registering again


async def two_hubs(world: World, **options: Any) -> None:
    """Enroll on alpha, let the device report, then point the enrollment at beta."""
    await world.link_hub("beta")
    await world.enroll("dev-1", iot_hubs=("alpha.example",), initial_twin=twin(interval=5), **options)
    await register(world)
    reported(world.hub("alpha.example"), "dev-1", battery=80)
    stored = await world.database.enrollments.get_individual("dev-1")
    assert stored is not None
    await world.database.enrollments.replace_individual(replace(stored, iot_hubs=("beta.example",)), expected_etag=None)


async def test_moving_takes_twin_and_capabilities_along(world: World) -> None:
    await two_hubs(world, iot_edge=True)
    registration = await register(world)
    assert registration.substatus is Substatus.DEVICE_DATA_MIGRATED
    moved = world.hub("beta.example").devices["dev-1"]
    assert moved.twin.reported == {"battery": 80}
    assert moved.twin.desired == {"interval": 5}
    assert moved.iot_edge
    assert world.hub("alpha.example").devices == {}


async def test_resetting_starts_with_the_initial_twin(world: World) -> None:
    await two_hubs(world, reprovision_policy=ReprovisionPolicy(migrate_device_data=False))
    registration = await register(world)
    assert registration.substatus is Substatus.DEVICE_DATA_RESET
    assert world.hub("beta.example").devices["dev-1"].twin.reported == {}
    assert world.hub("alpha.example").devices == {}


@pytest.mark.parametrize(
    ("policy", "version"),
    [
        (ReprovisionPolicy(update_hub_assignment=False, migrate_device_data=False), "2021-06-01"),
        (None, "2018-04-01"),
    ],
)
async def test_staying_keeps_everything(world: World, policy: ReprovisionPolicy | None, version: str) -> None:
    await two_hubs(world, reprovision_policy=policy)
    registration = await register(world, api_version=version)
    assert registration.substatus is Substatus.REPROVISIONED_TO_INITIAL_ASSIGNMENT
    assert registration.assignment is not None
    assert registration.assignment.hub == "alpha.example"
    assert world.hub("alpha.example").devices["dev-1"].twin.reported == {"battery": 80}
    assert world.hub("beta.example").devices == {}


async def test_a_reset_on_the_same_hub_writes_the_initial_twin_again(world: World) -> None:
    await world.enroll(
        "dev-1", initial_twin=twin(interval=5), reprovision_policy=ReprovisionPolicy(migrate_device_data=False)
    )
    await register(world)
    hub = world.hub("alpha.example")
    device = hub.devices["dev-1"]
    hub.devices["dev-1"] = replace(device, twin=replace(device.twin, desired={"interval": 60}))
    registration = await register(world)
    assert registration.substatus is Substatus.REPROVISIONED_TO_INITIAL_ASSIGNMENT
    assert hub.devices["dev-1"].twin.desired == {"interval": 5}


async def test_data_on_a_hub_that_is_gone_is_left_behind_and_said_so(world: World) -> None:
    await two_hubs(world)
    await world.database.linked_hubs.delete("alpha")
    registration = await register(world)
    assert registration.substatus is Substatus.DEVICE_DATA_RESET
    attempt = (await world.database.attempts.latest("dev-1", limit=1))[0]
    assert any(not check.passed and "left behind" in check.detail for check in attempt.checks)


# ---------------------------------------------------------------- hubs in trouble


async def test_a_slow_hub_makes_the_device_ask_again(world: World) -> None:
    patient = process(world.database, world.links, world.clock, patience=0.02)
    await world.enroll("dev-1")
    world.hub("alpha.example").delay = 0.1
    async with patient.running():
        registration = await register(patient)
        assert registration.status is RegistrationStatus.ASSIGNING
        final = await until_finished(patient, registration.operation.id)
    assert final.status is RegistrationStatus.ASSIGNED
    assert final.operation.id == registration.operation.id


async def until_finished(world: World, operation_id: str) -> Registration:
    async with asyncio.timeout(10):
        while True:
            polled = await world.engine.operation_status(
                claim("dev-1"), evidence("dev-1", now=world.clock.now()), operation_id, context()
            )
            if polled.status is not RegistrationStatus.ASSIGNING:
                return polled
            world.clock.advance(milliseconds=200)
            await asyncio.sleep(0.01)


async def test_a_hub_that_comes_back_gets_the_device(world: World) -> None:
    await world.enroll("dev-1")
    hub = world.hub("alpha.example")
    failures = iter([HubUnavailableError("down"), HubUnavailableError("still down", retry_after=1)])

    def trouble(_: str) -> None:
        if (error := next(failures, None)) is not None:
            world.clock.advance(seconds=2)
            raise error

    hub.before = trouble
    patient = process(world.database, world.links, world.clock, patience=0.01)
    async with patient.running():
        registration = await register(patient)
        final = await until_finished(patient, registration.operation.id)
    assert final.status is RegistrationStatus.ASSIGNED
    assert final.operation.attempts == 2


async def test_a_hub_that_stays_away_ends_in_failed_with_a_reason(world: World) -> None:
    await world.enroll("dev-1")

    def gone(_: str) -> None:
        world.clock.advance(minutes=6)
        raise HubUnavailableError("alpha.example: connection refused")

    world.hub("alpha.example").before = gone
    patient = process(world.database, world.links, world.clock, patience=0.01)
    async with patient.running():
        registration = await register(patient)
        final = await until_finished(patient, registration.operation.id)
    assert final.status is RegistrationStatus.FAILED
    assert final.failure is not None
    assert final.failure.code == Code.ASSIGNMENT_TIMED_OUT
    assert "connection refused" in final.failure.message


async def test_a_hub_that_refuses_ends_in_failed_at_once(world: World) -> None:
    await world.enroll("dev-1")

    def no(_: str) -> None:
        raise HubRefusedError("the device quota is exceeded")

    world.hub("alpha.example").before = no
    registration = await register(world)
    assert registration.failure is not None
    assert registration.failure.code == Code.HUB_REFUSED
    attempt = (await world.database.attempts.latest("dev-1", limit=1))[0]
    assert attempt.outcome is Outcome.FAILED
    assert "quota" in attempt.reason
    assert attempt.advice


async def test_a_failure_later_does_not_take_the_home_away(world: World) -> None:
    await world.enroll("dev-1")
    first = await register(world)

    def no(_: str) -> None:
        raise HubRefusedError("no")

    world.hub("alpha.example").before = no
    failed = await register(world)
    assert failed.status is RegistrationStatus.FAILED
    assert failed.assignment == first.assignment


async def test_a_lease_is_kept_while_a_hub_is_slow(world: World) -> None:
    await world.enroll("dev-1")
    world.hub("alpha.example").delay = 0.2
    slow = process(world.database, world.links, world.clock, lease=timedelta(milliseconds=60))
    async with slow.running():
        registering = asyncio.get_running_loop().create_task(register(slow))
        for _ in range(15):
            await asyncio.sleep(0.01)
            world.clock.advance(milliseconds=10)
        registration = await registering
    assert registration.status is RegistrationStatus.ASSIGNED
    assert world.hub("alpha.example").calls == ["provision"], "the other process did not take it over"


# ---------------------------------------------------------------- nothing to carry out


async def test_a_disabled_enrollment_answers_disabled_once_the_proof_holds(world: World) -> None:
    await world.enroll("dev-1", provisioning_status=ProvisioningStatus.DISABLED)
    assert (await refused(world, key=b"x" * 32)).code is Code.UNAUTHORIZED
    registration = await register(world)
    assert registration.status is RegistrationStatus.DISABLED
    polled = await world.engine.operation_status(
        claim("dev-1"), evidence("dev-1"), registration.operation.id, context()
    )
    assert polled.status is RegistrationStatus.DISABLED
    assert world.hub("alpha.example").devices == {}


async def test_a_disabled_individual_enrollment_bars_the_way_through_a_group(world: World) -> None:
    await world.enroll_group("fleet")
    await world.enroll("sn-7", provisioning_status=ProvisioningStatus.DISABLED)
    error = await refused(world, "sn-7", derive_device_key(GROUP_KEY, "sn-7"))
    assert error.code is Code.UNAUTHORIZED
    assert isinstance(error, RefusedError)
    assert "fleet" in error.refused.reason


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ({"allocation_policy": AllocationPolicy.STATIC}, Code.NO_HUB, "exactly one hub"),
        ({"iot_hubs": ("gone.example",)}, Code.NO_HUB, "gone.example"),
    ],
)
async def test_without_a_hub_the_operation_fails_and_says_so(
    world: World, options: dict[str, Any], code: Code, text: str
) -> None:
    await world.enroll("dev-1", **options)
    registration = await register(world)
    assert registration.status is RegistrationStatus.FAILED
    assert registration.failure is not None
    assert registration.failure.code == code
    assert text in registration.failure.message
    attempt = (await world.database.attempts.latest("dev-1", limit=1))[0]
    assert attempt.advice


# ---------------------------------------------------------------- the record of why


async def test_each_call_leaves_one_record_that_its_tracking_id_finds(world: World) -> None:
    await world.enroll("dev-1")
    await world.engine.register(claim("dev-1"), evidence("dev-1"), None, context("t-1"))
    with pytest.raises(RefusedError):
        await world.engine.register(claim("dev-1"), evidence("dev-1", b"y" * 32), None, context("t-2"))
    good, bad = await world.database.attempts.find("t-1"), await world.database.attempts.find("t-2")
    assert good is not None
    assert bad is not None
    assert (good.outcome, good.assigned_hub, good.code) == (Outcome.ASSIGNED, "alpha.example", None)
    assert all(check.passed for check in good.checks)
    assert (bad.outcome, bad.code) == (Outcome.REFUSED, Code.UNAUTHORIZED)
    assert [check.passed for check in bad.checks][-1] is False
    assert bad.reason
    assert bad.advice
    assert len(await world.database.attempts.latest("dev-1", limit=10)) == 2


async def test_a_refused_poll_is_recorded_and_a_good_one_is_not(world: World) -> None:
    await world.enroll("dev-1")
    registration = await register(world)
    operation = registration.operation.id
    await world.engine.operation_status(claim("dev-1"), evidence("dev-1"), operation, context())
    with pytest.raises(RefusedError):
        await world.engine.operation_status(claim("dev-1"), NoEvidence(), operation, context())
    outcomes = [attempt.outcome for attempt in await world.database.attempts.latest("dev-1", limit=10)]
    assert outcomes == [Outcome.REFUSED, Outcome.ASSIGNED]


async def test_strangers_and_bad_keys_look_the_same(world: World) -> None:
    await world.enroll("dev-1")
    known, unknown = await refused(world, "dev-1", b"z" * 32), await refused(world, "dev-2", b"z" * 32)
    assert (known.code, known.message) == (unknown.code, unknown.message) == (Code.UNAUTHORIZED, "Unauthorized")


async def test_another_id_scope_is_refused_before_anything_else(world: World) -> None:
    await world.enroll("dev-1")
    with pytest.raises(RefusedError) as caught:
        await world.engine.register(
            claim("dev-1", scope="0neOTHER"), evidence("dev-1", scope="0neOTHER"), None, context()
        )
    assert caught.value.code is Code.UNMATCHED
    assert "0ne00111111" in caught.value.refused.reason


async def test_a_fault_is_recorded_without_detail(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.enroll("dev-1")

    async def broken(_: object) -> object:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(type(world.database.registrations), "get", lambda _, key: broken(key))
    with pytest.raises(RuntimeError):
        await register(world)
    attempt = (await world.database.attempts.latest("dev-1", limit=1))[0]
    assert attempt.code == Code.INTERNAL
    assert "secret detail" not in repr(attempt)


async def test_the_device_payload_is_kept(world: World) -> None:
    await world.enroll("dev-1")
    await world.engine.register(claim("dev-1"), evidence("dev-1"), b'{"a": 1}', context())
    stored = await world.database.registrations.get("dev-1")
    assert stored is not None
    assert stored.device_payload == b'{"a": 1}'


async def test_a_registration_state_is_told_to_its_device_only(world: World) -> None:
    await world.enroll("dev-1")
    with pytest.raises(HomeportError) as caught:
        await world.engine.registration_state(claim("dev-1"), evidence("dev-1"), context())
    assert caught.value.code is Code.REGISTRATION_NOT_FOUND
    registration = await register(world)
    assert await world.engine.registration_state(claim("dev-1"), evidence("dev-1"), context()) == registration
    with pytest.raises(RefusedError):
        await world.engine.registration_state(claim("dev-1"), CertificateEvidence(chain=(b"x",)), context())


async def test_no_secret_stands_in_any_record(world: World) -> None:
    await world.enroll("dev-1")
    await world.enroll_group("fleet")
    await register(world)
    for key in (b"q" * 32, derive_device_key(GROUP_KEY, "dev-1"), GROUP_KEY):
        await refused(world, "dev-1", key)
    shown = repr(await world.database.attempts.latest("dev-1", limit=100))
    for secret in (KEY, OTHER_KEY, GROUP_KEY):
        from homeport.security.sas import encode_key

        assert encode_key(secret) not in shown
        assert repr(secret) not in shown
    assert "sig=" not in shown
