"""Microsoft's Node SDKs: the provisioning service client, and devices over every transport, with key, X.509 and TPM."""

import base64
import hmac
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.iot.hub import IoTHubRegistryManager
from provisioningserviceclient import ProvisioningServiceClient
from provisioningserviceclient.models import AttestationMechanism, EnrollmentGroup, IndividualEnrollment

from tests.certificates import make_certificate
from tests.conformance.conftest import Service
from tests.conformance.test_python_provisioning import symmetric_key, unique
from tests.swtpm import SoftwareTpm
from tests.tpm_simulator import TpmSimulator

pytestmark = [pytest.mark.conformance, pytest.mark.node]

NODE = Path(__file__).parent / "node"
VECTORS = Path(__file__).parents[1] / "vectors"
SDK = "Node: azure-iot-provisioning-device, azure-iot-device"
transports = pytest.mark.parametrize("transport", ["mqtt", "mqtt-ws", "http", "amqp", "amqp-ws"])
tpm_transports = pytest.mark.parametrize("transport", ["http", "amqp", "amqp-ws"])
TPM_ADDRESS = ("127.0.53.9", 2321)


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


def derived_key(group_key: str, registration_id: str) -> str:
    """Derive a device's key from its group's, as the documentation tells operators to."""
    digest = hmac.digest(base64.b64decode(group_key), registration_id.lower().encode(), "sha256")
    return base64.b64encode(digest).decode()


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
@pytest.mark.matrix(sdk=SDK, feature="symmetric key: register, connect, telemetry")
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
@pytest.mark.matrix(sdk=SDK, feature="symmetric key of a group: register, connect, telemetry")
def test_group_key(service: Service, operator: ProvisioningServiceClient, device_key: str, transport: str) -> None:
    registration_id, group_id = unique("node-member"), unique("node-group")
    operator.create_or_update(EnrollmentGroup.create(group_id, symmetric_key(device_key, device_key)))

    answer = device(service, registration_id, transport, key=derived_key(device_key, registration_id))

    assert answer["result"]["status"] == "assigned"
    assert answer["result"]["symmetricKey"] == {"enrollmentGroupId": group_id}


@transports
@pytest.mark.matrix(
    sdk=SDK,
    feature="X.509, enrolled by {enrolled}: register, connect, telemetry",
)
@pytest.mark.parametrize("enrolled", ["leaf", "root", "intermediate"])
def test_x509(service: Service, operator: ProvisioningServiceClient, transport: str, enrolled: str) -> None:
    registration_id = unique("node-x509")
    root = make_certificate(unique("root"), ca=True)
    intermediate = root.issue(unique("line"), ca=True)
    certified = intermediate.issue(registration_id)
    signer = root if enrolled == "root" else intermediate
    operator.create_or_update(
        IndividualEnrollment.create(registration_id, AttestationMechanism.create_with_x509_client_certs(certified.pem))
        if enrolled == "leaf"
        else EnrollmentGroup.create(unique("group"), AttestationMechanism.create_with_x509_signing_certs(signer.pem))
    )

    answer = device(service, registration_id, transport, cert=certified.chain_pem, certKey=certified.key_pem)

    assert answer["result"]["status"] == "assigned"


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Power a TPM on behind the sockets that the Node SDK wants; its keys are made by the SDK, once."""
    with (
        SoftwareTpm(tmp_path_factory.mktemp("node-tpm")) as chip,
        TpmSimulator(chip.socket, *TPM_ADDRESS) as simulator,
    ):
        yield {"host": simulator.host, "port": simulator.port}


def described(service: Service, tpm: dict[str, Any]) -> dict[str, str]:
    """Ask the SDK for the TPM's endorsement key and the registration id it derives from that."""
    answer = run(service, "device.cjs", {"tpm": tpm, "describe": True})
    assert "result" in answer, answer
    found: dict[str, str] = answer["result"]
    return found


def why(service: Service, registration_id: str) -> list[dict[str, Any]]:
    attempts: list[dict[str, Any]] = json.loads(service.server.run("why", registration_id, "-o", "json").stdout)
    return attempts


@tpm_transports
@pytest.mark.matrix(sdk=SDK, feature="TPM 2.0: register, sign in the TPM, connect, telemetry")
def test_tpm(service: Service, operator: ProvisioningServiceClient, tpm: dict[str, Any], transport: str) -> None:
    registration_id = unique("node-tpm")
    mechanism = AttestationMechanism.create_with_tpm(described(service, tpm)["endorsementKey"])
    operator.create_or_update(IndividualEnrollment.create(registration_id, mechanism))

    answer = device(service, registration_id, transport, tpm=tpm)

    assert "result" in answer, answer
    assert answer["result"]["status"] == "assigned"
    assert answer["result"]["deviceId"] == registration_id
    registry = IoTHubRegistryManager.from_connection_string(
        service.hub_connection_string(answer["result"]["assignedHub"])
    )
    assert registry.get_device(registration_id).last_activity_time.year > 2000


@tpm_transports
@pytest.mark.matrix(sdk=SDK, feature="TPM 2.0: registration id of the endorsement key, registered again")
def test_a_tpm_registers_again(
    service: Service, operator: ProvisioningServiceClient, tpm: dict[str, Any], transport: str
) -> None:
    chip = described(service, tpm)
    mechanism = AttestationMechanism.create_with_tpm(chip["endorsementKey"])
    enrollment = operator.create_or_update(IndividualEnrollment.create(chip["registrationId"], mechanism))

    substatus = [device(service, chip["registrationId"], transport, tpm=tpm)["result"]["substatus"] for _ in "12"]

    # The same name on every transport: leave none of it behind.
    operator.delete_registration_state_by_param(chip["registrationId"])
    operator.delete(enrollment)
    assert substatus == ["initialAssignment", "reprovisionedToInitialAssignment"]


@tpm_transports
@pytest.mark.matrix(sdk=SDK, feature="TPM 2.0: another TPM, and one that nobody enrolled")
def test_a_tpm_is_refused(
    service: Service, operator: ProvisioningServiceClient, tpm: dict[str, Any], transport: str
) -> None:
    registration_id = unique("node-tpm-other")
    another = json.loads((VECTORS / "tpm-vector-01.json").read_text())["endorsementKey"]
    mechanism = AttestationMechanism.create_with_tpm(another)
    operator.create_or_update(IndividualEnrollment.create(registration_id, mechanism))

    other = device(service, registration_id, transport, tpm=tpm)
    unknown = device(service, unique("node-tpm-unknown"), transport, tpm=tpm)

    assert "error" in other, other
    assert "error" in unknown, unknown
    assert "endorsement key differs" in why(service, registration_id)[0]["reason"]


@transports
@pytest.mark.matrix(sdk=SDK, feature="refusal is reported")
def test_a_refusal_reaches_the_device(
    service: Service, operator: ProvisioningServiceClient, device_key: str, transport: str
) -> None:
    registration_id = unique("node-refused")
    operator.create_or_update(IndividualEnrollment.create(registration_id, symmetric_key(device_key, device_key)))
    wrong_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

    answer = device(service, registration_id, transport, key=wrong_key)

    # Of a refusal in SASL the SDK tells no more than that it is not connected.
    wanted = "NotConnectedError" if transport.startswith("amqp") else "nauthorized"
    assert wanted in answer["error"]["name"] + answer["error"]["message"]
    assert why(service, registration_id)[0]["code"] == 401002


@transports
@pytest.mark.matrix(sdk=SDK, feature="registering again, and disabled then")
def test_registering_again_until_disabled(
    service: Service, operator: ProvisioningServiceClient, device_key: str, transport: str
) -> None:
    registration_id = unique("node-again")
    enrollment = operator.create_or_update(
        IndividualEnrollment.create(registration_id, symmetric_key(device_key, device_key))
    )
    first, second = [device(service, registration_id, transport, key=device_key, send=False)["result"] for _ in "12"]
    assert second["assignedHub"] == first["assignedHub"]
    assert [first["substatus"], second["substatus"]] == ["initialAssignment", "reprovisionedToInitialAssignment"]

    enrollment.provisioning_status = "disabled"
    operator.create_or_update(enrollment)
    answer = device(service, registration_id, transport, key=device_key, send=False)
    assert "error" in answer, answer
    assert "disabled" in why(service, registration_id)[0]["reason"]


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
