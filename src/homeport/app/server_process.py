"""`homeport serve` in a process of its own, started as anybody would: for the demo, and for tests of device code."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

STOP_LIMIT = 15.0


class ServerFailedError(Exception):
    """The server did not become ready; the text is what it said."""


class ServerProcess:
    """Runs the server on these loopback addresses until the context ends."""

    def __init__(
        self,
        data: Path,
        addresses: Sequence[str],
        options: Sequence[str],
        *,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._command = [
            *(sys.executable, "-m", "homeport.cli.main", "serve"),
            *("--data", str(data)),
            *(option for address in addresses for option in ("--bind", address)),
            *options,
        ]
        self._environ = environ
        self._log = data / "server.log"
        self._process: subprocess.Popen[str] | None = None
        self.ready = ""
        """The server's own `ready` line."""

    def __enter__(self) -> Self:
        self._log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._log.open("a") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program with our own arguments
                self._command,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**self._environ, "PYTHONUNBUFFERED": "1"},
                # Ctrl-C is ours to handle: devices leave first, then the server.
                start_new_session=True,
            )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("ready"):
                self.ready = line.strip()
                return self
        self._end()
        raise ServerFailedError(self._log.read_text().strip())

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._end()

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._end()

    def _end(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.wait()
        self._process.stdout.close()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None
