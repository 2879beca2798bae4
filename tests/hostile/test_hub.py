"""A hub's administrators' API: twins beyond their limits, hostile ids, stale etags, bulk, forged continuations."""

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.hostile.target import Answer, Target, new_key, unique

VERSION = "api-version=2021-04-12"
KILOBYTE = 1024


def ask(target: Target, method: str, path: str, document: Any = None, headers: dict[str, str] | None = None) -> Answer:
    body = document if isinstance(document, bytes) else b"" if document is None else json.dumps(document).encode()
    owner = {"Authorization": target.hub_owner_token(), **(headers or {})}
    return target.ask(method, f"{path}{'&' if '?' in path else '?'}{VERSION}", body, owner)


@pytest.fixture(scope="module")
def device(target: Target) -> str:
    device_id = unique("hub")
    assert ask(target, "PUT", f"/devices/{device_id}", {"deviceId": device_id}).status == 200
    return device_id


def nested(depth: int) -> dict[str, Any]:
    document: dict[str, Any] = {"deepest": 1}
    for _ in range(depth):
        document = {"a": document}
    return document


# ---------------------------------------------------------------- twins


TOO_MUCH: dict[str, Any] = {
    "depth": nested(11),
    "arrays": {"a": [[[[[[[[[[[1]]]]]]]]]]]},
    "string": {"a": "x" * (4 * KILOBYTE + 1)},
    "key": {"k" * (KILOBYTE + 1): 1},
    "dot": {"a.b": 1},
    "dollar": {"$a": 1},
    "hash": {"a#b": 1},
    "space": {"a b": 1},
    "control": {"a\x01": 1},
    "c1 control": {"a\x85": 1},
    "empty": {"": 1},
    "large": {"a": 2**53},
    "small": {"a": -(2**53)},
    "huge": {"a": 10**30},
    "inside": {"a": [{"b": {"c$": 1}}]},
}


@pytest.mark.parametrize("content", TOO_MUCH.values(), ids=TOO_MUCH)
def test_content_that_a_twin_may_not_hold(target: Target, device: str, content: dict[str, Any]) -> None:
    before = target.registry.get_twin(device)
    for document in ({"tags": content}, {"properties": {"desired": content}}):
        for method in ("PATCH", "PUT"):
            answer = ask(target, method, f"/twins/{device}", document)
            target.assert_refused_by_hub(answer, 400)
            assert answer.headers["iothub-errorcode"] == "ArgumentInvalid"
    after = target.registry.get_twin(device)
    assert (after.etag, after.tags, after.properties) == (before.etag, before.tags, before.properties)


@pytest.mark.parametrize(("member", "limit"), [("tags", 8), ("desired", 32)])
def test_sections_that_are_too_large(target: Target, device: str, member: str, limit: int) -> None:
    for size, status in ((limit - 1, 200), (limit + 1, 413)):
        content = {f"k{number}": "x" * 1000 for number in range(size)}
        document = {"tags": content} if member == "tags" else {"properties": {"desired": content}}
        assert ask(target, "PUT", f"/twins/{device}", document).status == status
    # By little steps beyond the limit, too.
    assert ask(target, "PUT", f"/twins/{device}", {}).status == 200
    answer = None
    for number in range(limit * 2):
        small = {f"s{number}": "x" * 900}
        document = {"tags": small} if member == "tags" else {"properties": {"desired": small}}
        answer = ask(target, "PATCH", f"/twins/{device}", document)
        if answer.status != 200:
            break
    assert answer is not None
    target.assert_refused_by_hub(answer, 413)


STALE = [
    "stale",
    '"stale"',
    "AAAAAAAAAAE",
    "W/*x",
    "%00",
    "a" * 5000,
    "\xff\xfe",
    base64.b64encode(bytes(8)).decode(),
]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"tags":1}',
        b'{"tags":[]}',
        b'{"properties":1}',
        b'{"properties":{"desired":[]}}',
        b'{"tags":{"a":NaN}}',
        b'{"tags":{"a":1e999}}',
        b'{"tags":{"a":"\\ud800"}}',
        b'{"tags":' + b'{"a":' * 40_000 + b"1" + b"}" * 40_001,
        b"[" * 200_000,
        b'{"tags":{"a":' + b"9" * 100_000 + b"}}",
        b'{"tags":{"a":"' + b"x" * 300_000 + b'"}}',
    ],
    ids=lambda body: repr(body[:24]),
)
def test_twin_bodies_that_are_none(target: Target, device: str, body: bytes) -> None:
    for method in ("PATCH", "PUT"):
        target.assert_refused_by_hub(ask(target, method, f"/twins/{device}", body), 400, 413)


def test_java_spells_patch_as_post(target: Target, device: str) -> None:
    for override in ("PATCH", "patch"):
        answer = ask(target, "POST", f"/twins/{device}", {"tags": {}}, {"X-HTTP-Method-Override": override})
        assert answer.status == 200
    for override in ("TRACE", "CONNECT", "POST", "PATCH, DELETE", "\xff", "a" * 5000):
        answer = ask(target, "POST", f"/twins/{device}", {}, {"X-HTTP-Method-Override": override})
        target.assert_refused_by_hub(answer, 405)


# ---------------------------------------------------------------- etags


@pytest.mark.parametrize(
    "etag",
    STALE,
)
def test_etags_that_are_not_the_current_one(target: Target, device: str, etag: str) -> None:
    headers = {"If-Match": etag}
    for method, path, document in (
        ("PUT", f"/devices/{device}", {"deviceId": device}),
        ("DELETE", f"/devices/{device}", None),
        ("PATCH", f"/twins/{device}", {"tags": {"a": 1}}),
        ("PUT", f"/twins/{device}", {"tags": {}}),
    ):
        target.assert_refused_by_hub(ask(target, method, path, document, headers), 412)
    target.assert_refused_by_hub(ask(target, "DELETE", f"/devices/{device}"), 400)
    assert target.registry.get_device(device).device_id == device


# ---------------------------------------------------------------- identities


HOSTILE_IDS = [
    "a%b",
    "a#b",
    "a?b",
    "a+b",
    "a&b",
    "100%25",
    "%2e%2e",
    "*",
    "'--",
    "$iothub",
    "a=b;c",
    "(a),@!",
    "query",
    ".",
]


NO_IDS = [
    "a" * 129,
    "a b",
    "a/b",
    "a\\b",
    "ä",
    "\u202e",
    "\x00",
    "a\x00b",
    "\r\nX: y",
    "<script>",
    '"',
    "a|b",
    "{}",
    "[",
    "^",
    "`",
    "~",
    "a&b",
]


@pytest.mark.parametrize("device_id", [each for each in HOSTILE_IDS if "&" not in each])
def test_strange_ids_that_are_allowed(target: Target, device_id: str) -> None:
    """Each is a device of its own, found again under exactly its name."""
    path = f"/devices/{quote(device_id, safe='')}"
    if device_id == ".":
        path = "/devices/%2E"
    assert ask(target, "PUT", path, {"deviceId": device_id}).document["deviceId"] == device_id
    assert ask(target, "GET", path).document["deviceId"] == device_id
    twin = ask(target, "PATCH", path.replace("/devices/", "/twins/"), {"tags": {"me": device_id}})
    assert twin.document["tags"] == {"me": device_id}
    assert device_id in {listed.device_id for listed in target.registry.query_twins(page_size=3)}
    telemetry = target.ask(
        "GET",
        f"/homeport/telemetry/count?deviceId={quote(device_id, safe='')}",
        headers={"Authorization": target.hub_owner_token()},
    )
    assert telemetry.document == {"deviceId": device_id, "count": 0}
    assert ask(target, "DELETE", path, headers={"If-Match": "*"}).status == 204
    target.assert_refused_by_hub(ask(target, "GET", path), 404)


@pytest.mark.parametrize(
    "device_id",
    NO_IDS,
)
def test_ids_that_are_not_allowed(target: Target, device_id: str) -> None:
    for collection in ("devices", "twins"):
        answer = ask(target, "GET", f"/{collection}/{quote(device_id, safe='')}")
        target.assert_refused_by_hub(answer, 400)
        assert "x" not in answer.headers
    answer = ask(target, "PUT", f"/devices/{quote(device_id, safe='')}", {"deviceId": device_id})
    target.assert_refused_by_hub(answer, 400)


IDENTITIES: list[Any] = [
    {"deviceId": "another"},
    {"deviceId": 1},
    {"status": "maybe"},
    {"status": 1},
    {"statusReason": "x" * 129},
    {"authentication": 1},
    {"authentication": {"type": "password"}},
    {"authentication": {"type": "none"}},
    {"authentication": {"symmetricKey": {"primaryKey": "!", "secondaryKey": "!"}}},
    {"authentication": {"symmetricKey": {"primaryKey": new_key()}}},
    {"authentication": {"symmetricKey": {"primaryKey": "AAAA", "secondaryKey": "AAAA"}}},
    {"authentication": {"symmetricKey": {"primaryKey": "A" * 90_000, "secondaryKey": "A" * 90_000}}},
    {"authentication": {"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": "zz"}}},
    {"authentication": {"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": "ab:" * 20}}},
    {"capabilities": {"iotEdge": "yes"}},
    {"parentScopes": "text"},
]


@pytest.mark.parametrize("members", IDENTITIES, ids=lambda members: json.dumps(members)[:50])
def test_identities_that_are_none(target: Target, members: dict[str, Any]) -> None:
    device_id = unique("bad")
    target.assert_refused_by_hub(ask(target, "PUT", f"/devices/{device_id}", {"deviceId": device_id} | members), 400)
    target.assert_refused_by_hub(ask(target, "GET", f"/devices/{device_id}"), 404)


# ---------------------------------------------------------------- bulk, queries


def test_bulk_beyond_its_limits(target: Target) -> None:
    entries = [{"id": unique("bulk"), "importMode": "create"} for _ in range(101)]
    answer = ask(target, "POST", "/devices", entries)
    target.assert_refused_by_hub(answer, 413)
    assert answer.headers["iothub-errorcode"] == "TooManyDevices"
    target.assert_refused_by_hub(ask(target, "GET", f"/devices/{entries[0]['id']}"), 404)
    target.assert_refused_by_hub(ask(target, "POST", "/devices", b"[" + b" " * 5 * KILOBYTE * KILOBYTE), 413)
    for body in (b"{}", b"null", b"[1]", b"[{}]", b"[[]]", b"[" * 100_000, b'[{"id":1}]'):
        target.assert_refused_by_hub(ask(target, "POST", "/devices", body), 400)


def test_bulk_with_good_and_bad_entries(target: Target) -> None:
    """Each for itself: what is wrong is told, the rest is done."""
    good = unique("bulk")
    entries = [
        {"id": good, "importMode": "create", "tags": {"a": 1}},
        {"id": good, "importMode": "create"},
        {"id": "a b", "importMode": "create"},
        {"id": unique("bulk"), "importMode": "explode"},
        {"id": unique("bulk"), "importMode": "update"},
        {"id": unique("bulk"), "importMode": "create", "tags": nested(20)},
        {"id": unique("bulk"), "importMode": "create", "moduleId": "m"},
        {"id": good, "importMode": "updateTwinIfMatchETag", "twinETag": "stale", "tags": {"a": 2}},
        {"id": good, "importMode": "deleteIfMatchETag", "eTag": "stale"},
    ]
    answer = ask(target, "POST", "/devices", entries)
    target.assert_clear(answer)
    assert answer.status == 400
    assert answer.headers["iothub-errorcode"] == "BulkRegistryOperationFailure"
    assert [error["errorCode"] for error in answer.document["errors"]].count("PreconditionFailed") == 2
    assert len(answer.document["errors"]) == 8
    assert target.registry.get_twin(good).tags == {"a": 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT",
        "DROP TABLE devices",
        "SELECT * FROM devices; DELETE",
        "x" * 100_000,
        "\x00",
        "SELECT * FROM devices WHERE a = 'ä",
    ],
)
def test_queries_that_are_none(target: Target, text: str) -> None:
    target.assert_refused_by_hub(ask(target, "POST", "/devices/query", {"query": text}), 400)


def test_pages_and_continuations_that_are_none(target: Target, device: str) -> None:
    query = {"query": "SELECT * FROM devices"}
    for size in ("0", "-1", "x", "9" * 5000, "1001", "000001" + "9" * 4500, "0000019999", "1.5"):
        headers = {"x-ms-max-item-count": size}
        target.assert_refused_by_hub(ask(target, "POST", "/devices/query", query, headers), 400)
    page = target.registry.page_twins(page_size=1)
    assert page.continuation is not None
    raw = base64.urlsafe_b64decode(page.continuation)
    for forged in (
        "x",
        "=" * 100,
        "A" * 4000,
        page.continuation[4:],
        base64.urlsafe_b64encode(raw[:8] + b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(raw[:4] + raw).decode(),
        "\xff\xfe",
    ):
        answer = ask(target, "POST", "/devices/query", query, {"x-ms-continuation": forged})
        target.assert_refused_by_hub(answer, 400)
    # A token that is well-formed continues wherever it says: no more is shown than the query shows anyway.
    for key, status in (
        (b"zzzz' OR 1=1 -- 3", 200),
        (b"zzzz' OR 1=1 --", 400),
        (b"zzzz\x00 3", 400),
        (b"zzzz 99999999999", 400),
    ):
        invented = base64.urlsafe_b64encode(raw[:8] + key).decode()
        answer = ask(target, "POST", "/devices/query", query, {"x-ms-continuation": invented})
        assert (answer.status, answer.headers.get("x-ms-item-type")) in {(status, "Twin"), (status, None)}
    for top in ("0", "-5", "9" * 5000, "x", "%00"):
        assert ask(target, "GET", f"/devices?top={top}").status == 200


def test_telemetry_questions_that_are_none(target: Target) -> None:
    owner = {"Authorization": target.hub_owner_token()}
    for query in ("limit=0", "limit=-1", "limit=" + "9" * 5000, "limit=x", "deviceId=" + "a" * 5000, "limit=%C2%B2"):
        target.assert_refused_by_hub(target.ask("GET", f"/homeport/telemetry?{query}", headers=owner), 400)
    for query in ("events=everything", "replay=1000", "replay=-1", "replay=x", "since=x", "after=" + "9" * 5000):
        target.assert_refused_by_hub(target.ask("GET", f"/homeport/monitor?{query}", headers=owner), 400)
    target.assert_refused_by_hub(target.ask("GET", "/homeport/monitor?deviceId=nobody", headers=owner), 404)
    target.assert_refused_by_hub(target.ask("GET", "/homeport/telemetry/elsewhere", headers=owner), 404)
    target.assert_refused_by_hub(target.ask("DELETE", "/homeport/telemetry", headers=owner), 405)


def test_streams_beyond_their_number(target: Target) -> None:
    """64 readers at once; the next one is told to come back, and when they leave there is room again."""
    head = f"Host: {target.host}\r\nAuthorization: {target.hub_owner_token()}\r\n\r\n"
    streams = []
    try:
        for _ in range(64):
            streams.append(target.connect())
            streams[-1].sendall(f"GET /homeport/monitor HTTP/1.1\r\n{head}".encode())
            assert streams[-1].recv(64).startswith(b"HTTP/1.1 200 ")
        headers = {"Authorization": target.hub_owner_token()}
        target.assert_refused_by_hub(target.ask("GET", "/homeport/monitor", headers=headers), 429)
    finally:
        for stream in streams:
            stream.close()
