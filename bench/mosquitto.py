"""Debian's mosquitto as a yardstick: the same TLS, the same messages, and as durable as it can be made."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from enum import Enum
from pathlib import Path
from typing import Self

from bench.link import Place
from bench.processes import START_LIMIT, free_port
from homeport.app.pki import KeyPair

_PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class Persistence(Enum):
    """What becomes of a message before mosquitto acknowledges it."""

    NONE = "nobody listens"
    """It is acknowledged and forgotten: the least a broker can do."""
    QUEUED = "queued in memory"
    """It is queued for a subscriber who is away, in memory."""
    SAVED = "saved on change"
    """Queued, and the whole database written and synced in every turn of its loop that brought a change.

    The nearest it comes to durable, and not it: the acknowledgement goes out before the file is written, and
    the file holds all waiting messages, so that each save takes longer than the one before.
    """


class Broker:
    """A private mosquitto on a free port, gone with its folder when left."""

    def __init__(self, address: str, pair: KeyPair, persistence: Persistence) -> None:
        self.place: Place = (address, free_port(address))
        self._pair = pair
        self._persistence = persistence
        self._folder = tempfile.TemporaryDirectory(prefix="bench-mosquitto-")
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def version() -> str | None:
        """Return mosquitto's version, or None where it is not installed."""
        if _PROGRAM is None:
            return None
        said = subprocess.run([_PROGRAM, "-h"], capture_output=True, text=True, check=False).stdout
        return said.split("\n", 1)[0].removeprefix("mosquitto version ")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        assert _PROGRAM is not None
        folder = Path(self._folder.name)
        (folder / "certificate.pem").write_bytes(self._pair.certificate)
        (folder / "key.pem").write_bytes(self._pair.key)
        settings = [
            f"listener {self.place[1]} {self.place[0]}",
            f"certfile {folder}/certificate.pem",
            f"keyfile {folder}/key.pem",
            "allow_anonymous true",
            "set_tcp_nodelay true",
            "max_queued_messages 0",
            "log_dest none",
        ]
        if os.getuid() == 0:
            settings.append("user root")  # or it gives up the right to its own folder
        if self._persistence is Persistence.SAVED:
            settings += [
                "persistence true",
                f"persistence_location {folder}/",
                "autosave_on_changes true",
                "autosave_interval 1",
            ]
        (folder / "mosquitto.conf").write_text("\n".join(settings) + "\n")
        self._process = subprocess.Popen(
            [_PROGRAM, "-c", str(folder / "mosquitto.conf")],
            stderr=subprocess.DEVNULL,  # it warns of being root
        )
        self._wait_until_it_listens()
        return self

    def _wait_until_it_listens(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(self.place) == 0:
                    return
            time.sleep(0.02)
        self.__exit__()
        raise RuntimeError("mosquitto did not start")

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(START_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()
