"""Our own device client, blocking and asynchronous: register on every transport, connect, send telemetry."""

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.iot.device import Message

import homeport.client
import homeport.client.aio
from homeport.client import (
    AttestationMechanism,
    EnrollmentGroup,
    HomeportAdminClient,
    HubRegistryClient,
    IndividualEnrollment,
    InitialTwin,
    ProvisioningServiceClient,
    RegistrationError,
    RegistrationResult,
    SymmetricKeySecurityProvider,
    UnauthorizedError,
    UntrustedServerError,
    X509SecurityProvider,
    connect_with_azure_iot_device,
)
from tests.certificates import make_certificate
from tests.conformance.conftest import Service
from tests.conformance.test_python_provisioning import unique

pytestmark = pytest.mark.conformance

Provider = SymmetricKeySecurityProvider | X509SecurityProvider

SDK = "Python: homeport.client"
transports = pytest.mark.parametrize("transport", ["https", "mqtt", "mqtt-ws", "amqp", "amqp-ws"])
styles = pytest.mark.parametrize("style", ["blocking", "asyncio"])


@pytest.fixture
def operator(service: Service) -> Iterator[ProvisioningServiceClient]:
    with ProvisioningServiceClient.create_from_connection_string(
        service.values["HOMEPORT_DPS_CONNECTION_STRING"], ca_file=service.values["HOMEPORT_CA_FILE"]
    ) as client:
        yield client


@pytest.fixture
def admin(service: Service) -> Iterator[HomeportAdminClient]:
    with HomeportAdminClient.create_from_connection_string(
        service.values["HOMEPORT_DPS_CONNECTION_STRING"], ca_file=service.values["HOMEPORT_CA_FILE"]
    ) as client:
        yield client


def never_wait(seconds: float) -> None:
    raise AssertionError(f"the client waited {seconds} seconds, to poll or to try again")


async def never_wait_async(seconds: float) -> None:
    never_wait(seconds)


async def register(
    service: Service, provider: Provider, style: str, transport: Any, payload: Any = None
) -> RegistrationResult:
    """Register in one round trip: a client that waits is about to poll, and fails the test."""
    if style == "asyncio":
        client = homeport.client.aio.ProvisioningDeviceClient.create(
            service.host,
            service.id_scope,
            provider,
            transport=transport,
            ca_file=service.values["HOMEPORT_CA_FILE"],
            pause=never_wait_async,
        )
        return await client.register(payload)
    blocking = homeport.client.ProvisioningDeviceClient.create(
        service.host,
        service.id_scope,
        provider,
        transport=transport,
        ca_file=service.values["HOMEPORT_CA_FILE"],
        pause=never_wait,
    )
    return await asyncio.to_thread(blocking.register, payload)


async def assert_at_home(service: Service, result: RegistrationResult, provider: Provider, style: str) -> None:
    """The device connects through azure-iot-device and its message arrives at the hub it was given."""
    ca = service.values["HOMEPORT_CA_FILE"]
    message = Message('{"temperature": 21.5}', content_encoding="utf-8", content_type="application/json")
    if style == "asyncio":
        device = await homeport.client.aio.connect_with_azure_iot_device(result, provider, ca_file=ca)
        await device.send_message(message)
        await device.shutdown()
    else:
        device = await asyncio.to_thread(connect_with_azure_iot_device, result, provider, ca_file=ca)
        await asyncio.to_thread(device.send_message, message)
        await asyncio.to_thread(device.shutdown)
    with HubRegistryClient.create_from_connection_string(
        service.hub_connection_string(result.assigned_hub), ca_file=ca
    ) as hub:
        (received,) = hub.telemetry(result.device_id)
        assert received.body == {"temperature": 21.5}
        assert received.system_properties["contentType"] == "application/json"


@styles
@transports
@pytest.mark.matrix(sdk=SDK, feature="symmetric key, individual: register, connect, telemetry")
async def test_individual_key(
    service: Service, operator: ProvisioningServiceClient, device_key: str, transport: str, style: str
) -> None:
    registration_id = unique("own-key")
    operator.create_or_update_individual_enrollment(
        IndividualEnrollment(
            registration_id=registration_id,
            device_id=f"{registration_id}-home",
            attestation=AttestationMechanism.for_symmetric_key(primary_key=device_key, secondary_key=device_key),
            initial_twin=InitialTwin.of(tags={"site": "north"}, desired={"interval": 5}),
        )
    )
    provider = SymmetricKeySecurityProvider(registration_id, device_key)

    result = await register(service, provider, style, transport, {"modelId": "dtmi:com:example:Thermostat;1"})

    assert (result.status, result.substatus) == ("assigned", "initialAssignment")
    assert result.device_id == f"{registration_id}-home"
    assert result.payload is None
    await assert_at_home(service, result, provider, style)
    with HubRegistryClient.create_from_connection_string(
        service.hub_connection_string(result.assigned_hub), ca_file=service.values["HOMEPORT_CA_FILE"]
    ) as hub:
        twin = hub.get_twin(result.device_id)
        assert twin.tags == {"site": "north"}
        assert twin.properties is not None
        assert twin.properties.desired["interval"] == 5


@styles
@transports
@pytest.mark.matrix(sdk=SDK, feature="symmetric key, group: derive, register, connect, telemetry")
async def test_group_key(
    service: Service, operator: ProvisioningServiceClient, device_key: str, transport: str, style: str
) -> None:
    group = EnrollmentGroup(
        enrollment_group_id=unique("own-group"),
        attestation=AttestationMechanism.for_symmetric_key(primary_key=device_key, secondary_key=device_key),
    )
    operator.create_or_update_enrollment_group(group)
    provider = SymmetricKeySecurityProvider.from_group_key(unique("Member"), device_key)

    result = await register(service, provider, style, transport)

    assert result.device_id == provider.registration_id
    await assert_at_home(service, result, provider, style)
    (state,) = operator.query_registration_states(group.enrollment_group_id)
    assert (state.device_id, state.assigned_hub) == (result.device_id, result.assigned_hub)


@styles
@transports
@pytest.mark.matrix(sdk=SDK, feature="X.509, individual: register, connect, telemetry")
async def test_individual_certificate(
    service: Service, operator: ProvisioningServiceClient, tmp_path: Path, transport: str, style: str
) -> None:
    device = make_certificate(unique("own-leaf"))
    provider = X509SecurityProvider(*device.write(tmp_path))
    operator.create_or_update_individual_enrollment(
        IndividualEnrollment(
            registration_id=provider.registration_id, attestation=AttestationMechanism.for_x509_client(device.pem)
        )
    )
    result = await register(service, provider, style, transport)
    await assert_at_home(service, result, provider, style)


@styles
@transports
@pytest.mark.matrix(sdk=SDK, feature="X.509, group by {signer}: register, connect, telemetry")
@pytest.mark.parametrize("signer", ["root", "intermediate"])
async def test_group_certificate(
    service: Service, operator: ProvisioningServiceClient, tmp_path: Path, signer: str, transport: str, style: str
) -> None:
    root = make_certificate(unique("own root"), ca=True)
    line = root.issue(unique("own line"), ca=True)
    operator.create_or_update_enrollment_group(
        EnrollmentGroup(
            enrollment_group_id=unique("own-ca"),
            attestation=AttestationMechanism.for_x509_signing((root if signer == "root" else line).pem),
        )
    )
    provider = X509SecurityProvider(*line.issue(unique("own-member")).write(tmp_path))
    result = await register(service, provider, style, transport)
    await assert_at_home(service, result, provider, style)


def register_calls(service: Service) -> dict[str, float]:
    """Count register calls by transport and outcome, as the server's own metrics have them."""
    context = ssl.create_default_context(cafile=service.values["HOMEPORT_CA_FILE"])
    with httpx.Client(verify=context, trust_env=False) as client:
        text = client.get(f"https://{service.host}/homeport/metrics").text
    lines = (line.rpartition(" ") for line in text.splitlines() if line.startswith("homeport_registration_attempts_"))
    return {name: float(value) for name, _, value in lines if "_total{" in name}


@styles
@transports
@pytest.mark.matrix(sdk=SDK, feature="one round trip: one request, no poll")
async def test_one_request_and_no_poll(
    service: Service,
    operator: ProvisioningServiceClient,
    admin: HomeportAdminClient,
    device_key: str,
    transport: str,
    style: str,
) -> None:
    registration_id = unique("own-once")
    operator.create_or_update_individual_enrollment(
        IndividualEnrollment(
            registration_id=registration_id, attestation=AttestationMechanism.for_symmetric_key(primary_key=device_key)
        )
    )
    before = register_calls(service)
    await register(service, SymmetricKeySecurityProvider(registration_id, device_key), style, transport)
    after = register_calls(service)

    counted = f'homeport_registration_attempts_total{{outcome="assigned",transport="{transport}"}}'
    assert sum(after.values()) - sum(before.values()) == 1
    assert after[counted] - before.get(counted, 0) == 1
    (attempt,) = admin.why(registration_id)
    assert (attempt.outcome, attempt.transport) == ("assigned", transport)


@styles
@transports
@pytest.mark.matrix(sdk=SDK, feature="refusals are typed, with the why under their tracking id")
async def test_a_refusal_is_typed_and_explained(
    service: Service,
    operator: ProvisioningServiceClient,
    admin: HomeportAdminClient,
    device_key: str,
    transport: str,
    style: str,
) -> None:
    operator.create_or_update_enrollment_group(
        EnrollmentGroup(
            enrollment_group_id=unique("own-refusing"),
            attestation=AttestationMechanism.for_symmetric_key(primary_key=device_key, secondary_key=device_key),
        )
    )
    # The group's key itself instead of the one derived from it.
    provider = SymmetricKeySecurityProvider(unique("own-refused"), device_key)

    with pytest.raises(UnauthorizedError) as refused:
        await register(service, provider, style, transport)

    assert (refused.value.status, refused.value.code) == (401, 401002)
    assert refused.value.tracking_id is not None
    attempt = admin.find_attempt(refused.value.tracking_id)
    assert attempt.registration_id == provider.registration_id
    assert "instead of the device key" in attempt.reason
    assert attempt.advice


@styles
@transports
@pytest.mark.matrix(sdk=SDK, feature="disabled enrollment")
async def test_a_disabled_enrollment(
    service: Service, operator: ProvisioningServiceClient, device_key: str, transport: str, style: str
) -> None:
    registration_id = unique("own-disabled")
    operator.create_or_update_individual_enrollment(
        IndividualEnrollment(
            registration_id=registration_id,
            attestation=AttestationMechanism.for_symmetric_key(primary_key=device_key),
            provisioning_status="disabled",
        )
    )
    with pytest.raises(RegistrationError) as ended:
        await register(service, SymmetricKeySecurityProvider(registration_id, device_key), style, transport)
    assert ended.value.status == "disabled"


@styles
@transports
@pytest.mark.matrix(sdk=SDK, feature="a server that is not trusted")
async def test_a_server_that_is_not_trusted(
    service: Service, tmp_path: Path, device_key: str, transport: str, style: str
) -> None:
    other = tmp_path / "other.pem"
    other.write_text(make_certificate("another root", ca=True).pem)
    elsewhere = Service(service.server, {**service.values, "HOMEPORT_CA_FILE": str(other)})
    with pytest.raises(UntrustedServerError):
        await register(elsewhere, SymmetricKeySecurityProvider(unique("own"), device_key), style, transport)
