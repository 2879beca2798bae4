"""An operator schedules jobs, deploys configurations and asks a hub, from the command line."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeport.client import BulkDevice, BulkTwinProperties, HubClient
from tests.server import HOMEPORT, HomeportServer

ADDRESS = "127.0.77.1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    with HomeportServer(tmp_path_factory.mktemp("nouns") / "data", (ADDRESS,)) as running:
        values = running.connection()
        with HubClient.create_from_connection_string(
            values["HOMEPORT_HUB_CONNECTION_STRING"], ca_file=values["HOMEPORT_CA_FILE"]
        ) as hub:
            hub.bulk(
                [
                    BulkDevice(
                        id=f"press-{number}",
                        tags={"site": "north" if number < 3 else "south"},
                        properties=BulkTwinProperties(desired={"rate": number}),
                    )
                    for number in range(5)
                ]
            )
        yield running


def refused(server: HomeportServer, *arguments: str) -> tuple[int, str]:
    done = server.run(*arguments, check=False)
    return done.returncode, " ".join(done.stderr.split())


def test_a_twin_update_is_waited_for(server: HomeportServer) -> None:
    where = ("--where", "tags.site = 'north'")
    done = server.run("job", "schedule", "twin", *where, "--desired", '{"rate": 60}', "--id", "north", "--wait")
    assert "3 of 3 done" in done.stdout
    assert "press-2" in done.stdout
    assert "press-3" not in done.stdout
    shown = json.loads(server.run("job", "show", "north", "-o", "json").stdout)
    assert shown["job"]["status"] == "completed"
    assert [(part["deviceId"], part["status"]) for part in shown["devices"]] == [
        (f"press-{number}", "completed") for number in range(3)
    ]
    rows = server.run("hub", "query", "properties.desired.rate = 60", "-o", "json").stdout.splitlines()
    assert len(rows) == 3


def test_devices_where_a_method_failed_end_it_with_1(server: HomeportServer) -> None:
    done = server.run(
        "job", "schedule", "method", "ring", "--where", "tags.site = 'south'", "--payload", "[1]", "--id", "ring",
        "--wait", check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "0 of 2 done, 2 failed" in done.stdout
    assert "DeviceNotOnline" in done.stdout
    failed = json.loads(server.run("job", "show", "ring", "--failed", "-n", "1", "-o", "json").stdout)
    assert failed["job"]["cloudToDeviceMethod"]["payload"] == [1]
    assert [part["error"]["code"] for part in failed["devices"]] == ["DeviceNotOnline"]
    told = server.run("job", "show", "ring", "-n", "1")
    assert "--limit tells of more" in told.stderr


def test_a_job_for_later_is_cancelled(server: HomeportServer) -> None:
    said = server.run(
        "job", "schedule", "twin", "--all", "--tags", '{"a": 1}', "--start", "+2h", "--id", "later"
    ).stdout
    assert "Job later is scheduled" in said
    listed = json.loads(server.run("job", "list", "--status", "scheduled", "-o", "json").stdout)
    assert [job["jobId"] for job in listed] == ["later"]
    assert "is cancelled" in server.run("job", "cancel", "later").stdout
    assert "later" in server.run("job", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("schedule", "twin", "--tags", "{}"), 2, "--where CONDITION, or --all"),
        (("schedule", "twin", "--all", "--where", "a = 1", "--tags", "{}"), 2, "--where CONDITION, or --all"),
        (("schedule", "twin", "--all"), 2, "--tags or --desired"),
        (("schedule", "twin", "--all", "--tags", "[1]"), 2, "--tags is not a JSON object"),
        (("schedule", "twin", "--all", "--tags", "{"), 2, "--tags is not JSON"),
        (("schedule", "twin", "--all", "--tags", "@/nowhere"), 2, "No such file"),
        (("schedule", "twin", "--all", "--tags", '{"a":1}', "--start", "soon"), 2, "--start is a time such as"),
        (("schedule", "twin", "--where", "tags.a ==", "--tags", '{"a":1}'), 1, "at character 9"),
        (("schedule", "method", "a/b", "--all"), 1, "400"),
        (("show", "nothing"), 1, "there is no job nothing"),
        (("cancel", "nothing"), 1, "404"),
        (("list", "--hub", "nohub"), 1, "this server has no hub nohub; it has hub1"),
        (("list", "--hub", "HostName=x"), 1, "needs SharedAccessKeyName"),
    ],
)
def test_what_jobs_cannot_be(server: HomeportServer, arguments: tuple[str, ...], code: int, told: str) -> None:
    status, said = refused(server, "job", *arguments)
    assert (status, told in said) == (code, True), said


CONFIGURATION = """
id: rate-90
content:
  deviceContent:
    properties.desired.rate: 90
targetCondition: tags.site = 'south'
priority: 10
metrics:
  queries:
    fast: SELECT deviceId FROM devices WHERE properties.desired.rate = 90
"""


def test_a_configuration_from_its_file_to_its_end(server: HomeportServer, tmp_path: Path) -> None:
    file = tmp_path / "rate.yaml"
    file.write_text(CONFIGURATION)
    assert (
        "is created: devices, tags.site = 'south', priority 10"
        in server.run("configuration", "create", str(file)).stdout
    )
    status, said = refused(server, "configuration", "create", str(file))
    assert (status, "409" in said) == (1, True)
    file.write_text(CONFIGURATION.replace("priority: 10", "priority: 12"))
    assert "priority 12" in server.run("configuration", "create", "--replace", str(file)).stdout
    file.write_text(CONFIGURATION.replace("rate: 90", "rate: 91"))
    status, said = refused(server, "configuration", "create", "--replace", str(file))
    assert (status, "content cannot be changed" in said) == (1, True)

    (listed,) = json.loads(server.run("configuration", "list", "-o", "json").stdout)
    assert (listed["id"], listed["priority"]) == ("rate-90", 12)
    assert "rate-90" in server.run("configuration", "list").stdout
    shown = server.run("configuration", "show", "rate-90").stdout
    assert '"properties.desired.rate": 90' in shown
    assert "fast" in shown
    metrics = json.loads(server.run("configuration", "metrics", "rate-90", "-o", "json").stdout)
    assert set(metrics["metrics"]["queries"]) == {"fast"}
    assert set(metrics["systemMetrics"]["queries"]) == {"targetedCount", "appliedCount"}

    assert "is deleted" in server.run("configuration", "delete", "rate-90").stdout
    assert refused(server, "configuration", "show", "rate-90")[0] == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "Expected `object`"),
        ("id: a", "missing required field `content`"),
        ("id: [", "expected the node content"),
        ("id: a\ncontent: {deviceContent: {properties.desired.a: 1}}\npriority: high", "Expected `int`"),
    ],
)
def test_files_that_are_no_configuration(server: HomeportServer, tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    status, said = refused(server, "configuration", "create", str(file))
    assert (status, told in said) == (2, True), said


def test_questions_and_counts(server: HomeportServer) -> None:
    rows = server.run("hub", "query", "SELECT tags.site, COUNT() AS n FROM devices GROUP BY tags.site", "-o", "json")
    assert sorted(rows.stdout.splitlines()) == ['{"site":"north","n":3}', '{"site":"south","n":2}']
    table = server.run("hub", "query", "-n", "2")
    assert len(table.stdout.splitlines()) == 3
    assert "Only the first 2 rows" in table.stderr
    assert "nothing" in server.run("hub", "query", "tags.site = 'west'").stderr
    status, said = refused(server, "hub", "query", "tags.site =")
    assert status == 1
    assert "asked: SELECT * FROM devices WHERE tags.site =" in said
    counted = json.loads(server.run("hub", "statistics", "-o", "json").stdout)
    assert counted == {
        "hub1": {"totalDeviceCount": 5, "enabledDeviceCount": 5, "disabledDeviceCount": 0, "connectedDeviceCount": 0}
    }
    assert "hub1" in server.run("hub", "statistics", "--hub", "hub1").stdout


def test_any_hub_by_its_connection_string(server: HomeportServer) -> None:
    values = server.connection()
    environment = {
        "HOMEPORT_HUB": values["HOMEPORT_HUB_CONNECTION_STRING"],
        "HOMEPORT_CA_FILE": values["HOMEPORT_CA_FILE"],
        "XDG_STATE_HOME": "/nowhere",
    }
    done = subprocess.run(
        [*HOMEPORT, "hub", "statistics", "-o", "json"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert list(json.loads(done.stdout)) == [ADDRESS]
    # A server's own token opens no hub: what does is said.
    told = subprocess.run(
        [*HOMEPORT, "--server", ADDRESS, "--token", "x", "job", "list"], capture_output=True, text=True, check=False
    )
    assert told.returncode == 2
    assert "HOMEPORT_HUB" in told.stderr


def test_a_container_that_cannot_be_written(server: HomeportServer) -> None:
    url = server.run("hub", "files", "hub1").stdout.splitlines()[-1]
    for command in ("export", "import"):
        status, said = refused(server, "hub", command, url)
        assert (status, "BlobContainerValidationError" in said) == (1, True), said
        assert "sig=" not in said


def test_devices_go_out_and_come_back(server: HomeportServer) -> None:
    url = server.run("hub", "files", "hub1", "--writable").stdout.splitlines()[-1]
    assert "in the blob all.txt" in server.run("hub", "export", url, "--blob", "all.txt").stdout
    values = server.connection()
    with HubClient.create_from_connection_string(
        values["HOMEPORT_HUB_CONNECTION_STRING"], ca_file=values["HOMEPORT_CA_FILE"]
    ) as hub:
        before = hub.get_device("press-4").authentication
        hub.delete_device("press-4")
        done = json.loads(server.run("hub", "import", url, "--blob", "all.txt", "-o", "json").stdout)
        assert (done["status"], done["progress"]) == ("completed", 100)
        assert hub.get_device("press-4").authentication == before
        assert hub.get_twin("press-4").tags == {"site": "south"}
