"""A server that cannot start says so in one clear line: what, why, and how to get around it. Never a traceback."""

import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from homeport.app.directory import DataDirectory
from tests.server import HOMEPORT, HomeportServer

ADDRESS = "127.0.72.1"
NOBODY = 65534
UNPRIVILEGED = ("--inh-caps=-all", "--ambient-caps=-all")


def refused(*options: str, env: dict[str, str] | None = None, as_nobody: bool = False, status: int = 1) -> str:
    """Run `homeport serve`, which must end with this status; return what it says on standard error."""
    command: Sequence[str] = (*HOMEPORT, "serve", *options)
    if as_nobody:
        user = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups") if os.geteuid() == 0 else ()
        command = ("setpriv", *user, *UNPRIVILEGED, "--", *command)
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=30, env=os.environ | (env or {})
    )
    assert ended.returncode == status, ended.stderr
    assert ended.stdout == "", "it was never ready"
    assert "Traceback" not in ended.stderr
    return ended.stderr


def line(*options: str, env: dict[str, str] | None = None, as_nobody: bool = False) -> str:
    """Like `refused`, of a server that says exactly one line."""
    [said] = refused(*options, env=env, as_nobody=as_nobody).splitlines()
    return said


@pytest.fixture
def open_folder(tmp_path: Path) -> Iterator[Path]:
    """Return a folder that everybody may write into, down to which everybody may go."""
    with ExitStack() as stack:
        for parent in (tmp_path, *tmp_path.parents):
            mode = parent.stat().st_mode
            if mode & 0o005 != 0o005 and os.access(parent, os.W_OK):
                stack.callback(parent.chmod, mode & 0o7777)
                parent.chmod(mode & 0o7777 | 0o005)
        folder = tmp_path / "open"
        folder.mkdir()
        folder.chmod(0o777)
        yield folder


class TestPorts:
    @pytest.mark.parametrize(
        ("option", "port", "host"),
        [
            ("--https-port", 14430, ADDRESS),
            ("--mqtt-port", 18830, ADDRESS),
            ("--amqp-port", 15671, ADDRESS),
            ("--portal-port", 18081, "127.0.0.1"),
        ],
    )
    def test_taken(self, tmp_path: Path, option: str, port: int, host: str) -> None:
        ports = dict.fromkeys(("--https-port", "--mqtt-port", "--amqp-port", "--portal-port"), "0") | {
            option: str(port)
        }
        with closing(socket.create_server((host, port))):
            said = line("--data", str(tmp_path), "--bind", ADDRESS, *(word for pair in ports.items() for word in pair))
        assert f"Port {port} on {host} cannot be opened: in use." in said
        assert "ss -ltnp" in said
        assert option in said

    def test_forbidden(self, open_folder: Path) -> None:
        first_free = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
        if first_free <= 443:
            pytest.skip(f"this system lets everybody have the ports from {first_free}")
        said = line("--data", str(open_folder / "data"), "--bind", ADDRESS, "--portal-port", "0", as_nobody=True)
        assert f"Port 443 on {ADDRESS} cannot be opened: permission denied." in said
        assert "ip_unprivileged_port_start=443" in said
        assert "setcap" in said
        assert "--https-port" in said

    def test_of_no_address_here(self, tmp_path: Path) -> None:
        said = line("--data", str(tmp_path), "--bind", "192.0.2.1", "--portal-port", "0")
        assert "Port 443 on 192.0.2.1 cannot be opened: address not available." in said
        assert "--bind" in said

    def test_a_refused_start_leaves_the_directory_free(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        with closing(socket.create_server((ADDRESS, 14431))):
            line("--data", str(data), "--bind", ADDRESS, "--portal-port", "0", "--mqtt-port", "14431")
        with HomeportServer(data, (ADDRESS,)) as server:
            assert server.stop() == 0


class TestConfiguration:
    def test_every_problem_is_told_at_once(self, tmp_path: Path) -> None:
        file = tmp_path / "homeport.toml"
        file.write_text('bind = ["nonsense"]\nhttps-port = 70000\ncolour = "red"\ndatabase = "mysql://x"\n')
        said = refused(
            "--data", str(tmp_path / "data"), "--config", str(file), "--hostname", "not a name",
            env={"HOMEPORT_DRAIN": "soon", "HOMEPORT_LOG_LEVEL": "loud"}, status=2,
        )  # fmt: skip
        for problem in (
            "bind: 'nonsense'",
            "https_port: 70000 is not a port",
            "colour: unknown setting",
            "database: only postgresql://",
            "hostname: 'not a name'",
            "drain: ",
            "log_level: 'loud'",
        ):
            assert [one for one in said.splitlines() if one.startswith(problem)], problem
        assert not (tmp_path / "data").exists()

    def test_a_missing_file(self, tmp_path: Path) -> None:
        assert str(tmp_path / "none.toml") in refused("--config", str(tmp_path / "none.toml"), status=2)


class TestStore:
    def test_a_directory_of_somebody_else(self, open_folder: Path) -> None:
        folder = open_folder / "mine"
        folder.mkdir(mode=0o500)
        said = line("--data", str(folder / "data"), "--portal-port", "0", as_nobody=True)
        assert f"cannot use the data directory {folder / 'data'}: Permission denied." in said
        assert "--data" in said

    def test_a_file_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "data").touch()
        assert f"cannot use the data directory {tmp_path / 'data'}" in line("--data", str(tmp_path / "data"))

    @pytest.mark.parametrize("damage", ["no database at all", "a damaged page"])
    def test_a_corrupted_database(self, tmp_path: Path, damage: str) -> None:
        data = tmp_path / "data"
        if damage == "a damaged page":
            with HomeportServer(data, (ADDRESS,)) as server:
                assert server.stop() == 0
            database = bytearray((data / "homeport.db").read_bytes())
            database[200:] = b"\xaa" * (len(database) - 200)
        else:
            data.mkdir()
            database = bytearray(b"\xaa" * 20_000)
        (data / "homeport.db").write_bytes(database)
        said = line("--data", str(data), "--bind", ADDRESS, "--portal-port", "0")
        assert str(data / "homeport.db") in said
        assert (data / "homeport.db").read_bytes() == database, "what can be saved is not touched"

    def test_a_database_server_that_is_away(self, tmp_path: Path) -> None:
        said = line(
            "--data", str(tmp_path), "--portal-port", "0", "--database", "postgresql://someone:secret@127.0.0.1:1/none"
        )
        assert "postgresql://127.0.0.1:1/none" in said
        assert "secret" not in said

    def test_a_database_of_a_newer_program(self, tmp_path: Path) -> None:
        import sqlite3

        with HomeportServer(tmp_path / "data", (ADDRESS,)) as server:
            assert server.stop() == 0
        with closing(sqlite3.connect(DataDirectory(server.data).database_file)) as database, database:
            database.execute("INSERT INTO schema_scripts (number, name, checksum) VALUES (9999, 'later', 'x')")
        said = line("--data", str(server.data), "--bind", ADDRESS, "--portal-port", "0")
        assert "newer Homeport" in said
        assert "9999" in said
