"""What a client of the test's server must be told, as values and as the environment of another process."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from homeport.values import hiding


@hiding("dps_connection_string", "hub_connection_string", "admin_connection_string", "variables")
class Connection(Struct, frozen=True, kw_only=True):
    """Names, addresses and keys of one server; the names of `variables` are those of `homeport connection`."""

    id_scope: str
    global_endpoint: str
    """Where devices register; the SDKs' ports are on this address."""
    dps_connection_string: str
    hub_connection_string: str
    """The first hub's, with all rights."""
    ca_file: str
    """PEM of the authority to trust."""
    portal_url: str
    admin_connection_string: str
    https_port: int
    mqtt_port: int
    amqp_port: int
    variables: Mapping[str, str]
    """All that `homeport connection` prints, by name: further hubs' strings, and what a later version adds."""

    @property
    def eventhub_connection_string(self) -> str | None:
        """The Event Hubs-compatible endpoint of the first hub; None from a server that has none."""
        return self.variables.get("HOMEPORT_EVENTHUB_CONNECTION_STRING")

    @property
    def ca(self) -> str:
        """The text of `ca_file`: azure-iot-device's `server_verification_cert`."""
        return Path(self.ca_file).read_text(encoding="utf-8")

    def environment(self) -> dict[str, str]:
        """Return variables for a program under test: the connection, and the CA where clients look for it."""
        trust = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
        return {**self.variables, **dict.fromkeys(trust, self.ca_file)}
