"""Custom allocation by a webhook, and what an enrollment gives a device, through Microsoft's clients on both ends."""

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from azure.iot.hub import IoTHubRegistryManager
from provisioningserviceclient import ProvisioningServiceClient
from provisioningserviceclient.models import DeviceCapabilities, IndividualEnrollment, InitialTwin
from provisioningserviceclient.protocol.models import CustomAllocationDefinition

from homeport.client import HomeportAdminClient
from homeport.clock import SystemClock
from homeport.security.webhook_signature import verify
from tests.conformance.conftest import ADDRESSES, Service
from tests.conformance.test_node import device as node_device
from tests.conformance.test_python_provisioning import register, symmetric_key, unique, with_key

pytestmark = pytest.mark.conformance


@dataclass
class Webhook:
    """A webhook in the place of an Azure Function."""

    url: str = ""
    answers: list[tuple[int, Any]] = field(default_factory=list)
    """Statuses and documents, one for each request; the last one stays."""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    hook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
            status, document = hook.answers.pop(0) if len(hook.answers) > 1 else hook.answers[0]
            answer = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hook.url = f"http://127.0.0.1:{server.server_address[1]}/api/pick?code=s3cret"
    yield hook
    server.shutdown()
    server.server_close()


@pytest.fixture
def operator(service: Service) -> ProvisioningServiceClient:
    return ProvisioningServiceClient.create_from_connection_string(service.values["HOMEPORT_DPS_CONNECTION_STRING"])


def custom_enrollment(registration_id: str, key: str, webhook: Webhook, **more: Any) -> IndividualEnrollment:
    enrollment = IndividualEnrollment.create(registration_id, symmetric_key(key, key))
    enrollment.allocation_policy = "custom"
    enrollment.custom_allocation_definition = CustomAllocationDefinition(
        webhook_url=webhook.url, api_version="2021-10-01"
    )
    for name, value in more.items():
        setattr(enrollment, name, value)
    return enrollment


@pytest.mark.matrix(sdk="Python: azure-iot-device", feature="custom allocation by webhook: payload both ways")
def test_a_webhook_chooses_the_hub(
    service: Service, operator: ProvisioningServiceClient, webhook: Webhook, device_key: str
) -> None:
    registration_id = unique("custom")
    operator.create_or_update(custom_enrollment(registration_id, device_key, webhook))
    webhook.answers.append((200, {"iotHubHostName": ADDRESSES[1], "payload": {"note": "welcome"}}))
    client = with_key(service, registration_id, device_key, websockets=False)
    client.provisioning_payload = {"modelId": "dtmi:com:example:Thermostat;1"}

    state = register(client)

    assert state.assigned_hub == ADDRESSES[1]
    assert json.loads(state.response_payload) == {"note": "welcome"}
    [(headers, body)] = webhook.requests
    question = json.loads(body)
    assert question["deviceRuntimeContext"]["payload"] == {"modelId": "dtmi:com:example:Thermostat;1"}
    assert question["individualEnrollment"]["registrationId"] == registration_id
    assert "s3cret" not in body.decode()
    assert device_key not in body.decode()
    values = service.values
    with HomeportAdminClient.create_from_connection_string(
        values["HOMEPORT_DPS_CONNECTION_STRING"], ca_file=values["HOMEPORT_CA_FILE"]
    ) as admin:
        keys = admin.webhook_signing_keys()
    now = int(SystemClock().now().timestamp())
    assert verify(headers["homeport-signature"], body, base64.b64decode(keys.primary_key), now=now)


@pytest.mark.matrix(sdk="Python: azure-iot-device", feature="custom allocation by webhook: polls while it is retried")
def test_a_device_polls_until_the_webhook_answers(
    service: Service, operator: ProvisioningServiceClient, webhook: Webhook, device_key: str
) -> None:
    registration_id = unique("patient")
    operator.create_or_update(custom_enrollment(registration_id, device_key, webhook))
    webhook.answers += [(503, {}), (200, {"iotHubHostName": ADDRESSES[2]})]
    state = register(with_key(service, registration_id, device_key, websockets=False))
    assert state.assigned_hub == ADDRESSES[2]
    first, second = (headers["homeport-operation-id"] for headers, _ in webhook.requests)
    assert first == second


@pytest.mark.node
@pytest.mark.parametrize("transport", ["mqtt", "http"])
@pytest.mark.matrix(
    sdk="Node: azure-iot-provisioning-device", feature="custom allocation by webhook: payload both ways"
)
def test_node_hears_the_webhooks_payload(
    service: Service, operator: ProvisioningServiceClient, webhook: Webhook, device_key: str, transport: str
) -> None:
    registration_id = unique("node-custom")
    operator.create_or_update(custom_enrollment(registration_id, device_key, webhook))
    webhook.answers.append((200, {"iotHubHostName": ADDRESSES[1], "payload": {"note": "welcome"}}))
    answer = node_device(service, registration_id, transport, key=device_key, payload={"a": [1, None]})
    assert answer["result"]["assignedHub"] == ADDRESSES[1]
    assert answer["result"]["payload"] == {"note": "welcome"}
    assert json.loads(webhook.requests[0][1])["deviceRuntimeContext"]["payload"] == {"a": [1, None]}


@pytest.mark.matrix(sdk="Python: azure-iot-device", feature="initial twin, Edge capability, static hub")
def test_what_the_enrollment_says_is_what_the_device_gets(
    service: Service, operator: ProvisioningServiceClient, device_key: str
) -> None:
    registration_id = unique("edge")
    enrollment = IndividualEnrollment.create(registration_id, symmetric_key(device_key, device_key))
    enrollment.allocation_policy = "static"
    enrollment.iot_hubs = [ADDRESSES[2]]
    enrollment.capabilities = DeviceCapabilities.create(iot_edge=True)
    enrollment.initial_twin = InitialTwin.create(tags={"site": "north"}, desired_properties={"interval": 5})
    operator.create_or_update(enrollment)

    state = register(with_key(service, registration_id, device_key, websockets=True))

    assert state.assigned_hub == ADDRESSES[2]
    registry = IoTHubRegistryManager.from_connection_string(service.hub_connection_string(ADDRESSES[2]))
    assert registry.get_device(registration_id).capabilities.iot_edge is True
    twin = registry.get_twin(registration_id)
    assert twin.tags == {"site": "north"}
    assert twin.properties.desired["interval"] == 5
