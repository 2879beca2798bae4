# Made by scripts/unasync.py: change its twin in _async instead.
"""Certificate authorities through the client; a device that is shut out."""

import ssl
from pathlib import Path

import pytest

from homeport.client import BadRequestError, ConflictError, RevocationSettings
from homeport.client._sync.admin import HomeportAdminClient
from homeport.client._sync.provisioning import ProvisioningServiceClient
from tests.unit.client.scripted import ScriptedService, Step

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
VERSION = "?api-version=2021-10-01"
PATH = "/homeport/certificates"
CERTIFICATE = {
    "name": "factory",
    "subject": "CN=Factory",
    "issuer": "CN=Root",
    "thumbprint": "AB",
    "sha256Thumbprint": "CD",
    "notBefore": "2026-01-02T03:04:05Z",
    "expiry": "2027-01-02T03:04:05Z",
    "isVerified": False,
    "certificate": "MII",
    "revocation": {"policy": "require", "crlUrl": "http://x/", "useDistributionPoints": True, "useOcsp": False},
    "crl": {
        "source": "upload",
        "number": "7",
        "entries": 2,
        "thisUpdateUtc": "2026-01-02T03:04:05Z",
        "receivedDateTimeUtc": "2026-01-02T03:04:05.0000000Z",
    },
    "groups": ["line"],
    "created": "2026-01-02T03:04:05.0000000Z",
    "updated": "2026-01-02T03:04:05.0000000Z",
    "etag": "e1",
}


def text_for(service: ScriptedService) -> str:
    return f"HostName={service.authority};SharedAccessKeyName=p;SharedAccessKey={KEY}"


def admin_of(service: ScriptedService, ca_file: Path) -> HomeportAdminClient:
    return HomeportAdminClient.create_from_connection_string(text_for(service), ca_file=ca_file)


def client_of(service: ScriptedService, ca_file: Path) -> ProvisioningServiceClient:
    return ProvisioningServiceClient.create_from_connection_string(text_for(service), ca_file=ca_file)


def test_the_calls(server_context: ssl.SSLContext, ca_file: Path) -> None:
    def step(method: str, rest: str = "/factory", **more: object) -> Step:
        return Step(method=method, path=f"{PATH}{rest}{VERSION}", **({"body": CERTIFICATE} | more))  # type: ignore[arg-type]  # as given

    steps = [
        step("GET", "", body=[CERTIFICATE]),
        step("GET"),
        step("PUT", expects={"certificate": "PEM", "isVerified": True, "revocation": {"policy": "off"}}),
        step("PUT", expects={"certificate": "PEM", "revocation": CERTIFICATE["revocation"]}),
        step("PATCH", expects={"isVerified": True}),
        step("PATCH", expects={"revocation": {"crlUrl": "", "useOcsp": True}}),
        step("POST", "/factory/generateVerificationCode"),
        step("POST", "/factory/verify", expects={"certificate": "PROOF"}),
        step("PUT", "/factory/crl"),
        step("DELETE", "/factory/crl", status=204, body=None),
        step("DELETE", status=204, body=None),
        step("GET", "/a%2Fb"),
        Step(method="GET", path=f"/homeport/expiring{VERSION}&days=7", body={"certificates": [], "more": 3}),
    ]
    with ScriptedService(steps, server_context) as service, admin_of(service, ca_file) as admin:
        (first,) = admin.ca_certificates()
        assert admin.get_ca_certificate("factory") == first
        admin.upload_ca_certificate("factory", "PEM", verified=True, revocation="off")
        admin.upload_ca_certificate("factory", "PEM", revocation=first.revocation, etag="e1")
        admin.set_ca_certificate_verified("factory")
        admin.set_revocation("factory", crl_url="", use_ocsp=True)
        admin.generate_verification_code("factory")
        admin.verify_ca_certificate("factory", "PROOF")
        admin.upload_crl("factory", b"\x30\x00")
        admin.delete_crl("factory")
        admin.delete_ca_certificate("factory", etag="e2")
        admin.get_ca_certificate("a/b")
        report = admin.expiring_certificates(days=7)
    assert first.revocation == RevocationSettings(policy="require", crl_url="http://x/", use_distribution_points=True)
    assert first.crl is not None
    assert (first.crl.entries, first.crl.next_update_utc) == (2, None)
    assert (report.more, report.scanned_date_time_utc) == (3, None)
    headers = [request.headers for request in service.requests]
    assert [each.get("if-match") for each in headers] == [None, None, None, "e1", *[None] * 6, "e2", None, None]
    assert service.requests[8].body == b"\x30\x00"
    assert headers[8]["content-type"] == "application/pkix-crl"


def test_refusals(server_context: ssl.SSLContext, ca_file: Path) -> None:
    steps = [
        Step(
            method="DELETE",
            path=f"{PATH}/factory{VERSION}",
            status=409,
            body={
                "errorCode": 409214,
                "message": "The CA certificate 'factory' is still referred to by the group 'x'.",
            },
        ),
        Step(
            method="PUT",
            path=f"{PATH}/factory/crl{VERSION}",
            status=400,
            body={"errorCode": 400000, "message": "The CRL cannot be taken: it is malformed."},
        ),
    ]
    with ScriptedService(steps, server_context) as service, admin_of(service, ca_file) as admin:
        with pytest.raises(ConflictError, match="the group 'x'"):
            admin.delete_ca_certificate("factory")
        with pytest.raises(BadRequestError, match="malformed"):
            admin.upload_crl("factory", b"x")


def test_shut_out_and_let_in(server_context: ssl.SSLContext, ca_file: Path) -> None:
    path = f"/enrollments/d-1{VERSION}"
    missing = Step(method="GET", path=path, status=404, body={"errorCode": 404201, "message": "none"})
    made = {
        "registrationId": "d-1",
        "attestation": {"type": "symmetricKey"},
        "provisioningStatus": "disabled",
        "optionalDeviceInformation": {"homeport": {"shutOut": True}},
        "etag": "e1",
    }
    own = {"registrationId": "d-1", "attestation": {"type": "tpm"}, "provisioningStatus": "disabled", "etag": "e2"}
    steps = [
        missing,
        Step(
            method="PUT",
            path=path,
            body=made,
            expects={key: value for key, value in made.items() if key != "etag"}
            | {"attestation": {"type": "symmetricKey", "symmetricKey": {}}},
        ),
        Step(method="GET", path=path, body=made),
        Step(method="DELETE", path=path, status=204),
        Step(method="GET", path=path, body=own | {"provisioningStatus": "enabled"}),
        Step(method="PUT", path=path, body=own, expects=own),
        Step(method="GET", path=path, body=own),
        Step(method="PUT", path=path, body=own, expects=own | {"provisioningStatus": "enabled"}),
    ]
    with (
        ScriptedService(steps, server_context) as service,
        ProvisioningServiceClient.create_from_connection_string(text_for(service), ca_file=ca_file) as client,
    ):
        client.disable_device("d-1")
        assert client.enable_device("d-1") is None
        client.disable_device("d-1")
        assert client.enable_device("d-1") is not None
    assert [request.headers.get("if-match") for request in service.requests[3:]] == ["e1", None, "e2", None, "e2"]
