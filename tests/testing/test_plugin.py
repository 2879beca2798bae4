"""The pytest plugin as a project of device code uses it: the sample project of the documentation, and its options."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[2] / "docs/examples/testing-devices"
PLUGIN = "homeport.testing.plugin"
LIMIT = 120


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty project with pytest's configuration."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\naddopts = --strict-markers\n")
    return tmp_path


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    installed = any(each.value == PLUGIN for each in entry_points(group="pytest11"))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *(() if installed else ("-p", PLUGIN)), *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
    )


def test_the_sample_project_of_the_documentation(project: Path) -> None:
    for file in SAMPLE.glob("*.py"):
        shutil.copy(file, project)
    ended = run(project)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "13 passed" in ended.stdout, ended.stdout


SHARED = """
import pytest
seen = set()

def test_one(homeport_server):
    seen.add(homeport_server.address)

def test_two(homeport_server):
    seen.add(homeport_server.address)
    assert len(seen) == {servers}

@pytest.mark.homeport(options=["--limit", "registrations=1/min"])
def test_with_options(homeport_server, homeport_enroll, homeport_session_server):
    assert homeport_server.address != homeport_session_server.address
    assert homeport_server.running and homeport_session_server.running
"""


@pytest.mark.parametrize(("options", "servers"), [((), 1), (("--homeport-isolated",), 2)])
def test_tests_share_a_server_unless_told_otherwise(project: Path, options: tuple[str, ...], servers: int) -> None:
    (project / "test_shared.py").write_text(SHARED.format(servers=servers))
    ended = run(project, *options)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_run_that_does_not_use_it_pays_nothing(project: Path) -> None:
    (project / "test_nothing.py").write_text(
        "import sys\n"
        "def test_nothing():\n"
        "    assert sorted(m for m in sys.modules if m.startswith('homeport.') and 'testing' not in m) == []\n"
        "    assert not {'aiohttp', 'cryptography', 'azure.iot', 'httpx', 'msgspec'} & set(sys.modules)\n"
    )
    ended = run(project)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_server_that_cannot_start_says_why(project: Path) -> None:
    (project / "test_broken.py").write_text("def test_broken(homeport_server): pass\n")
    (project / "pytest.ini").write_text("[pytest]\nhomeport_options = --limit nonsense=1\n")
    ended = run(project)
    assert ended.returncode == 1
    assert "nonsense" in ended.stdout, ended.stdout


@pytest.fixture
def without_system_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which none of the SDKs' ports can be had."""
    from homeport.testing import server
    from homeport.testing.ports import Place, free_place

    place = free_place()
    monkeypatch.setattr(server, "free_place", lambda: Place(address=place.address, https=0, mqtt=0, amqp=0))


@pytest.mark.usefixtures("without_system_ports")
@pytest.mark.parametrize("websockets", [False, True])
def test_the_sdk_finds_the_server_on_other_ports(tmp_path: Path, websockets: bool) -> None:
    from homeport.testing.devices import Factory
    from homeport.testing.server import HomeportServer

    with HomeportServer(tmp_path / "data") as server:
        assert {443, 8883, 5671}.isdisjoint(
            {server.connection.https_port, server.connection.mqtt_port, server.connection.amqp_port}
        )
        enroll = Factory(server, tmp_path / "devices")
        device = enroll("x509-group")
        state = device.azure_provisioning_client(websockets=websockets).register()
        assert state.status == "assigned"
        home = device.register(transport="https")
        client = home.azure_client(websockets=websockets)
        try:
            client.connect()
            client.send_message("hello")
        finally:
            client.shutdown()
        (message,) = home.wait_for_telemetry()
        assert message.body == "hello"
        assert server.run_json("connection")["HOMEPORT_ID_SCOPE"] == server.connection.id_scope
        enroll.close()
