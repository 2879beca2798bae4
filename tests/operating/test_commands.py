"""Commands beside the server: what `connection` prints can be used, and what needs a server says so."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from homeport.client import HomeportAdminClient, HubRegistryClient, ProvisioningServiceClient
from tests.server import HOMEPORT, HomeportServer

ADDRESSES = ("127.0.74.1", "127.0.74.2")

NAMES = [
    "HOMEPORT_ID_SCOPE",
    "HOMEPORT_GLOBAL_ENDPOINT",
    "HOMEPORT_DPS_CONNECTION_STRING",
    "HOMEPORT_HUB_CONNECTION_STRING",
    "HOMEPORT_EVENTHUB_CONNECTION_STRING",
    "HOMEPORT_HUB_CONNECTION_STRING_WEST_2",
    "HOMEPORT_EVENTHUB_CONNECTION_STRING_WEST_2",
    "HOMEPORT_CA_FILE",
    "HOMEPORT_PORTAL_URL",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    # A blank in the path: what is printed for shells must be quoted.
    with HomeportServer(tmp_path_factory.mktemp("commands") / "my data", ADDRESSES) as running:
        running.run("hub", "create", "west-2", "--hostname", ADDRESSES[1])
        yield running


def test_a_shell_can_source_it(server: HomeportServer) -> None:
    printed = server.run("connection", "-o", "env").stdout
    assert [text.partition("=")[0] for text in printed.splitlines()] == NAMES
    values = " ".join(f'"${name}"' for name in NAMES)
    script = f"""set -eu; eval "$1"; printf '%s\\n' {values}"""
    echoed = subprocess.run(["sh", "-c", script, "sh", printed], capture_output=True, text=True, check=True)
    assert echoed.stdout.splitlines() == list(server.connection().values())


def test_the_three_shapes_say_the_same(server: HomeportServer) -> None:
    values = json.loads(server.run("connection", "-o", "json").stdout)
    assert list(values) == NAMES
    table = server.run("connection").stdout
    assert [text.split(maxsplit=1) for text in table.splitlines()] == [list(pair) for pair in values.items()]


def test_the_values_can_be_used(server: HomeportServer) -> None:
    values = server.connection()
    ca_file = values["HOMEPORT_CA_FILE"]
    assert values["HOMEPORT_GLOBAL_ENDPOINT"] == ADDRESSES[0]
    for client in (ProvisioningServiceClient, HomeportAdminClient):
        with client.create_from_connection_string(values["HOMEPORT_DPS_CONNECTION_STRING"], ca_file=ca_file) as opened:
            assert opened.host_name == ADDRESSES[0]
            if isinstance(opened, HomeportAdminClient):
                assert [hub.name for hub in opened.hubs()] == ["hub1", "west-2"]
            else:
                assert list(opened.query_enrollment_groups()) == []
    for name, address in zip((name for name in NAMES if "_HUB_" in name), ADDRESSES, strict=True):
        with HubRegistryClient.create_from_connection_string(values[name], ca_file=ca_file) as hub:
            assert hub.host_name == address
            assert hub.get_registry_statistics().total_device_count == 0
    assert httpx.get(values["HOMEPORT_PORTAL_URL"], trust_env=False, follow_redirects=True).status_code == 200


def test_commands_find_the_data_by_the_environment(server: HomeportServer) -> None:
    listed = subprocess.run(
        [*HOMEPORT, "hub", "list", "-o", "json"],
        capture_output=True, text=True, check=True, timeout=30, env={"HOMEPORT_DATA": str(server.data)},
    )  # fmt: skip
    assert [hub["name"] for hub in json.loads(listed.stdout)] == ["hub1", "west-2"]


def test_a_stopped_server_is_still_described_but_cannot_be_changed(tmp_path: Path) -> None:
    with HomeportServer(
        tmp_path / "data", ADDRESSES[:1], "--https-port", "14433", "--mqtt-port", "0", "--amqp-port", "0"
    ) as server:
        running = server.connection()
        assert f"HostName={ADDRESSES[0]}:14433;" in running["HOMEPORT_DPS_CONNECTION_STRING"]
        server.stop()
        assert server.connection() == running
        assert server.run("trust", check=False).returncode == 0
        for words in (
            ("hub", "create", "east", "--hostname", "127.0.74.3"),
            ("hub", "link", "--connection-string", "HostName=x;SharedAccessKeyName=y;SharedAccessKey=eg=="),
            ("hub", "unlink", "hub1"),
            ("hub", "list"),
            ("why", "anybody"),
        ):
            refused = server.run(*words, check=False)
            assert refused.returncode == 1, words
            assert refused.stdout == ""
            assert "no server is running" in refused.stderr
            assert "homeport serve" in refused.stderr
            assert "Traceback" not in refused.stderr


def test_where_no_server_has_ever_run(tmp_path: Path) -> None:
    for words in (("connection",), ("trust",), ("hub", "list"), ("why", "anybody")):
        refused = HomeportServer(tmp_path / "nothing", ADDRESSES).run(*words, check=False)
        assert refused.returncode == 1, words
        assert "no Homeport server has run in" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("hub", "create", "hub1", "--hostname", "127.0.74.9"), "409"),
        (("hub", "create", "bad name", "--hostname", "127.0.74.9"), "400"),
        (("hub", "unlink", "nobody"), "404"),
        (("hub", "link", "--connection-string", "HostName=x.example"), "SharedAccessKeyName"),
    ],
)
def test_what_the_server_refuses_is_told_in_a_line(server: HomeportServer, words: tuple[str, ...], said: str) -> None:
    refused = server.run(*words, check=False)
    assert refused.returncode == 1
    [told] = refused.stderr.splitlines()
    assert said in told


def test_why_of_a_stranger(server: HomeportServer) -> None:
    asked = server.run("why", "never-seen", check=False)
    assert asked.returncode == 1
    assert "has not reached this server" in asked.stderr
