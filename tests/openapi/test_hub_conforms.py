"""Requests made up from the hub's published service API: no server error, and answers as described.

A real server in a process of its own; half of the calls are for what exists.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.iot.hub import IoTHubRegistryManager

from homeport.client.connection_string import ServiceCredential, parse_connection_string
from homeport.clock import SystemClock
from tests.openapi import azure_hub
from tests.openapi.test_conforms import CHECKS, EXAMPLES, loaded
from tests.server import HomeportServer

ADDRESS = "127.0.57.2"
DEVICE, MODULE, CONFIGURATION = "schema-device", "schema-module", "schema-configuration"
METHOD_TIMEOUT = 5
"""The least that a call may wait for a device; nobody is connected, so none waits."""
NAMES = {"id": DEVICE, "mid": MODULE}

published = loaded(azure_hub.document())


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServiceCredential, str]]:
    with HomeportServer(tmp_path_factory.mktemp("hub-schema") / "data", (ADDRESS,)) as server:
        values = server.connection()
        text, authority = values["HOMEPORT_HUB_CONNECTION_STRING"], values["HOMEPORT_CA_FILE"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REQUESTS_CA_BUNDLE", authority)
            registry = IoTHubRegistryManager.from_connection_string(text)
            registry.create_device_with_sas(DEVICE, "", "", "enabled")
            registry.create_module_with_sas(DEVICE, MODULE, "", "", "")
        yield parse_connection_string(text), authority
        assert server.stop() == 0
        faults = [line for line in Path(server.log).read_text().splitlines() if "a fault of the server" in line]
        assert faults == []


SENSIBLE: dict[tuple[str, str], dict[str, Any]] = {
    ("PUT", "/configurations/{id}"): {
        "id": CONFIGURATION,
        "content": {"deviceContent": {"properties.desired.fw": "1.2"}},
        "targetCondition": "tags.site = 'north'",
        "priority": 3,
        "labels": None,
        "metrics": {"queries": {"all": "SELECT deviceId FROM devices"}},
    },
    ("POST", "/devices/query"): {"query": "SELECT * FROM devices WHERE status = 'enabled'"},
    ("PUT", "/jobs/v2/{id}"): {
        "type": "scheduleUpdateTwin",
        "queryCondition": "*",
        "updateTwin": {"etag": "*", "tags": {"site": "north"}},
        "startTime": "2040-01-01T00:00:00Z",
        "maxExecutionTimeInSeconds": 60,
    },
}
"""Bodies that chance does not find; what it found beside these members stays."""


def made_sensible(case: Any) -> None:
    """Turn half of the cases to what exists, or can, and let nothing be taken away from the others."""
    path, names = case.operation.path, case.path_parameters
    if len(str(names) + str(case.headers)) % 2 == 0:
        return
    if path == "/configurations/{id}" and case.method != "DELETE":
        names["id"] = CONFIGURATION
    elif not path.startswith(("/jobs", "/configurations")) and case.method not in {"DELETE", "PUT"}:
        names |= {name: known for name, known in NAMES.items() if name in names}
    if not isinstance(case.body, dict):
        return
    case.body |= SENSIBLE.get((case.method, path), {})
    if case.method == "PUT":
        made = CONFIGURATION if "configurations" in path else f"made-{len(str(case.body))}"
        names |= dict.fromkeys(names, made) | ({"id": DEVICE} if "mid" in names else {})
        for member, name in {"deviceId": "id", "moduleId": "mid", "jobId": "id"}.items():
            if member in case.body and name in names:  # what is said twice must agree
                case.body[member] = names[name]
        case.body.pop("authentication", None)
    if "methodName" in case.body:
        case.body |= {"responseTimeoutInSeconds": METHOD_TIMEOUT, "connectTimeoutInSeconds": 0}


@published.parametrize()  # type: ignore[untyped-decorator]  # schemathesis makes it at run time
@EXAMPLES
def test_the_published_hub(case: Any, hub: tuple[ServiceCredential, str]) -> None:
    credential, authority = hub
    made_sensible(case)
    case.call_and_validate(
        base_url=f"https://{ADDRESS}",
        headers={"Authorization": credential.authorization(SystemClock().now())},
        verify=authority,
        checks=CHECKS,
    )
