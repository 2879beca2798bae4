"""A NATS server of one's own: a process on a free loopback port, gone when the context ends."""

import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

START_LIMIT = 30.0


class NatsMissingError(Exception):
    """nats-server is not installed."""


class NatsFailedError(Exception):
    """The server does not accept connections."""


class NatsServer:
    """Runs nats-server; it can be stopped and started again at the same port.

    Raises NatsMissingError or NatsFailedError when it starts.
    """

    def __init__(self, *options: str, user_info: str = "") -> None:
        """`user_info` is `user:password`, which the server then demands."""
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port: int = found.getsockname()[1]
        self._options = options
        self._user_info = user_info
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What `homeport serve --bus` takes."""
        return f"nats://{self._user_info}{'@' if self._user_info else ''}127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self) -> Self:
        program = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            raise NatsMissingError("nats-server is not installed: run `make setup`")
        user, _, password = self._user_info.partition(":")
        credentials = ("--user", user, "--pass", password) if user else ()
        self._process = subprocess.Popen(
            [program, "--addr", "127.0.0.1", "--port", str(self.port), *credentials, *self._options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        began = time.monotonic()
        while time.monotonic() - began < START_LIMIT and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return self
        self.stop()
        raise NatsFailedError(f"nats-server does not accept connections at port {self.port}")

    def stop(self) -> None:
        """End it at once; its clients see their connections close."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def certificates_of(folder: Path, certificate: bytes, key: bytes) -> tuple[str, ...]:
    """Return the options of a server that speaks TLS with this certificate."""
    folder.mkdir(exist_ok=True)
    for name, content in (("server.pem", certificate), ("key.pem", key)):
        (folder / name).write_bytes(content)
    return ("--tls", "--tlscert", str(folder / "server.pem"), "--tlskey", str(folder / "key.pem"))
