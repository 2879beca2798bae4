"""A real TPM 2.0 (swtpm) through our client: challenge, activation, tokens signed inside, the hub key, telemetry."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Literal, get_args

import pytest
from azure.iot.device import Message

import homeport.client.aio
from homeport.client import (
    Attempt,
    AttestationMechanism,
    HomeportAdminClient,
    HubRegistryClient,
    IndividualEnrollment,
    NotFoundError,
    ProvisioningDeviceClient,
    ProvisioningServiceClient,
    RegistrationResult,
    TpmSecurityProvider,
    UnauthorizedError,
    connect_with_azure_iot_device,
)
from tests.conformance.conftest import Service
from tests.conformance.test_python_provisioning import unique
from tests.swtpm import SoftwareTpm

pytestmark = [pytest.mark.conformance, pytest.mark.tpm]

SDK = "Python: homeport.client"
Transport = Literal["https", "amqp", "amqp-ws"]
transports = pytest.mark.parametrize("transport", get_args(Transport))
RENEWAL_SECONDS = 30.0


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TpmSecurityProvider]:
    """Power a TPM on; making its keys takes seconds, so the tests share it and give it a new name each."""
    with SoftwareTpm(tmp_path_factory.mktemp("tpm")) as chip, TpmSecurityProvider(chip.tcti) as provider:
        yield provider


@pytest.fixture(scope="module")
def other_tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TpmSecurityProvider]:
    with SoftwareTpm(tmp_path_factory.mktemp("other-tpm")) as chip, TpmSecurityProvider(chip.tcti) as provider:
        yield provider


@pytest.fixture
def operator(service: Service) -> Iterator[ProvisioningServiceClient]:
    with ProvisioningServiceClient.create_from_connection_string(
        service.values["HOMEPORT_DPS_CONNECTION_STRING"], ca_file=service.values["HOMEPORT_CA_FILE"]
    ) as client:
        yield client


@pytest.fixture
def hub(service: Service) -> Iterator[HubRegistryClient]:
    with HubRegistryClient.create_from_connection_string(
        service.hub_connection_string(service.host), ca_file=service.values["HOMEPORT_CA_FILE"]
    ) as client:
        yield client


def why(service: Service, registration_id: str) -> list[Attempt]:
    with HomeportAdminClient.create_from_connection_string(
        service.values["HOMEPORT_DPS_CONNECTION_STRING"], ca_file=service.values["HOMEPORT_CA_FILE"]
    ) as admin:
        return admin.why(registration_id)


def enroll(
    service: Service, operator: ProvisioningServiceClient, tpm: TpmSecurityProvider, registration_id: str, **more: Any
) -> None:
    operator.create_or_update_individual_enrollment(
        IndividualEnrollment(
            registration_id=registration_id,
            attestation=AttestationMechanism.for_tpm(endorsement_key=tpm.endorsement_key),
            iot_hubs=[service.host],  # one hub, so that a test knows where to look
            **more,
        )
    )


def register(
    service: Service, tpm: TpmSecurityProvider, registration_id: str, transport: Transport = "https"
) -> RegistrationResult:
    tpm.registration_id = registration_id
    client = ProvisioningDeviceClient.create(
        service.host, service.id_scope, tpm, transport=transport, ca_file=service.values["HOMEPORT_CA_FILE"]
    )
    return client.register({"floor": 4})


def hub_key(hub: HubRegistryClient, device_id: str) -> str:
    authentication = hub.get_device(device_id).authentication
    assert authentication is not None
    assert authentication.symmetric_key is not None
    assert authentication.symmetric_key.primary_key is not None
    return authentication.symmetric_key.primary_key


@pytest.mark.parametrize("style", ["blocking", "asyncio"])
@transports
@pytest.mark.matrix(sdk=SDK, feature="TPM 2.0: register, sign in the TPM, connect, telemetry")
async def test_from_power_on_to_telemetry(
    service: Service,
    operator: ProvisioningServiceClient,
    hub: HubRegistryClient,
    tpm: TpmSecurityProvider,
    style: str,
    transport: Transport,
) -> None:
    registration_id = unique("tpm")
    enroll(service, operator, tpm, registration_id, device_id=f"{registration_id}-home")
    ca = service.values["HOMEPORT_CA_FILE"]
    message = Message('{"reading": 1}', content_encoding="utf-8", content_type="application/json")

    if style == "asyncio":
        tpm.registration_id = registration_id
        result = await homeport.client.aio.ProvisioningDeviceClient.create(
            service.host, service.id_scope, tpm, transport=transport, ca_file=ca
        ).register()
        device = await homeport.client.aio.connect_with_azure_iot_device(result, tpm, ca_file=ca)
        await device.send_message(message)
        await device.shutdown()
    else:
        result = await asyncio.to_thread(register, service, tpm, registration_id, transport)
        blocking = await asyncio.to_thread(connect_with_azure_iot_device, result, tpm, ca_file=ca)
        await asyncio.to_thread(blocking.send_message, message)
        await asyncio.to_thread(blocking.shutdown)

    assert (result.assigned_hub, result.device_id) == (service.host, f"{registration_id}-home")
    assert result.substatus == "initialAssignment"
    (received,) = hub.telemetry(result.device_id)
    assert received.body == {"reading": 1}
    assert '"scope":"device","type":"sas"' in received.annotations["iothub-connection-auth-method"]
    attempts = why(service, registration_id)
    assert [attempt.outcome for attempt in attempts] == ["assigned", "challenged"]
    assert all(check.passed for attempt in attempts for check in attempt.checks)


@pytest.mark.parametrize("websockets", [False, True], ids=["mqtt", "mqtt-ws"])
@pytest.mark.matrix(sdk="Python: azure-iot-device", feature="tokens that a TPM signs and renews")
def test_tokens_are_renewed_by_the_tpm(
    service: Service,
    operator: ProvisioningServiceClient,
    hub: HubRegistryClient,
    tpm: TpmSecurityProvider,
    monkeypatch: pytest.MonkeyPatch,
    websockets: bool,
) -> None:
    registration_id = unique("tpm-renewed")
    enroll(service, operator, tpm, registration_id)
    result = register(service, tpm, registration_id)
    signed, renewed = [], threading.Event()
    inside = tpm.sign

    def sign(data: bytes) -> bytes:
        signed.append(data)
        if len(signed) > 1:
            renewed.set()
        return inside(data)

    monkeypatch.setattr(tpm, "sign", sign)
    # azure-iot-device asks for the next token two minutes before the end of this one: at once.
    device = connect_with_azure_iot_device(
        result,
        tpm,
        ca_file=service.values["HOMEPORT_CA_FILE"],
        websockets=websockets,
        token_life=timedelta(seconds=121),
    )
    try:
        assert renewed.wait(RENEWAL_SECONDS)
        device.send_message(Message("after the renewal"))
    finally:
        device.shutdown()
    assert signed[0] != signed[1]
    # Once, or once more: the client sends anew what it had on its way when it reconnected with the new token.
    assert {message.body for message in hub.telemetry(result.device_id)} == {"after the renewal"}


@transports
@pytest.mark.matrix(sdk=SDK, feature="TPM 2.0: registering again renews the hub key")
def test_registering_again_gives_another_hub_key(
    service: Service,
    operator: ProvisioningServiceClient,
    hub: HubRegistryClient,
    tpm: TpmSecurityProvider,
    transport: Transport,
) -> None:
    registration_id = unique("tpm-again")
    enroll(service, operator, tpm, registration_id)
    ca = service.values["HOMEPORT_CA_FILE"]

    register(service, tpm, registration_id, transport)
    first = hub_key(hub, registration_id)
    result = register(service, tpm, registration_id, transport)
    second = hub_key(hub, registration_id)

    assert result.substatus == "reprovisionedToInitialAssignment"
    assert second != first
    device = connect_with_azure_iot_device(result, tpm, ca_file=ca)
    device.send_message(Message("still at home"))
    device.shutdown()
    assert hub.telemetry_count(registration_id) == 1
    told = repr(why(service, registration_id))
    assert first not in told
    assert second not in told


@transports
@pytest.mark.matrix(sdk=SDK, feature="TPM 2.0: another TPM under the same registration id")
def test_another_tpm_is_refused(
    service: Service,
    operator: ProvisioningServiceClient,
    tpm: TpmSecurityProvider,
    other_tpm: TpmSecurityProvider,
    transport: Transport,
) -> None:
    registration_id = unique("tpm-other")
    enroll(service, operator, tpm, registration_id)
    register(service, tpm, registration_id, transport)

    with pytest.raises(UnauthorizedError) as refused:
        register(service, other_tpm, registration_id, transport)

    assert (refused.value.status, refused.value.code) == (401, 401002)
    latest = why(service, registration_id)[0]
    assert latest.tracking_id == refused.value.tracking_id
    assert "endorsement key differs" in latest.reason
    assert latest.advice
    # The enrolled TPM is not locked out by the impostor.
    assert register(service, tpm, registration_id, transport).status == "assigned"


@transports
@pytest.mark.matrix(sdk=SDK, feature="TPM 2.0: registration id that nobody enrolled")
def test_an_unknown_registration_id(service: Service, tpm: TpmSecurityProvider, transport: Transport) -> None:
    registration_id = unique("tpm-unknown")
    with pytest.raises(NotFoundError) as refused:
        register(service, tpm, registration_id, transport)
    assert (refused.value.status, refused.value.code) == (404, 404201)
    attempt = why(service, registration_id)[0]
    assert attempt.tracking_id == refused.value.tracking_id
    assert "endorsement key" in attempt.advice


def test_a_challenge_for_one_tpm_is_useless_to_another(
    service: Service,
    operator: ProvisioningServiceClient,
    tpm: TpmSecurityProvider,
    other_tpm: TpmSecurityProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registration_id = unique("tpm-stolen")
    enroll(service, operator, tpm, registration_id)
    # It shows the enrolled TPM's public keys, which are no secret, but it is not that TPM.
    monkeypatch.setattr(TpmSecurityProvider, "endorsement_key", tpm.endorsement_key)
    monkeypatch.setattr(TpmSecurityProvider, "storage_root_key", tpm.storage_root_key)

    with pytest.raises(homeport.client.TpmError):
        register(service, other_tpm, registration_id)

    monkeypatch.undo()
    assert [attempt.outcome for attempt in why(service, registration_id)] == ["challenged"]


def test_disabled_enrollment_of_a_tpm(
    service: Service, operator: ProvisioningServiceClient, tpm: TpmSecurityProvider
) -> None:
    registration_id = unique("tpm-disabled")
    enroll(service, operator, tpm, registration_id, provisioning_status="disabled")
    with pytest.raises(homeport.client.RegistrationError) as ended:
        register(service, tpm, registration_id)
    assert ended.value.status == "disabled"
