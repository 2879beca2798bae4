"""No administrative change leaves no entry: every method that changes something is called, and the journal is read.

The methods are found in the front-ends' source, so a new one fails here until it stands in the table below.
"""

import ast
import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding

from homeport.app.build import build
from homeport.app.config import Config
from homeport.app.directory import DataDirectory
from homeport.client.journal_models import AuditEntry
from homeport.clock import SystemClock
from homeport.security import sas
from tests.issuing import request_text
from tests.transports.serving import Answer, Server, serving
from tests.unit.security.certificates import Issued, issue
from tests.unit.security.test_crl import crl

SOURCE = Path(__file__).parents[2] / "src" / "homeport"
FRONTENDS = SOURCE / "dps" / "frontends"
CHANGING = {"PUT", "POST", "PATCH", "DELETE"}
VERSION = "?api-version=2021-10-01"


@dataclass(frozen=True, kw_only=True)
class Change:
    """A call that changes something, and the kind of entry it must leave."""

    path: str
    kind: str
    body: Any | Callable[[Answer], Any] = None
    """Or a function that makes it of the answer to the last one of `first`."""
    first: tuple[tuple[str, str, Any], ...] = ()
    """What must have been done before: method, path, body."""


HOOK = "http://127.0.0.1:{hook}/events"
KEY = bytes(32)
ENROLLMENT = {
    "registrationId": "dev-1",
    "attestation": {
        "type": "symmetricKey",
        "symmetricKey": {"primaryKey": sas.encode_key(KEY), "secondaryKey": sas.encode_key(KEY)},
    },
}
REGISTER = ("REGISTER", "dev-1", None)
GROUP = {"enrollmentGroupId": "line", "attestation": {"type": "symmetricKey"}}
MAKE_ENROLLMENT = ("PUT", f"/enrollments/dev-1{VERSION}", ENROLLMENT)
MAKE_GROUP = ("PUT", f"/enrollmentGroups/line{VERSION}", GROUP)
MAKE_HUB = ("PUT", "/homeport/hubs/two", {"hostNames": ["127.0.0.9"]})
MAKE_ROUTE: tuple[str, str, Any] = ("PUT", "/homeport/hubs/hub1/routes/all", {"endpointNames": ["events"]})
MAKE_ENDPOINT: tuple[str, str, Any] = ("PUT", "/homeport/hubs/hub1/endpoints/alarms", {"type": "eventHub"})
MAKE_ENRICHMENT: tuple[str, str, Any] = (
    "PUT",
    "/homeport/hubs/hub1/enrichments/site",
    {"value": "A", "endpointNames": ["events"]},
)
GROUP_OF_READERS = "/homeport/hubs/hub1/eventHubs/events/consumerGroups/billing"
MAKE_ADMINISTRATOR = ("PUT", "/homeport/administrators/anna", {"role": "reader"})
MAKE_POLICY = ("PUT", "/homeport/policies/ci", {"rights": ["RegistrationStatusRead"]})
BULK = {"mode": "create", "enrollments": [ENROLLMENT]}
BULK_GROUPS = {"mode": "create", "enrollmentGroups": [GROUP]}
MAKE_SUBSCRIPTION = ("PUT", "/homeport/eventSubscriptions/hook", {"url": HOOK, "types": ["nothing"]})

MAKE_FAULT = ("POST", "/homeport/faults", {"kind": "throttle", "devices": ["dev-9"]})

LATE = datetime(2100, 1, 1, tzinfo=UTC)
ROOT = issue("Root", ends=LATE)


def pem(issued: Issued) -> str:
    return issued.certificate.parsed.public_bytes(Encoding.PEM).decode()


def proof(answer: Answer) -> dict[str, str]:
    return {"certificate": pem(ROOT.ca(answer.document["verificationCode"], ends=LATE))}


CERTIFICATE = "/homeport/certificates/root"
MAKE_CERTIFICATE = ("PUT", CERTIFICATE, {"certificate": pem(ROOT)})
MAKE_CODE = ("POST", f"{CERTIFICATE}/generateVerificationCode", None)
MAKE_CRL = ("PUT", f"{CERTIFICATE}/crl", crl(ROOT, issuer="Root", ends=LATE))
ISSUE = ("ISSUE", "dev-1", None)
MAKE_AUTHORITY: tuple[str, str, Any] = ("PUT", "/homeport/certificateAuthorities/plant", {})
MAKE_CERTIFICATE_POLICY = ("PUT", "/homeport/certificatePolicies/short", {"certificateAuthorityName": "plant"})
ISSUED = (
    MAKE_AUTHORITY,
    ("PUT", "/enrollments/dev-1?api-version=2026-11-01", {**ENROLLMENT, "certificateAuthorityName": "plant"}),
    ISSUE,
)


def hub_proof(answer: Answer) -> dict[str, str]:
    return proof(Answer(answer.status, answer.headers, json.dumps(answer.document["properties"]).encode()))


HUB = "/homeport/hubs/hub1"
HUB_CERTIFICATE = f"{HUB}/certificates/root"
MAKE_HUB_CERTIFICATE = ("PUT", HUB_CERTIFICATE, {"properties": {"certificate": pem(ROOT)}})
MAKE_HUB_CODE = ("POST", f"{HUB_CERTIFICATE}/generateVerificationCode", None)
CHANGES = {
    "hub_resources PUT [name]": Change(
        path=HUB_CERTIFICATE, body=MAKE_HUB_CERTIFICATE[2], kind="hubCaCertificate.uploaded"
    ),
    "hub_resources DELETE [name]": Change(
        path=HUB_CERTIFICATE, kind="hubCaCertificate.deleted", first=(MAKE_HUB_CERTIFICATE,)
    ),
    "hub_resources POST [name, 'generateverificationcode']": Change(
        path=MAKE_HUB_CODE[1], kind="hubCaCertificate.updated", first=(MAKE_HUB_CERTIFICATE,)
    ),
    "hub_resources POST [name, 'verify']": Change(
        path=f"{HUB_CERTIFICATE}/verify",
        body=hub_proof,
        kind="hubCaCertificate.verified",
        first=(MAKE_HUB_CERTIFICATE, MAKE_HUB_CODE),
    ),
    "hub_resources PUT [hub, 'cloudtodevice']": Change(
        path=f"{HUB}/cloudToDevice", body={"maxDeliveryCount": 3}, kind="hubQueues.updated"
    ),
    "hub_resources PUT [hub, 'fileupload']": Change(
        path=f"{HUB}/fileUpload", body={"notifications": False}, kind="hubFiles.updated"
    ),
    "http_service PUT ['enrollments', name]": Change(
        path=MAKE_ENROLLMENT[1], body=ENROLLMENT, kind="enrollment.created"
    ),
    "http_service DELETE ['enrollments', name]": Change(
        path=f"/enrollments/dev-1{VERSION}", kind="enrollment.deleted", first=(MAKE_ENROLLMENT,)
    ),
    "http_service PUT ['enrollmentgroups', name]": Change(
        path=MAKE_GROUP[1], body=GROUP, kind="enrollmentGroup.created"
    ),
    "http_service DELETE ['enrollmentgroups', name]": Change(
        path=f"/enrollmentGroups/line{VERSION}", kind="enrollmentGroup.deleted", first=(MAKE_GROUP,)
    ),
    "http_service DELETE ['registrations', name]": Change(
        path=f"/registrations/dev-1{VERSION}", kind="registration.deleted", first=(MAKE_ENROLLMENT, REGISTER)
    ),
    "allocation PUT ['settings']": Change(
        path="/homeport/allocation/settings", body={"defaultPolicy": "static"}, kind="allocation.updated"
    ),
    "allocation POST ['signingkeys', 'rotate']": Change(
        path="/homeport/allocation/signingKeys/rotate", kind="signingKey.rotated"
    ),
    "hubs PUT ['hubs', name]": Change(path=MAKE_HUB[1], body=MAKE_HUB[2], kind="hub.linked"),
    "hubs PATCH ['hubs', name]": Change(
        path="/homeport/hubs/two", body={"allocationWeight": 3}, kind="hub.updated", first=(MAKE_HUB,)
    ),
    "hubs DELETE ['hubs', name]": Change(path="/homeport/hubs/two", kind="hub.unlinked", first=(MAKE_HUB,)),
    "Routes PUT [member]": Change(path=MAKE_ROUTE[1], body=MAKE_ROUTE[2], kind="hubRouting.updated"),
    "Routes DELETE [member]": Change(path=MAKE_ROUTE[1], kind="hubRouting.updated", first=(MAKE_ROUTE,)),
    "Endpoints PUT [member]": Change(path=MAKE_ENDPOINT[1], body=MAKE_ENDPOINT[2], kind="hubRouting.updated"),
    "Endpoints DELETE [member]": Change(path=MAKE_ENDPOINT[1], kind="hubRouting.updated", first=(MAKE_ENDPOINT,)),
    "Enrichments PUT [member]": Change(path=MAKE_ENRICHMENT[1], body=MAKE_ENRICHMENT[2], kind="hubRouting.updated"),
    "Enrichments DELETE [member]": Change(path=MAKE_ENRICHMENT[1], kind="hubRouting.updated", first=(MAKE_ENRICHMENT,)),
    "event_hubs PATCH [endpoint]": Change(
        path="/homeport/hubs/hub1/eventHubs/events", body={"retentionDays": 3}, kind="eventStream.updated"
    ),
    "event_hubs PUT [endpoint, 'consumergroups', group]": Change(path=GROUP_OF_READERS, kind="consumerGroup.created"),
    "event_hubs DELETE [endpoint, 'consumergroups', group]": Change(
        path=GROUP_OF_READERS, kind="consumerGroup.deleted", first=(("PUT", GROUP_OF_READERS, None),)
    ),
    "ip_filter PUT [_]": Change(path="/homeport/ipFilter", body={"rules": []}, kind="ipFilter.updated"),
    "certificates PUT ['certificates', name]": Change(
        path=CERTIFICATE, body=MAKE_CERTIFICATE[2], kind="caCertificate.uploaded"
    ),
    "certificates PATCH ['certificates', name]": Change(
        path=CERTIFICATE,
        body={"revocation": {"useOcsp": True}},
        kind="caCertificate.updated",
        first=(MAKE_CERTIFICATE,),
    ),
    "certificates DELETE ['certificates', name]": Change(
        path=CERTIFICATE, kind="caCertificate.deleted", first=(MAKE_CERTIFICATE, MAKE_CRL)
    ),
    "certificates POST ['certificates', name, 'generateverificationcode']": Change(
        path=MAKE_CODE[1], kind="caCertificate.updated", first=(MAKE_CERTIFICATE,)
    ),
    "certificates POST ['certificates', name, 'verify']": Change(
        path=f"{CERTIFICATE}/verify", body=proof, kind="caCertificate.verified", first=(MAKE_CERTIFICATE, MAKE_CODE)
    ),
    "certificates DELETE ['certificates', name, 'crl']": Change(
        path=MAKE_CRL[1], kind="crl.deleted", first=(MAKE_CERTIFICATE, MAKE_CRL)
    ),
    "http_crl PUT method": Change(path=MAKE_CRL[1], body=MAKE_CRL[2], kind="crl.uploaded", first=(MAKE_CERTIFICATE,)),
    "authorities PUT ['certificateauthorities', name]": Change(
        path=MAKE_AUTHORITY[1], body=MAKE_AUTHORITY[2], kind="certificateAuthority.created"
    ),
    "authorities POST ['certificateauthorities', name, 'rotate']": Change(
        path=f"{MAKE_AUTHORITY[1]}/rotate", kind="certificateAuthority.rotated", first=(MAKE_AUTHORITY,)
    ),
    "authorities DELETE ['certificateauthorities', name]": Change(
        path=MAKE_AUTHORITY[1], kind="certificateAuthority.deleted", first=(MAKE_AUTHORITY,)
    ),
    "authorities PUT ['certificatepolicies', name]": Change(
        path=MAKE_CERTIFICATE_POLICY[1],
        body=MAKE_CERTIFICATE_POLICY[2],
        kind="certificatePolicy.created",
        first=(MAKE_AUTHORITY,),
    ),
    "authorities DELETE ['certificatepolicies', name]": Change(
        path=MAKE_CERTIFICATE_POLICY[1],
        kind="certificatePolicy.deleted",
        first=(MAKE_AUTHORITY, MAKE_CERTIFICATE_POLICY),
    ),
    "authorities POST ['masterkey', 'rotate']": Change(
        path="/homeport/masterKey/rotate", kind="masterKey.rotated", first=(MAKE_AUTHORITY,)
    ),
    "issued_certificates POST ['issuedcertificates', serial_number, 'revoke']": Change(
        path="/homeport/issuedCertificates/SERIAL/revoke", kind="certificate.revoked", first=ISSUED
    ),
    "issued_certificates POST ['issuedcertificates', 'revoke']": Change(
        path="/homeport/issuedCertificates/revoke",
        body={"registrationId": "dev-1"},
        kind="certificate.revoked",
        first=ISSUED,
    ),
    "administrators PUT ['administrators', name]": Change(
        path=MAKE_ADMINISTRATOR[1], body=MAKE_ADMINISTRATOR[2], kind="administrator.created"
    ),
    "administrators PATCH ['administrators', name]": Change(
        path="/homeport/administrators/anna",
        body={"role": "owner"},
        kind="administrator.updated",
        first=(MAKE_ADMINISTRATOR,),
    ),
    "administrators DELETE ['administrators', name]": Change(
        path="/homeport/administrators/anna", kind="administrator.revoked", first=(MAKE_ADMINISTRATOR,)
    ),
    "administrators POST ['administrators', name, 'token']": Change(
        path="/homeport/administrators/anna/token", kind="administrator.updated", first=(MAKE_ADMINISTRATOR,)
    ),
    "http_service POST ['enrollments']": Change(path=f"/enrollments{VERSION}", body=BULK, kind="enrollment.created"),
    "http_service POST ['enrollmentgroups']": Change(
        path=f"/enrollmentGroups{VERSION}", body=BULK_GROUPS, kind="enrollmentGroup.created"
    ),
    "policies PUT ['policies', name]": Change(path=MAKE_POLICY[1], body=MAKE_POLICY[2], kind="policy.created"),
    "policies PATCH ['policies', name]": Change(
        path="/homeport/policies/ci", body={"rights": ["EnrollmentRead"]}, kind="policy.updated", first=(MAKE_POLICY,)
    ),
    "policies DELETE ['policies', name]": Change(
        path="/homeport/policies/ci", kind="policy.deleted", first=(MAKE_POLICY,)
    ),
    "policies POST ['policies', name, 'regenerate']": Change(
        path="/homeport/policies/ci/regenerate", body={"key": "primary"}, kind="policy.updated", first=(MAKE_POLICY,)
    ),
    "policies POST ['policies', name, 'swap']": Change(
        path="/homeport/policies/ci/swap", kind="policy.updated", first=(MAKE_POLICY,)
    ),
    "subscriptions PUT [_, name]": Change(
        path=MAKE_SUBSCRIPTION[1], body=MAKE_SUBSCRIPTION[2], kind="eventSubscription.created"
    ),
    "subscriptions DELETE [_, name]": Change(
        path="/homeport/eventSubscriptions/hook", kind="eventSubscription.deleted", first=(MAKE_SUBSCRIPTION,)
    ),
    "subscriptions POST [_, name, 'replay']": Change(
        path="/homeport/eventSubscriptions/hook/replay", kind="eventSubscription.replayed", first=(MAKE_SUBSCRIPTION,)
    ),
    "faults POST ['faults']": Change(path=MAKE_FAULT[1], body=MAKE_FAULT[2], kind="fault.started"),
    "faults DELETE ['faults', fault_id]": Change(
        path="/homeport/faults/f-1", kind="fault.stopped", first=(MAKE_FAULT,)
    ),
    "faults PUT ['faults', 'messages', hub]": Change(
        path="/homeport/faults/messages/hub1", body={"enabled": True}, kind="faultMessages.switched"
    ),
}

CHANGES_NOTHING = {
    "allocation POST ['explain']": "answers a question",
    "allocation POST ['whatif']": "answers a question",
    "hubs POST ['hubs', name, check]": "looks at the link",
    "hub_route_trials POST [_, hub, _]": "answers a question",
    "http_service POST ['enrollments', word]": "a query",
    "http_service POST ['enrollmentgroups', word]": "a query",
    "http_service POST request.method": "both of these",
    "http_service POST ['registrations', name, word]": "a query",
    "http_service POST ['enrollments', name, word]": "tells the keys",
    "http_service POST ['enrollmentgroups', name, word]": "tells the keys",
    "registrations POST ['registrations', word]": "a query",
    "policies POST ['policies', name, 'keys']": "tells the keys",
    "audit POST ['audit', 'verify']": "reads",
    "subscriptions POST [_, name, 'test']": "sends an event to a webhook that was chosen before",
}


def offered() -> set[str]:
    """Return each address and method of the front-ends' tables: module, method, pattern of the path.

    Of a front-end that has no table but compares the method with a word: module, method, what is compared.
    """
    found = set()
    for file in FRONTENDS.glob("*.py"):
        for comparison in (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Compare)):
            words = {str(word.value) for word in comparison.comparators if isinstance(word, ast.Constant)}
            found |= {f"{file.stem} {method} {ast.unparse(comparison.left)}" for method in words & CHANGING}
    for file in (FRONTENDS / "http_service.py", *(FRONTENDS / "admin").glob("*.py"), *(SOURCE / "app").glob("*.py")):
        # What several collections share is called once through each.
        owners = collections() if file.stem == "hub_collections" else (file.stem,)
        for case in (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.match_case)):
            for table in (node for part in case.body for node in ast.walk(part) if isinstance(node, ast.Dict)):
                methods = {str(key.value) for key in table.keys if isinstance(key, ast.Constant)}
                pattern = ast.unparse(case.pattern)
                found |= {f"{owner} {method} {pattern}" for owner in owners for method in methods & CHANGING}
    return found


def collections() -> set[str]:
    """Return the classes that say what a collection of a hub is."""
    classes = [
        node
        for file in (SOURCE / "app").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    return {each.name for each in classes if any(ast.unparse(base).startswith("HubCollection[") for base in each.bases)}


def test_every_method_that_may_change_something_is_looked_at() -> None:
    assert offered() == CHANGES.keys() | CHANGES_NOTHING.keys()


@pytest.fixture
async def hook() -> AsyncIterator[int]:
    """A webhook that agrees to everything."""

    async def answer(request: web.BaseRequest) -> web.Response:
        del request
        return web.Response(headers={"WebHook-Allowed-Origin": "*"})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    yield site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]  # a real server has sockets
    await runner.cleanup()


class Operator:
    """The holder of the start token, at a whole service that listens to nobody else."""

    def __init__(self, server: Server, token: str, hook: int, scope: str) -> None:
        self._server = server
        self._scope = scope
        self._headers = {"Authorization": f"Bearer {token}"}
        self._hook = hook

    async def ask(self, method: str, path: str, body: Any = None) -> Answer:
        if method == "REGISTER":
            return await self._register(path)
        if method == "ISSUE":
            return await self._register(path, version="2026-11-01", csr=request_text(path))
        if "SERIAL" in path:
            (issued,) = (await self.ask("GET", "/homeport/issuedCertificates")).document
            path = path.replace("SERIAL", issued["serialNumber"])
        if body is None or isinstance(body, bytes):
            text = body
        else:
            text = json.dumps(body).replace("{hook}", str(self._hook)).encode()
        headers = {**self._headers, "If-Match": "*"} if method == "DELETE" else self._headers
        return await self._server.ask(method, path, text, headers)

    async def _register(self, device: str, *, version: str = "2019-03-31", **members: str) -> Answer:
        resource = sas.encode_resource(f"{self._scope}/registrations/{device}")
        token = sas.sign(resource, KEY, int(SystemClock().now().timestamp()) + 600, "registration")
        answer = await self._server.ask(
            "PUT",
            f"/{self._scope}/registrations/{device}/register?api-version={version}",
            {"registrationId": device, **members},
            {"Authorization": token},
        )
        assert answer.status == 202, answer.body
        operation = answer.document["operationId"]
        while answer.document["status"] == "assigning":
            answer = await self._server.ask(
                "GET",
                f"/{self._scope}/registrations/{device}/operations/{operation}?api-version={version}",
                None,
                {"Authorization": token},
            )
        assert answer.document["status"] == "assigned"
        return Answer(200, {}, b"")

    async def journal(self) -> list[AuditEntry]:
        answer = await self.ask("GET", "/homeport/audit?order=asc")
        return [AuditEntry(**entry) for entry in answer.document]


@pytest.fixture
async def operator(tmp_path: Path, hook: int) -> AsyncIterator[Operator]:
    config = Config(data=tmp_path, bind=("127.0.0.1",), fault_lab=True)
    with DataDirectory(tmp_path) as directory:
        async with build(config, directory) as parts:
            site = parts.sites.resolve(None, "localhost", "127.0.0.1")
            async with serving(*site.http) as server, asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(run()) for run in parts.background]
                yield Operator(server, directory.portal_token(), hook, parts.identity.id_scope)
                for task in running:
                    task.cancel()


@pytest.mark.parametrize("name", sorted(CHANGES))
async def test_a_change_is_told_with_who_did_it(operator: Operator, name: str) -> None:
    change, method = CHANGES[name], name.split()[1]
    done = [await operator.ask(*before) for before in change.first]
    assert all(each.status in {200, 201} for each in done), done
    body = change.body(done[-1]) if callable(change.body) else change.body
    known = len(await operator.journal())
    answer = await operator.ask(method, change.path, body)
    assert answer.status in {200, 201, 204}, answer.body
    (entry,) = (await operator.journal())[known:]
    assert entry.kind == change.kind
    by: Mapping[str, str] = entry.entry["by"]
    assert dict(by) == {"kind": "administrator", "name": "owner", "role": "owner"}
    assert entry.remote_address == "192.0.2.7"
    assert entry.entry["trackingId"] == answer.headers["x-ms-request-id"]


async def test_nobody_whom_the_ip_filter_shuts_out_changes_anything(operator: Operator) -> None:
    rule = {"name": "nobody", "action": "deny", "network": "any", "target": "service"}
    assert (await operator.ask("PUT", "/homeport/ipFilter?force=true", {"rules": [rule]})).status == 200
    for name, change in CHANGES.items():
        path = change.path.replace("SERIAL", "0A")
        assert (await operator.ask(name.split()[1], path, b"{}")).status == 401, name


async def test_roles_may_what_they_may(operator: Operator) -> None:
    tokens = {}
    for role in ("reader", "operator", "owner"):
        made = await operator.ask("PUT", f"/homeport/administrators/{role}-1", {"role": role})
        tokens[role] = made.document["token"]
    everybody, writers, owner = {"reader", "operator", "owner"}, {"operator", "owner"}, {"owner"}
    allowed: list[tuple[str, str, Any, set[str]]] = [
        ("GET", "/homeport/hubs", None, everybody),
        ("GET", "/homeport/audit", None, everybody),
        ("GET", "/homeport/me", None, everybody),
        ("POST", f"/enrollments/query{VERSION}", {"query": "SELECT * FROM enrollments"}, everybody),
        ("PUT", f"/enrollments/by-ROLE{VERSION}", {**ENROLLMENT, "registrationId": "by-ROLE"}, writers),
        ("GET", "/homeport/administrators", None, owner),
        ("PUT", "/homeport/administrators/of-ROLE", {"role": "reader"}, owner),
        ("PATCH", "/homeport/hubs/hub1", {"allocationWeight": 2}, owner),
        ("PUT", "/homeport/certificates/of-ROLE", MAKE_CERTIFICATE[2], owner),
        ("PUT", "/homeport/certificates/of-owner/crl", MAKE_CRL[2], owner),
        ("GET", "/homeport/certificates/of-owner", None, everybody),
        ("GET", "/homeport/expiring", None, everybody),
        ("PUT", f"{HUB}/certificates/of-ROLE", MAKE_HUB_CERTIFICATE[2], owner),
        ("GET", f"{HUB}/certificates/of-owner", None, everybody),
        ("GET", f"{HUB}/certificates", None, everybody),
        ("GET", f"{HUB}/cloudToDevice", None, everybody),
        ("PUT", f"{HUB}/cloudToDevice", {"maxDeliveryCount": 4}, owner),
        ("GET", f"{HUB}/fileUpload", None, owner),
        ("GET", f"{HUB}/fileUpload/writable", None, owner),
    ]
    for method, path, body, roles in allowed:
        for role, token in tokens.items():
            text = body
            if body is not None and not isinstance(body, bytes):
                text = json.dumps(body).replace("ROLE", role).encode()
            answer = await operator._server.ask(
                method, path.replace("ROLE", role), text, {"Authorization": f"Bearer {token}"}
            )
            assert (answer.status < 300) == (role in roles), (method, path, role, answer.status)
            assert answer.status < 300 or answer.status == 401
    known = await operator.journal()
    assert {entry.by for entry in known if entry.subject == "devices/by-operator"} == {"operator-1"}
    assert not any(token in str(entry.entry) for entry in known for token in tokens.values())


async def test_a_token_ends_when_it_is_renewed_or_revoked_or_expires(operator: Operator) -> None:
    made = await operator.ask("PUT", "/homeport/administrators/anna", {"role": "reader"})

    async def status(token: str) -> int:
        return (await operator._server.ask("GET", "/homeport/me", None, {"Authorization": f"Bearer {token}"})).status

    first = made.document["token"]
    assert await status(first) == 200
    listed = (await operator.ask("GET", "/homeport/administrators")).document
    assert "lastUsedDateTimeUtc" in listed[0]
    assert "token" not in listed[0]
    second = (await operator.ask("POST", "/homeport/administrators/ANNA/token")).document["token"]
    assert (await status(first), await status(second)) == (401, 200)
    await operator.ask("DELETE", "/homeport/administrators/anna")
    assert await status(second) == 401
    past = await operator.ask(
        "PUT", "/homeport/administrators/late", {"role": "reader", "expiresDateTimeUtc": "2020-01-01T00:00:00Z"}
    )
    assert past.status == 400
    assert (await operator.ask("PUT", "/homeport/administrators/owner", {"role": "reader"})).status == 400
    assert (await operator.ask("PUT", "/homeport/administrators/x", {"role": "king"})).status == 400
    assert await status("hpt_" + "a" * 5000) == 401


async def test_a_webhook_that_does_not_agree_is_told_nothing(operator: Operator) -> None:
    for url in (
        "http://127.0.0.1:9/x",
        "http://example.com/x",
        "ftp://127.0.0.1/x",
        "https://user@example.com/",
        "https://",
        "https://exa mple.com",
    ):
        answer = await operator.ask("PUT", "/homeport/eventSubscriptions/hook", {"url": url})
        assert answer.status == 400, url
    assert (await operator.ask("GET", "/homeport/eventSubscriptions")).document == []


async def test_events_are_streamed_from_where_a_reader_left(operator: Operator) -> None:
    await operator.ask(*MAKE_ENROLLMENT)
    await operator.ask(*MAKE_GROUP)
    server = operator._server
    url = f"http://127.0.0.1:{server._port}/homeport/events?after=2&types=enrollment.*,enrollmentGroup.created"
    async with server._session.get(url, headers=operator._headers) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        lines = []
        async for line in response.content:
            lines.append(line.decode().strip())
            if sum(each.startswith("data:") for each in lines) == 2:
                break
    assert [line for line in lines if line.startswith("id:")] == ["id: 3", "id: 4"]
    assert "event: io.homeport.enrollment.created" in lines
    refused = await server.ask("GET", "/homeport/events?after=x", None, operator._headers)
    assert refused.status == 400
    assert (await server.ask("GET", "/homeport/events")).status == 401
