"""Microsoft's Node SDKs: the provisioning service client, and devices over MQTT, MQTT over WebSocket and HTTP."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from azure.iot.hub import IoTHubRegistryManager
from provisioningserviceclient import ProvisioningServiceClient
from provisioningserviceclient.models import AttestationMechanism, EnrollmentGroup, IndividualEnrollment

from tests.certificates import make_certificate
from tests.conformance.conftest import Service
from tests.conformance.test_python_provisioning import symmetric_key, unique

pytestmark = [pytest.mark.conformance, pytest.mark.node]

NODE = Path(__file__).parent / "node"
transports = pytest.mark.parametrize("transport", ["mqtt", "mqtt-ws", "http"])


def run(service: Service, script: str, wanted: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        ["node", script],
        cwd=NODE,
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"NODE_EXTRA_CA_CERTS": service.values["HOMEPORT_CA_FILE"], "NODE_NO_WARNINGS": "1"},
    )
    assert done.stdout, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.fixture
def operator(service: Service) -> ProvisioningServiceClient:
    return ProvisioningServiceClient.create_from_connection_string(service.values["HOMEPORT_DPS_CONNECTION_STRING"])


def device(service: Service, registration_id: str, transport: str, **more: Any) -> dict[str, Any]:
    return run(
        service,
        "device.cjs",
        {
            "host": service.host,
            "idScope": service.id_scope,
            "registrationId": registration_id,
            "transport": transport,
            "send": True,
            **more,
        },
    )


@transports
@pytest.mark.matrix(
    sdk="Node: azure-iot-provisioning-device, azure-iot-device", feature="symmetric key: register, connect, telemetry"
)
def test_symmetric_key(service: Service, operator: ProvisioningServiceClient, device_key: str, transport: str) -> None:
    registration_id = unique("node-key")
    operator.create_or_update(IndividualEnrollment.create(registration_id, symmetric_key(device_key, device_key)))

    answer = device(service, registration_id, transport, key=device_key, payload={"modelId": "dtmi:com:example:A;1"})

    assert answer["result"]["status"] == "assigned"
    assert answer["result"]["deviceId"] == registration_id
    registry = IoTHubRegistryManager.from_connection_string(
        service.hub_connection_string(answer["result"]["assignedHub"])
    )
    assert registry.get_device(registration_id).last_activity_time.year > 2000


@transports
@pytest.mark.matrix(
    sdk="Node: azure-iot-provisioning-device, azure-iot-device",
    feature="X.509, enrolled by {enrolled}: register, connect, telemetry",
)
@pytest.mark.parametrize("enrolled", ["leaf", "root"])
def test_x509(service: Service, operator: ProvisioningServiceClient, transport: str, enrolled: str) -> None:
    registration_id = unique("node-x509")
    root = make_certificate(unique("root"), ca=True)
    certified = root.issue(unique("line"), ca=True).issue(registration_id)
    operator.create_or_update(
        IndividualEnrollment.create(registration_id, AttestationMechanism.create_with_x509_client_certs(certified.pem))
        if enrolled == "leaf"
        else EnrollmentGroup.create(unique("group"), AttestationMechanism.create_with_x509_signing_certs(root.pem))
    )

    answer = device(service, registration_id, transport, cert=certified.chain_pem, certKey=certified.key_pem)

    assert answer["result"]["status"] == "assigned"


@transports
@pytest.mark.matrix(sdk="Node: azure-iot-provisioning-device, azure-iot-device", feature="refusal is reported")
def test_a_refusal_reaches_the_device(
    service: Service, operator: ProvisioningServiceClient, device_key: str, transport: str
) -> None:
    registration_id = unique("node-refused")
    operator.create_or_update(IndividualEnrollment.create(registration_id, symmetric_key(device_key, device_key)))
    wrong_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

    answer = device(service, registration_id, transport, key=wrong_key)

    assert "nauthorized" in answer["error"]["name"] + answer["error"]["message"]
    why = json.loads(service.server.run("why", registration_id, "-o", "json").stdout)
    assert why[0]["code"] == 401002


@pytest.mark.matrix(
    sdk="Node: azure-iot-provisioning-service", feature="enrollments, groups, queries", transport="https"
)
def test_service_client(service: Service, device_key: str) -> None:
    registration_id, group_id = unique("node-ind"), unique("node-grp")
    answer = run(
        service,
        "enrollments.cjs",
        {
            "connectionString": service.values["HOMEPORT_DPS_CONNECTION_STRING"],
            "registrationId": registration_id,
            "groupId": group_id,
            "key": device_key,
            "signer": make_certificate("node root", ca=True).pem,
        },
    )

    steps = answer.get("steps")
    assert steps is not None, answer
    assert steps["created"]["attestation"]["symmetricKey"]["primaryKey"] == device_key
    assert steps["read"]["deviceId"] == "wanted-name"
    assert "symmetricKey" not in steps["read"]["attestation"]
    assert steps["mechanism"]["symmetricKey"]["primaryKey"] == device_key
    assert steps["updated"]["provisioningStatus"] == "disabled"
    assert steps["stale"] == 412
    assert (
        steps["group"]["attestation"]["x509"]["signingCertificates"]["primary"]["info"]["subjectName"] == "CN=node root"
    )
    assert registration_id in steps["queried"]
    assert steps["missing"] == 404
