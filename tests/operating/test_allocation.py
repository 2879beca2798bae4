"""`homeport allocation` and `homeport hub` as an operator uses them, and a server started with a rule of one's own."""

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeport.client import (
    AllocationPolicy,
    AttestationMechanism,
    CustomAllocationDefinition,
    EnrollmentGroup,
    ProvisioningDeviceClient,
    ProvisioningServiceClient,
    RegistrationError,
    RegistrationResult,
    SymmetricKeySecurityProvider,
    derive_device_key,
)
from tests.operating.test_refusals import line
from tests.server import HomeportServer

ADDRESSES = ("127.0.78.1", "127.0.75.2")
KEY = base64.b64encode(bytes(range(64))).decode()
HOUSE_KEY = base64.b64encode(bytes(range(64, 128))).decode()
RULE = """
from homeport.custom_allocation import AllocationRequest, AllocationResponse, payload_of

async def allocate(request: AllocationRequest) -> AllocationResponse:
    wish = payload_of(request)["wish"]
    return AllocationResponse(iot_hub_host_name=request.linked_hubs[wish], payload={"wish": wish})
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    folder = tmp_path_factory.mktemp("allocation")
    (folder / "house_rules.py").write_text(RULE)
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    options = ("--allocation-module", "house_rules:allocate")
    with HomeportServer(folder / "data", ADDRESSES, *options, env={"PYTHONPATH": path}) as running:
        running.run("hub", "create", "second", "--hostname", ADDRESSES[1])
        enroll(running)
        yield running
        assert running.stop() == 0


def enroll(server: HomeportServer) -> None:
    mechanism = AttestationMechanism.for_symmetric_key(primary_key=KEY, secondary_key=KEY)
    values = server.connection()
    with ProvisioningServiceClient.create_from_connection_string(
        values["HOMEPORT_DPS_CONNECTION_STRING"], ca_file=values["HOMEPORT_CA_FILE"]
    ) as operator:
        operator.create_or_update_enrollment_group(EnrollmentGroup(enrollment_group_id="fleet", attestation=mechanism))
        rules = CustomAllocationDefinition(webhook_url="python:house_rules:allocate", api_version="2021-10-01")
        operator.create_or_update_enrollment_group(
            EnrollmentGroup(
                enrollment_group_id="house",
                attestation=AttestationMechanism.for_symmetric_key(primary_key=HOUSE_KEY, secondary_key=HOUSE_KEY),
                allocation_policy=AllocationPolicy.CUSTOM,
                custom_allocation_definition=rules,
            )
        )


def register(server: HomeportServer, name: str, key: str = KEY, payload: object = None) -> RegistrationResult:
    values = server.connection()
    return ProvisioningDeviceClient.create(
        ADDRESSES[0],
        values["HOMEPORT_ID_SCOPE"],
        SymmetricKeySecurityProvider(name, derive_device_key(key, name)),
        transport="https",
        ca_file=values["HOMEPORT_CA_FILE"],
    ).register(payload)


def test_explain_says_what_then_happens(server: HomeportServer) -> None:
    told = json.loads(server.run("allocation", "explain", "lone", "--group", "fleet", "-o", "json").stdout)
    assert told["result"] == "assign"
    words = server.run("allocation", "explain", "lone", "--group", "fleet").stdout
    assert f"would go to {told['assignedHub']}" in " ".join(words.split())
    assert "hashed over 2 hubs" in words
    assert register(server, "lone").assigned_hub == told["assignedHub"]
    unknown = server.run("allocation", "explain", "nobody", check=False)
    assert unknown.returncode == 1
    assert "Name the group" in unknown.stderr


def test_what_if_lists_who_would_move_and_moves_nobody(server: HomeportServer) -> None:
    homes = {name: register(server, name).assigned_hub for name in (f"m{number}" for number in range(12))}
    lines = server.run("allocation", "what-if", "--without", "second", "-o", "json").stdout.splitlines()
    *movements, totals = map(json.loads, lines)
    leaving = {name for name, hub in homes.items() if hub == ADDRESSES[1]}
    assert leaving <= {each["registrationId"] for each in movements}
    assert {each["toHub"] for each in movements} == {ADDRESSES[0]}
    assert totals["moving"] == len(movements)
    words = server.run("allocation", "what-if", "--weight", "second=1000", "-n", "1").stdout
    assert "registrations would get another hub" in words
    assert {name: register(server, name).assigned_hub for name in homes} == homes
    wrong = server.run("allocation", "what-if", "--weight", "third=1", check=False)
    assert "no hub 'third' is linked" in wrong.stderr
    assert server.run("allocation", "what-if", "--weight", "third", check=False).returncode == 2


def test_a_hub_is_drained_and_filled_again(server: HomeportServer) -> None:
    assert "drained" in server.run("hub", "drain", "second").stdout
    assert {register(server, f"d{number}").assigned_hub for number in range(6)} == {ADDRESSES[0]}
    listed = {each["name"]: each for each in json.loads(server.run("hub", "list", "-o", "json").stdout)}
    assert (listed["second"]["draining"], listed["hub1"]["draining"]) == (True, False)
    assert listed["hub1"]["devices"] >= 6
    assert "drained" in server.run("hub", "list").stdout
    server.run("hub", "drain", "second", "--undo")
    words = server.run("hub", "set", "second", "--max-devices", "500", "--region", "eu", "--weight", "3").stdout
    assert "weight 3" in words
    assert "of at most 500" in words
    server.run("hub", "set", "second", "--max-devices", "0", "--region", "", "--weight", "1")
    checked = server.run("hub", "check")
    assert checked.stdout.count("healthy") == 2


def test_a_rule_of_ones_own_decides(server: HomeportServer) -> None:
    for wish, hub in enumerate(ADDRESSES):
        result = register(server, f"wish-{wish}", HOUSE_KEY, {"wish": wish})
        assert (result.assigned_hub, result.payload) == (hub, {"wish": wish})
    with pytest.raises(RegistrationError, match="IndexError"):
        register(server, "greedy", HOUSE_KEY, {"wish": 7})
    assert "house_rules:allocate: the function raised IndexError" in server.run("why", "greedy").stdout


def test_settings_and_keys(server: HomeportServer, tmp_path: Path) -> None:
    document = {"regions": [{"name": "eu"}], "addresses": [{"prefix": "127.0.0.0/8", "region": "eu"}]}
    (tmp_path / "regions.json").write_text(json.dumps(document))
    stored = json.loads(server.run("allocation", "settings", "--file", str(tmp_path / "regions.json")).stdout)
    assert stored == document
    changed = json.loads(server.run("allocation", "settings", "--default-policy", "geoLatency").stdout)
    assert changed == {"defaultPolicy": "geoLatency", **document}
    assert server.run("allocation", "settings", "--default-policy", "custom", check=False).returncode == 1
    server.run("allocation", "settings", "--default-policy", "hashed")
    first = server.run("allocation", "signing-key").stdout.split()
    second = server.run("allocation", "signing-key", "--rotate").stdout.split()
    assert second[3] == first[1]


def test_a_server_whose_rule_cannot_be_loaded_says_so(tmp_path: Path) -> None:
    options = ("--data", str(tmp_path / "data"), "--bind", ADDRESSES[0], "--portal-port", "0")
    said = line(*options, "--allocation-module", "nowhere_at_all:allocate")
    assert "nowhere_at_all:allocate cannot be loaded: ModuleNotFoundError" in said
    missing = line(*options, env={"HOMEPORT_WEBHOOK_CA_FILE": str(tmp_path / "none.pem")})
    assert "webhook_ca_file" in missing
