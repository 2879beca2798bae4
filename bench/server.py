"""The server under test: `homeport serve` on a loopback address and ports of its own."""

from pathlib import Path

from bench.devices import Service
from bench.processes import free_port
from tests.server import HomeportServer

ADDRESS = "127.0.90.1"


class ServerUnderTest(HomeportServer):
    """A real server process; started by entering it, killed by leaving it."""

    def __init__(self, data: Path, *options: str) -> None:
        self.https = (ADDRESS, free_port(ADDRESS))
        self.mqtt = (ADDRESS, free_port(ADDRESS))
        self.amqp = (ADDRESS, free_port(ADDRESS))
        ports = {"--https-port": self.https, "--mqtt-port": self.mqtt, "--amqp-port": self.amqp}
        words = [word for option, (_, port) in ports.items() for word in (option, str(port))]
        super().__init__(data, (ADDRESS,), *words, *options)

    def service(self) -> Service:
        """Ask the running server what its clients need."""
        values = self.connection()
        return Service(
            address=ADDRESS,
            https=self.https,
            mqtt=self.mqtt,
            amqp=self.amqp,
            id_scope=values["HOMEPORT_ID_SCOPE"],
            connection_string=values["HOMEPORT_DPS_CONNECTION_STRING"],
        )
