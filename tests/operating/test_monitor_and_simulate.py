"""`homeport simulate` lets devices live at a running server, and `homeport monitor` sees it."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from homeport.client import HubClient
from tests.server import HOMEPORT, HomeportServer

ADDRESS = "127.0.82.1"
LIMIT = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    """A server on ports of its own, which the commands are to find out."""
    ports = ("--https-port", "20443", "--mqtt-port", "28883", "--amqp-port", "25671")
    with HomeportServer(tmp_path_factory.mktemp("simulate") / "data", (ADDRESS,), *ports) as running:
        yield running


@contextmanager
def started(server: HomeportServer, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command beside the server, with its output in pipes."""
    # A test run in the background of a shell ignores Ctrl-C, and so would what it starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [*HOMEPORT, *arguments, "--data", str(server.data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def profile(folder: Path, **parts: Any) -> str:
    """Write a profile with every way of attestation and every transport, and a short life."""
    document = {
        "devices": 10,
        "duration": "2s",
        "arrival": "500ms",
        "attestations": {"key-group": 1, "x509-group": 1, "symmetric-key": 1, "x509": 1, "tpm": 1},
        "transports": {"mqtt": 1, "mqtt-ws": 1, "amqp": 1, "amqp-ws": 1, "https": 1},
        "telemetry": {"every": "500ms", "body": {"n": {"counter": 1}}, "properties": {"alarm": "yes"}},
        "twin": {"report_every": "1s", "report": {"firmware": "1.0"}},
        **parts,
    }
    file = folder / "profile.yaml"
    file.write_text(json.dumps(document))  # every JSON document is one of YAML
    return str(file)


def hub_of(server: HomeportServer) -> HubClient:
    values = server.connection()
    return HubClient.create_from_connection_string(
        values["HOMEPORT_HUB_CONNECTION_STRING"], ca_file=values["HOMEPORT_CA_FILE"]
    )


def test_a_fleet_of_every_kind_lives_and_goes(server: HomeportServer, tmp_path: Path) -> None:
    with started(server, "monitor", "-o", "json") as monitor:
        time.sleep(1.5)  # it has no other way to say that it listens
        ended = server.run("simulate", profile(tmp_path), "--seed", "5", "-o", "json")
        report = json.loads(ended.stdout)
        monitor.send_signal(signal.SIGINT)
        told = [json.loads(line) for line in monitor.communicate(timeout=LIMIT)[0].splitlines()]
        assert monitor.returncode == 0
    assert report["failedDevices"] == {}, report
    assert report["faults"] == [], report
    assert (report["registered"], report["devices"]) == (10, 10)
    assert set(report["transports"]) == {"mqtt", "mqtt-ws", "amqp", "amqp-ws", "https"}
    assert set(report["attestations"]) == {"key-group", "x509-group", "symmetric-key", "x509", "tpm"}
    assert report["steps"]["register"]["count"] == 10
    assert report["steps"]["read twin"]["count"] == 8  # over HTTPS a device has no twin
    assert report["steps"]["send message"]["count"] >= 20

    names = {f"sim-5-{number:02}" for number in range(1, 11)}
    by_kind: dict[str, set[str]] = {}
    for event in told:
        by_kind.setdefault(event["kind"], set()).add(event["deviceId"])
    assert by_kind["telemetry"] == names
    assert len(by_kind["registration"]) == 10
    assert by_kind["device"] == names  # at their end, as what they were is gone
    assert len(by_kind["connection"]) == len(by_kind["twin"]) == 8
    messages = [event for event in told if event["kind"] == "telemetry"]
    assert len(messages) == report["steps"]["send message"]["count"]
    assert all(event["properties"] == {"alarm": "yes"} for event in messages)
    twins = [event for event in told if event["kind"] == "twin"]
    assert any(event.get("reported") == {"firmware": "1.0"} for event in twins)

    # What it enrolled, it took back.
    with hub_of(server) as hub:
        assert hub.list_devices() == []
    assert json.loads(server.run("counts", "-o", "json").stdout)["enrollments"]["total"] == 0


def test_a_fleet_may_stay_and_is_left_alone(server: HomeportServer, tmp_path: Path) -> None:
    wanted = profile(
        tmp_path, devices=3, leaves=True, telemetry={"every": "1s", "at_most": 1}, attestations={"key-group": 1}
    )
    report = json.loads(server.run("simulate", wanted, "--seed", "9", "--keep", "-o", "json").stdout)
    assert report["failedDevices"] == {}
    with hub_of(server) as hub:
        assert {device.device_id for device in hub.list_devices()} == {"sim-9-1", "sim-9-2", "sim-9-3"}
        # Nobody's devices are taken over by a later run, and deleted at its end.
        again = server.run("simulate", wanted, "--seed", "9", check=False)
        assert again.returncode == 1
        assert "sim-9-" in again.stderr
        assert len(hub.list_devices()) == 3
        assert hub.telemetry_count("sim-9-1") == 1


def test_commands_and_connections_that_break(server: HomeportServer, tmp_path: Path) -> None:
    wanted = profile(
        tmp_path,
        devices=4,
        attestations={"key-group": 1},
        transports={"mqtt": 1, "amqp": 1},
        commands={"every": "100ms", "method": "ping", "payload": {"a": 1}},
        flapping={"every": "1s", "away": "200ms"},
    )
    report = json.loads(server.run("simulate", wanted, "-o", "json").stdout)
    assert report["failedDevices"] == {}, report
    assert report["reconnections"] > 0
    assert report["steps"]["command"]["count"] > 3
    assert report["methodsAnswered"] >= report["steps"]["command"]["count"]


def test_devices_that_fail_are_told(server: HomeportServer, tmp_path: Path) -> None:
    wanted = profile(tmp_path, devices=2, transports={"mqtt": 1}, attestations={"key-group": 1})
    ended = server.run("simulate", wanted, "--id-scope", "0neFFFFFFFF", check=False)
    assert ended.returncode == 1
    assert "2 devices failed" in ended.stdout
    assert "0 of 2 devices" in ended.stdout
    assert "401" in ended.stdout
    assert "Traceback" not in ended.stderr


def test_an_interrupted_run_cleans_up(server: HomeportServer, tmp_path: Path) -> None:
    with hub_of(server) as hub:
        before = {device.device_id for device in hub.list_devices()}
        wanted = profile(tmp_path, duration="10m", devices=4)
        with started(server, "simulate", wanted, "--prefix", "cut") as running:
            deadline = time.monotonic() + LIMIT
            while hub.get_service_statistics().connected_device_count < 3:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            running.send_signal(signal.SIGINT)
            printed, _ = running.communicate(timeout=LIMIT)
            assert running.returncode == 0, printed
        assert "4 of 4 devices did everything" in printed
        assert {device.device_id for device in hub.list_devices()} == before


def test_the_past_and_the_filters(server: HomeportServer, tmp_path: Path) -> None:
    wanted = profile(tmp_path, devices=3, transports={"mqtt": 1}, attestations={"key-group": 1})
    server.run("simulate", wanted, "--prefix", "past")

    def told(*arguments: str) -> list[Any]:
        printed = server.run("monitor", "--since", "10m", "-d", "past-*", "-o", "json", *arguments).stdout
        return [json.loads(line) for line in printed.splitlines()]

    some = told("--where", "n=2", "--property", "alarm=yes", "-n", "3")
    assert [(event["kind"], event["body"]["n"]) for event in some] == [("telemetry", 2)] * 3
    assert [event["deviceId"] for event in told("-k", "registration", "-n", "1")] == ["past-1"]


def test_it_ends_when_nobody_reads(server: HomeportServer) -> None:
    with started(server, "monitor", "-k", "device") as monitor:
        assert monitor.stdout is not None
        time.sleep(1.5)
        monitor.stdout.close()
        assert monitor.wait(timeout=LIMIT) == 0
        assert monitor.stderr is not None
        assert monitor.stderr.read() == ""
