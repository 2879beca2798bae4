"""Many enrollments at once over HTTPS: what the hosted service was seen to answer, and every item for itself (8.7)."""

from typing import Any

import pytest

from tests.transports.serving import Server
from tests.transports.test_http_service import VERSION, ask, enrollment, group_body, owner, server, world

__all__ = ["server", "world"]


async def bulk(server: Server, mode: str, *items: dict[str, Any], groups: bool = False) -> Any:
    path, member = ("/enrollmentGroups/", "enrollmentGroups") if groups else ("/enrollments/", "enrollments")
    answer = await ask(server, "POST", path + VERSION, {member: items, "mode": mode})
    assert answer.status == 200, answer.body
    return answer.document


async def read(server: Server, name: str) -> Any:
    return (await ask(server, "GET", f"/enrollments/{name}{VERSION}")).document


async def test_what_the_hosted_service_was_seen_to_answer(server: Server) -> None:
    items = [enrollment("a"), enrollment("b")]
    assert await bulk(server, "create", *items) == {"errors": [], "isSuccessful": True}
    exists = [
        {"registrationId": name, "errorCode": 409201, "errorStatus": "Enrollment already exists."} for name in "ab"
    ]
    assert await bulk(server, "update", *items) == {"errors": exists, "isSuccessful": False}


async def test_every_item_is_for_itself(server: Server) -> None:
    await bulk(server, "create", enrollment("b"))
    answer = await bulk(
        server,
        "create",
        enrollment("a"),
        enrollment("B"),
        {"registrationId": "c", "attestation": {"type": "tpm", "tpm": {"endorsementKey": "no"}}},
        {"registrationId": "d"},
        enrollment("e", deviceId=5),
        enrollment("no*"),
        enrollment("f"),
        enrollment("f"),
    )
    assert [(each["registrationId"], each["errorCode"]) for each in answer["errors"]] == [
        ("B", 409201),
        ("c", 400000),
        ("d", 400000),
        ("e", 400000),
        ("no*", 400004),
        ("f", 409201),
    ]
    assert {name: (await read(server, name)).get("registrationId") for name in ("a", "c", "f")} == {
        "a": "a",
        "c": None,
        "f": "f",
    }


async def test_updates_go_by_the_items_etag(server: Server) -> None:
    await bulk(server, "create", enrollment("a"), enrollment("b"))
    etag = (await read(server, "a"))["etag"]
    for mode in ("update", "updateIfMatchEtag"):
        changed = enrollment("a", etag=etag, deviceId="pump")
        assert (await bulk(server, mode, changed))["isSuccessful"]
        stale = await bulk(server, mode, changed)
        assert [each["errorCode"] for each in stale["errors"]] == [412000]
        etag = (await read(server, "a"))["etag"]
    assert (await bulk(server, "update", enrollment("b", etag="*")))["isSuccessful"]
    assert (await bulk(server, "updateIfMatchETag", enrollment("b")))["errors"][0]["errorCode"] == 412000
    for mode, etag in (("update", None), ("update", "x"), ("updateIfMatchETag", "x")):
        missing = await bulk(server, mode, enrollment("new", etag=etag))
        assert missing["errors"][0]["errorCode"] == 404201


async def test_deleting_takes_names_alone(server: Server) -> None:
    await bulk(server, "create", enrollment("a"), enrollment("b"), enrollment("c"))
    answer = await bulk(
        server, "DELETE", {"registrationId": "A"}, {"registrationId": "b", "etag": "x"}, {"registrationId": "none"}
    )
    assert [(each["registrationId"], each["errorCode"]) for each in answer["errors"]] == [
        ("b", 412000),
        ("none", 404201),
    ]
    assert (await read(server, "a"))["errorCode"] == 404201


async def test_groups_have_the_same_and_their_own_codes(server: Server) -> None:
    assert await bulk(server, "create", group_body("g"), groups=True) == {"errors": [], "isSuccessful": True}
    assert await bulk(server, "create", group_body("G"), groups=True) == {
        "errors": [{"enrollmentGroupId": "G", "errorCode": 409202, "errorStatus": "EnrollmentGroup already exists."}],
        "isSuccessful": False,
    }
    missing = await bulk(server, "update", group_body("x"), groups=True)
    assert missing["errors"][0]["errorCode"] == 404202
    assert (await bulk(server, "delete", {"enrollmentGroupId": "g"}, groups=True))["isSuccessful"]
    assert await bulk(server, "create", groups=True) == {"errors": [], "isSuccessful": True}


@pytest.mark.parametrize(
    "body",
    [
        {"enrollments": [enrollment(str(n)) for n in range(11)], "mode": "create"},
        {"enrollments": [{"attestation": {"type": "symmetricKey"}}], "mode": "create"},
        {"enrollments": [enrollment("a")], "mode": "upsert"},
        {"enrollments": [enrollment("a")]},
        {"enrollments": {"a": 1}, "mode": "create"},
        {"enrollments": [5], "mode": "create"},
        {"mode": "create"},
        [],
    ],
)
async def test_a_request_without_form_changes_nothing(server: Server, body: Any) -> None:
    answer = await ask(server, "POST", f"/enrollments{VERSION}", body)
    assert (answer.status, answer.document["errorCode"]) == (400, 400000)
    listed = await ask(server, "POST", f"/enrollments/query{VERSION}", {"query": "SELECT *"})
    assert listed.document == []


async def test_who_may_only_read_may_not(server: Server) -> None:
    answer = await server.ask(
        "POST", f"/enrollments{VERSION}", {"enrollments": [], "mode": "create"}, {"Authorization": owner("reader")}
    )
    assert answer.status == 401
