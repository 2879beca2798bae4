"""Custom allocation, asked of the engine: who is asked what, and what each answer leads to (contract dps.md 9.3)."""

import asyncio
import base64
import json
import re
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from homeport.dps.asking import RETRIES
from homeport.dps.engine import ChallengeIssued, Registered
from homeport.dps.hubs import Share
from homeport.dps.identifiers import new_etag
from homeport.dps.model import (
    AllocationPolicy,
    CertificateEvidence,
    ClientCertificates,
    CustomAllocation,
    Registration,
    RegistrationStatus,
    ReprovisionPolicy,
    Step,
    Substatus,
    TpmAttestation,
    TpmEvidence,
)
from homeport.dps.ports import AllocationRefusedError, AllocationUnavailableError
from homeport.dps.translate import operation_document
from homeport.errors import Code
from homeport.security.sas import derive_device_key
from homeport.security.tpm import name_of, parse_blob
from homeport.store.stores import open_stores
from homeport.values import replace
from tests.certificates import make_certificate
from tests.transports.world import (
    EPOCH,
    GROUP_KEY,
    KEY,
    FakeAllocator,
    FakeLinks,
    ManualClock,
    PowerCut,
    World,
    claim,
    context,
    evidence,
    new_world,
    process,
    reported,
    token,
    twin,
)
from tests.unit.dps.test_attestation import EK, EK_KEY, SRK, SRK_KEY
from tests.unit.security.tpm_device import Opened, open_blob

HOOK = CustomAllocation(webhook_url="https://hook.example/api/pick?code=s3cret", api_version="2021-10-01")
CUSTOM: dict[str, Any] = {"allocation_policy": AllocationPolicy.CUSTOM, "custom_allocation": HOOK}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with new_world(("alpha", "beta"), patience=0.5) as fresh:
        yield fresh


def answers(world: World, hub: str | None, **more: Any) -> None:
    world.allocator.answer = json.dumps({"iotHubHostName": hub, **more}).encode()


async def register(
    world: World, registration_id: str = "dev-1", key: bytes = KEY, payload: bytes | None = None
) -> Registration:
    proof = evidence(registration_id, key, now=world.clock.now())
    answer = await world.engine.register(claim(registration_id), proof, payload, context())
    assert isinstance(answer, Registered)
    return answer.registration


async def why(world: World, registration_id: str = "dev-1") -> str:
    [attempt] = await world.database.attempts.latest(registration_id, limit=1)
    return "\n".join([*(check.detail for check in attempt.checks), attempt.reason, attempt.advice])


async def test_the_answer_is_the_devices_hub_and_its_payload_goes_to_the_device(world: World) -> None:
    await world.enroll("dev-1", **CUSTOM, initial_twin=twin(interval=5))
    answers(world, "BETA.example", initialTwin=twin(darkness="medium"), payload={"note": ["kept", 1.0]})
    registration = await register(world, payload=b'{"modelId": "a"}')
    assert registration.status is RegistrationStatus.ASSIGNED
    assert registration.substatus is Substatus.INITIAL_ASSIGNMENT
    assert registration.assignment is not None
    assert registration.assignment.hub == "beta.example"
    assert world.hub("beta.example").devices["dev-1"].twin.desired == {"darkness": "medium"}
    state = operation_document(registration).registration_state
    assert json.loads(bytes(state.payload)) == {"note": ["kept", 1.0]}  # type: ignore[union-attr, arg-type]
    assert registration.operation.question is None, "hub keys do not stay in the record"
    told = await why(world)
    assert "https://hook.example chose beta.example" in told
    assert "s3cret" not in told


async def test_the_question_is_the_documented_one(world: World) -> None:
    etag = new_etag(secrets.token_bytes)
    policy = ReprovisionPolicy()
    await world.enroll_group("toasters", **CUSTOM, reprovision_policy=policy, iot_edge=False, etag=etag)
    answers(world, "alpha.example")
    key = derive_device_key(GROUP_KEY, "toaster-7")
    await register(world, "toaster-7", key)
    answers(world, "beta.example")
    await register(world, "toaster-7", key, payload=b'{"modelId": "a"}')
    (first, second) = (json.loads(request) for _, request, _ in world.allocator.asked)
    assert "currentIotHubHostName" not in first["deviceRuntimeContext"]
    assert second["deviceRuntimeContext"] == {
        "registrationId": "toaster-7",
        "currentIotHubHostName": "alpha.example",
        "currentDeviceId": "toaster-7",
        "symmetricKey": {},
        "payload": {"modelId": "a"},
    }
    assert second["linkedHubs"] == ["alpha.example", "beta.example"]
    group = second["enrollmentGroup"]
    assert group["attestation"] == {"type": "symmetricKey"}
    assert group["customAllocationDefinition"]["webhookUrl"] == "https://hook.example/api/pick?****"
    assert re.fullmatch('"[0-9a-f-]{36}"', group["etag"]), "plain, as Azure Functions get it"
    # As Azure Functions get it: the same members.
    assert second.keys() == {"enrollmentGroup", "deviceRuntimeContext", "linkedHubs"}
    assert group.keys() == {
        "enrollmentGroupId", "attestation", "capabilities", "etag", "provisioningStatus", "reprovisionPolicy",
        "createdDateTimeUtc", "lastUpdatedDateTimeUtc", "allocationPolicy", "customAllocationDefinition",
    }  # fmt: skip


async def test_a_question_about_one_device_tells_its_certificate_but_no_key(world: World) -> None:
    await world.enroll("dev-1", **CUSTOM, device_id="pump", optional_device_information={"line": 4})
    answers(world, "alpha.example")
    await register(world)
    question = json.loads(world.allocator.asked[0][1])
    assert question["individualEnrollment"]["registrationId"] == "dev-1"
    assert question["individualEnrollment"]["attestation"] == {"type": "symmetricKey"}
    assert question["individualEnrollment"]["optionalDeviceInformation"] == {"line": 4}
    leaf = make_certificate("dev-2", not_before=EPOCH - timedelta(days=1), not_after=EPOCH + timedelta(days=1))
    await world.enroll("dev-2", ClientCertificates(primary=leaf.der), **CUSTOM)
    proof = CertificateEvidence(chain=(leaf.der,))
    await world.engine.register(claim("dev-2"), proof, None, context())
    runtime = json.loads(world.allocator.asked[1][1])["deviceRuntimeContext"]
    assert runtime["x509"]["clientCertificates"]["primary"]["info"]["subjectName"] == "CN=dev-2"


async def test_only_hubs_that_may_be_had_are_offered(world: World) -> None:
    await world.hubs.update("alpha", Share(draining=True))
    await world.enroll("dev-1", **CUSTOM)
    answers(world, "alpha.example")
    registration = await register(world)
    assert json.loads(world.allocator.asked[0][1])["linkedHubs"] == ["beta.example"]
    assert registration.status is RegistrationStatus.FAILED
    assert "none of the hubs it was offered" in await why(world)


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (b'{"iotHubHostName": null}', Code.NO_HUB, "names no hub"),
        (b'{"iotHubHostName": " "}', Code.NO_HUB, "names no hub"),
        (b"{}", Code.NO_HUB, "names no hub"),
        (b"", Code.CUSTOM_ALLOCATION_FAILED, "cannot be read"),
        (b"<html>", Code.CUSTOM_ALLOCATION_FAILED, "cannot be read"),
        (b"[" * 40_000, Code.CUSTOM_ALLOCATION_FAILED, "cannot be read"),
        (b'{"iotHubHostName": "' + b"x" * 70_000 + b'"}', Code.CUSTOM_ALLOCATION_FAILED, "at most"),
        (b'{"iotHubHostName": "evil.example"}', Code.CUSTOM_ALLOCATION_FAILED, "none of the hubs"),
        (b'{"iotHubHostName": "alpha.example", "payload": [1]}', Code.CUSTOM_ALLOCATION_FAILED, "payload"),
        (b'{"iotHubHostName": "alpha.example", "initialTwin": {"tags": 1}}', Code.CUSTOM_ALLOCATION_FAILED, "Twin"),
        (AllocationRefusedError("the webhook answered 400"), Code.CUSTOM_ALLOCATION_FAILED, "answered 400"),
        (
            AllocationRefusedError("the webhook answered 401", unauthorized=True),
            Code.CUSTOM_ALLOCATION_UNAUTHORIZED,
            "key in the query",
        ),
    ],
)
async def test_an_answer_that_cannot_be_used_fails_the_registration(
    world: World, answer: bytes | Exception, code: Code, words: str
) -> None:
    await world.enroll("dev-1", **CUSTOM)
    world.allocator.answer = answer
    registration = await register(world)
    assert registration.status is RegistrationStatus.FAILED
    assert registration.failure is not None
    assert registration.failure.code == code
    assert words in await why(world)
    assert registration.operation.question is None
    assert not world.hub("alpha.example").devices


async def test_whoever_cannot_answer_is_asked_ten_times_more_at_growing_intervals(world: World) -> None:
    await world.enroll("dev-1", **CUSTOM)
    world.allocator.answer = AllocationUnavailableError("the webhook answered 503")
    answer = await register(world)
    waits = []
    async with asyncio.timeout(20):
        while True:
            stored = await world.database.registrations.get("dev-1")
            assert stored is not None
            if stored.status is not RegistrationStatus.ASSIGNING:
                break
            polled = await world.engine.operation_status(
                claim("dev-1"), evidence("dev-1", now=world.clock.now()), answer.operation.id, context()
            )
            assert polled.status is RegistrationStatus.ASSIGNING, "the device keeps polling"
            retry_at = stored.operation.retry_at
            if retry_at is None or retry_at <= world.clock.now():
                await asyncio.sleep(0.01)
                continue
            waits.append((retry_at - world.clock.now()).total_seconds())
            world.clock.time = retry_at
    assert waits == [1 + 9 * number for number in range(RETRIES)]
    assert len(world.allocator.asked) == RETRIES + 1
    assert len({question for _, _, question in world.allocator.asked}) == 1, "one question, repeated"
    assert stored.failure is not None
    assert stored.failure.code == Code.CUSTOM_ALLOCATION_FAILED
    await world.engine.operation_status(
        claim("dev-1"), evidence("dev-1", now=world.clock.now()), answer.operation.id, context()
    )
    assert "503 (try 11, the last one)" in await why(world)


async def test_one_that_recovers_is_heard(world: World) -> None:
    await world.enroll("dev-1", **CUSTOM)
    world.allocator.answer = AllocationUnavailableError("no answer")
    pending = await register(world)
    assert pending.status is RegistrationStatus.ASSIGNING
    answers(world, "beta.example")
    world.clock.advance(seconds=2)
    final = await register(world)
    assert final.operation.id == pending.operation.id
    assert final.assignment is not None
    assert final.assignment.hub == "beta.example"


async def test_an_answered_twin_wins_over_the_migrated_one(world: World) -> None:
    await world.enroll("dev-1", **CUSTOM, initial_twin=twin(interval=5), reprovision_policy=ReprovisionPolicy())
    answers(world, "alpha.example")
    await register(world)
    reported(world.hub("alpha.example"), "dev-1", battery=80)
    answers(world, "beta.example", initialTwin={"properties": {"desired": {"fresh": True}}})
    registration = await register(world)
    assert registration.substatus is Substatus.DEVICE_DATA_MIGRATED
    moved = world.hub("beta.example").devices["dev-1"].twin
    assert (moved.tags, moved.desired, moved.reported) == ({}, {"fresh": True}, {"battery": 80})
    assert not world.hub("alpha.example").devices


async def test_a_device_that_never_moves_is_not_asked_about(world: World) -> None:
    policy = ReprovisionPolicy(update_hub_assignment=False, migrate_device_data=False)
    await world.enroll("dev-1", **CUSTOM, reprovision_policy=policy)
    answers(world, "alpha.example", payload={"a": 1})
    await register(world)
    answers(world, "beta.example")
    registration = await register(world)
    assert registration.assignment is not None
    assert registration.assignment.hub == "alpha.example"
    assert len(world.allocator.asked) == 1


async def test_a_hub_that_was_unlinked_meanwhile_is_no_answer(world: World) -> None:
    await world.enroll("dev-1", **CUSTOM)
    answers(world, "beta.example")
    gone = asyncio.Event()

    async def unlink(*_: Any, **__: Any) -> bytes:
        await world.database.linked_hubs.delete("beta")
        gone.set()
        return b'{"iotHubHostName": "beta.example"}'

    world.allocator.ask = unlink  # type: ignore[method-assign]
    registration = await register(world)
    assert gone.is_set()
    assert registration.status is RegistrationStatus.FAILED
    assert "not linked any more" in await why(world)


@pytest.mark.parametrize("point", ["question stored", "asked", "answer stored", "provisioned"])
async def test_a_power_cut_at_any_moment_loses_nothing(point: str) -> None:
    """The process dies; the next one asks again if need be, and never otherwise."""
    async with open_stores(":memory:") as database:
        allocator = FakeAllocator()
        clock = ManualClock()
        world = process(database, FakeLinks(), clock, allocator=allocator)
        for name in ("alpha", "beta"):
            await world.link_hub(name)
        await world.enroll("dev-1", **CUSTOM)
        answers(world, "beta.example", payload={"n": 1})
        cut = {"at": point}

        def die(here: str) -> None:
            if cut["at"] == here:
                raise PowerCut

        allocator.before = lambda: die("asked")
        world.hub("beta.example").after = lambda _: die("provisioned")
        original = database.registrations.save

        async def save(registration: Registration, **options: Any) -> None:
            await original(registration, **options)
            if registration.operation.step is Step.PROVISION and registration.status is RegistrationStatus.ASSIGNING:
                die("answer stored")

        database.registrations.save = save  # type: ignore[method-assign]
        loop = asyncio.get_running_loop()
        run = loop.create_task(world.assigner.run()) if point != "question stored" else None
        await asyncio.sleep(0)
        call = loop.create_task(register(world))
        tasks = [task for task in (run, call) if task is not None]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        asked_before = len(allocator.asked)

        cut["at"] = ""
        clock.advance(seconds=11)
        successor = process(database, world.links, clock, allocator=allocator)
        async with successor.running():
            final = await register(successor)
        assert final.status is RegistrationStatus.ASSIGNED
        assert final.assignment is not None
        assert final.assignment.hub == "beta.example"
        assert json.loads(final.payload or b"") == {"n": 1}
        assert list(world.hub("beta.example").devices) == ["dev-1"]
        repeated = len(allocator.asked) - asked_before
        assert repeated == (1 if point in {"question stored", "asked"} else 0)
        assert len({question for _, _, question in allocator.asked}) == 1


async def test_a_slow_answer_keeps_its_lease(world: World) -> None:
    async with new_world(("alpha",), lease=timedelta(milliseconds=90), patience=1.0) as slow:
        await slow.enroll("dev-1", **CUSTOM)
        answers(slow, "alpha.example")
        slow.allocator.delay = 0.4
        registration = await register(slow)
        assert registration.status is RegistrationStatus.ASSIGNED
        assert len(slow.allocator.asked) == 1


async def test_a_tpms_key_is_made_for_the_hub_that_was_answered(world: World) -> None:
    """The blob names the hub (contract dps.md 7.3), so it can be made no earlier than the answer is known."""
    await world.enroll("dev-1", TpmAttestation(endorsement_key=EK), **CUSTOM)
    answers(world, "beta.example")
    keys = TpmEvidence(endorsement_key=EK, storage_root_key=SRK)
    challenge = await world.engine.register(claim("dev-1"), keys, None, context())
    assert isinstance(challenge, ChallengeIssued)
    proof = token("dev-1", opened(challenge.blob).key)
    answer = await world.engine.register(claim("dev-1"), replace(keys, token=proof), None, context())
    assert isinstance(answer, Registered)
    registration = answer.registration
    assert registration.status is RegistrationStatus.ASSIGNED
    assert registration.tpm_key_blob is not None
    hub_key = opened(registration.tpm_key_blob)
    assert hub_key.uri.startswith(b"beta.example/devices/dev-1")
    credential = world.hub("beta.example").specs["dev-1"].credential
    assert getattr(credential, "primary_key", None) == hub_key.key
    runtime = json.loads(world.allocator.asked[0][1])["deviceRuntimeContext"]
    assert base64.b64decode(runtime["tpm"]["endorsementKey"]) == EK
    assert base64.b64decode(runtime["tpm"]["storageRootKey"]) == SRK


def opened(blob: bytes) -> Opened:
    return open_blob(parse_blob(blob), EK_KEY, SRK_KEY, name_of(SRK))
