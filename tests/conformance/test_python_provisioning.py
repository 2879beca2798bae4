"""Microsoft's Python device SDK: register, connect to the assigned hub, send telemetry."""

import base64
import hashlib
import hmac
import json
import os
from pathlib import Path
from typing import Any

import pytest
from azure.iot.device import X509, IoTHubDeviceClient, Message, ProvisioningDeviceClient
from azure.iot.device.exceptions import ClientError
from azure.iot.hub import IoTHubRegistryManager
from provisioningserviceclient import ProvisioningServiceClient
from provisioningserviceclient.models import AttestationMechanism, EnrollmentGroup, IndividualEnrollment
from provisioningserviceclient.protocol.models import SymmetricKeyAttestation

from tests.certificates import Certified, make_certificate
from tests.conformance.conftest import Service

pytestmark = pytest.mark.conformance

transports = pytest.mark.parametrize("websockets", [False, True], ids=["mqtt", "mqtt-ws"])


def unique(prefix: str) -> str:
    return f"{prefix}-{os.urandom(4).hex()}"


@pytest.fixture
def operator(service: Service) -> ProvisioningServiceClient:
    return ProvisioningServiceClient.create_from_connection_string(service.values["HOMEPORT_DPS_CONNECTION_STRING"])


def symmetric_key(primary: str, secondary: str) -> AttestationMechanism:
    return AttestationMechanism(
        type="symmetricKey", symmetric_key=SymmetricKeyAttestation(primary_key=primary, secondary_key=secondary)
    )


def with_key(service: Service, registration_id: str, key: str, *, websockets: bool) -> ProvisioningDeviceClient:
    return ProvisioningDeviceClient.create_from_symmetric_key(
        provisioning_host=service.host,
        registration_id=registration_id,
        id_scope=service.id_scope,
        symmetric_key=key,
        server_verification_cert=service.ca,
        websockets=websockets,
    )


def register(client: Any) -> Any:
    """Register and return the state: `assigned_hub`, `device_id`, `sub_status`."""
    try:
        result = client.register()
    except Exception:
        # After a refusal the SDK leaves its timers running, and has no public call to end them.
        client._pipeline.shutdown(callback=lambda **_: None)
        raise
    assert result.status == "assigned"
    return result.registration_state


def with_certificate(
    service: Service, registration_id: str, device: Certified, folder: Path, *, websockets: bool
) -> tuple[ProvisioningDeviceClient, X509]:
    chain, key = device.write(folder)
    certificate = X509(cert_file=str(chain), key_file=str(key))
    client = ProvisioningDeviceClient.create_from_x509_certificate(
        provisioning_host=service.host,
        registration_id=registration_id,
        id_scope=service.id_scope,
        x509=certificate,
        server_verification_cert=service.ca,
        websockets=websockets,
    )
    return client, certificate


def assert_at_home(service: Service, hub: str, device_id: str, client: IoTHubDeviceClient) -> None:
    """The device connects, the hub's own SDK sees it connected, telemetry is taken."""
    registry = IoTHubRegistryManager.from_connection_string(service.hub_connection_string(hub))
    client.connect()
    try:
        message = Message(json.dumps({"temperature": 21.5}), content_encoding="utf-8", content_type="application/json")
        message.custom_properties["plant"] = "north & south"
        client.send_message(message)
        assert registry.get_device(device_id).connection_state == "Connected"
    finally:
        client.shutdown()


@transports
@pytest.mark.matrix(sdk="Python: azure-iot-device", feature="symmetric key, individual: register, connect, telemetry")
def test_individual_symmetric_key(
    service: Service, operator: ProvisioningServiceClient, device_key: str, websockets: bool
) -> None:
    registration_id = unique("key")
    operator.create_or_update(
        IndividualEnrollment.create(
            registration_id, symmetric_key(device_key, device_key), device_id=f"{registration_id}-x"
        )
    )
    client = with_key(service, registration_id, device_key, websockets=websockets)
    client.provisioning_payload = {"modelId": "dtmi:com:example:Thermostat;1"}

    state = register(client)

    assert state.device_id == f"{registration_id}-x"
    assert state.sub_status == "initialAssignment"
    device = IoTHubDeviceClient.create_from_symmetric_key(
        device_key,
        state.assigned_hub,
        state.device_id,
        server_verification_cert=service.ca,
        websockets=websockets,
    )
    assert_at_home(service, state.assigned_hub, f"{registration_id}-x", device)


@transports
@pytest.mark.matrix(sdk="Python: azure-iot-device", feature="symmetric key, group: register, connect, telemetry")
def test_group_symmetric_key(
    service: Service, operator: ProvisioningServiceClient, device_key: str, websockets: bool
) -> None:
    operator.create_or_update(EnrollmentGroup.create(unique("group"), symmetric_key(device_key, device_key)))
    registration_id = unique("member")
    derived = base64.b64encode(
        hmac.digest(base64.b64decode(device_key), registration_id.encode(), hashlib.sha256)
    ).decode()

    state = register(with_key(service, registration_id, derived, websockets=websockets))

    device = IoTHubDeviceClient.create_from_symmetric_key(
        derived, state.assigned_hub, registration_id, server_verification_cert=service.ca
    )
    assert_at_home(service, state.assigned_hub, registration_id, device)


@transports
@pytest.mark.matrix(sdk="Python: azure-iot-device", feature="X.509, individual: register, connect, telemetry")
def test_individual_x509(
    service: Service, operator: ProvisioningServiceClient, tmp_path: Path, websockets: bool
) -> None:
    registration_id = unique("leaf")
    device = make_certificate(registration_id)
    operator.create_or_update(
        IndividualEnrollment.create(registration_id, AttestationMechanism.create_with_x509_client_certs(device.pem))
    )
    client, certificate = with_certificate(service, registration_id, device, tmp_path, websockets=websockets)

    hub = register(client).assigned_hub
    at_hub = IoTHubDeviceClient.create_from_x509_certificate(
        certificate, hub, registration_id, server_verification_cert=service.ca, websockets=websockets
    )
    assert_at_home(service, hub, registration_id, at_hub)


@transports
@pytest.mark.matrix(sdk="Python: azure-iot-device", feature="X.509, group by {signer}: register, connect, telemetry")
@pytest.mark.parametrize("signer", ["root", "intermediate"])
def test_group_x509(
    service: Service,
    operator: ProvisioningServiceClient,
    tmp_path: Path,
    signer: str,
    websockets: bool,
) -> None:
    root = make_certificate(unique("root"), ca=True)
    intermediate = root.issue(unique("line"), ca=True)
    enrolled = root if signer == "root" else intermediate
    operator.create_or_update(
        EnrollmentGroup.create(unique("group"), AttestationMechanism.create_with_x509_signing_certs(enrolled.pem))
    )
    registration_id = unique("member")
    device = intermediate.issue(registration_id)
    client, certificate = with_certificate(service, registration_id, device, tmp_path, websockets=websockets)

    hub = register(client).assigned_hub
    at_hub = IoTHubDeviceClient.create_from_x509_certificate(
        certificate, hub, registration_id, server_verification_cert=service.ca, websockets=websockets
    )
    assert_at_home(service, hub, registration_id, at_hub)


def test_devices_of_a_group_spread_over_the_hubs(
    service: Service, operator: ProvisioningServiceClient, device_key: str
) -> None:
    operator.create_or_update(EnrollmentGroup.create(unique("group"), symmetric_key(device_key, device_key)))
    hubs = set()
    for _ in range(24):
        registration_id = unique("spread")
        derived = base64.b64encode(
            hmac.digest(base64.b64decode(device_key), registration_id.encode(), hashlib.sha256)
        ).decode()
        hubs.add(register(with_key(service, registration_id, derived, websockets=False)).assigned_hub)
    # Three hubs of equal weight: all 24 on two of them has a chance of 3 * (2/3)**24, about 0.0002.
    assert len(hubs) == 3


@transports
@pytest.mark.matrix(sdk="Python: azure-iot-device", feature="refusal is reported, with its why")
def test_a_refused_device_is_told_little_and_the_operator_everything(
    service: Service, operator: ProvisioningServiceClient, device_key: str, websockets: bool
) -> None:
    registration_id = unique("refused")
    operator.create_or_update(EnrollmentGroup.create(unique("group"), symmetric_key(device_key, device_key)))

    with pytest.raises(ClientError):
        # The classic mistake: the group key itself instead of the key derived from it.
        register(with_key(service, registration_id, device_key, websockets=websockets))

    why = json.loads(service.server.run("why", registration_id, "-o", "json").stdout)
    assert why[0]["code"] in {401000, 401002}
    assert "instead of the device key" in why[0]["reason"]
    assert device_key not in json.dumps(why)


@transports
@pytest.mark.matrix(sdk="Python: azure-iot-device", feature="disabled enrollment")
def test_a_disabled_enrollment_does_not_register(
    service: Service, operator: ProvisioningServiceClient, device_key: str, websockets: bool
) -> None:
    registration_id = unique("disabled")
    operator.create_or_update(
        IndividualEnrollment.create(
            registration_id, symmetric_key(device_key, device_key), provisioning_status="disabled"
        )
    )
    with pytest.raises(ClientError):
        register(with_key(service, registration_id, device_key, websockets=websockets))
    why = json.loads(service.server.run("why", registration_id, "-o", "json").stdout)
    assert "disabled" in why[0]["reason"]


@transports
@pytest.mark.matrix(sdk="Python: azure-iot-device", feature="registering again")
def test_registering_again_keeps_the_hub(
    service: Service, operator: ProvisioningServiceClient, device_key: str, websockets: bool
) -> None:
    registration_id = unique("again")
    operator.create_or_update(IndividualEnrollment.create(registration_id, symmetric_key(device_key, device_key)))
    first = register(with_key(service, registration_id, device_key, websockets=websockets))
    second = register(with_key(service, registration_id, device_key, websockets=websockets))
    assert second.assigned_hub == first.assigned_hub
    assert second.sub_status == "reprovisionedToInitialAssignment"
