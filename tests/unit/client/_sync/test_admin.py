# Made by scripts/unasync.py: change its twin in _async instead.
"""What only Homeport tells: attempts, registrations, linked hubs."""

import ssl
from pathlib import Path

from homeport.client import Check
from homeport.client._sync.admin import HomeportAdminClient
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


def test_why(server_context: ssl.SSLContext, ca_file: Path) -> None:
    steps = [
        Step(method="GET", path=f"/homeport/why/d%3A1{VERSION}&limit=2", body=[ATTEMPT]),
        Step(method="GET", path=f"/homeport/attempts/t-1{VERSION}", body=ATTEMPT),
    ]
    with ScriptedService(steps, server_context) as service, client(service, ca_file) as admin:
        (attempt,) = admin.why("d:1", limit=2)
        assert admin.find_attempt("t-1") == attempt
    assert attempt.checks == [Check(name="signature", passed=False, detail="signed with the group key")]
    assert attempt.code == 401002
    assert attempt.group_id == "line-1"
    assert attempt.client_version is None


def test_pages(server_context: ssl.SSLContext, ca_file: Path) -> None:
    state = {"registrationId": "d-1", "status": "assigned", "enrollmentGroupId": "line-1", "attestation": "x509"}
    steps = [
        Step(
            method="GET",
            path=f"/homeport/registrations{VERSION}",
            body=[state],
            headers={"x-ms-continuation": "next"},
        ),
        Step(method="GET", path=f"/homeport/registrations{VERSION}", body=[]),
        Step(method="GET", path=f"/homeport/attempts{VERSION}", body=[ATTEMPT]),
    ]
    with ScriptedService(steps, server_context) as service:
        with client(service, ca_file) as admin:
            (registration,) = list(admin.registrations(page_size=1))
            page = admin.page_attempts(page_size=8)
        headers = [request.headers for request in service.requests]
    assert registration.enrollment_group_id == "line-1"
    assert registration.attestation == "x509"
    assert page.continuation is None
    assert [h["x-ms-max-item-count"] for h in headers] == ["1", "1", "8"]
    assert [h.get("x-ms-continuation") for h in headers] == [None, "next", None]


def test_hubs(server_context: ssl.SSLContext, ca_file: Path) -> None:
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
    with ScriptedService(steps, server_context) as service, client(service, ca_file) as admin:
        created = admin.create_hub("hub2", host_names=["127.0.0.2"], allocation_weight=3)
        admin.link_hub("hub2", connection_string="HostName=h", ca_certificates="pem")
        admin.update_hub("hub2", allocation_weight=3)
        assert admin.hubs() == [created]
        admin.unlink_hub("hub2")
    assert created.host_name == "127.0.0.2"
    assert created.local
