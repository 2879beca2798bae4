"""`homeport admin`, `audit` and `events` beside a server, and from afar with nothing but a token."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import HOMEPORT, READY_LIMIT, HomeportServer

ADDRESSES = ("127.0.76.1", "127.0.76.2")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    with HomeportServer(tmp_path_factory.mktemp("audit") / "data", ADDRESSES) as running:
        yield running


def from_afar(server: HomeportServer, token: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    ca_file = str(server.data / "ca.pem")
    nowhere = {**os.environ, "HOMEPORT_DATA": "/nowhere", "HOMEPORT_TOKEN": token, "HOMEPORT_CA_FILE": ca_file}
    command = [*HOMEPORT, "--server", ADDRESSES[0], *arguments]
    return subprocess.run(command, env=nowhere, capture_output=True, text=True, check=False, timeout=READY_LIMIT)


def test_an_administrator_works_from_afar_until_revoked(server: HomeportServer) -> None:
    token = server.run("admin", "create", "anna", "--role", "reader").stdout.strip()
    assert token.startswith("hpt_")
    assert "hub1" in from_afar(server, token, "hub", "list").stdout
    refused = from_afar(server, token, "hub", "unlink", "hub1")
    assert refused.returncode == 1
    assert "anna" in refused.stderr
    assert token not in refused.stderr
    fresh = server.run("admin", "renew", "anna").stdout.strip()
    assert from_afar(server, token, "hub", "list").returncode == 1
    server.run("admin", "role", "anna", "owner")
    assert from_afar(server, fresh, "hub", "create", "west", "--hostname", ADDRESSES[1]).returncode == 0
    assert "by anna from" in server.run("audit", "list", "--kind", "hub.").stdout
    server.run("admin", "revoke", "anna")
    assert from_afar(server, fresh, "hub", "list").returncode == 1
    assert "--server needs --token" in from_afar(server, "", "hub", "list").stderr


def test_the_audit_is_proven_and_a_changed_export_is_not(server: HomeportServer, tmp_path: Path) -> None:
    file, head = tmp_path / "audit.jsonl", tmp_path / "head.json"
    head.write_text(server.run("audit", "head").stdout)
    server.run("admin", "create", "witness", "--role", "reader")
    server.run("audit", "export", "-o", str(file))
    assert "are as they were written" in server.run("audit", "verify").stdout
    proven = server.run("audit", "verify", str(file), "--head", str(head)).stdout
    assert "the kept head is one of them" in proven
    lines = file.read_text().splitlines()
    number = next(index for index, line in enumerate(lines) if "administrators/witness" in line)
    seq = json.loads(lines[number])["seq"]
    file.write_text("\n".join([*lines[:number], lines[number].replace("witness", "nobody"), *lines[number + 1 :]]))
    broken = server.run("audit", "verify", str(file), check=False)
    assert broken.returncode == 1
    assert f"broken at entry {seq}" in " ".join(broken.stderr.split())


def test_events_without_a_webhook_say_so(server: HomeportServer) -> None:
    refused = server.run("events", "subscribe", "hook", "http://127.0.0.1:9/x", check=False)
    assert refused.returncode == 1
    assert "does not agree" in " ".join(refused.stderr.split())
    assert json.loads(server.run("events", "list", "-o", "json").stdout) == []
