"""Authorities, policies and issued certificates over REST, and the device's request and answer over HTTPS."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from homeport.dps.frontends.admin import AdminFrontEnd
from homeport.dps.frontends.authorization import Authorization
from homeport.dps.frontends.http_device import DeviceFrontEnd
from homeport.dps.frontends.http_service import ServiceFrontEnd
from homeport.security import sas
from homeport.security.policies import DpsRight, SharedAccessPolicy
from tests.certificates import make_certificate
from tests.issuing import device_key, request_der, request_text
from tests.transports.serving import Answer, Server, serving
from tests.transports.world import EPOCH, SCOPE, World, new_world, symmetric, token

POLICY_KEY = bytes(range(32))
HOST = "dps.example"
VERSION = "?api-version=2026-11-01"
AUTHORITIES, POLICIES = "/homeport/certificateAuthorities", "/homeport/certificatePolicies"
ISSUED = "/homeport/issuedCertificates"


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
            ("reader", frozenset({DpsRight.ENROLLMENT_READ, DpsRight.REGISTRATION_STATUS_READ})),
        )
    ]
    guard = Authorization(policies=lambda: policies, hosts=lambda: {HOST}, clock=world.clock)
    async with serving(
        *world.issuing.http,
        DeviceFrontEnd(world.responder),
        ServiceFrontEnd(world.service, guard, clock=world.clock, random=bytes),
        AdminFrontEnd(world.admin, guard, clock=world.clock, random=bytes),
    ) as running:
        yield running


async def ask(
    server: Server, method: str, target: str, body: Any = None, *, policy: str = "provisioningserviceowner", **more: str
) -> Answer:
    proof = sas.sign(sas.encode_resource(HOST), POLICY_KEY, int(EPOCH.timestamp()) + 600, policy)
    return await server.ask(method, target, body, {"Authorization": proof, **more})


async def made(server: Server) -> None:
    """A root, an authority, a policy and an enrolled device."""
    for target, body in (
        (f"{AUTHORITIES}/plant", {}),
        (f"{AUTHORITIES}/line", {"issuer": "plant", "maximumValiditySeconds": 86400}),
        (f"{POLICIES}/standard", {"certificateAuthorityName": "line", "validitySeconds": 3600}),
    ):
        answer = await ask(server, "PUT", target, body)
        assert answer.status == 200, answer.document


async def enroll(server: Server, **members: Any) -> None:
    keys = {"primaryKey": sas.encode_key(symmetric().primary_key), "secondaryKey": sas.encode_key(bytes(32))}
    body = {"registrationId": "dev-1", "attestation": {"type": "symmetricKey", "symmetricKey": keys}, **members}
    answer = await ask(server, "PUT", f"/enrollments/dev-1{VERSION}", body)
    assert answer.status == 200, answer.document


async def register(server: Server, version: str = VERSION, **members: Any) -> Answer:
    return await server.ask(
        "PUT",
        f"/{SCOPE}/registrations/dev-1/register{version}",
        {"registrationId": "dev-1", **members},
        {"Authorization": token("dev-1")},
    )


# ---------------------------------------------------------------- devices


async def test_a_device_asks_for_a_certificate_and_polls_it(server: Server) -> None:
    await made(server)
    await enroll(server, certificatePolicyName="standard", namespaceName="my-namespace")
    answer = await register(server, csr=request_text("dev-1"))
    assert answer.status == 202
    state = answer.document["registrationState"]
    chain = [x509.load_der_x509_certificate(base64.b64decode(text)) for text in state["issuedCertificateChain"]]
    assert [each.subject.rfc4514_string() for each in chain] == ["CN=dev-1", "CN=line", "CN=plant"]
    operation = answer.document["operationId"]
    headers = {"Authorization": token("dev-1")}
    polled = await server.ask("GET", f"/{SCOPE}/registrations/dev-1/operations/{operation}{VERSION}", None, headers)
    assert polled.document == answer.document
    looked_up = await server.ask("POST", f"/{SCOPE}/registrations/dev-1{VERSION}", {}, headers)
    assert looked_up.status == 200
    assert "issuedCertificateChain" not in looked_up.document
    wrong = await server.ask("POST", f"/{SCOPE}/registrations/dev-1{VERSION}", {"csr": request_text("dev-1")}, headers)
    assert (wrong.status, wrong.document["errorCode"]) == (400, 400000)
    shown = await ask(server, "GET", f"/enrollments/dev-1{VERSION}")
    assert shown.document["certificatePolicyName"] == "standard"
    assert shown.document["namespaceName"] == "my-namespace"


async def test_an_older_version_has_no_requests(server: Server) -> None:
    await made(server)
    await enroll(server, certificatePolicyName="standard")
    answer = await register(server, "?api-version=2021-06-01", csr="no request at all")
    assert answer.status == 202
    assert "issuedCertificateChain" not in answer.document["registrationState"]


@pytest.mark.parametrize(
    "csr",
    [
        "",
        "AAAA",
        "-----BEGIN CERTIFICATE REQUEST-----",
        "A" * 20000,
        request_text("dev-2"),
        base64.b64encode(request_der("dev-1") + b"\0").decode(),
        request_text("dev-1", sans=tuple(f"n{number}.example" for number in range(2000))),
    ],
    ids=["empty", "no DER", "PEM", "too long", "another name", "bytes behind it", "a huge list of names"],
)
async def test_hostile_requests_are_refused_before_anything_happens(server: Server, world: World, csr: str) -> None:
    await made(server)
    await enroll(server, certificatePolicyName="standard")
    answer = await register(server, csr=csr)
    assert (answer.status, answer.document["errorCode"]) == (400, 400000)
    assert "csr" in answer.document["message"]
    assert await world.database.registrations.get("dev-1") is None
    (attempt,) = await world.database.attempts.latest("dev-1", limit=1)
    assert (attempt.code, "csr" in attempt.reason) == (400000, True)


@pytest.mark.parametrize(
    ("member", "name"),
    [
        ("certificateAuthorityName", "a"),
        ("certificateAuthorityName", "-abc"),
        ("certificatePolicyName", "x" * 64),
        ("namespaceName", "Upper"),
        ("namespaceName", "ab-"),
    ],
)
async def test_names_that_the_swagger_forbids(server: Server, member: str, name: str) -> None:
    body = {"registrationId": "dev-1", "attestation": {"type": "symmetricKey"}, member: name}
    answer = await ask(server, "PUT", f"/enrollments/dev-1{VERSION}", body)
    assert (answer.status, member in answer.document["message"]) == (400, True)


# ---------------------------------------------------------------- authorities


async def test_an_authority_is_made_listed_and_deleted(server: Server) -> None:
    await made(server)
    listed = (await ask(server, "GET", AUTHORITIES)).document
    assert [(each["name"], each.get("issuer")) for each in listed] == [("line", "plant"), ("plant", None)]
    one = (await ask(server, "GET", f"{AUTHORITIES}/LINE")).document
    assert one["active"]["keyType"] == "EC-P256"
    assert one["maximumValiditySeconds"] == 86400
    assert "sealed" not in json.dumps(listed)
    chain = (await ask(server, "GET", f"{AUTHORITIES}/line/chain")).document
    certificates = x509.load_pem_x509_certificates(chain["certificates"].encode())
    assert [each.subject.rfc4514_string() for each in certificates] == ["CN=line", "CN=plant"]
    for name, why in (("plant", "signed the authority line"), ("line", "the policy standard is its")):
        refused = await ask(server, "DELETE", f"{AUTHORITIES}/{name}")
        assert (refused.status, refused.document["errorCode"]) == (409, 409212)
        assert why in refused.document["message"]
    for target in (f"{POLICIES}/standard", f"{AUTHORITIES}/line", f"{AUTHORITIES}/plant"):
        assert (await ask(server, "DELETE", target)).status == 204
        assert (await ask(server, "DELETE", target)).status == 404


async def test_an_authority_lives_as_long_as_its_certificates_and_enrollments(server: Server) -> None:
    await made(server)
    await enroll(server, certificatePolicyName="standard")
    assert (await register(server, csr=request_text("dev-1"))).status == 202
    refused = await ask(server, "DELETE", f"{POLICIES}/standard")
    assert "the enrollment dev-1 names it" in refused.document["message"]
    assert (await ask(server, "DELETE", f"/enrollments/dev-1{VERSION}")).status == 204
    assert (await ask(server, "DELETE", f"{POLICIES}/standard")).status == 204
    refused = await ask(server, "DELETE", f"{AUTHORITIES}/line")
    assert "1 of its certificates are valid" in refused.document["message"]
    assert (await ask(server, "POST", f"{ISSUED}/revoke", {"registrationId": "dev-1"})).status == 200
    assert (await ask(server, "DELETE", f"{AUTHORITIES}/line")).status == 204


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"keyType": "RSA-2048"}, "keyType is none of"),
        ({"keyType": "DES"}, "keyType is none of"),
        ({"issuer": "line"}, "signs no other authorities"),
        ({"issuer": "plant", "pathLength": 1}, "at most 0 below it"),
        ({"pathLength": 9}, "pathLength"),
        ({"validitySeconds": 5}, "validity"),
        ({"validitySeconds": -1}, "validitySeconds"),
        ({"maximumValiditySeconds": 1}, "maximumValiditySeconds"),
        ({"crlUrl": "ftp://x"}, "crlUrl"),
        ({"commonName": "x" * 65}, "commonName"),
        ({"privateKey": "secret-text"}, "privateKey comes with"),
        ({"keyUri": "pkcs11:token=t;object=o"}, "no module for it"),
    ],
)
async def test_authorities_that_are_not_made(server: Server, body: dict[str, Any], why: str) -> None:
    await made(server)
    answer = await ask(server, "PUT", f"{AUTHORITIES}/another", body)
    assert answer.status in {400, 503}
    assert why in answer.document["message"]
    assert "secret-text" not in answer.document["message"]
    assert len((await ask(server, "GET", AUTHORITIES)).document) == 2


@pytest.mark.parametrize("name", ["ab", "-abc", "a_b_c", "x" * 64])
async def test_names_of_authorities(server: Server, name: str) -> None:
    assert (await ask(server, "PUT", f"{AUTHORITIES}/{name}", {})).status == 400


async def test_an_authority_is_never_replaced(server: Server) -> None:
    await made(server)
    answer = await ask(server, "PUT", f"{AUTHORITIES}/LINE", {})
    assert (answer.status, answer.document["errorCode"]) == (409, 409211)


async def test_a_brought_authority_issues_and_is_rotated_by_the_next(server: Server, world: World) -> None:
    world.clock.time = x509_now()
    root = make_certificate("brought root", ca=True)
    line, following = root.issue("brought line", ca=True), root.issue("brought line", ca=True)
    body = {"certificates": line.pem + root.pem, "privateKey": line.key_pem}
    answer = await ask_now(server, world, "PUT", f"{AUTHORITIES}/brought", body)
    assert answer.status == 200, answer.document
    refused = await ask_now(server, world, "POST", f"{AUTHORITIES}/brought/rotate")
    assert "rotate it with the next certificate" in refused.document["message"]
    body = {"certificates": following.pem + root.pem, "privateKey": following.key_pem}
    rotated = await ask_now(server, world, "POST", f"{AUTHORITIES}/brought/rotate", body)
    assert [each["version"] for each in rotated.document["versions"]] == [1, 2]
    old = await ask_now(server, world, "GET", f"{AUTHORITIES}/brought/chain?version=1")
    assert old.document["certificates"].startswith(line.pem)
    assert (await ask_now(server, world, "GET", f"{AUTHORITIES}/brought/chain?version=3")).status == 404
    for certificates, key, why in (
        (line.pem, line.key_pem, "not a root"),
        (line.pem + root.pem, following.key_pem, "not that of certificate"),
        (line.pem + root.pem, "nonsense", "cannot be read"),
        ("nonsense", line.key_pem, "no certificates"),
        (line.pem + root.pem, None, "either the private key"),
    ):
        wrong = {"certificates": certificates} | ({} if key is None else {"privateKey": key})
        answer = await ask_now(server, world, "PUT", f"{AUTHORITIES}/wrong", wrong)
        assert (answer.status, why in answer.document["message"]) == (400, True), answer.document


def x509_now() -> Any:
    """`make_certificate` takes the real time."""
    return make_certificate("now").certificate.not_valid_before_utc + timedelta(days=2)


async def ask_now(server: Server, world: World, method: str, target: str, body: Any = None) -> Answer:
    expiry = int(world.clock.now().timestamp()) + 600
    proof = sas.sign(sas.encode_resource(HOST), POLICY_KEY, expiry, "provisioningserviceowner")
    return await server.ask(method, target, body, {"Authorization": proof})


async def test_an_intermediate_is_rotated_under_its_issuer(server: Server) -> None:
    await made(server)
    rotated = (await ask(server, "POST", f"{AUTHORITIES}/line/rotate")).document
    assert rotated["active"]["version"] == 2
    assert rotated["versions"][0]["sha256Thumbprint"] != rotated["active"]["sha256Thumbprint"]
    assert rotated["versions"][0]["subjectName"] == rotated["active"]["subjectName"]
    refused = await ask(server, "POST", f"{AUTHORITIES}/line/rotate", {"certificates": "PEM", "privateKey": "PEM"})
    assert "was made here" in refused.document["message"]


# ---------------------------------------------------------------- policies


async def test_a_policy_is_put_as_a_whole(server: Server) -> None:
    await made(server)
    one = (await ask(server, "GET", f"{POLICIES}/STANDARD")).document
    assert (one["validitySeconds"], one["renewBeforeSeconds"], one["backdateSeconds"]) == (3600, 1200, 3600)
    body = {
        "certificateAuthorityName": "LINE",
        "keyTypes": ["ec-p256", "Ed25519"],
        "extendedKeyUsages": ["clientAuth", "serverAuth"],
        "organization": "Works",
        "dnsName": True,
        "validitySeconds": 7200,
    }
    changed = (await ask(server, "PUT", f"{POLICIES}/standard", body)).document
    assert changed["keyTypes"] == ["EC-P256", "Ed25519"]
    assert (changed["certificateAuthorityName"], changed["organization"], changed["dnsName"]) == ("line", "Works", True)
    assert changed["etag"] != one["etag"]
    assert len((await ask(server, "GET", POLICIES)).document) == 1


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"certificateAuthorityName": "nobody"}, 404),
        ({"validitySeconds": 86401}, 400),
        ({"validitySeconds": 10}, 400),
        ({"renewBeforeSeconds": 3600, "validitySeconds": 3600}, 400),
        ({"backdateSeconds": 10**7}, 400),
        ({"keyTypes": []}, 400),
        ({"keyTypes": ["RSA-1024"]}, 400),
        ({"extendedKeyUsages": ["serverAuth"]}, 400),
        ({"organization": "two\nlines"}, 400),
        ({"validitySeconds": "long"}, 400),
    ],
)
async def test_policies_that_are_not_taken(server: Server, members: dict[str, Any], status: int) -> None:
    await made(server)
    body = {"certificateAuthorityName": "line", "validitySeconds": 3600, **members}
    assert (await ask(server, "PUT", f"{POLICIES}/another", body)).status == status
    assert len((await ask(server, "GET", POLICIES)).document) == 1


# ---------------------------------------------------------------- issued certificates


async def test_issued_certificates_are_found_and_revoked(server: Server) -> None:
    await made(server)
    await enroll(server, certificatePolicyName="standard")
    for number in range(3):
        assert (await register(server, csr=request_text("dev-1", device_key(f"key {number}")))).status == 202
    listed = (await ask(server, "GET", f"{ISSUED}?registrationId=DEV-1")).document
    assert len(listed) == 3
    assert {each["status"] for each in listed} == {"valid"}
    assert (await ask(server, "GET", f"{ISSUED}?certificateAuthorityName=plant")).document == []
    assert len((await ask(server, "GET", f"{ISSUED}?endsWithinSeconds=3600")).document) == 3
    assert (await ask(server, "GET", f"{ISSUED}?endsWithinSeconds=3500")).document == []
    page = await ask(server, "GET", ISSUED, **{"x-ms-max-item-count": "2"})
    following = await ask(server, "GET", ISSUED, **{"x-ms-continuation": page.headers["x-ms-continuation"]})
    assert page.document + following.document == listed
    serial = listed[0]["serialNumber"]
    revoked = await ask(server, "POST", f"{ISSUED}/{serial.lower()}/revoke", {"reason": "KEYCOMPROMISE"})
    assert (revoked.document["status"], revoked.document["revocationReason"]) == ("revoked", "keyCompromise")
    assert (await ask(server, "GET", f"{ISSUED}/{serial}")).document == revoked.document
    rest = (await ask(server, "POST", f"{ISSUED}/revoke", {"registrationId": "dev-1"})).document
    assert {each["serialNumber"] for each in rest} == {each["serialNumber"] for each in listed[1:]}
    crl = (await ask(server, "GET", f"{AUTHORITIES}/line/crl")).document
    assert len(x509.load_der_x509_crl(base64.b64decode(crl["crl"]))) == 3


@pytest.mark.parametrize(
    ("method", "target", "body", "status"),
    [
        ("GET", f"{ISSUED}/4850", None, 404),
        ("POST", f"{ISSUED}/4850/revoke", None, 404),
        ("POST", f"{ISSUED}/4850/revoke", {"reason": "certificateHold"}, 400),
        ("POST", f"{ISSUED}/revoke", {}, 400),
        ("GET", f"{ISSUED}?endsWithinSeconds=soon", None, 400),
        ("DELETE", f"{ISSUED}/4850", None, 405),
        ("GET", f"{ISSUED}/4850/other", None, 404),
        ("GET", f"{AUTHORITIES}/nobody/crl", None, 404),
        ("GET", f"{AUTHORITIES}/nobody/chain?version=x", None, 404),
        ("POST", f"{AUTHORITIES}/nobody/rotate", None, 404),
        ("GET", "/homeport/masterKey", None, 404),
    ],
)
async def test_requests_that_miss(server: Server, method: str, target: str, body: Any, status: int) -> None:
    assert (await ask(server, method, target, body)).status == status


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", AUTHORITIES),
        ("PUT", f"{AUTHORITIES}/line"),
        ("POST", f"{AUTHORITIES}/line/rotate"),
        ("PUT", f"{POLICIES}/standard"),
        ("POST", f"{ISSUED}/revoke"),
        ("POST", "/homeport/masterKey/rotate"),
    ],
)
async def test_what_readers_may_not(server: Server, method: str, target: str) -> None:
    assert (await ask(server, method, target, {}, policy="reader")).status == 401
    assert (await server.ask(method, target, {})).status == 401


async def test_readers_may_list_what_was_issued(server: Server) -> None:
    assert (await ask(server, "GET", ISSUED, policy="reader")).document == []


# ---------------------------------------------------------------- anybody


async def test_anybody_may_fetch_chain_and_list(server: Server) -> None:
    await made(server)
    crl = await server.ask("GET", "/homeport/pki/line.crl")
    assert (crl.status, crl.headers["content-type"]) == (200, "application/pkix-crl")
    assert len(x509.load_der_x509_crl(crl.body)) == 0
    chain = await server.ask("GET", "/homeport/pki/LINE.pem?version=1")
    assert len(x509.load_pem_x509_certificates(chain.body)) == 2
    for target, status in (
        ("/homeport/pki/nobody.crl", 404),
        ("/homeport/pki/line.key", 404),
        ("/homeport/pki/line.pem?version=7", 404),
        ("/homeport/pki/line", 404),
    ):
        missing = await server.ask("GET", target)
        assert (missing.status, missing.headers["content-type"]) == (status, "application/json; charset=utf-8")
    assert (await server.ask("POST", "/homeport/pki/line.crl")).status == 405
