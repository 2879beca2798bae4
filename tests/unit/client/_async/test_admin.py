"""What only Homeport tells: attempts, registrations, linked hubs."""

import ssl
from pathlib import Path

import pytest

from homeport.client import Check
from homeport.client._async.admin import HomeportAdminClient
from tests.unit.client.scripted import ScriptedService, Step

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
VERSION = "?api-version=2021-10-01"
ATTEMPT = {
    "trackingId": "t-1",
    "registrationId": "d-1",
    "at": "2026-01-02T03:04:05.6000000Z",
    "transport": "mqtt",
    "remoteAddress": "10.0.0.1",
    "idScope": "0ne00111111",
    "apiVersion": "2021-06-01",
    "evidence": "SAS token",
    "groupId": "line-1",
    "checks": [{"name": "signature", "passed": False, "detail": "signed with the group key"}],
    "outcome": "refused",
    "code": 401002,
    "reason": "The token does not prove this device.",
    "advice": "Derive the device's key.",
    "durationMs": 1.5,
}
HUB = {
    "name": "hub2",
    "hostName": "127.0.0.2",
    "allocationWeight": 3,
    "applyAllocationPolicy": True,
    "local": True,
}


def client(service: ScriptedService, ca_file: Path) -> HomeportAdminClient:
    text = f"HostName={service.authority};SharedAccessKeyName=p;SharedAccessKey={KEY}"
    return HomeportAdminClient.create_from_connection_string(text, ca_file=ca_file)


async def test_why(server_context: ssl.SSLContext, ca_file: Path) -> None:
    steps = [
        Step(method="GET", path=f"/homeport/why/d%3A1{VERSION}&limit=2", body=[ATTEMPT]),
        Step(method="GET", path=f"/homeport/attempts/t-1{VERSION}", body=ATTEMPT),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as admin:
            (attempt,) = await admin.why("d:1", limit=2)
            assert await admin.find_attempt("t-1") == attempt
    assert attempt.checks == [Check(name="signature", passed=False, detail="signed with the group key")]
    assert attempt.code == 401002
    assert attempt.group_id == "line-1"
    assert attempt.client_version is None


async def test_pages(server_context: ssl.SSLContext, ca_file: Path) -> None:
    state = {"registrationId": "d-1", "status": "assigned", "enrollmentGroupId": "line-1", "attestation": "x509"}
    steps = [
        Step(
            method="POST",
            path=f"/homeport/registrations/query{VERSION}",
            body=[state],
            expects={"query": "SELECT * WHERE status = 'assigned'"},
            headers={"x-ms-continuation": "next"},
        ),
        Step(method="POST", path=f"/homeport/registrations/query{VERSION}", body=[]),
        Step(method="GET", path=f"/homeport/attempts{VERSION}", body=[ATTEMPT]),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as admin:
            found = admin.registrations("SELECT * WHERE status = 'assigned'", page_size=1)
            (registration,) = [registration async for registration in found]
            page = await admin.page_attempts(page_size=8)
        headers = [request.headers for request in service.requests]
    assert registration.enrollment_group_id == "line-1"
    assert registration.attestation == "x509"
    assert page.continuation is None
    assert [h["x-ms-max-item-count"] for h in headers] == ["1", "1", "8"]
    assert [h.get("x-ms-continuation") for h in headers] == [None, "next", None]


async def test_hubs(server_context: ssl.SSLContext, ca_file: Path) -> None:
    path = f"/homeport/hubs/hub2{VERSION}"
    steps = [
        Step(method="PUT", path=path, body=HUB, expects={"hostNames": ["127.0.0.2"], "allocationWeight": 3}),
        Step(
            method="PUT",
            path=path,
            body=HUB,
            expects={"connectionString": "HostName=h", "allocationWeight": 1, "caCertificates": "pem"},
        ),
        Step(method="PATCH", path=path, body=HUB, expects={"allocationWeight": 3}),
        Step(method="GET", path=f"/homeport/hubs{VERSION}", body=[HUB]),
        Step(method="DELETE", path=path, status=204),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as admin:
            created = await admin.create_hub("hub2", host_names=["127.0.0.2"], allocation_weight=3)
            await admin.link_hub("hub2", connection_string="HostName=h", ca_certificates="pem")
            await admin.update_hub("hub2", allocation_weight=3)
            assert await admin.hubs() == [created]
            await admin.unlink_hub("hub2")
    assert created.host_name == "127.0.0.2"
    assert created.local


POLICY = {
    "name": "reader",
    "rights": ["EnrollmentRead"],
    "etag": "e",
    "createdDateTimeUtc": "2026-01-01T00:00:00.0000000Z",
    "lastUpdatedDateTimeUtc": "2026-01-01T00:00:00.0000000Z",
}
WITH_KEYS = POLICY | {"primaryKey": "cA==", "secondaryKey": "cw=="}


async def test_policies(server_context: ssl.SSLContext, ca_file: Path) -> None:
    path = "/homeport/policies/reader"
    steps = [
        Step(method="GET", path=f"/homeport/policies{VERSION}", body=[POLICY]),
        Step(method="PUT", path=path + VERSION, body=WITH_KEYS, expects={"rights": ["EnrollmentRead"]}),
        Step(method="GET", path=path + VERSION, body=POLICY),
        Step(method="POST", path=f"{path}/keys{VERSION}", body=WITH_KEYS),
        Step(method="PATCH", path=path + VERSION, body=POLICY, expects={"rights": ["ServiceConfig"]}),
        Step(method="POST", path=f"{path}/regenerate{VERSION}", body=WITH_KEYS, expects={"key": "secondary"}),
        Step(method="POST", path=f"{path}/swap{VERSION}", body=WITH_KEYS),
        Step(method="DELETE", path=path + VERSION, status=204),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as admin:
            (listed,) = await admin.policies()
            made = await admin.create_policy("reader", ["EnrollmentRead"])
            read = await admin.policy("reader")
            told = await admin.policy_keys("reader")
            await admin.set_policy_rights("reader", ["ServiceConfig"], etag="e")
            await admin.regenerate_policy_key("reader", "secondary")
            await admin.swap_policy_keys("reader")
            await admin.delete_policy("reader", etag="f")
        headers = [request.headers for request in service.requests]
    assert (listed.primary_key, read.primary_key) == (None, None)
    assert made.primary_key == told.primary_key == "cA=="
    assert "cA==" not in repr(made)
    assert made.connection_string("h") == "HostName=h;SharedAccessKeyName=reader;SharedAccessKey=cA=="
    with pytest.raises(ValueError, match="not asked for"):
        read.connection_string("h")
    assert [h.get("if-match") for h in headers] == [None, None, None, None, "e", None, None, "f"]


async def test_counts(server_context: ssl.SSLContext, ca_file: Path) -> None:
    some = {"total": 2, "byAttestation": {"tpm": 2}, "byStatus": {"enabled": 2}}
    body = {
        "enrollments": some,
        "enrollmentGroups": some,
        "registrations": {"total": 1, "byStatus": {"failed": 1}, "byHub": {}},
        "countedDateTimeUtc": "2026-01-01T00:00:00.0000000Z",
    }
    steps = [Step(method="GET", path=f"/homeport/counts{VERSION}", body=body)]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as admin:
            counts = await admin.counts()
    assert counts.enrollments.by_attestation == {"tpm": 2}
    assert counts.registrations.by_status == {"failed": 1}
