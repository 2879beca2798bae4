"""A TPM device registers over HTTPS; the TPM is swtpm, the service follows a script with real challenges."""

import base64
import hmac
import secrets
import ssl
from pathlib import Path
from typing import Any

import pytest

from homeport.client import NotFoundError, TpmError, TpmSecurityProvider, UnauthorizedError
from homeport.client._async.device import ProvisioningDeviceClient
from homeport.security import tpm as structures
from homeport.security.sas import parse_token, string_to_sign
from tests.unit.client.scripted import Received, ScriptedService, Step

pytestmark = pytest.mark.tpm

SCOPE = "0ne00111111"


class Service:
    """What a provisioning service says to this TPM."""

    def __init__(self, provider: TpmSecurityProvider) -> None:
        self._ek = structures.parse_public(provider.endorsement_key)
        self._srk = structures.parse_public(provider.storage_root_key)
        self._base = f"/{SCOPE}/registrations/{provider.registration_id}"
        self._registration_id = provider.registration_id
        self.body = {
            "registrationId": provider.registration_id,
            "tpm": {
                "endorsementKey": base64.b64encode(provider.endorsement_key).decode(),
                "storageRootKey": base64.b64encode(provider.storage_root_key).decode(),
            },
        }

    def blob(self, key: bytes) -> str:
        blob = structures.make_challenge(self._ek, self._srk, key, b"uri", secrets.token_bytes)
        return base64.b64encode(blob).decode()

    def challenge(self, key: bytes) -> Step:
        body = {
            "message": "Authorization required, resend request using supplied key",
            "authenticationKey": self.blob(key),
            "unencryptedAuthenticationKey": None,
            "keyName": "registration",
        }
        return self.register(401, body)

    def register(self, status: int, body: Any) -> Step:
        path = f"{self._base}/register?api-version=2021-06-01"
        return Step(method="PUT", path=path, status=status, body=body, expects=self.body)

    def poll(self, status: int, body: Any) -> Step:
        path = f"{self._base}/operations/5.1.a?api-version=2021-06-01"
        return Step(method="GET", path=path, status=status, body=body)

    def assigned(self, hub_key: bytes) -> Any:
        state = {
            "registrationId": self._registration_id,
            "status": "assigned",
            "assignedHub": "hub.example",
            "deviceId": "tpm-device",
            "tpm": {"authenticationKey": self.blob(hub_key)},
        }
        return {"operationId": "5.1.a", "status": "assigned", "registrationState": state}


def is_signed(request: Received, key: bytes) -> bool:
    token = parse_token(request.headers["authorization"])
    message = string_to_sign(token.raw_resource, token.expiry)
    return token.policy == "registration" and token.signature == hmac.digest(key, message, "sha256")


def device(service: ScriptedService, provider: TpmSecurityProvider, ca_file: Path) -> ProvisioningDeviceClient:
    async def pause(_: float) -> None:
        pass

    return ProvisioningDeviceClient.create(
        "localhost", SCOPE, provider, ca_file=ca_file, port=service.port, pause=pause
    )


@pytest.mark.parametrize("at_once", [True, False])
async def test_challenge_proof_and_hub_key(
    at_once: bool, tpm_provider: TpmSecurityProvider, server_context: ssl.SSLContext, ca_file: Path
) -> None:
    registration_key, hub_key = secrets.token_bytes(32), secrets.token_bytes(32)
    script = Service(tpm_provider)
    steps = [script.challenge(registration_key)]
    if at_once:
        steps += [script.register(202, script.assigned(hub_key))]
    else:
        steps += [
            script.register(202, {"operationId": "5.1.a", "status": "assigning"}),
            script.poll(200, script.assigned(hub_key)),
        ]
    with ScriptedService(steps, server_context) as service:
        result = await device(service, tpm_provider, ca_file).register()
        first, *others = service.requests
    assert result.device_id == "tpm-device"
    assert "authorization" not in first.headers
    assert all(is_signed(request, registration_key) for request in others)
    assert tpm_provider.sign(b"hub") == hmac.digest(hub_key, b"hub", "sha256")


async def test_another_device_made_the_challenge_void(
    tpm_provider: TpmSecurityProvider, server_context: ssl.SSLContext, ca_file: Path
) -> None:
    first_key, second_key, hub_key = (secrets.token_bytes(32) for _ in range(3))
    script = Service(tpm_provider)
    steps = [
        script.challenge(first_key),
        script.challenge(second_key),
        script.register(202, script.assigned(hub_key)),
    ]
    with ScriptedService(steps, server_context) as service:
        await device(service, tpm_provider, ca_file).register()
        assert is_signed(service.requests[1], first_key)
        assert is_signed(service.requests[2], second_key)


async def test_challenges_do_not_go_on_for_ever(
    tpm_provider: TpmSecurityProvider, server_context: ssl.SSLContext, ca_file: Path
) -> None:
    script = Service(tpm_provider)
    steps = [script.challenge(secrets.token_bytes(32)) for _ in range(4)]
    with ScriptedService(steps, server_context) as service, pytest.raises(UnauthorizedError):
        await device(service, tpm_provider, ca_file).register()


async def test_an_unknown_tpm(tpm_provider: TpmSecurityProvider, server_context: ssl.SSLContext, ca_file: Path) -> None:
    body = {"errorCode": 404201, "trackingId": "t-1", "message": "No.", "timestampUtc": "2026-01-01T00:00:00Z"}
    steps = [Service(tpm_provider).register(404, body)]
    with ScriptedService(steps, server_context) as service, pytest.raises(NotFoundError, match="t-1"):
        await device(service, tpm_provider, ca_file).register()


async def test_a_challenge_for_another_tpm(
    tpm_provider: TpmSecurityProvider, server_context: ssl.SSLContext, ca_file: Path
) -> None:
    script = Service(tpm_provider)
    step = script.challenge(secrets.token_bytes(32))
    blob = bytearray(base64.b64decode(step.body["authenticationKey"]))
    blob[10] ^= 1
    step.body["authenticationKey"] = base64.b64encode(blob).decode()
    with ScriptedService([step], server_context) as service, pytest.raises(TpmError, match="another TPM"):
        await device(service, tpm_provider, ca_file).register()


def test_a_tpm_has_no_mqtt(tpm_provider: TpmSecurityProvider) -> None:
    with pytest.raises(ValueError, match="not over mqtt"):
        ProvisioningDeviceClient.create("localhost", SCOPE, tpm_provider, transport="mqtt")
