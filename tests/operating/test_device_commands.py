"""`homeport device …` against a running server."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import HomeportServer

ADDRESS = "127.0.81.1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    with HomeportServer(tmp_path_factory.mktemp("devices") / "data", (ADDRESS,)) as running:
        yield running


def refused(server: HomeportServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    ended = server.run("device", *arguments, check=False)
    assert ended.returncode != 0, ended.stdout
    assert "Traceback" not in ended.stderr
    return ended


def device(server: HomeportServer, *arguments: str) -> str:
    return server.run("device", *arguments).stdout


def test_a_device_from_its_making_to_its_end(server: HomeportServer) -> None:
    assert "d1" in device(server, "create", "d1")
    assert "already" in refused(server, "create", "d1").stderr.lower()

    told = json.loads(device(server, "keys", "d1", "-o", "json"))
    assert told["connectionString"] == f"HostName={ADDRESS};DeviceId=d1;SharedAccessKey={told['primaryKey']}"
    renewed = json.loads(device(server, "keys", "d1", "--regenerate", "primary", "-o", "json"))
    assert renewed["primaryKey"] != told["primaryKey"]
    assert renewed["secondaryKey"] == told["secondaryKey"]

    for output in ("json", "table"):
        shown = device(server, "show", "d1", "-o", output)
        assert "d1" in shown
        assert renewed["primaryKey"] not in shown
        assert renewed["secondaryKey"] not in shown

    device(server, "update", "d1", "--status", "disabled", "--reason", "stolen")
    assert "stolen" in device(server, "show", "d1")
    assert "nothing to change" in refused(server, "update", "d1").stderr
    device(server, "delete", "d1")
    assert "404" in refused(server, "show", "d1").stderr


def test_devices_are_found_by_what_they_are(server: HomeportServer) -> None:
    for name in ("n1", "n2", "s1"):
        device(server, "create", name)
    device(server, "twin", "patch", "n1", "--tags", '{"site": "north"}')
    device(server, "twin", "patch", "n2", "--tags", '{"site": "north"}')
    device(server, "update", "n2", "--status", "disabled")

    def ids(*arguments: str) -> list[str]:
        printed = device(server, "list", *arguments, "-o", "json")
        return sorted(json.loads(line)["deviceId"] for line in printed.splitlines())

    assert ids("tags.site = 'north'") == ["n1", "n2"]
    assert ids("tags.site = 'north' OR deviceId = 's1'", "--status", "enabled") == ["n1", "s1"]
    assert ids("deviceId = 's1'", "--connected") == []
    assert "n2 (disabled)" in device(server, "list", "tags.site = 'north'")
    assert "WHERE (bogus =)" in refused(server, "list", "bogus =").stderr


def test_twins(server: HomeportServer, tmp_path: Path) -> None:
    device(server, "create", "t1")
    (tmp_path / "desired.json").write_text('{"interval": 5, "unit": "C"}')
    twin = json.loads(device(server, "twin", "patch", "t1", "--desired", f"@{tmp_path}/desired.json"))
    assert twin["properties"]["desired"]["interval"] == 5
    device(server, "twin", "patch", "t1", "--desired", '{"unit": null}', "--etag", twin["etag"])
    assert "412" in refused(server, "twin", "patch", "t1", "--desired", "{}", "--etag", twin["etag"]).stderr
    replaced = json.loads(device(server, "twin", "replace", "t1", "--tags", '{"a": 1}'))
    assert replaced["tags"] == {"a": 1}
    assert "interval" not in json.loads(device(server, "twin", "show", "t1"))["properties"]["desired"]
    assert "not JSON" in refused(server, "twin", "patch", "t1", "--tags", "{").stderr
    assert "nothing to change" in refused(server, "twin", "patch", "t1").stderr


def test_messages_methods_and_modules(server: HomeportServer) -> None:
    device(server, "create", "m1")
    device(server, "send", "m1", "hello", "--property", "level=high", "--ack", "full", "--message-id", "1")
    assert "holds 2" in device(server, "send", "m1", "again", "--life", "60")
    assert "Dropped 2 messages" in device(server, "purge", "m1")
    assert "NAME=VALUE" in refused(server, "send", "m1", "x", "--property", "level").stderr
    assert "404" in refused(server, "call", "m1", "reboot", '{"in": 3}').stderr
    assert "not JSON" in refused(server, "call", "m1", "reboot", "{").stderr
    device(server, "module", "create", "m1", "camera")
    (module,) = json.loads(device(server, "module", "list", "m1", "-o", "json"))
    assert module["moduleId"] == "camera"
    assert module["authentication"]["symmetricKey"] is None
    device(server, "twin", "patch", "m1", "--module", "camera", "--desired", '{"lens": "wide"}')
    device(server, "module", "delete", "m1", "camera")
    assert device(server, "telemetry", "m1") == ""


def test_other_proofs(server: HomeportServer) -> None:
    device(server, "create", "x1", "--proof", "thumbprint", "--thumbprint", "A" * 40)
    assert "thumbprint" in device(server, "show", "x1")
    assert "no keys" in refused(server, "keys", "x1").stderr
    device(server, "create", "c1", "--proof", "ca")
    assert "--thumbprint" in refused(server, "create", "x2", "--proof", "thumbprint").stderr
    assert "--thumbprint" in refused(server, "create", "x2", "--thumbprint", "A" * 40).stderr
