# Made by scripts/unasync.py: change its twin in _async instead.
"""A device registers over HTTPS: recorded answers, final answers, polls, refusals, faults."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from homeport.client import (
    NotFoundError,
    RegistrationError,
    RegistrationTimeoutError,
    SymmetricKeySecurityProvider,
    UnauthorizedError,
    UnexpectedAnswerError,
    UntrustedServerError,
    X509SecurityProvider,
)
from homeport.client._sync.device import ProvisioningDeviceClient
from homeport.security.sas import decode_key, parse_token, verify_signature
from tests.certificates import Certified
from tests.unit.client.scripted import ScriptedService, Step

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
REGISTER = "/0ne00111111/registrations/d-1/register?api-version=2021-06-01"
POLL = "/0ne00111111/registrations/d-1/operations/5.1.a?api-version=2021-06-01"
ASSIGNING = {"operationId": "5.1.a", "status": "assigning"}
ASSIGNED = {
    "operationId": "5.1.a",
    "status": "assigned",
    "registrationState": {
        "registrationId": "d-1",
        "status": "assigned",
        "assignedHub": "hub.example",
        "deviceId": "device-one",
        "substatus": "deviceDataMigrated",
        "payload": {"nested": [1, None]},
        "createdDateTimeUtc": "2022-08-31T22:02:50.5163352Z",
    },
}


class Device:
    """A device whose waits are written down instead of waited."""

    def __init__(self, service: ScriptedService, ca_file: Path, provider: Any = None) -> None:
        self.waits: list[float] = []
        self.client = ProvisioningDeviceClient.create(
            "localhost",
            "0ne00111111",
            provider or SymmetricKeySecurityProvider("d-1", KEY),
            transport="https",
            port=service.port,
            ca_file=ca_file,
            pause=self.pause,
        )

    def pause(self, seconds: float) -> None:
        self.waits.append(seconds)


def put(status: int, body: Any, **headers: str) -> Step:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Step(method="PUT", path=REGISTER, status=status, body=body, headers=named)


def get(status: int, body: Any, **headers: str) -> Step:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Step(method="GET", path=POLL, status=status, body=body, headers=named)


def refused(code: int) -> dict[str, Any]:
    return {"errorCode": code, "trackingId": "t-1", "message": "No.", "timestampUtc": "2026-01-01T00:00:00Z"}


def test_recorded_registration(recorded: Callable[[str], Any], server_context: ssl.SSLContext, ca_file: Path) -> None:
    exchanges = recorded("device-https-register-and-poll")["symmetricKey"]
    steps = [
        Step(
            method=exchange["request"]["method"],
            path=exchange["request"]["path"],
            status=exchange["response"]["status"],
            headers=exchange["response"]["headers"],
            body=exchange["response"]["body"],
            expects=exchange["request"].get("body"),
        )
        for exchange in exchanges
    ]
    with ScriptedService(steps, server_context) as service:
        device = Device(service, ca_file, SymmetricKeySecurityProvider("my-symkey-device", KEY))
        result = device.client.register()
    assert device.waits == [3.0]
    assert result.status == "assigned"
    assert result.assigned_hub == "MyExampleHub.azure-devices.net"
    assert result.device_id == "my-symkey-device"
    assert result.substatus == "initialAssignment"
    assert result.payload is None


def test_a_final_answer_needs_no_poll(server_context: ssl.SSLContext, ca_file: Path) -> None:
    with ScriptedService([put(202, ASSIGNED, retry_after="3")], server_context) as service:
        device = Device(service, ca_file)
        result = device.client.register({"model": 1})
        assert service.requests[0].document == {"registrationId": "d-1", "payload": {"model": 1}}
        token = parse_token(service.requests[0].headers["authorization"])
    assert device.waits == []
    assert result.payload == {"nested": [1, None]}
    assert result.device_id == "device-one"
    assert result.created_date_time is not None
    assert token.resource == "0ne00111111/registrations/d-1"
    assert verify_signature(token, decode_key(KEY))


def test_a_certificate_is_shown(
    authority: Certified, server_context: ssl.SSLContext, ca_file: Path, tmp_path: Path
) -> None:
    certificate, key = authority.issue("d-1").write(tmp_path)
    with ScriptedService([put(202, ASSIGNED)], server_context) as service:
        device = Device(service, ca_file, X509SecurityProvider(certificate, key))
        device.client.register()
        request = service.requests[0]
    assert request.common_name == "d-1"
    assert "authorization" not in request.headers


def test_throttling_and_faults_are_waited_out(server_context: ssl.SSLContext, ca_file: Path) -> None:
    steps = [
        put(429, refused(429001), retry_after="8"),
        put(0, None),
        put(409, refused(409203)),
        put(202, ASSIGNING, retry_after="3"),
        get(503, refused(503000)),
        get(202, ASSIGNING),
        get(200, ASSIGNED),
    ]
    with ScriptedService(steps, server_context) as service:
        device = Device(service, ca_file)
        device.client.register()
    assert len(device.waits) == 6
    assert device.waits[0] >= 8
    assert device.waits[3] == 3.0
    assert device.waits[5] == 2.0


@pytest.mark.parametrize(("status", "kind"), [(401002, UnauthorizedError), (404201, NotFoundError)])
def test_refusals(status: int, kind: type[Exception], server_context: ssl.SSLContext, ca_file: Path) -> None:
    with ScriptedService([put(status // 1000, refused(status))], server_context) as service:
        device = Device(service, ca_file)
        with pytest.raises(kind, match="tracking id t-1"):
            device.client.register()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            {
                "operationId": "5.1.a",
                "status": "failed",
                "registrationState": {
                    "registrationId": "d-1",
                    "status": "failed",
                    "errorCode": 400208,
                    "errorMessage": "no hub",
                },
            },
            r"failed \(400208\): no hub",
        ),
        ({"operationId": "5.1.a", "status": "disabled"}, "disabled: the enrollment is disabled"),
    ],
)
def test_a_registration_without_a_hub(body: Any, text: str, server_context: ssl.SSLContext, ca_file: Path) -> None:
    with (
        ScriptedService([put(202, ASSIGNING), get(200, body)], server_context) as service,
        pytest.raises(RegistrationError, match=text) as caught,
    ):
        Device(service, ca_file).client.register()
    assert caught.value.operation_id == "5.1.a"
    assert caught.value.status == body["status"]


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"status": "assigned"},
        {"operationId": "o", "status": "assigned"},
        {"operationId": "o", "status": "unassigned"},
        {"operationId": "o", "status": "assigned", "registrationState": {"registrationId": "d", "status": "assigned"}},
    ],
)
def test_an_answer_outside_the_contract(body: Any, server_context: ssl.SSLContext, ca_file: Path) -> None:
    with ScriptedService([put(202, body)], server_context) as service, pytest.raises(UnexpectedAnswerError):
        Device(service, ca_file).client.register()


def test_time_runs_out(server_context: ssl.SSLContext, ca_file: Path) -> None:
    with ScriptedService([put(503, refused(503000), retry_after="60")], server_context) as service:
        device = Device(service, ca_file)
        with pytest.raises(RegistrationTimeoutError) as caught:
            device.client.register(timeout=30)
    assert "503000" in str(caught.value.__cause__)
    assert device.waits == []


def test_an_untrusted_server_ends_it(server_context: ssl.SSLContext, ca_file: Path) -> None:
    with ScriptedService([], server_context) as service:
        client = ProvisioningDeviceClient.create(
            "localhost",
            "0ne00111111",
            SymmetricKeySecurityProvider("d-1", KEY),
            transport="https",
            port=service.port,
        )
        with pytest.raises(UntrustedServerError):
            client.register()


def test_a_key_device_refuses_a_tpm_challenge(server_context: ssl.SSLContext, ca_file: Path) -> None:
    challenge = {"message": "resend", "authenticationKey": "AAAA", "keyName": "registration"}
    with (
        ScriptedService([put(401, challenge)], server_context) as service,
        pytest.raises(UnauthorizedError, match="cannot give"),
    ):
        Device(service, ca_file).client.register()
