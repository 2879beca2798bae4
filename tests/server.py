"""A real Homeport server in a process of its own, started and spoken to the way an operator does it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

HOMEPORT = (sys.executable, "-m", "homeport.cli.main")
READY_LIMIT = 60.0


class ServerFailedError(Exception):
    """The server did not become ready; the text is what it printed."""


class HomeportServer:
    """`homeport serve` on loopback addresses; `addresses[0]` names the provisioning service and the first hub."""

    def __init__(
        self,
        data: Path,
        addresses: tuple[str, ...],
        *options: str,
        env: dict[str, str] | None = None,
        program: tuple[str, ...] = HOMEPORT,
        hostname: str | None = None,
    ) -> None:
        """`program` is what runs instead of `homeport`, with the same arguments.

        `hostname` is the name it answers to if that is not its address: a load balancer's.
        """
        self.data = data
        self.addresses = addresses
        self._options = options
        self._env = env or {}
        self._program = program
        self._hostname = hostname or addresses[0]
        self._process: subprocess.Popen[str] | None = None
        self.log = data.parent / f"{data.name}.log"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        binds = [option for address in self.addresses for option in ("--bind", address)]
        arguments = [*self._program, "serve", "--data", str(self.data), "--hostname", self._hostname, *binds]
        if "--portal-port" not in self._options:
            arguments += ["--portal-port", "0"]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [*arguments, *self._options],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1"} | self._env,
            )
        assert self._process.stdout is not None
        printed = []
        for line in self._process.stdout:
            printed.append(line)
            if line.startswith("ready"):
                return self
        raise ServerFailedError("".join(printed) + self.log.read_text())

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> int:
        """Ask it to stop and return its exit status."""
        self.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        self._process.kill()
        self.wait()

    def wait(self) -> int:
        """Wait until it has ended, and return its exit status."""
        assert self._process is not None
        assert self._process.stdout is not None
        status = self._process.wait(timeout=READY_LIMIT)
        self._process.stdout.close()
        return status

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run another command beside the server, as an operator would in a second terminal."""
        command, *rest = arguments
        data = ["--data", str(self.data)]
        # A group of commands takes its options behind the last word.
        return subprocess.run(
            [*HOMEPORT, command, *rest, *data], capture_output=True, text=True, check=check, timeout=READY_LIMIT
        )

    def connection(self) -> dict[str, str]:
        """Return what `homeport connection -o json` says."""
        values: dict[str, str] = json.loads(self.run("connection", "-o", "json").stdout)
        return values

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.kill()
