"""Queries over HTTPS: what they find and say, their pages, and what stays as it was (dps.md 8.6, 13.1, 8.8)."""

from typing import Any

import pytest

from homeport.dps.enrollments import EnrollmentService
from homeport.dps.model import RegistrationStatus
from homeport.errors import Code, HomeportError
from tests.contract.store.samples import finished, registration
from tests.transports.serving import Server
from tests.transports.test_http_service import VERSION, ask, enrollment, group_body, server, world
from tests.transports.world import World, context, evidence, group, symmetric
from tests.transports.world import claim as claim_of

__all__ = ["server", "world"]

NEWEST = "?api-version=2026-11-01"


async def found(server: Server, path: str, query: str, **headers: str) -> Any:
    answer = await ask(server, "POST", f"{path}/query{VERSION}", {"query": query}, headers)
    assert answer.status == 200, answer.body
    return answer


async def ids(server: Server, path: str, query: str) -> list[str]:
    return [
        item.get("registrationId", item.get("enrollmentGroupId"))
        for item in (await found(server, path, query)).document
    ]


async def register(world: World, *names: str) -> None:
    for name in names:
        await world.engine.register(claim_of(name), evidence(name), None, context())


async def test_enrollments_are_found_by_what_became_of_them(server: Server, world: World) -> None:
    for name in ("a", "b", "c"):
        await world.enroll(name)
    await world.enroll("far", iot_hubs=("nowhere.example",))
    await register(world, "a", "far")
    assert await ids(server, "/enrollments", "SELECT * WHERE registrationState.status = 'assigned'") == ["a"]
    assert await ids(server, "/enrollments", "SELECT * WHERE registrationState.status = 'failed'") == ["far"]
    assert await ids(server, "/enrollments", "SELECT * WHERE registrationState.status = 'unassigned'") == ["b", "c"]
    listed = (await found(server, "/enrollments", "SELECT * WHERE registrationState.status = 'failed'")).document
    assert "registrationState" not in listed[0]
    everything = "/homeport/registrations"
    assert await ids(server, everything, "SELECT * WHERE errorCode >= 400000") == ["far"]
    by_get = await ask(server, "GET", f"{everything}?query=SELECT%20*%20WHERE%20status='assigned'")
    assert [item["registrationId"] for item in by_get.document] == ["a"]


async def test_pages_carry_on_with_the_same_query_only(server: Server, world: World) -> None:
    for number in range(5):
        await world.enroll(f"dev{number}", device_id="odd" if number % 2 else "even")
    query = "SELECT * FROM enrollments WHERE deviceId = 'even'"
    first = await found(server, "/enrollments", query, **{"x-ms-max-item-count": "2"})
    assert [item["registrationId"] for item in first.document] == ["dev0", "dev2"]
    token = {"x-ms-max-item-count": "2", "x-ms-continuation": first.headers["x-ms-continuation"]}
    second = await found(server, "/enrollments", query, **token)
    assert [item["registrationId"] for item in second.document] == ["dev4"]
    assert "x-ms-continuation" not in second.headers
    assert second.headers["x-ms-item-type"] == "Enrollment"
    other = await ask(server, "POST", f"/enrollments/query{VERSION}", {"query": "SELECT *"}, token)
    assert (other.status, other.document["errorCode"]) == (400, 400000)


async def test_the_spellings_of_everything_are_one_query(server: Server, world: World) -> None:
    for number in range(3):
        await world.enroll(f"dev{number}")
    size = {"x-ms-max-item-count": "1"}
    token = (await found(server, "/enrollments", "SELECT *", **size)).headers["x-ms-continuation"]
    for text in ("", "select * from enrollments"):
        following = await found(server, "/enrollments", text, **{"x-ms-continuation": token})
        assert [item["registrationId"] for item in following.document] == ["dev1", "dev2"]


async def test_a_wrong_query_says_where(server: Server) -> None:
    for path in ("/enrollments", "/enrollmentGroups", "/registrations/fleet", "/homeport/registrations"):
        answer = await ask(server, "POST", f"{path}/query{VERSION}", {"query": "SELECT * WHERE etag LIKES 'x'"})
        assert (answer.status, answer.document["errorCode"]) == (400, 400005)
        assert answer.document["message"] == "Expected a comparison, IN, LIKE or IS at position 21, found 'LIKES'."


async def test_records_outlive_their_group_and_are_those_of_a_new_one(server: Server, world: World) -> None:
    """Deleting a group deletes no records; they stay under its id, whoever has that id then."""
    await world.database.enrollments.create_group(group("Fleet", symmetric()))
    stored = world.database.registrations
    # Finished at once: what is open, the world's assigner may take.
    await stored.open(finished(registration("truck", group_id="Fleet")), expected_etag=None)
    assert (await ask(server, "DELETE", f"/enrollmentGroups/fleet{VERSION}")).status == 204
    assert await ids(server, "/registrations/FLEET", "") == ["truck"]
    assert await ids(server, "/registrations/fleet", "SELECT * WHERE status = 'assigned'") == ["truck"]
    assert await ids(server, "/registrations/fleet", "SELECT * WHERE status = 'failed'") == []
    assert await ids(server, "/homeport/registrations", "SELECT * WHERE enrollmentGroupId = 'fleet'") == ["truck"]
    await ask(server, "PUT", f"/enrollmentGroups/fleet{VERSION}", group_body("fleet"))
    assert await ids(server, "/registrations/fleet", "SELECT *") == ["truck"]


async def test_who_issues_certificates_is_for_the_versions_that_know_it(server: Server) -> None:
    names = {"namespaceName": "plant-1", "certificateAuthorityName": "Root", "certificatePolicyName": "Short"}
    for path, body in (("/enrollments/a", enrollment("a")), ("/enrollmentGroups/g", group_body("g"))):
        made = await ask(server, "PUT", path + NEWEST, body | names)
        assert {name: made.document.get(name) for name in names} == names
        old = (await ask(server, "GET", path + VERSION)).document
        assert not old.keys() & names.keys()
        any_version = {"If-Match": "*"}
        changed = (await ask(server, "PUT", path + VERSION, body | {"namespaceName": "other"}, any_version)).document
        assert not changed.keys() & names.keys()
        kept = (await ask(server, "GET", path + NEWEST)).document
        assert {name: kept.get(name) for name in names} == names
        await ask(server, "PUT", path + NEWEST, body | {"namespaceName": None}, any_version)
        assert not (await ask(server, "GET", path + NEWEST)).document.keys() & names.keys()
        for wrong in ({"namespaceName": "Plant"}, {"namespaceName": "p-"}, {"certificatePolicyName": "x"}):
            refused = await ask(server, "PUT", path + NEWEST, body | wrong, any_version)
            assert (refused.status, refused.document["errorCode"]) == (400, 400000)


@pytest.mark.parametrize("version", ["2018-04-01", "2019-03-31", "2021-10-01", "2025-07-01-preview", "2026-11-01"])
async def test_every_version_has_every_operation(server: Server, version: str) -> None:
    at = f"?api-version={version}"
    assert (await ask(server, "PUT", f"/enrollments/a{at}", enrollment("a"))).status == 200
    assert (await ask(server, "GET", f"/enrollments/a/{at}")).status == 200
    assert (await ask(server, "POST", f"/enrollments/a/attestationmechanism{at}")).status == 200
    assert (await ask(server, "POST", f"/enrollments/{at}", {"enrollments": [], "mode": "delete"})).status == 200
    assert (await ask(server, "POST", f"/enrollments/query{at}", {"query": "SELECT *"})).status == 200
    assert (await ask(server, "DELETE", f"/enrollments/a{at}")).status == 204


async def test_there_are_only_so_many_groups_of_one_attestation(world: World) -> None:
    service = EnrollmentService(
        enrollments=world.database.enrollments,
        registrations=world.database.registrations,
        hubs=world.database.linked_hubs,
        certificates=world.database.ca_certificates,
        max_groups=1,
    )
    await service.put_group("a", lambda _: group("a"), if_match=None)
    with pytest.raises(HomeportError) as refused:
        await service.put_group("b", lambda _: group("b"), if_match=None)
    assert refused.value.code is Code.QUOTA_EXCEEDED
    with pytest.raises(HomeportError) as taken:
        await service.put_group("A", lambda _: group("A"), if_match=None)
    assert taken.value.code is Code.GROUP_EXISTS


async def test_counts(server: Server, world: World) -> None:
    for name in ("a", "b"):
        await world.enroll(name)
    await world.enroll_group("g")
    await register(world, "a")
    counts = (await ask(server, "GET", "/homeport/counts")).document
    assert counts["enrollments"] == {
        "total": 2,
        "byAttestation": {"symmetricKey": 2},
        "byStatus": {"enabled": 2},
    }
    assert counts["enrollmentGroups"]["total"] == 1
    assert counts["registrations"] == {
        "total": 1,
        "byStatus": {RegistrationStatus.ASSIGNED.value: 1},
        "byHub": {"alpha.example": 1},
    }
    await register(world, "b")
    assert (await ask(server, "GET", "/homeport/counts")).document == counts
    world.clock.advance(seconds=3)
    assert (await ask(server, "GET", "/homeport/counts")).document["registrations"]["total"] == 2
