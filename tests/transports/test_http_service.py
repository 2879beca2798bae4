"""Administrators over HTTPS: what the hosted service was seen to answer, ETags, refusals, listings (dps.md 8)."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from homeport.dps.frontends.admin import AdminFrontEnd
from homeport.dps.frontends.authorization import Authorization
from homeport.dps.frontends.http_device import DeviceFrontEnd
from homeport.dps.frontends.http_service import ServiceFrontEnd
from homeport.paging import encode_token
from homeport.security import sas
from homeport.security.policies import DpsRight, SharedAccessPolicy
from tests.transports.serving import Answer, Server, serving
from tests.transports.world import EPOCH, GROUP_KEY, KEY, SCOPE, World, new_world, token
from tests.unit.dps.test_attestation import EK
from tests.unit.security.certificates import issue

OBSERVED = json.loads((Path(__file__).parents[1] / "vectors" / "dps-observed.json").read_text())
VERSION = "?api-version=2021-10-01"
POLICY_KEY = bytes(range(32))
HOST = "dps.example"


def random(count: int) -> bytes:
    return bytes(count)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with new_world() as fresh:
        yield fresh


@pytest.fixture
async def server(world: World) -> AsyncIterator[Server]:
    policies = [
        SharedAccessPolicy(name=name, primary_key=POLICY_KEY, secondary_key=b"2" * 32, rights=rights)
        for name, rights in (
            ("provisioningserviceowner", frozenset(DpsRight)),
            ("reader", frozenset({DpsRight.ENROLLMENT_READ})),
        )
    ]
    guard = Authorization(policies=lambda: policies, hosts=lambda: {HOST, "localhost"}, clock=world.clock)
    async with serving(
        DeviceFrontEnd(world.responder),
        ServiceFrontEnd(world.service, guard, clock=world.clock, random=random),
        AdminFrontEnd(world.admin, guard, clock=world.clock, random=random),
    ) as running:
        yield running


def owner(policy: str = "provisioningserviceowner", *, resource: str = HOST, key: bytes = POLICY_KEY) -> str:
    return sas.sign(sas.encode_resource(resource), key, int(EPOCH.timestamp()) + 600, policy)


async def ask(
    server: Server, method: str, target: str, body: Any = None, headers: dict[str, str] | None = None
) -> Answer:
    return await server.ask(method, target, body, {"Authorization": owner()} | (headers or {}))


def enrollment(name: str = "dev-1", **members: Any) -> dict[str, Any]:
    return {"registrationId": name, "attestation": {"type": "symmetricKey"}} | members


def group_body(name: str = "fleet", **members: Any) -> dict[str, Any]:
    return {"enrollmentGroupId": name, "attestation": {"type": "symmetricKey"}} | members


# ---------------------------------------------------------------- what was observed

CERTIFICATE = base64.b64encode(issue("enroll_cert_ead0363a").certificate.der).decode()
_KEYS = {"primaryKey": sas.encode_key(KEY), "secondaryKey": sas.encode_key(GROUP_KEY)}
_CHANGING = {
    "etag", "createdDateTimeUtc", "lastUpdatedDateTimeUtc", "primaryKey", "secondaryKey", "sha1Thumbprint",
    "sha256Thumbprint", "serialNumber", "notBeforeUtc", "notAfterUtc",
}  # fmt: skip


def filled_in(value: Any) -> Any:
    """Put real keys and certificates where the recorder took them out."""
    if isinstance(value, dict):
        return {
            name: _KEYS[name]
            if name in _KEYS and item is not None
            else (CERTIFICATE if name == "certificate" else filled_in(item))
            for name, item in value.items()
        }
    return [filled_in(item) for item in value] if isinstance(value, list) else value


def skeleton(value: Any) -> Any:
    """Keep members and their order, and every value that does not differ from run to run."""
    if isinstance(value, dict):
        return [(name, "…" if name in _CHANGING else skeleton(item)) for name, item in value.items()]
    return [skeleton(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("number", range(len(OBSERVED["exchanges"])))
async def test_the_hosted_services_answers_member_by_member(server: Server, number: int) -> None:
    for exchange in OBSERVED["exchanges"][number]["exchanges"]:
        request, response = exchange["request"], exchange["response"]
        answer = await ask(server, request["method"], request["path"], filled_in(request.get("body")))
        assert answer.status == response["status"]
        expected = {k.lower(): v for k, v in response.get("headers", {}).items()}
        for name in ("content-type", "x-ms-item-type") if "body" in response else ():
            assert answer.headers.get(name) == expected.get(name)
        if "body" in response:
            assert skeleton(answer.document) == skeleton(response["body"])
        else:
            assert answer.body == b""


# ---------------------------------------------------------------- ETags


async def test_etags_decide_over_updates(server: Server) -> None:
    path = f"/enrollments/dev-1{VERSION}"
    created = (await ask(server, "PUT", path, enrollment())).document
    again = await ask(server, "PUT", path, enrollment())
    assert (again.status, again.document["errorCode"]) == (409, 409201)
    for etag in (created["etag"], f'"{created["etag"]}"'):
        changed = await ask(server, "PUT", path, enrollment(deviceId="pump"), {"If-Match": etag})
        if etag == created["etag"]:
            assert changed.status == 200
            assert changed.document["createdDateTimeUtc"] == created["createdDateTimeUtc"]
            assert changed.document["etag"] != created["etag"]
        else:
            assert (changed.status, changed.document["errorCode"]) == (412, 412000)
    for star in ("*", '"*"'):
        assert (await ask(server, "PUT", path, enrollment(), {"If-Match": star})).status == 200
    stale = await ask(server, "DELETE", path, None, {"If-Match": created["etag"]})
    assert stale.status == 412
    assert (await ask(server, "DELETE", path)).status == 204
    for method in ("GET", "DELETE"):
        missing = await ask(server, method, path)
        assert (missing.status, missing.document["errorCode"]) == (404, 404201)
    unborn = await ask(server, "PUT", path, enrollment(), {"If-Match": "*"})
    assert unborn.status == 404


async def test_groups_have_their_own_codes(server: Server) -> None:
    path = f"/ENROLLMENTGROUPS/fleet{VERSION}"
    assert (await ask(server, "PUT", path, group_body())).status == 200
    assert (await ask(server, "PUT", path, group_body())).document["errorCode"] == 409202
    assert (await ask(server, "DELETE", f"/enrollmentgroups/fleet/{VERSION}")).status == 204
    assert (await ask(server, "GET", path)).document["errorCode"] == 404202


async def test_an_update_keeps_the_keys_it_does_not_name(server: Server) -> None:
    path = f"/enrollments/dev-1{VERSION}"
    first = (await ask(server, "PUT", path, enrollment())).document["attestation"]["symmetricKey"]
    assert len(base64.b64decode(first["primaryKey"])) == 64
    shown = (await ask(server, "GET", path)).document
    assert shown["attestation"] == {"type": "symmetricKey"}
    changed = await ask(server, "PUT", path, shown | {"deviceId": "pump"}, {"If-Match": shown["etag"]})
    assert changed.document["attestation"]["symmetricKey"] == first
    mechanism = await ask(server, "POST", f"/enrollments/dev-1/attestationmechanism{VERSION}", b"{}")
    assert mechanism.document["symmetricKey"] == first


async def test_an_update_keeps_the_certificates_it_only_repeats(server: Server) -> None:
    path = f"/enrollmentGroups/fleet{VERSION}"
    one, other = issue("One"), issue("Other")

    def body(*authorities: Any) -> dict[str, Any]:
        slots = {
            name: {"certificate": base64.b64encode(authority.certificate.der).decode()}
            for name, authority in zip(("primary", "secondary"), authorities, strict=False)
        }
        return group_body(attestation={"type": "X509", "x509": {"signingCertificates": slots}})

    await ask(server, "PUT", path, body(one))
    shown = (await ask(server, "GET", path)).document
    certificates = shown["attestation"]["x509"]["signingCertificates"]
    assert certificates["primary"] == certificates["secondary"]
    again = await ask(server, "PUT", path, shown, {"If-Match": "*"})
    assert again.document["attestation"] == shown["attestation"]
    both = (await ask(server, "PUT", path, body(one, other), {"If-Match": "*"})).document
    kept = (await ask(server, "PUT", path, both, {"If-Match": "*"})).document
    assert kept["attestation"] == both["attestation"]


async def test_every_member_of_the_model_comes_back_as_written(server: Server) -> None:
    written = {
        "registrationId": "dev-1",
        "deviceId": "Pump_7",
        "optionalDeviceInformation": {"additionalProperties": {"line": 4}},
        "attestation": {"type": "tpm", "tpm": {"endorsementKey": base64.b64encode(EK).decode()}},
        "capabilities": {"iotEdge": True},
        "iotHubHostName": "alpha.example",
        "initialTwin": {"tags": {"é": [1, 2.5, None]}, "properties": {"desired": {"a": {"b": True}}}},
        "provisioningStatus": "disabled",
        "reprovisionPolicy": {"updateHubAssignment": False, "migrateDeviceData": False},
        "allocationPolicy": "custom",
        "iotHubs": ["alpha.example"],
        "customAllocationDefinition": {"webhookUrl": "https://hook.example/?code=x", "apiVersion": "2021-10-01"},
    }
    path = f"/enrollments/dev-1{VERSION}"
    put, got = await ask(server, "PUT", path, written), await ask(server, "GET", path)
    for answer in (put, got):
        assert {name: answer.document[name] for name in written} == written
    assert "registrationState" not in put.document
    assert got.document["registrationState"] == {"registrationId": "dev-1", "status": "unassigned"}


async def test_enumerations_are_taken_in_any_letter_case(server: Server) -> None:
    body = enrollment(allocationPolicy="GEOLATENCY", provisioningStatus="Enabled", attestation={"type": "SymmetricKey"})
    answer = await ask(server, "PUT", f"/enrollments/dev-1{VERSION}", body)
    document = answer.document
    assert (document["allocationPolicy"], document["provisioningStatus"]) == ("geoLatency", "enabled")
    assert document["attestation"]["type"] == "symmetricKey"


# ---------------------------------------------------------------- refusals

SHORT_KEY = base64.b64encode(b"short").decode()
LEAF = base64.b64encode(issue("Root").leaf().der).decode()


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"attestation": {"type": "none"}}, "attestation.type"),
        ({"attestation": {"type": "tpm"}}, "needs the member tpm"),
        ({"attestation": {"type": "tpm", "tpm": {"endorsementKey": "AAAA"}}}, "tpm.endorsementKey"),
        ({"attestation": {"type": "tpm", "tpm": {"endorsementKey": "%"}}}, "Base64"),
        ({"attestation": {"type": "tpm", "tpm": {"endorsementKey": "A" * 9999}}}, "tpm.endorsementKey"),
        ({"attestation": {"type": "x509", "x509": {}}}, "exactly one"),
        ({"attestation": {"type": "x509", "x509": {"clientCertificates": {}}}}, "primary is required"),
        (
            {"attestation": {"type": "x509", "x509": {"clientCertificates": {"primary": {"certificate": "junk"}}}}},
            "clientCertificates.primary",
        ),
        (
            {"attestation": {"type": "x509", "x509": {"signingCertificates": {"primary": {"certificate": LEAF}}}}},
            "takes clientCertificates",
        ),
        (
            {"attestation": {"type": "x509", "x509": {"caReferences": {"primary": "a/b"}}}},
            "caReferences",
        ),
        ({"attestation": {"type": "x509", "symmetricKey": {}}}, "must not have the member symmetricKey"),
        ({"attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": SHORT_KEY}}}, "16 to 64 bytes"),
        ({"attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": "~"}}}, "Base64"),
        ({"attestation": None}, "$.attestation"),
        ({"registrationId": "dev-2"}, "different ids"),
        ({"deviceId": "a/b"}, "deviceId"),
        ({"iotHubs": ["gone.example"]}, "gone.example"),
        ({"iotHubHostName": "gone.example"}, "gone.example"),
        ({"allocationPolicy": "random"}, "allocationPolicy"),
        ({"allocationPolicy": "custom"}, "customAllocationDefinition"),
        (
            {"customAllocationDefinition": {"webhookUrl": "file:///etc/passwd", "apiVersion": "2021-10-01"}},
            "webhookUrl",
        ),
        ({"provisioningStatus": "maybe"}, "provisioningStatus"),
        ({"initialTwin": {"tags": 1}}, "initialTwin.tags"),
        ({"initialTwin": {"properties": {"desired": []}}}, "initialTwin.properties.desired"),
        ({"capabilities": {"iotEdge": "yes"}}, "$.capabilities.iotEdge"),
    ],
)
async def test_a_bad_enrollment_is_refused_and_says_where(server: Server, members: dict[str, Any], words: str) -> None:
    answer = await ask(server, "PUT", f"/enrollments/dev-1{VERSION}", enrollment() | members)
    assert answer.status == 400, answer.body
    assert words in answer.document["message"]
    assert (await ask(server, "GET", f"/enrollments/dev-1{VERSION}")).status == 404, "nothing was kept"


@pytest.mark.parametrize(
    ("attestation", "words"),
    [
        ({"type": "tpm", "tpm": {"endorsementKey": base64.b64encode(EK).decode()}}, "a group has no endorsementKey"),
        ({"type": "x509", "x509": {"clientCertificates": {"primary": {"certificate": LEAF}}}}, "takes signing"),
        ({"type": "x509", "x509": {"signingCertificates": {"primary": {"certificate": LEAF}}}}, "CA certificate"),
    ],
)
async def test_a_bad_group_is_refused(server: Server, attestation: dict[str, Any], words: str) -> None:
    answer = await ask(server, "PUT", f"/enrollmentGroups/g{VERSION}", group_body("g", attestation=attestation))
    assert answer.status == 400
    assert words in answer.document["message"]


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/enrollments/dev-1", 400),
        ("PUT", f"/enrollments/de*v{VERSION}", 400),
        ("PATCH", f"/enrollments/dev-1{VERSION}", 405),
        ("GET", f"/enrollments{VERSION}", 405),
        ("GET", f"/registrations/{VERSION}", 405),
        ("DELETE", f"/enrollmentGroups/{VERSION}", 405),
        ("GET", f"/enrollments/dev-1/x{VERSION}", 404),
        ("GET", f"/registrations/dev-1{VERSION}", 404),
    ],
)
async def test_other_requests_are_refused_plainly(server: Server, method: str, target: str, status: int) -> None:
    answer = await ask(server, method, target, enrollment("de*v") if method == "PUT" else None)
    assert answer.status == status
    assert answer.document["errorCode"] // 1000 == status


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer x",
        owner("nobody"),
        owner(key=b"3" * 32),
        owner(resource="other.example"),
        owner(resource=f"{HOST}/enrollments"),
        owner("reader"),
    ],
)
async def test_a_call_without_the_right_is_unauthorized(server: Server, authorization: str) -> None:
    answer = await server.ask(
        "PUT", f"/enrollments/dev-1{VERSION}", enrollment(), {"Authorization": authorization} if authorization else {}
    )
    assert (answer.status, answer.document["errorCode"]) == (401, 401002)
    assert answer.document["message"] == "Unauthorized"


@pytest.mark.parametrize("resource", [HOST, HOST.upper(), f"https://{HOST}", f"{HOST}:443", "localhost"])
async def test_every_clients_way_to_name_the_service(server: Server, resource: str) -> None:
    answer = await server.ask(
        "GET", f"/enrollments/x{VERSION}", None, {"Authorization": owner("reader", resource=resource)}
    )
    assert answer.status == 404


# ---------------------------------------------------------------- listings


@pytest.mark.parametrize(("path", "kind"), [("/enrollments", "Enrollment"), ("/enrollmentGroups", "EnrollmentGroup")])
async def test_listings_come_in_pages(server: Server, path: str, kind: str) -> None:
    for number in range(5):
        body = enrollment(f"d-{number}") if kind == "Enrollment" else group_body(f"d-{number}")
        assert (await ask(server, "PUT", f"{path}/d-{number}{VERSION}", body)).status == 200
    seen: list[str] = []
    headers = {"x-ms-max-item-count": "2"}
    for _ in range(3):
        page = await ask(server, "POST", f"{path}/query{VERSION}", {"query": "SELECT *"}, headers)
        assert page.headers["x-ms-item-type"] == kind
        seen += [item.get("registrationId") or item["enrollmentGroupId"] for item in page.document]
        assert all(item["attestation"] == {"type": "symmetricKey"} for item in page.document)
        if "x-ms-continuation" in page.headers:
            headers["x-ms-continuation"] = page.headers["x-ms-continuation"]
        else:
            del headers["x-ms-continuation"]
    assert seen == [f"d-{number}" for number in range(5)]
    assert "x-ms-continuation" not in headers, "the last page says nothing of another"


@pytest.mark.parametrize(
    ("query", "position"),
    [
        ("SELECT * FROM enrollments WHERE", 32),
        ("SELECT * FROM enrollments WHERE iotHubHostName=x", 48),
        ("SELECT * WHERE initialTwin.tags.a = 1 AND attestation.symmetricKey.primaryKey = 'x'", 43),
        ("SELECT id", 8),
        ("DROP", 1),
        ("SELECT", 7),
        ("SELECT * FROM devices", 15),
        ("SELECT * FROM enrollments x", 27),
        ("SELECT * FROM", 14),
    ],
)
async def test_a_query_is_refused_where_it_stops_making_sense(server: Server, query: str, position: int) -> None:
    answer = await ask(server, "POST", f"/enrollments/query{VERSION}", {"query": query})
    assert (answer.status, answer.document["errorCode"]) == (400, 400005)
    assert f"position {position}" in answer.document["message"]


@pytest.mark.parametrize(
    "query", ["", "select *", "SELECT * FROM enrollments", " Select  *  from EnrollmentGroups ", None]
)
async def test_the_queries_of_the_samples_are_understood(server: Server, query: str | None) -> None:
    assert (await ask(server, "POST", f"/enrollments/query{VERSION}", {"query": query})).document == []


@pytest.mark.parametrize(
    "headers", [{"x-ms-max-item-count": "0"}, {"x-ms-max-item-count": "many"}, {"x-ms-continuation": "!"}]
)
async def test_bad_paging_is_a_bad_request(server: Server, headers: dict[str, str]) -> None:
    answer = await ask(server, "POST", f"/enrollments/query{VERSION}", {}, headers)
    assert answer.status == 400


# ---------------------------------------------------------------- registrations, why, hubs


async def registered(server: Server) -> str:
    """Enroll a group over the API, let a device register through it; its tracking id."""
    body = group_body(attestation={"type": "symmetricKey", "symmetricKey": {"primaryKey": sas.encode_key(GROUP_KEY)}})
    await ask(server, "PUT", f"/enrollmentGroups/fleet{VERSION}", body)
    proof = token("sn-7", sas.derive_device_key(GROUP_KEY, "sn-7"))
    answer = await server.ask("PUT", f"/{SCOPE}/registrations/sn-7/register{VERSION}", {}, {"Authorization": proof})
    assert answer.document["status"] == "assigned"
    assert answer.document["registrationState"]["symmetricKey"] == {"enrollmentGroupId": "fleet"}
    return answer.headers["x-ms-request-id"]


async def test_registration_states_are_read_listed_and_forgotten(server: Server) -> None:
    await registered(server)
    path = f"/registrations/sn-7{VERSION}"
    state = (await ask(server, "GET", path)).document
    assert (state["status"], state["assignedHub"], state["deviceId"]) == ("assigned", "alpha.example", "sn-7")
    listed = await ask(server, "POST", f"/registrations/FLEET/query{VERSION}")
    assert listed.document == [state]
    assert listed.headers["x-ms-item-type"] == "DeviceRegistration"
    assert (await ask(server, "DELETE", path, None, {"If-Match": "other"})).status == 412
    assert (await ask(server, "DELETE", path, None, {"If-Match": f'"{state["etag"]}"'})).status == 204
    assert (await ask(server, "GET", path)).document["errorCode"] == 404203


async def test_why_tells_each_check(server: Server) -> None:
    tracking_id = await registered(server)
    attempts = (await ask(server, "GET", "/homeport/why/SN-7?limit=5")).document
    assert [attempt["trackingId"] for attempt in attempts] == [tracking_id]
    attempt = attempts[0]
    assert (attempt["outcome"], attempt["assignedHub"], attempt["groupId"]) == ("assigned", "alpha.example", "fleet")
    assert [check["passed"] for check in attempt["checks"]] == [True] * len(attempt["checks"])
    assert (await ask(server, "GET", f"/homeport/attempts/{tracking_id}")).document == attempt
    assert (await ask(server, "GET", "/homeport/attempts")).document == [attempt]
    assert (await ask(server, "GET", "/homeport/attempts/none")).status == 404
    assert (await ask(server, "GET", "/homeport/why/stranger")).document == []
    assert (await ask(server, "GET", "/homeport/why/sn-7?limit=none")).status == 400
    registrations = (await ask(server, "GET", "/homeport/registrations")).document
    assert (registrations[0]["enrollmentGroupId"], registrations[0]["attestation"]) == ("fleet", "symmetricKey")


@pytest.mark.parametrize("after", ["x", "-1", "\0"])
async def test_a_forged_continuation_is_a_bad_request(server: Server, after: str) -> None:
    headers = {"x-ms-continuation": encode_token(after, "attempts")}
    assert (await ask(server, "GET", "/homeport/attempts", None, headers)).status == 400


async def test_hubs_are_linked_weighed_and_unlinked(server: Server) -> None:
    secret = sas.encode_key(KEY)
    link = {
        "connectionString": f"HostName=far.example;SharedAccessKeyName=iothubowner;SharedAccessKey={secret}",
        "allocationWeight": 7,
    }
    made = await ask(server, "PUT", "/homeport/hubs/far", link)
    assert made.status == 200
    assert made.document == {
        "name": "far",
        "hostName": "far.example",
        "allocationWeight": 7,
        "applyAllocationPolicy": True,
        "draining": False,
        "devices": 0,
        "local": False,
        "createdDateTimeUtc": "2024-06-01T12:00:00.0000000Z",
    }
    assert (await ask(server, "PUT", "/homeport/hubs/FAR", link)).document["errorCode"] == 409204
    changed = await ask(server, "PATCH", "/homeport/hubs/far", {"applyAllocationPolicy": False})
    assert (changed.document["allocationWeight"], changed.document["applyAllocationPolicy"]) == (7, False)
    hubs = await ask(server, "GET", "/homeport/hubs")
    assert [hub["name"] for hub in hubs.document] == ["alpha", "far"]
    assert secret.encode() not in hubs.body
    assert (await ask(server, "DELETE", "/homeport/hubs/far")).status == 204
    assert (await ask(server, "DELETE", "/homeport/hubs/far")).status == 404
    assert (await ask(server, "PATCH", "/homeport/hubs/far", {})).status == 404


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("x", {}, "either hostNames"),
        ("x", {"hostNames": ["a.example"]}, "no hubs of its own"),
        ("x", {"connectionString": "HostName=a.example"}, "SharedAccessKeyName"),
        ("x", {"connectionString": "HostName=a;SharedAccessKeyName=b;SharedAccessKey=c"}, "SharedAccessKey"),
        ("x", {"connectionString": f"HostName=a b;SharedAccessKeyName=b;SharedAccessKey={'A' * 64}"}, "HostName"),
        ("a b", {"connectionString": f"HostName=a;SharedAccessKeyName=b;SharedAccessKey={'A' * 64}"}, "name is"),
        (
            "x",
            {"connectionString": f"HostName=a;SharedAccessKeyName=b;SharedAccessKey={'A' * 64}", "allocationWeight": 0},
            "allocationWeight",
        ),
    ],
)
async def test_a_bad_link_is_refused(server: Server, name: str, body: dict[str, Any], words: str) -> None:
    answer = await ask(server, "PUT", f"/homeport/hubs/{name.replace(' ', '%20')}", body)
    assert answer.status == 400
    assert words in answer.document["message"]


async def test_the_admin_space_is_guarded(server: Server) -> None:
    for target in ("/homeport/why/x", "/homeport/attempts", "/homeport/registrations", "/homeport/hubs"):
        assert (await server.ask("GET", target)).status == 401
        assert (await server.ask("GET", target, None, {"Authorization": owner("reader")})).status == 401
