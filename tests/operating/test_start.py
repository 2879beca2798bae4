"""The first start makes everything, privately; later ones keep it; `ready` means ready, for people and for systemd."""

import os
import socket
import ssl
import stat
import tempfile
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from homeport.app.directory import DataDirectory
from tests.server import HomeportServer, ServerFailedError

ADDRESS = "127.0.71.1"


def files(data: Path) -> dict[str, int]:
    """Return the modes of the directory (under `.`) and of every file in it."""
    return {
        str(path.relative_to(data)): stat.S_IMODE(path.stat().st_mode)
        for path in (data, *data.rglob("*"))
        if path.name not in {"homeport.db-wal", "homeport.db-shm"} or path.exists()
    }


def test_the_first_start_makes_everything_and_keeps_it_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        server = HomeportServer(tmp_path / "deep" / "data", (ADDRESS,))
        server.data.parent.mkdir()
        with server:
            modes = files(server.data)
            values = server.connection()
    finally:
        os.umask(before)
    assert modes.pop(".") == 0o700
    assert {"homeport.db", "ca.pem", "server.pem", "connection.json", "portal-token"} <= modes.keys()
    assert set(modes.values()) == {0o600}
    assert values["HOMEPORT_ID_SCOPE"].startswith("0ne")
    assert "SharedAccessKeyName=provisioningserviceowner" in values["HOMEPORT_DPS_CONNECTION_STRING"]
    assert f"HostName={ADDRESS};SharedAccessKeyName=iothubowner" in values["HOMEPORT_HUB_CONNECTION_STRING"]


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_a_second_start_keeps_what_clients_know(tmp_path: Path, killed: bool) -> None:
    server = HomeportServer(tmp_path / "data", (ADDRESS,), "--portal-port", "18080")
    with server:
        first, authority = server.connection(), (server.data / "ca.pem").read_bytes()
        token, certificate = (server.data / "portal-token").read_bytes(), (server.data / "server.pem").read_bytes()
        if killed:
            server.kill()
        else:
            assert server.stop() == 0
    with server:
        assert server.connection() == first
        assert (server.data / "ca.pem").read_bytes() == authority
        assert (server.data / "portal-token").read_bytes() == token
        assert (server.data / "server.pem").read_bytes() == certificate


def test_ready_means_that_every_port_answers(tmp_path: Path) -> None:
    with HomeportServer(tmp_path / "data", (ADDRESS,), "--portal-port", "18080") as server:
        info = DataDirectory(server.data).read_connection()
        trust = ssl.create_default_context(cafile=info.ca_file)
        for port in (443, 8883):
            with closing(socket.create_connection((ADDRESS, port), timeout=10)) as plain:
                trust.wrap_socket(plain, server_hostname=ADDRESS).close()
        health = httpx.get(f"https://{ADDRESS}/homeport/health", verify=trust, trust_env=False)
        assert (health.status_code, health.json()["status"]) == (200, "ok")
        assert info.portal_url == "http://127.0.0.1:18080"
        portal = httpx.get(info.portal_url, trust_env=False, follow_redirects=True)
        assert portal.status_code == 200
        assert "text/html" in portal.headers["content-type"]


@pytest.mark.parametrize("prefix", ["", "@"], ids=["path", "abstract"])
def test_systemd_is_told(tmp_path: Path, prefix: str) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="notify-") as folder,
        closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as channel,
    ):
        place = f"{folder}/socket"
        channel.bind(f"\0{place}" if prefix else place)
        channel.settimeout(30)
        with HomeportServer(tmp_path / "data", (ADDRESS,), env={"NOTIFY_SOCKET": f"{prefix}{place}"}) as server:
            assert channel.recv(100) == b"READY=1"
            assert server.stop() == 0
            assert channel.recv(100) == b"STOPPING=1"


def test_nobody_listening_for_notifications_does_no_harm(tmp_path: Path) -> None:
    with HomeportServer(tmp_path / "data", (ADDRESS,), env={"NOTIFY_SOCKET": "/nowhere/socket"}) as server:
        assert server.stop() == 0


def test_one_server_for_one_directory(tmp_path: Path) -> None:
    with HomeportServer(tmp_path / "data", (ADDRESS,)) as first:
        second = HomeportServer(first.data, ("127.0.71.2",))
        with pytest.raises(ServerFailedError) as told:
            second.start()
        assert second.wait() == 1
        assert f"another Homeport server uses {first.data}" in str(told.value)
        assert "--data" in str(told.value)
        assert first.stop() == 0
