"""The howto on the fault lab, done as it says, on a real server; and what a tester is told."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeport.client import (
    NO_RETRY,
    AttestationMechanism,
    IndividualEnrollment,
    ProvisioningDeviceClient,
    ProvisioningServiceClient,
    RegistrationError,
    SymmetricKeySecurityProvider,
    ThrottledError,
)
from tests.server import HOMEPORT, HomeportServer

ADDRESS, OTHER = "127.0.77.1", "127.0.78.1"
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "fault-lab.md"
KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    with HomeportServer(tmp_path_factory.mktemp("faults") / "data", (ADDRESS,), "--fault-lab") as running:
        yield running


def test_the_howto_can_be_followed(server: HomeportServer, tmp_path: Path) -> None:
    homeport = tmp_path / "homeport"
    homeport.write_text(f'#!/bin/sh\nexec {" ".join(HOMEPORT)} "$@"\n')
    homeport.chmod(0o700)
    environment = os.environ | server.connection() | {
        "HOMEPORT_DATA": str(server.data),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }  # fmt: skip
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 4
    printed = []
    for kind, text in blocks:
        command = ["sh", "-euc", text] if kind == "sh" else [sys.executable, "-c", text]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        printed.append(done.stdout)
    told = "".join(printed)
    assert "Fault f-1: connections cut once, for dev-1: done, 0 times. Seed " in told
    assert "Fault f-3: 200 to 900 ms late, for nobody, from now on, until it is stopped." in told
    assert "for hub1, from now on, until" in told
    assert "f-3 has ended." in told
    assert "Hub hub1: devices may break their own connections." in told
    log = server.log.read_text()
    assert "fault lab     open" in log
    assert "fault lab: f-7 begins: out (503) for devices and provisioning, hub1" in log
    assert "fault lab: f-7 has ended; it was injected " in log


def register(values: dict[str, str]) -> str:
    client = ProvisioningDeviceClient.create(
        values["HOMEPORT_GLOBAL_ENDPOINT"],
        values["HOMEPORT_ID_SCOPE"],
        SymmetricKeySecurityProvider("dev-9", KEY),
        transport="mqtt",
        ca_file=values["HOMEPORT_CA_FILE"],
        retry=NO_RETRY,
    )
    return client.register().status


def test_a_tester_is_told_what_was_done(server: HomeportServer) -> None:
    values = server.connection()
    server.run("fault", "stop", "--all")
    with ProvisioningServiceClient.create_from_connection_string(
        values["HOMEPORT_DPS_CONNECTION_STRING"], ca_file=values["HOMEPORT_CA_FILE"]
    ) as service:
        key = AttestationMechanism.for_symmetric_key(primary_key=KEY, secondary_key=KEY)
        service.create_or_update_individual_enrollment(IndividualEnrollment(registration_id="dev-9", attestation=key))
    fault = ("fault", "throttle", "--at", "provisioning", "--device", "DEV-9", "--seed", "7")
    started = json.loads(server.run(*fault, "-o", "json").stdout)
    assert (started["state"], started["seed"], started["description"]) == ("active", 7, "429, retry after 5 s")
    with pytest.raises((ThrottledError, RegistrationError), match=started["id"]):
        register(values)
    (done,) = json.loads(server.run("fault", "history", "--fault", started["id"], "-o", "json").stdout)
    assert (done["deviceId"], done["point"], done["transport"]) == ("dev-9", "register", "mqtt")
    assert "refused with 429" in server.run("fault", "history", "--device", "dev-9").stdout
    why = server.run("why", "dev-9").stdout
    assert f"Fault lab: throttled by fault {started['id']}." in why
    assert "homeport fault stop" in why
    assert "active" in server.run("fault", "list").stdout
    server.run("fault", "stop", started["id"])
    assert register(values) == "assigned"
    audit = server.run("audit", "list").stdout
    assert "fault.started" in audit
    assert "fault.stopped" in audit


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (("drop",), 2, "say who is meant"),
        (("outage",), 2, "name hubs"),
        (("stop",), 2, "name faults"),
        (("stop", "f-99"), 1, "There is no fault 'f-99'"),
        (("latency", "10", "5", "--all"), 1, "maximumMs is not between 10 and"),
        (("outage", "--hub", "nowhere"), 1, "there is no hub 'nowhere'"),
    ],
)
def test_what_cannot_be_done_is_said(server: HomeportServer, command: tuple[str, ...], code: int, says: str) -> None:
    done = server.run("fault", *command, check=False)
    assert done.returncode == code
    assert says in " ".join(done.stderr.split())


def test_without_the_option_the_lab_is_closed(tmp_path: Path) -> None:
    with HomeportServer(tmp_path / "data", (OTHER,)) as closed:
        for command in (("fault", "list"), ("fault", "drop", "--all"), ("hub", "fault-messages", "hub1", "--on")):
            done = closed.run(*command, check=False)
            assert done.returncode == 1
            assert "--fault-lab" in done.stderr
