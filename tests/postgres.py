"""A private PostgreSQL: a process of one's own over a temporary cluster, gone when the context ends.

PostgreSQL refuses to run as root, so root lends the cluster to the user that the Debian package makes.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

LENT_TO = "postgres"
START_LIMIT = 60.0
STOP_LIMIT = 30.0
PR_SET_PDEATHSIG = 1

# Durable as in production, without what only a long life needs.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "timezone": "UTC",
}


class PostgresMissingError(Exception):
    """PostgreSQL's server programs are not installed."""


class PostgresFailedError(Exception):
    """The server did not start; the text is what it printed."""


def server_programs() -> Path:
    """Return the folder of initdb and its companions, newest version first; raises PostgresMissingError."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    if on_path := shutil.which("initdb"):
        return Path(on_path).resolve().parent
    raise PostgresMissingError("PostgreSQL's server is not installed: run `make setup`")


class PrivatePostgres:
    """Runs a server on a free loopback port.

    Raises PostgresMissingError or PostgresFailedError on entry.
    """

    def __init__(self) -> None:
        self._folder = Path()
        self._programs = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._databases = 0

    def url(self, database: str = "postgres") -> str:
        """Return the address of a database, as `homeport serve --database` takes it."""
        return f"postgresql://homeport@127.0.0.1:{self._port}/{database}"

    def new_database(self) -> str:
        """Create an empty database and return its address."""
        self._databases += 1
        name = f"test_{self._databases}"
        self._run("psql", "--dbname", self.url(), "--quiet", "--no-psqlrc", "--command", f"CREATE DATABASE {name}")
        return self.url(name)

    def __enter__(self) -> Self:
        self._programs = server_programs()
        self._folder = Path(tempfile.mkdtemp(prefix="homeport-postgres-"))
        try:
            if _lend():
                shutil.chown(self._folder, LENT_TO)
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            # A fast shutdown: connections are ended, not waited for.
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        cluster, log = self._folder / "cluster", self._folder / "server.log"
        self._run("initdb", "-D", str(cluster), "-U", "homeport", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        self._port = _free_port()
        settings = {**SETTINGS, "port": str(self._port)}
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    self._programs / "postgres",
                    "-D",
                    cluster,
                    *(f"--{name}={value}" for name, value in settings.items()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                user=_lend(),
                group=_lend(),
                # Ctrl-C is for the tests; they stop the server after their last query.
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - prctl only, which takes no locks
            )
        deadline = time.monotonic() + START_LIMIT
        while subprocess.run([self._programs / "pg_isready", "-q", "-d", self.url()], check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise PostgresFailedError(log.read_text())
            time.sleep(0.05)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments],
            capture_output=True,
            text=True,
            cwd=self._folder,
            user=_lend(),
            group=_lend(),
            check=False,
        )
        if done.returncode:
            raise PostgresFailedError(done.stderr)


def _lend() -> str | None:
    """Return the user, and group, that the server runs as, if not oneself."""
    return LENT_TO if os.geteuid() == 0 else None


def _end_with_parent() -> None:
    """Have the kernel stop the server when the tests are killed; runs in the child, after the change of user."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
