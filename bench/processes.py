"""Server processes under measurement: starting them, their processor time, their memory."""

import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

START_LIMIT = 30.0


def cpu_seconds(pid: int) -> float:
    """Return the processor time of all threads of a process, user and system, in nanosecond resolution.

    The kernel's per-process clock: the sum that /proc/<pid>/stat shows in ticks of 10 ms.
    """
    return time.clock_gettime(~pid << 3 | 2)


def settled_cpu_seconds(pid: int, *, limit: float = 1.0) -> float:
    """Return the processor time once the process has become quiet, so that work after the answer counts too."""
    deadline = time.perf_counter() + limit
    before = cpu_seconds(pid)
    while True:
        time.sleep(0.02)
        after = cpu_seconds(pid)
        if after - before < 0.0004 or time.perf_counter() > deadline:
            return after
        before = after


def memory_mib(pid: int) -> float:
    """Return the resident memory of a process (VmRSS) in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


class Program:
    """A server program beside the one under test; ready when it prints a line that begins with `ready`."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None
        self.said = ""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self._process = subprocess.Popen([sys.executable, *self._arguments], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if select.select([self._process.stdout], [], [], START_LIMIT)[0]:
            self.said = self._process.stdout.readline()
        if not self.said.startswith("ready"):
            self.__exit__()
            raise RuntimeError(f"{' '.join(self._arguments)} did not become ready")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(START_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
