"""A registration becomes a client of azure-iot-device: hub, device and proof are right, tokens are renewed."""

import hmac
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from homeport.client import (
    RegistrationResult,
    SymmetricKeySecurityProvider,
    TpmSecurityProvider,
    X509SecurityProvider,
)
from homeport.client._async import hub_connection
from homeport.client._async.hub_connection import make_azure_iot_device_client
from homeport.security import tpm as structures
from homeport.security.sas import parse_token, string_to_sign
from tests.certificates import Certified

pytest.importorskip("azure.iot.device", reason="azure-iot-device is not installed")

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
RESULT = RegistrationResult(
    status="assigned",
    registration_id="d-1",
    device_id="device-one",
    assigned_hub="hub.example",
    substatus=None,
    operation_id="o",
    payload=None,
    etag=None,
    created_date_time=None,
    last_updated_date_time=None,
)


def configuration(client: Any) -> Any:
    """Return what the SDK's client is going to connect with; it has no public word for it."""
    return client._mqtt_pipeline.pipeline_configuration


async def test_a_key(authority: Certified, ca_file: Path) -> None:
    provider = SymmetricKeySecurityProvider("d-1", KEY)
    client = await make_azure_iot_device_client(RESULT, provider, ca_file=ca_file, websockets=True, keep_alive=33)
    made = configuration(client)
    assert (made.hostname, made.device_id) == ("hub.example", "device-one")
    assert made.server_verification_cert == authority.pem
    assert made.websockets
    assert made.keep_alive == 33
    assert parse_token(str(made.sastoken)).resource == "hub.example/devices/device-one"
    await client.shutdown()


async def test_a_certificate(authority: Certified, tmp_path: Path) -> None:
    certificate, key = authority.issue("d-1").write(tmp_path)
    client = await make_azure_iot_device_client(RESULT, X509SecurityProvider(certificate, key))
    made = configuration(client)
    assert made.x509.certificate_file == str(certificate)
    assert made.x509.key_file == str(key)
    await client.shutdown()


@pytest.mark.tpm
async def test_a_tpm_signs_each_token(tpm_provider: TpmSecurityProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_key = secrets.token_bytes(32)
    ek = structures.parse_public(tpm_provider.endorsement_key)
    srk = structures.parse_public(tpm_provider.storage_root_key)
    tpm_provider.activate_identity_key(structures.make_challenge(ek, srk, hub_key, b"uri", secrets.token_bytes))
    client = await make_azure_iot_device_client(RESULT, tpm_provider, token_life=timedelta(hours=2))
    made = configuration(client)
    assert (made.hostname, made.device_id) == ("hub.example", "device-one")
    tokens = [str(made.sastoken)]
    waits: list[float] = []

    async def update(token: str) -> None:
        if not waits:
            raise RuntimeError("the connection is in trouble")
        tokens.append(token)

    async def pause(seconds: float) -> None:
        waits.append(seconds)

    renew = client.on_new_sastoken_required
    monkeypatch.setattr(client, "update_sastoken", update)
    monkeypatch.setattr(hub_connection, "pause", pause)
    await renew()
    await renew()
    await client.shutdown()
    assert len(tokens) == 3
    assert len(waits) == 1
    for text in tokens:
        token = parse_token(text)
        message = string_to_sign(token.raw_resource, token.expiry)
        assert token.resource == "hub.example/devices/device-one"
        assert token.policy is None
        assert token.signature == hmac.digest(hub_key, message, "sha256")


async def test_tokens_outlive_the_margin() -> None:
    with pytest.raises(ValueError, match="longer than 120"):
        await make_azure_iot_device_client(
            RESULT, SymmetricKeySecurityProvider("d-1", KEY), token_life=timedelta(seconds=120)
        )
