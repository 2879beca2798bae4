"""A software TPM 2.0 (swtpm) of one's own: a process on a private socket, gone when the context ends."""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_PATIENCE_SECONDS = 10.0


class SoftwareTpm:
    """Runs swtpm with its state in `folder`; another instance over the same folder is the same TPM.

    `tcti` is what tpm2-pytss takes: `ESAPI(tpm.tcti)`, one connection at a time. Each start is a power-on:
    transient objects are gone, persistent ones stay. Raises RuntimeError if swtpm is missing or does not start.
    """

    def __init__(self, folder: Path) -> None:
        self._state = folder
        self._sockets: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        """The path of the Unix socket that takes TPM commands as they are."""
        assert self._sockets is not None, "the TPM is not running"
        return f"{self._sockets.name}/tpm"

    @property
    def tcti(self) -> str:
        return f"swtpm:path={self.socket}"

    def __enter__(self) -> Self:
        program = shutil.which("swtpm")
        if program is None:
            raise RuntimeError("swtpm is not installed")
        self._state.mkdir(parents=True, exist_ok=True)
        # A Unix socket's path has 107 bytes at most, which a test's own folder can exceed.
        self._sockets = tempfile.TemporaryDirectory(prefix="swtpm-")
        server, control = Path(self._sockets.name, "tpm"), Path(self._sockets.name, "tpm.ctrl")
        log = self._state / "swtpm.log"
        options = {
            "--tpmstate": f"dir={self._state},mode=0600",
            "--server": f"type=unixio,path={server},mode=0600",
            "--ctrl": f"type=unixio,path={control},mode=0600",
            "--flags": "not-need-init,startup-clear",
            "--log": f"file={log},level=1",
        }
        words = [word for option in options.items() for word in option]
        command = [program, "socket", "--tpm2", *words]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - every word is ours
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not (server.exists() and control.exists()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._stop()
                raise RuntimeError(f"swtpm did not start: {log.read_text() if log.exists() else 'no log'}")
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._sockets is not None:
            self._sockets.cleanup()
            self._sockets = None
