"""Allocation for administrators: settings, explanations, what would move, over REST; and what links are like."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from homeport.dps.engine import Registered
from homeport.dps.frontends.admin import AdminRequest, AllocationResource, HubsResource
from homeport.dps.hub_health import HubHealthMonitor, HubState
from homeport.dps.hubs import Share
from homeport.dps.model import ProvisioningStatus, ReprovisionPolicy, SymmetricKeyAttestation
from homeport.dps.ports import HubRefusedError, HubUnavailableError
from homeport.errors import HomeportError
from homeport.security.callers import SYSTEM
from homeport.security.sas import derive_device_key
from tests.transports.test_custom_allocation import CUSTOM
from tests.transports.world import GROUP_KEY, World, claim, context, evidence, new_world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with new_world(("alpha", "beta")) as fresh:
        await fresh.enroll_group("fleet")
        yield fresh


async def ask(
    world: World, method: str, path: str, document: Any = None, *, headers: dict[str, str] | None = None
) -> tuple[int, Any, dict[str, str]]:
    collection, *rest = path.split("/")
    kind = HubsResource if collection == "hubs" else AllocationResource
    resource = next(each for each in world.admin if isinstance(each, kind))
    body = b"" if document is None else json.dumps(document).encode()
    request = AdminRequest(
        path=(collection, *rest), parameters={}, headers=headers or {}, body=body, tracking_id="t", caller=SYSTEM
    )
    _, run = resource.calls(request)[method]
    try:
        reply = await run()
    except HomeportError as error:
        return error.code.status, {"message": error.message, "code": int(error.code)}, {}
    return reply.status, json.loads(reply.body), dict(reply.headers)


async def register(world: World, registration_id: str, payload: bytes | None = None) -> str:
    proof = evidence(registration_id, derive_device_key(GROUP_KEY, registration_id))
    answer = await world.engine.register(claim(registration_id), proof, payload, context())
    assert isinstance(answer, Registered)
    assert answer.registration.assignment is not None, answer.registration.failure
    return answer.registration.assignment.hub


async def compare(world: World, size: int = 7, **changes: Any) -> dict[str, Any]:
    """All parts added up."""
    total: dict[str, Any] = {"examined": 0, "movements": [], "asked": 0, "orphaned": 0}
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    token = None
    while True:
        headers = {"x-ms-max-item-count": str(size)} | ({"x-ms-continuation": token} if token else {})
        status, part, answered = await ask(world, "POST", "allocation/whatIf", changes, headers=headers)
        assert status == 200, part
        assert part["examined"] <= size
        for member in ("examined", "asked", "orphaned"):
            total[member] += part[member]
        total["movements"] += part["movements"]
        before.update(part["before"])
        after.update(part["after"])
        token = answered.get("x-ms-continuation")
        if token is None:
            return total | {"before": dict(before), "after": dict(after)}


# ------------------------------------------------------------ explain


async def test_an_explanation_is_what_then_happens(world: World) -> None:
    for number in range(10):
        name = f"d{number}"
        status, told, _ = await ask(
            world, "POST", "allocation/explain", {"registrationId": name, "enrollmentGroupId": "FLEET"}
        )
        assert status == 200
        assert told["result"] == "assign"
        assert told["enrollmentGroupId"] == "fleet"
        assert await world.database.registrations.get(name) is None, "nothing was assigned"
        assert await register(world, name) == told["assignedHub"]
    status, told, _ = await ask(world, "POST", "allocation/explain", {"registrationId": "d1"})
    assert (told["currentHub"], told["assignedHub"]) == (told["assignedHub"], told["currentHub"])


async def test_an_explanation_needs_an_enrollment(world: World) -> None:
    status, told, _ = await ask(world, "POST", "allocation/explain", {"registrationId": "stranger"})
    assert (status, told["code"]) == (404, 404201)
    assert "Name the group" in told["message"]
    status, told, _ = await ask(
        world, "POST", "allocation/explain", {"registrationId": "x", "enrollmentGroupId": "none"}
    )
    assert (status, told["code"]) == (404, 404202)


async def test_explanations_of_devices_that_are_not_chosen_for(world: World) -> None:
    await world.enroll("off", provisioning_status=ProvisioningStatus.DISABLED)
    await world.enroll("asked", **CUSTOM)
    results = {}
    for name in ("off", "asked"):
        _, told, _ = await ask(world, "POST", "allocation/explain", {"registrationId": name})
        results[name] = (told["result"], told["reason"])
    assert results["off"] == ("none", "the enrollment is disabled")
    assert results["asked"][0] == "ask"
    assert "https://hook.example" in results["asked"][1]
    assert "s3cret" not in results["asked"][1]
    assert not world.allocator.asked, "explaining asks nobody"


async def test_latencies_are_explained_from_payload_and_address(world: World) -> None:
    settings = {
        "defaultPolicy": "GEOLATENCY",
        "regions": [{"name": "eu"}, {"name": "us"}],
        "addresses": [{"prefix": "192.0.2.77/24", "region": "us"}],
        "latencies": [{"between": ["eu", "us"], "milliseconds": 80}],
    }
    status, stored, _ = await ask(world, "PUT", "allocation/settings", settings)
    assert status == 200
    assert stored["addresses"] == [{"prefix": "192.0.2.0/24", "region": "us"}]
    assert (await ask(world, "GET", "allocation/settings"))[1] == stored
    await world.hubs.update("alpha", Share(region="eu"))
    await world.hubs.update("beta", Share(region="us"))
    question = {"registrationId": "dev", "enrollmentGroupId": "fleet", "remoteAddress": "192.0.2.1"}
    _, told, _ = await ask(world, "POST", "allocation/explain", question)
    assert (told["assignedHub"], told["isDefaultPolicy"]) == ("beta.example", True)
    assert [each["milliseconds"] for each in told["candidates"]] == [0, 80]
    assert await register(world, "dev") == "beta.example", "the world's devices call from 192.0.2.1"
    payload = {"homeport": {"latencies": {"alpha.example": 5, "beta.example": 50}}}
    _, told, _ = await ask(world, "POST", "allocation/explain", question | {"payload": payload})
    assert told["assignedHub"] == "alpha.example"
    assert await register(world, "dev", json.dumps(payload).encode()) == "alpha.example"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"defaultPolicy": "custom"}, "cannot be the default"),
        ({"defaultPolicy": "nearest"}, "none of"),
        ({"regions": [{"name": "a"}, {"name": "A"}]}, "different"),
        ({"regions": [{"name": ""}]}, "different"),
        ({"regions": [{"name": "a", "latitude": 1}]}, "one coordinate"),
        ({"regions": [{"name": "a", "latitude": 91, "longitude": 0}]}, "nowhere on Earth"),
        ({"regions": [{"name": "a"}], "addresses": [{"prefix": "10.0.0.0/33", "region": "a"}]}, "address range"),
        ({"addresses": [{"prefix": "10.0.0.0/8", "region": "x"}]}, "none of the regions"),
        (
            {"regions": [{"name": "a"}], "latencies": [{"between": ["a", "b"], "milliseconds": 1}]},
            "none of the regions",
        ),
        ({"regions": [{"name": "a"}], "latencies": [{"between": ["a", "a"], "milliseconds": -1}]}, "0 to 60000"),
        ({"regions": [{"name": f"r{number}"} for number in range(201)]}, "more than 200"),
        ([], "object"),
    ],
)
async def test_settings_that_make_no_sense_are_refused(world: World, settings: Any, words: str) -> None:
    status, told, _ = await ask(world, "PUT", "allocation/settings", settings)
    assert status == 400
    assert words in told["message"]


# ------------------------------------------------------------ what if


async def test_what_if_says_exactly_who_then_moves(world: World) -> None:
    homes = {name: await register(world, name) for name in (f"d{number}" for number in range(30))}
    told = await compare(world, weights={"beta": 9})
    assert told["examined"] == 30
    assert told["before"] == dict(Counter(homes.values()))
    moves = {each["registrationId"]: (each["fromHub"], each["toHub"]) for each in told["movements"]}
    assert moves
    assert {name: await register(world, name) for name in homes} == homes, "nothing moved"
    await world.hubs.update("beta", Share(allocation_weight=9))
    then = {name: await register(world, name) for name in homes}
    assert {name: (homes[name], then[name]) for name in homes if homes[name] != then[name]} == moves
    assert told["after"] == dict(Counter(then.values()))


async def test_what_if_a_hub_were_gone_or_drained(world: World) -> None:
    for number in range(12):
        await register(world, f"d{number}")
    told = await compare(world, without=["ALPHA.example"])
    assert told["after"] == {"beta.example": 12}
    assert {each["toHub"] for each in told["movements"]} == {"beta.example"}
    assert (await compare(world, drained=["alpha"]))["movements"] == []
    nowhere = await compare(world, without=["alpha", "beta"])
    assert nowhere["after"] == {}
    assert all("toHub" not in each for each in nowhere["movements"])


async def test_what_if_the_policy_were_another(world: World) -> None:
    for number in range(5):
        await register(world, f"d{number}")
    told = await compare(world, policy="static")
    assert len(told["movements"]) == 5
    assert "exactly one hub" in told["movements"][0]["reason"]


async def test_what_is_not_known_or_does_not_move_is_counted(world: World) -> None:
    never = ReprovisionPolicy(update_hub_assignment=False, migrate_device_data=False)
    world.allocator.answer = b'{"iotHubHostName": "alpha.example"}'
    for name, options in (
        ("asked", CUSTOM),
        ("still", {"reprovision_policy": never, "iot_hubs": ("alpha.example",)}),
        ("gone", {"iot_hubs": ("alpha.example",)}),
    ):
        await world.enroll(name, symmetric_of(name), **options)
        await register(world, name)
    await world.database.enrollments.delete_individual("gone", expected_etag=None)
    told = await compare(world, weights={"alpha": 1, "beta": 1000}, drained=["alpha"], policy=None)
    assert (told["asked"], told["orphaned"], told["movements"]) == (1, 1, [])
    assert told["after"] == {"alpha.example": 3}
    lost = await compare(world, without=["alpha"])
    assert [(each["registrationId"], each.get("toHub")) for each in lost["movements"]] == [("still", None)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": {"gamma": 1}}, "no hub 'gamma'"),
        ({"without": ["gamma"]}, "no hub 'gamma'"),
        ({"weights": {"alpha": 0}}, "between 1 and 1000"),
        ({"policy": "custom"}, "not known"),
        ({"policy": "x"}, "none of"),
        ({"weights": []}, "object"),
    ],
)
async def test_changes_that_make_no_sense_are_refused(world: World, changes: Any, words: str) -> None:
    status, told, _ = await ask(world, "POST", "allocation/whatIf", changes)
    assert status == 400
    assert words in told["message"]


# ------------------------------------------------------------ signing keys, links


async def test_a_rotation_keeps_the_old_key_as_the_second(world: World) -> None:
    _, first, _ = await ask(world, "GET", "allocation/signingKeys")
    assert (await ask(world, "GET", "allocation/signingKeys"))[1] == first
    _, second, _ = await ask(world, "POST", "allocation/signingKeys/rotate")
    assert second["secondaryKey"] == first["primaryKey"]
    assert second["primaryKey"] not in first.values()
    assert (await ask(world, "GET", "allocation/signingKeys"))[1] == second


@pytest.mark.parametrize(
    ("trouble", "state"),
    [
        (None, HubState.HEALTHY),
        (HubUnavailableError("it is away"), HubState.UNREACHABLE),
        (HubRefusedError("wrong key", unauthorized=True), HubState.UNAUTHORIZED),
        (HubRefusedError("no device document"), HubState.REFUSING),
    ],
)
async def test_a_link_is_looked_at_when_asked(world: World, trouble: Exception | None, state: HubState) -> None:
    def meet(_: str) -> None:
        if trouble is not None:
            raise trouble

    world.hub("beta.example").before = meet
    status, told, _ = await ask(world, "POST", "hubs/BETA/check")
    assert status == 200
    assert told["health"]["state"] == state.value
    assert told["health"]["detail"] == ("" if trouble is None else str(trouble))
    listed = {each["name"]: each.get("health") for each in (await ask(world, "GET", "hubs"))[1]}
    assert listed == {"alpha": None, "beta": told["health"]}


async def test_links_are_looked_after_by_themselves(world: World) -> None:
    monitor = HubHealthMonitor(
        hubs=world.database.linked_hubs, links=world.links, bus=world.bus, clock=world.clock, interval=3600
    )
    task = asyncio.get_running_loop().create_task(monitor.run())
    try:
        async with asyncio.timeout(10):
            await until(monitor, 2)
            await world.database.linked_hubs.delete("beta")
            await world.hubs.update("alpha", Share(allocation_weight=5))
            await until(monitor, 1)
    finally:
        task.cancel()


def symmetric_of(name: str) -> SymmetricKeyAttestation:
    key = derive_device_key(GROUP_KEY, name)
    return SymmetricKeyAttestation(primary_key=key, secondary_key=key)


async def until(monitor: HubHealthMonitor, healthy: int) -> None:
    while dict(monitor.count())["healthy"] != healthy:  # noqa: ASYNC110 - the monitor tells nobody
        await asyncio.sleep(0.01)
