"""Shared access policies over HTTPS: rights, keys and their rotation, and that somebody always may administer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from homeport.dps.administration import PoliciesResponder
from homeport.dps.frontends.admin import AdminFrontEnd, PoliciesResource
from homeport.dps.frontends.authorization import Authorization
from homeport.dps.frontends.http_service import ServiceFrontEnd
from homeport.dps.policies import CurrentPolicies, PolicyService, administrator, seed_policies
from homeport.security import sas
from homeport.security.policies import DpsRight, default_dps_policies
from tests.transports.serving import Answer, Server, serving
from tests.transports.test_http_service import HOST, VERSION, enrollment
from tests.transports.world import EPOCH, World, new_world

OWNER = "provisioningserviceowner"


class Counter:
    """Bytes that are never the same."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, count: int) -> bytes:
        self.number += 1
        return self.number.to_bytes(2, "big") * (count // 2) + bytes(count % 2)


class Administration:
    """A server, and its policies as they are in the store."""

    def __init__(self, server: Server, world: World, current: CurrentPolicies) -> None:
        self.server, self.world, self.current = server, world, current

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        policy: str = OWNER,
        key: bytes | None = None,
        if_match: str | None = None,
    ) -> Answer:
        if key is None:
            stored = await self.world.database.policies.all()
            key = next((each.policy.primary_key for each in stored if each.name == policy), b"none")
        signed = sas.sign(sas.encode_resource(HOST), key, int(EPOCH.timestamp()) + 600, policy)
        headers = {"Authorization": signed} | ({} if if_match is None else {"If-Match": if_match})
        return await self.server.ask(method, path, body, headers)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with new_world() as fresh:
        yield fresh


@pytest.fixture
async def admin(world: World) -> AsyncIterator[Administration]:
    random = Counter()
    store = world.database.policies
    await seed_policies(store, (), now=EPOCH, random=random)
    current = CurrentPolicies(store, world.clock)
    await current.refresh()
    guard = Authorization(policies=current, hosts=lambda: {HOST}, clock=world.clock)
    resource = PoliciesResource(PoliciesResponder(PolicyService(store, current, world.clock, random)))
    async with serving(
        ServiceFrontEnd(world.service, guard, clock=world.clock, random=random),
        AdminFrontEnd((resource,), guard, clock=world.clock, random=random),
    ) as server:
        yield Administration(server, world, current)


async def test_a_new_service_has_its_owner_and_tells_no_keys(admin: Administration) -> None:
    (owner,) = (await admin.ask("GET", "/homeport/policies")).document
    assert owner["name"] == OWNER
    assert set(owner["rights"]) == {right.value for right in DpsRight}
    assert "primaryKey" not in owner
    assert "primaryKey" not in (await admin.ask("GET", f"/homeport/policies/{OWNER.upper()}")).document
    told = (await admin.ask("POST", f"/homeport/policies/{OWNER}/keys")).document
    assert told["primaryKey"] != told["secondaryKey"]


async def test_each_right_allows_its_calls_and_no_others(admin: Administration) -> None:
    rights = [right.value for right in DpsRight]
    for right in rights:
        made = await admin.ask("PUT", f"/homeport/policies/only-{right}", {"rights": [right.lower()]})
        assert (made.status, made.document["rights"]) == (200, [right])
    calls = {
        ("GET", "/homeport/policies"): "ServiceConfigRead",
        ("POST", f"/homeport/policies/{OWNER}/keys"): "ServiceConfig",
        ("GET", f"/enrollments/a{VERSION}"): "EnrollmentRead",
        ("POST", f"/enrollments/query{VERSION}"): "EnrollmentRead",
        ("PUT", f"/enrollments/a{VERSION}"): "EnrollmentWrite",
        ("POST", f"/enrollments{VERSION}"): "EnrollmentWrite",
        ("POST", f"/enrollments/a/attestationmechanism{VERSION}"): "EnrollmentWrite",
        ("GET", f"/registrations/a{VERSION}"): "RegistrationStatusRead",
        ("POST", f"/registrations/a/query{VERSION}"): "RegistrationStatusRead",
        ("DELETE", f"/registrations/a{VERSION}"): "RegistrationStatusWrite",
    }
    for (method, path), needed in calls.items():
        for right in rights:
            body = enrollment("a") if method == "PUT" else None
            answer = await admin.ask(method, path, body, policy=f"only-{right}")
            allowed = right == needed or (needed, right) == ("ServiceConfigRead", "ServiceConfig")
            assert (answer.status != 401) is allowed, (method, path, right)


async def test_a_key_is_rotated_while_the_other_one_works(admin: Administration) -> None:
    path = f"/homeport/policies/{OWNER}"
    old = (await admin.ask("POST", f"{path}/keys")).document
    primary, secondary = (sas.decode_key(old[name]) for name in ("primaryKey", "secondaryKey"))
    new = (await admin.ask("POST", f"{path}/regenerate", {"key": "Primary"}, key=secondary)).document
    assert new["secondaryKey"] == old["secondaryKey"]
    assert new["etag"] != old["etag"]
    assert (await admin.ask("GET", path, key=primary)).status == 401
    for key in (secondary, sas.decode_key(new["primaryKey"])):
        assert (await admin.ask("GET", path, key=key)).status == 200
    swapped = (await admin.ask("POST", f"{path}/swap")).document
    assert (swapped["primaryKey"], swapped["secondaryKey"]) == (new["secondaryKey"], new["primaryKey"])
    assert (await admin.ask("POST", f"{path}/regenerate", {"key": "tertiary"})).status == 400


async def test_changes_of_a_version(admin: Administration) -> None:
    path = "/homeport/policies/ops"
    keys = {"primaryKey": sas.encode_key(b"p" * 32), "secondaryKey": sas.encode_key(b"s" * 32)}
    made = (await admin.ask("PUT", path, {"rights": ["EnrollmentRead"], **keys})).document
    assert made | keys == made
    changed = await admin.ask("PATCH", path, {"rights": ["EnrollmentRead", "EnrollmentWrite"]}, if_match=made["etag"])
    assert changed.status == 200
    assert "primaryKey" not in changed.document
    for method, below, body in (("PATCH", "", {"rights": ["ServiceConfig"]}), ("DELETE", "", None),
                                ("POST", "/swap", None), ("POST", "/regenerate", {"key": "primary"})):  # fmt: skip
        stale = await admin.ask(method, path + below, body, if_match=made["etag"])
        assert (stale.status, stale.document["errorCode"]) == (412, 412000)
    assert (await admin.ask("DELETE", path, if_match=f'"{changed.document["etag"]}"')).status == 204
    assert (await admin.ask("GET", path)).status == 404


async def test_somebody_can_always_administer(admin: Administration) -> None:
    for method, body in (("DELETE", None), ("PATCH", {"rights": ["EnrollmentRead"]})):
        refused = await admin.ask(method, f"/homeport/policies/{OWNER}", body)
        assert (refused.status, refused.document["errorCode"]) == (409, 409206)
    await admin.ask("PUT", "/homeport/policies/second", {"rights": ["ServiceConfig"]})
    assert (await admin.ask("DELETE", f"/homeport/policies/{OWNER}")).status == 204
    assert (await admin.ask("DELETE", "/homeport/policies/second", policy="second")).status == 409


async def test_of_two_who_delete_each_other_one_stays(admin: Administration) -> None:
    await admin.ask("PUT", "/homeport/policies/second", {"rights": ["ServiceConfig"]})
    answers = await asyncio.gather(
        admin.ask("DELETE", f"/homeport/policies/{OWNER}"),
        admin.ask("DELETE", "/homeport/policies/second", policy="second"),
    )
    assert 204 in {answer.status for answer in answers}
    assert len(await admin.world.database.policies.all()) == 1


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("a b", {"rights": ["ServiceConfig"]}, 400000),
        ("a=b", {"rights": ["ServiceConfig"]}, 400000),
        ("x" * 65, {"rights": ["ServiceConfig"]}, 400000),
        ("new", {"rights": []}, 400000),
        ("new", {"rights": ["Everything"]}, 400000),
        ("new", {"rights": ["ServiceConfig"], "primaryKey": "no"}, 400000),
        ("new", {}, 400000),
        (OWNER.upper(), {"rights": ["ServiceConfig"]}, 409205),
    ],
)
async def test_policies_that_are_refused(admin: Administration, name: str, body: Any, code: int) -> None:
    refused = await admin.ask("PUT", f"/homeport/policies/{name.replace(' ', '%20')}", body)
    assert refused.document["errorCode"] == code


async def test_another_process_hears_of_a_change_by_itself(admin: Administration) -> None:
    other = CurrentPolicies(admin.world.database.policies, admin.world.clock)
    heard = asyncio.Event()
    other.when_changed(lambda: heard.set() if len(other()) == 2 else None)
    task = asyncio.ensure_future(other.keep_fresh())
    try:
        await admin.ask("PUT", "/homeport/policies/second", {"rights": ["ServiceConfig"]})
        await asyncio.wait_for(heard.wait(), 10)
    finally:
        task.cancel()
    assert {policy.name for policy in other()} == {OWNER, "second"}


async def test_this_machines_tools_take_whom_may_administer(admin: Administration) -> None:
    assert administrator(admin.current(), OWNER).name == OWNER
    await admin.ask("PUT", "/homeport/policies/boss", {"rights": ["ServiceConfig"]})
    await admin.ask("PATCH", f"/homeport/policies/{OWNER}", {"rights": ["EnrollmentRead"]})
    assert administrator(admin.current(), OWNER).name == "boss"


async def test_what_the_first_builds_had_is_kept(world: World) -> None:
    random = Counter()
    old = default_dps_policies(random)
    await seed_policies(world.database.policies, old, now=EPOCH, random=random)
    await seed_policies(world.database.policies, default_dps_policies(random), now=EPOCH, random=random)
    (stored,) = await world.database.policies.all()
    assert stored.policy == old[0]
