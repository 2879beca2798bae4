"""A Homeport server for tests: `homeport serve` in a process of its own, on a loopback address of its own."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from homeport.app.directory import DataDirectory
from homeport.app.server_process import ServerProcess
from homeport.testing.connection import Connection
from homeport.testing.ports import AMQP, HTTPS, MQTT, free_place, redirected

if TYPE_CHECKING:
    from homeport.client import HomeportAdminClient, HubClient, ProvisioningServiceClient

COMMAND_SECONDS = 60.0

_READY = re.compile(r"https (\d+), mqtt (\d+), amqp (\d+)")


class HomeportServer:
    """Runs until the context ends; what it knows is in `data` and outlives `stop`, `kill` and `restart`.

    It has one hub, `hub1`, at the same address as the provisioning service.
    """

    def __init__(self, data: Path, options: Sequence[str] = ()) -> None:
        """Prepare; `options` are further ones of `homeport serve`."""
        self.data = data
        self._options = tuple(options)
        self._place = free_place()
        self._running: ServerProcess | None = None
        self._stack = ExitStack()
        self._clients = ExitStack()
        self._ports = {HTTPS: self._place.https, MQTT: self._place.mqtt, AMQP: self._place.amqp}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._clients.close()
        self.stop()
        self._stack.close()

    @property
    def address(self) -> str:
        """The loopback address: host name of the provisioning service and of the hub."""
        return self._place.address

    @property
    def log(self) -> str:
        """What the server has logged so far."""
        return (self.data / "server.log").read_text(encoding="utf-8", errors="replace")

    @property
    def running(self) -> bool:
        return self._running is not None and self._running.running

    def start(self) -> None:
        """Start it, on the same ports as before, and wait until it accepts. Raises ServerFailedError."""
        if self.running:
            return
        https, mqtt, amqp = (str(self._ports[port]) for port in (HTTPS, MQTT, AMQP))
        server = ServerProcess(
            self.data,
            (self.address,),
            [
                *("--hostname", self.address, "--portal-port", "0"),
                *("--https-port", https, "--mqtt-port", mqtt, "--amqp-port", amqp),
                *self._options,
            ],
            environ=_surroundings(),
        )
        server.__enter__()
        first = self._running is None
        self._running = server
        told = _READY.search(server.ready)
        assert told is not None, server.ready
        self._ports = dict(zip((HTTPS, MQTT, AMQP), map(int, told.groups()), strict=True))
        if first:
            self._stack.enter_context(redirected(self.address, self._ports))

    def stop(self) -> None:
        """Let it end as an operator would."""
        if self._running is not None:
            self._running.__exit__()

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._running is not None:
            self._running.kill()

    def restart(self) -> None:
        """Stop it and start it again: what it acknowledged is there, connections are gone."""
        self.stop()
        self.start()

    @property
    def connection(self) -> Connection:
        """Return what clients must be told now."""
        info = DataDirectory(self.data).read_connection()
        return Connection(
            id_scope=info.id_scope,
            global_endpoint=info.global_endpoint,
            dps_connection_string=info.dps_connection_string,
            hub_connection_string=next(iter(info.hub_connection_strings.values())),
            ca_file=info.ca_file,
            portal_url=info.portal_url,
            admin_connection_string=info.admin_connection_string,
            https_port=self._ports[HTTPS],
            mqtt_port=self._ports[MQTT],
            amqp_port=self._ports[AMQP],
            variables=info.variables,
        )

    # --- clients of its services ------------------------------------------------------------------------------

    @cached_property
    def admin(self) -> "HomeportAdminClient":
        """Homeport's own administration; closed with the server."""
        from homeport.client import HomeportAdminClient

        connection = self.connection
        return self._clients.enter_context(
            HomeportAdminClient.create_from_connection_string(
                connection.admin_connection_string, ca_file=connection.ca_file
            )
        )

    @cached_property
    def provisioning(self) -> "ProvisioningServiceClient":
        """The provisioning service's enrollments; closed with the server."""
        from homeport.client import ProvisioningServiceClient

        connection = self.connection
        return self._clients.enter_context(
            ProvisioningServiceClient.create_from_connection_string(
                connection.dps_connection_string, ca_file=connection.ca_file
            )
        )

    @cached_property
    def hub(self) -> "HubClient":
        """The hub's registry, twins and telemetry; closed with the server."""
        from homeport.client import HubClient

        connection = self.connection
        return self._clients.enter_context(
            HubClient.create_from_connection_string(connection.hub_connection_string, ca_file=connection.ca_file)
        )

    def run(self, *arguments: str) -> str:
        """Run another command of `homeport` beside the server and return what it printed.

        Raises subprocess.CalledProcessError, with what it said, if it fails.
        """
        ended = subprocess.run(  # noqa: S603 - our own program; the words are the test's
            [sys.executable, "-m", "homeport.cli.main", *arguments, "--data", str(self.data)],
            capture_output=True,
            text=True,
            check=True,
            timeout=COMMAND_SECONDS,
            env=_surroundings(),
        )
        return ended.stdout

    def run_json(self, *arguments: str) -> Any:
        """Run a command with `-o json` and return the document that it printed."""
        return json.loads(self.run(*arguments, "-o", "json"))


def _surroundings() -> dict[str, str]:
    # Settings that a developer keeps for another server are not this one's.
    return {name: value for name, value in os.environ.items() if not name.startswith("HOMEPORT_")}


def running_server(data: Path, options: Sequence[str] = ()) -> Iterator[HomeportServer]:
    """Run a server for as long as a fixture lives."""
    with HomeportServer(data, options) as server:
        yield server
