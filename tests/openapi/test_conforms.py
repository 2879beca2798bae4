"""Requests made up from two descriptions, ours and the published one: no server error, and answers as described.

A real server in a process of its own; half of the calls are for what exists.
"""

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from homeport.client import (
    AttestationMechanism,
    EnrollmentGroup,
    HomeportAdminClient,
    IndividualEnrollment,
    ProvisioningServiceClient,
)
from homeport.client.connection_string import ServiceCredential, parse_connection_string
from homeport.clock import SystemClock
from homeport.security.sas import encode_resource, sign
from homeport.wire.openapi import describe
from tests.certificates import make_certificate
from tests.openapi import azure
from tests.server import HomeportServer

ADDRESS = "127.0.57.1"
DEVICE, GROUP = "schema-device", "schema-group"
HUB, OWNER, AUTHORITY = "hub1", "provisioningserviceowner", "schema-authority"
ADMINISTRATOR, SUBSCRIPTION = "schema-administrator", "schema-subscription"
KNOWN = {
    "hubs": HUB,
    "policies": OWNER,
    "administrators": ADMINISTRATOR,
    "eventSubscriptions": SUBSCRIPTION,
    "certificates": AUTHORITY,
}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = settings(
    max_examples=10, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def loaded(document: dict[str, Any]) -> Any:
    """Load a description; of the ways to make requests up, the random one, which is quick."""
    config = SchemathesisConfig()
    config.projects.default.phases.coverage.enabled = False
    return schemathesis.openapi.from_dict(document, config=config)


ours = loaded(describe("test"))
published = loaded(azure.document())


class Webhook(BaseHTTPRequestHandler):
    """Agrees, and takes what comes."""

    def do_OPTIONS(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer()

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        self.send_response(200)
        self.send_header("WebHook-Allowed-Origin", "*")
        self.send_header("Content-Length", "0")
        self.end_headers()


@dataclass(frozen=True, slots=True)
class Target:
    """The server, and how to be its operator or its device."""

    values: dict[str, str]
    credential: ServiceCredential
    key: bytes

    def authorization(self, path: str) -> str:
        if not path.startswith("/{idScope}"):
            return self.credential.authorization(SystemClock().now())
        resource = encode_resource(f"{self.values['HOMEPORT_ID_SCOPE']}/registrations/{DEVICE}")
        return sign(resource, self.key, int(SystemClock().now().timestamp()) + 600, "registration")


@pytest.fixture(scope="module")
def webhook() -> Iterator[str]:
    """Run a webhook that agrees to everything, and return its address."""
    with ThreadingHTTPServer((ADDRESS, 0), Webhook) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://{ADDRESS}:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, webhook: str) -> Iterator[Target]:
    key = os.urandom(32)
    with HomeportServer(tmp_path_factory.mktemp("schema") / "data", (ADDRESS,)) as server:
        values = server.connection()
        text, authority = values["HOMEPORT_DPS_CONNECTION_STRING"], values["HOMEPORT_CA_FILE"]
        attestation = AttestationMechanism.for_symmetric_key(primary_key=base64.b64encode(key).decode())
        with ProvisioningServiceClient.create_from_connection_string(text, ca_file=authority) as operator:
            operator.create_or_update_individual_enrollment(
                IndividualEnrollment(registration_id=DEVICE, attestation=attestation)
            )
            operator.create_or_update_enrollment_group(
                EnrollmentGroup(enrollment_group_id=GROUP, attestation=AttestationMechanism.for_symmetric_key())
            )
        with HomeportAdminClient.create_from_connection_string(text, ca_file=authority) as admin:
            admin.create_administrator(ADMINISTRATOR, "reader")
            admin.subscribe(SUBSCRIPTION, webhook)
            admin.upload_ca_certificate(AUTHORITY, make_certificate("schema root", ca=True).pem)
        yield Target(values, parse_connection_string(text), key)
        assert server.stop() == 0
        faults = [line for line in Path(server.log).read_text().splitlines() if "a fault of the server" in line]
        assert faults == []


def made_sensible(case: Any, target: Target) -> None:
    """Turn half of the cases to what exists, and give what is created a proof that can be read."""
    path, names, sensible = case.operation.path, case.path_parameters, len(str(case.path_parameters)) % 2
    if path.startswith("/{idScope}") and sensible:
        names |= {"idScope": target.values["HOMEPORT_ID_SCOPE"], "registrationId": DEVICE}
        if isinstance(case.body, dict):
            case.body.pop("registrationId", None)
    elif "{id}" in path and sensible and case.method in {"GET", "POST"}:
        names["id"] = GROUP if "Groups" in path else DEVICE
    elif "/certificates/{name}" in path and sensible and case.method != "DELETE":
        names["name"] = AUTHORITY
    elif "{name}" in path and sensible and (case.method == "GET" or "eventSubscriptions" in path):
        names["name"] = KNOWN.get(path.split("/")[2], names["name"])
    elif names.get("name", "").lower() == OWNER:
        # The test lives by its keys.
        names["name"] = "other"
    if isinstance(case.body, dict) and case.method == "PUT" and "id" in names:
        # The two places must agree, or nothing else would be looked at.
        for member in {"registrationId", "enrollmentGroupId"} & case.body.keys():
            case.body[member] = names["id"]
        if sensible:
            case.body["attestation"] = {"type": "symmetricKey"}
            for member in ("iotHubs", "iotHubHostName", "allocationPolicy", "reprovisionPolicy"):
                case.body.pop(member, None)


def carry_out(case: Any, target: Target) -> None:
    """Send a case and check the answer."""
    made_sensible(case, target)
    case.call_and_validate(
        base_url=f"https://{ADDRESS}",
        headers={"Authorization": target.authorization(case.operation.path)},
        verify=target.values["HOMEPORT_CA_FILE"],
        checks=CHECKS,
    )


@ours.parametrize()  # type: ignore[untyped-decorator]  # schemathesis makes it at run time
@EXAMPLES
def test_ours(case: Any, target: Target) -> None:
    carry_out(case, target)


@published.parametrize()  # type: ignore[untyped-decorator]  # schemathesis makes it at run time
@EXAMPLES
def test_the_published_one(case: Any, target: Target) -> None:
    carry_out(case, target)
