"""Issuing authorities, policies and issued certificates in the administration client; a device's request."""

import base64
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from homeport.client import (
    SecurityProviderError,
    SymmetricKeySecurityProvider,
    UnexpectedAnswerError,
    certificate_request,
    new_device_key,
)
from homeport.client._async.admin import HomeportAdminClient
from homeport.client._async.device import ProvisioningDeviceClient
from tests.unit.client.scripted import ScriptedService, Step

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
VERSION = "?api-version=2021-10-01"
AUTHORITIES, POLICIES = "/homeport/certificateAuthorities", "/homeport/certificatePolicies"
ISSUED_PATH = "/homeport/issuedCertificates"
ACTIVE = {
    "version": 2,
    "keyType": "EC-P256",
    "subjectName": "CN=line",
    "sha256Thumbprint": "AB",
    "serialNumber": "4850",
    "notBeforeUtc": "2026-01-01T00:00:00Z",
    "notAfterUtc": "2031-01-01T00:00:00Z",
}
AUTHORITY = {"name": "line", "issuer": "plant", "maximumValiditySeconds": 60, "active": ACTIVE, "versions": [ACTIVE]}
POLICY = {
    "name": "standard",
    "certificateAuthorityName": "line",
    "validitySeconds": 3600,
    "backdateSeconds": 60,
    "renewBeforeSeconds": 120,
    "keyTypes": ["EC-P256"],
    "dnsName": False,
    "extendedKeyUsages": ["clientAuth"],
}
ISSUED = {
    "serialNumber": "4850AB",
    "sha256Thumbprint": "CD",
    "registrationId": "d-1",
    "certificateAuthorityName": "line",
    "authorityVersion": 1,
    "subjectName": "CN=d-1",
    "certificate": "AAAA",
    "notBeforeUtc": "2026-01-01T00:00:00Z",
    "notAfterUtc": "2026-02-01T00:00:00Z",
    "issuedDateTimeUtc": "2026-01-01T00:00:00.0000000Z",
    "assignedHub": "hub.example",
    "deviceId": "d-1",
    "status": "revoked",
    "revocationReason": "keyCompromise",
    "withdrawn": False,
}


def client(service: ScriptedService, ca_file: Path) -> HomeportAdminClient:
    text = f"HostName={service.authority};SharedAccessKeyName=p;SharedAccessKey={KEY}"
    return HomeportAdminClient.create_from_connection_string(text, ca_file=ca_file)


async def test_authorities(server_context: ssl.SSLContext, ca_file: Path) -> None:
    wanted = {"issuer": "plant", "keyType": "EC-P384", "validitySeconds": 86400}
    brought = {"certificates": "PEM", "keyUri": "pkcs11:token=t;object=o"}
    crl = {"version": 1, "number": 3, "nextUpdateUtc": "2026-01-01T00:00:00Z", "crl": "AAEC"}
    steps = [
        Step(method="PUT", path=f"{AUTHORITIES}/line{VERSION}", expects=wanted, body=AUTHORITY),
        Step(method="PUT", path=f"{AUTHORITIES}/line{VERSION}", expects=brought, body=AUTHORITY),
        Step(method="POST", path=f"{AUTHORITIES}/line/rotate{VERSION}", expects={}, body=AUTHORITY),
        Step(method="GET", path=f"{AUTHORITIES}{VERSION}", body=[AUTHORITY]),
        Step(method="GET", path=f"{AUTHORITIES}/line{VERSION}", body=AUTHORITY),
        Step(method="GET", path=f"{AUTHORITIES}/line/chain{VERSION}&version=1", body={"certificates": "PEM"}),
        Step(method="GET", path=f"{AUTHORITIES}/line/crl{VERSION}", body=crl),
        Step(method="DELETE", path=f"{AUTHORITIES}/line{VERSION}", status=204),
        Step(method="POST", path=f"/homeport/masterKey/rotate{VERSION}", body={"keyName": "ab", "resealed": 2}),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as admin:
            made = await admin.create_certificate_authority(
                "line", issuer="plant", key_type="EC-P384", validity=timedelta(days=1)
            )
            await admin.import_certificate_authority("line", certificates="PEM", key_uri="pkcs11:token=t;object=o")
            await admin.rotate_certificate_authority("line")
            assert await admin.certificate_authorities() == [made]
            assert await admin.get_certificate_authority("line") == made
            assert await admin.get_certificate_chain("line", version=1) == "PEM"
            assert (await admin.get_revocation_list("line")).der == b"\0\1\2"
            await admin.delete_certificate_authority("line")
            assert (await admin.rotate_master_key()).resealed == 2
    assert (made.issuer, made.active.version) == ("plant", 2)
    assert made.active.not_after_utc == datetime(2031, 1, 1, tzinfo=UTC)


async def test_policies(server_context: ssl.SSLContext, ca_file: Path) -> None:
    wanted = {"certificateAuthorityName": "line", "validitySeconds": 3600, "keyTypes": ["EC-P256"], "dnsName": False}
    steps = [
        Step(method="PUT", path=f"{POLICIES}/standard{VERSION}", expects=wanted, body=POLICY),
        Step(method="GET", path=f"{POLICIES}{VERSION}", body=[POLICY]),
        Step(method="GET", path=f"{POLICIES}/standard{VERSION}", body=POLICY),
        Step(method="DELETE", path=f"{POLICIES}/standard{VERSION}", status=204),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as admin:
            made = await admin.put_certificate_policy(
                "standard", authority="line", validity=timedelta(hours=1), key_types=["EC-P256"]
            )
            assert await admin.certificate_policies() == [made]
            assert await admin.get_certificate_policy("standard") == made
            await admin.delete_certificate_policy("standard")
    assert made.validity == timedelta(hours=1)


async def test_issued_certificates(server_context: ssl.SSLContext, ca_file: Path) -> None:
    filters = "registrationId=d%3A1&certificateAuthorityName=line&endsWithinSeconds=86400"
    steps = [
        Step(
            method="GET",
            path=f"{ISSUED_PATH}{VERSION}&{filters}",
            body=[ISSUED],
            headers={"x-ms-continuation": "next"},
        ),
        Step(method="GET", path=f"{ISSUED_PATH}{VERSION}&{filters}", body=[]),
        Step(method="GET", path=f"{ISSUED_PATH}/4850AB{VERSION}", body=ISSUED),
        Step(
            method="POST",
            path=f"{ISSUED_PATH}/4850AB/revoke{VERSION}",
            expects={"reason": "superseded"},
            body=ISSUED,
        ),
        Step(method="POST", path=f"{ISSUED_PATH}/revoke{VERSION}", expects={"registrationId": "d-1"}, body=[ISSUED]),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as admin:
            listed = [
                issued
                async for issued in admin.issued_certificates(
                    registration_id="d:1", authority="line", ends_within=timedelta(days=1)
                )
            ]
            assert listed == [await admin.get_issued_certificate("4850AB")]
            assert await admin.revoke_certificate("4850AB", reason="superseded") == listed[0]
            assert await admin.revoke_device_certificates("d-1") == listed
    assert (listed[0].status, listed[0].withdrawn) == ("revoked", False)


# ---------------------------------------------------------------- the device


def assigned(chain: Any) -> dict[str, Any]:
    state = {"registrationId": "d-1", "status": "assigned", "assignedHub": "hub.example", "deviceId": "d-1"}
    return {
        "operationId": "5.1.a",
        "status": "assigned",
        "registrationState": {**state, "issuedCertificateChain": chain},
    }


def device(service: ScriptedService, ca_file: Path) -> ProvisioningDeviceClient:
    provider = SymmetricKeySecurityProvider("d-1", KEY)
    return ProvisioningDeviceClient.create(
        "localhost", "0ne00111111", provider, transport="https", port=service.port, ca_file=ca_file
    )


async def test_a_request_and_its_chain(server_context: ssl.SSLContext, ca_file: Path, tmp_path: Path) -> None:
    new_device_key(tmp_path / "key.pem")
    csr = certificate_request("d-1", tmp_path / "key.pem")
    step = Step(
        method="PUT",
        path="/0ne00111111/registrations/d-1/register?api-version=2026-11-01",
        expects={"registrationId": "d-1", "csr": base64.b64encode(csr).decode()},
        status=202,
        body=assigned(["AAAA", "AAEC", "AAED"]),
    )
    with ScriptedService([step], server_context) as service:
        result = await device(service, ca_file).register(csr=csr)
    assert result.issued_certificate_chain == (b"\0\0\0", b"\0\1\2", b"\0\1\3")
    assert result.issued_certificate_pem.count("BEGIN CERTIFICATE") == 2, "the root is left out"


async def test_a_chain_that_cannot_be_read(server_context: ssl.SSLContext, ca_file: Path) -> None:
    path = "/0ne00111111/registrations/d-1/register?api-version=2026-11-01"
    step = Step(method="PUT", path=path, status=202, body=assigned(["?"]))
    with ScriptedService([step], server_context) as service, pytest.raises(UnexpectedAnswerError):
        await device(service, ca_file).register(csr=b"csr")


def test_a_device_key_is_private_and_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "device.key"
    new_device_key(file)
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        new_device_key(file)
    request = x509.load_der_x509_csr(certificate_request("d-1", file))
    assert request.is_signature_valid
    assert request.subject.rfc4514_string() == "CN=d-1"
    file.write_text("nonsense")
    with pytest.raises(SecurityProviderError):
        certificate_request("d-1", file)
