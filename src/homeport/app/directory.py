"""The data directory: private files, one server at a time, and what clients need to connect.

`connection.json` is how every other command finds the server, whatever database it uses.
"""

import fcntl
import os
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct, field

from homeport.values import hiding

_LOCK_TRIES = 5
_LOCK_PAUSE = 0.02
"""Seconds. `is_served` holds the lock for a moment; that is no server."""


class DirectoryError(Exception):
    """The data directory cannot be used; the message says why and what to do."""


class Ports(Struct, frozen=True, kw_only=True):
    """Where a server listens for devices and services: where their clients look for it, unless told otherwise."""

    https: int = 443
    mqtt: int = 8883
    amqp: int = 5671


@hiding("dps_connection_string", "hub_connection_strings", "admin_connection_string", "event_hub_connection_strings")
class ConnectionInfo(Struct, frozen=True, kw_only=True):
    """What clients need; it holds keys, so the file is readable by its owner only."""

    id_scope: str
    global_endpoint: str
    dps_connection_string: str
    hub_connection_strings: Mapping[str, str]
    """By hub name, the first hub first."""
    ca_file: str
    portal_url: str
    admin_connection_string: str
    """Like `dps_connection_string`, but by a loopback address and the port the server really listens on."""
    event_hub_connection_strings: Mapping[str, str] = field(default_factory=dict)
    """By hub name: where Event Hubs clients read a hub's telemetry."""
    ports: Ports = field(default_factory=Ports)

    @property
    def variables(self) -> dict[str, str]:
        """Return the documented names and their values; scripts rely on the names.

        The first hub has the plain name, every further one its own name behind it, in capitals.
        """
        values = {
            "HOMEPORT_ID_SCOPE": self.id_scope,
            "HOMEPORT_GLOBAL_ENDPOINT": self.global_endpoint,
            "HOMEPORT_DPS_CONNECTION_STRING": self.dps_connection_string,
        }
        for position, (name, connection_string) in enumerate(self.hub_connection_strings.items()):
            suffix = "" if position == 0 else "_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
            values[f"HOMEPORT_HUB_CONNECTION_STRING{suffix}"] = connection_string
            if (events := self.event_hub_connection_strings.get(name)) is not None:
                values[f"HOMEPORT_EVENTHUB_CONNECTION_STRING{suffix}"] = events
        values["HOMEPORT_CA_FILE"] = self.ca_file
        values["HOMEPORT_PORTAL_URL"] = self.portal_url
        return values


class DataDirectory:
    """Files below `path`, created with mode 0700 for the directory and 0600 for every file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def ca_file(self) -> Path:
        """The root certificate that clients trust, PEM."""
        return self.path / "ca.pem"

    @property
    def master_key_file(self) -> Path:
        """The key that other secrets are sealed under, unless the configuration names another file."""
        return self.path / "master.key"

    @property
    def database_file(self) -> Path:
        return self.path / "homeport.db"

    def create(self) -> None:
        """Make the directory, private to its owner; raises DirectoryError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.chmod(0o700)
        except OSError as error:
            raise DirectoryError(
                f"cannot use the data directory {self.path}: {error.strerror}. Choose another with --data."
            ) from error

    def lock(self) -> None:
        """Claim the directory for this process until it ends; raises DirectoryError if a server has it."""
        try:
            descriptor = os.open(self.path / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DirectoryError(
                f"cannot use the data directory {self.path}: {error.strerror} ({Path(error.filename).name}). "
                "Choose another with --data."
            ) from error
        if not _claimed(descriptor):
            os.close(descriptor)
            raise DirectoryError(f"another Homeport server uses {self.path}. Stop it, or give this one its own --data.")
        self._lock = descriptor

    def unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def is_served(self) -> bool:
        """Tell whether a server process holds the directory now."""
        try:
            descriptor = os.open(self.path / "server.lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        else:
            return False
        finally:
            os.close(descriptor)

    def read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes, *, mode: int = 0o600) -> None:
        """Replace a file in one step: readers see the old content or the new, also after a crash."""
        target = self.path / name
        temporary = target.with_name(f".{name}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)

    def write_connection(self, info: ConnectionInfo) -> None:
        self.write("connection.json", msgspec.json.format(msgspec.json.encode(info)))

    def read_connection(self) -> ConnectionInfo:
        """Return what the last server wrote; raises DirectoryError if none has run here yet."""
        content = self.read("connection.json")
        if content is None:
            raise DirectoryError(
                f"no Homeport server has run in {self.path} yet. Start one with `homeport serve`, or name its --data."
            )
        return msgspec.json.decode(content, type=ConnectionInfo)

    def portal_token(self) -> str:
        """Return the token for signing in to the portal, made on first use; deleting its file makes a new one."""
        stored = self.read("portal-token")
        if stored is not None and stored.strip():
            return stored.decode().strip()
        token = secrets.token_urlsafe(24)
        self.write("portal-token", f"{token}\n".encode())
        return token

    def __enter__(self) -> Self:
        self.create()
        self.lock()
        return self

    def __exit__(self, *_: object) -> None:
        self.unlock()


def _claimed(descriptor: int) -> bool:
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(_LOCK_PAUSE)
        else:
            return True
    return False
