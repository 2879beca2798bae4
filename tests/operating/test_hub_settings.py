"""An operator gives a hub CA certificates and says how it keeps messages, here and from another machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import make_certificate
from tests.server import HomeportServer

ADDRESS = "127.0.77.1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    with HomeportServer(tmp_path_factory.mktemp("settings") / "data", (ADDRESS,)) as running:
        yield running


def test_a_ca_certificate_from_upload_to_delete(server: HomeportServer, tmp_path: Path) -> None:
    root, file = make_certificate("plant root", ca=True), tmp_path / "root.pem"
    file.write_text(root.pem)
    certificate = ("hub", "certificate")
    printed = server.run(*certificate, "upload", "hub1", "plant", str(file)).stdout
    assert "CN=plant root" in printed
    assert "homeport hub certificate code hub1 plant" in printed
    assert " no " in server.run(*certificate, "list", "hub1").stdout
    printed = server.run(*certificate, "code", "hub1", "plant").stdout
    code = printed.split()[2]
    assert f"/CN={code}" in printed
    file.write_text(root.issue("another").pem)
    refused = server.run(*certificate, "verify", "hub1", "plant", str(file), check=False)
    assert (refused.returncode, "must be the verification code" in refused.stderr) == (1, True)
    file.write_text(root.issue(code).pem)
    assert "is verified" in server.run(*certificate, "verify", "hub1", "plant", str(file)).stdout
    assert '"isVerified": true' in server.run(*certificate, "list", "hub1", "-o", "json").stdout
    assert "is deleted" in server.run(*certificate, "delete", "hub1", "plant").stdout
    assert "has no CA certificate" in server.run(*certificate, "list", "hub1").stderr
    file.write_text(root.pem)
    server.run(*certificate, "upload", "hub1", "plant", str(file))
    assert "is verified" in server.run(*certificate, "verify", "hub1", "plant", "--trust").stdout
    refused = server.run(*certificate, "list", "nohub", check=False)
    assert (refused.returncode, "no hub 'nohub'" in refused.stderr) == (1, True)


def test_messages(server: HomeportServer) -> None:
    printed = server.run("hub", "messages", "hub1").stdout
    assert "for 3600 s" in printed
    assert "at most 10 times" in printed
    printed = server.run(
        "hub", "messages", "hub1", "--life", "120", "--deliveries", "3", "--lock", "30", "--feedback-life", "600",
        "--feedback-deliveries", "4", "--feedback-lock", "9",
    ).stdout  # fmt: skip
    for told in ("for 120 s", "at most 3 times", "30 s to settle", "waits 600 s", "at most 4 times", "has 9 s"):
        assert told in " ".join(printed.split())
    assert "for 120 s" in server.run("hub", "messages", "hub1", "--deliveries", "5").stdout


def test_from_another_machine(server: HomeportServer) -> None:
    made = server.run("admin", "create", "remote", "--role", "owner")
    token = next(word for word in made.stdout.replace('"', " ").split() if word.startswith("hpt_"))
    ca_file = server.connection()["HOMEPORT_CA_FILE"]
    options = ("--server", ADDRESS, "--token", token, "--ca-file", ca_file)
    assert "below the data directory" in server.run(*options, "hub", "files", "hub1").stdout
    assert "nobody is told" in server.run(*options, "hub", "files", "hub1", "--no-notifications").stdout
    assert "hub1" in server.run(*options, "hub", "messages", "hub1").stdout
