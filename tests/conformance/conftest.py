"""One server on the real ports of a loopback address of its own, for every stock client."""

import base64
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.certificates import Certified, make_certificate
from tests.conformance.hub_at_home import Home, running_home
from tests.conformance.matrix import Matrix
from tests.server import HomeportServer


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-matrix", action="store_true", help="write docs/support-matrix.md from this run")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--write-matrix", default=False):
        config.pluginmanager.register(Matrix())


ADDRESSES = ("127.0.53.1", "127.0.53.2", "127.0.53.3")


@dataclass(frozen=True, slots=True)
class Service:
    """The running server and what its operator hands to clients."""

    server: HomeportServer
    values: dict[str, str]

    @property
    def host(self) -> str:
        return self.values["HOMEPORT_GLOBAL_ENDPOINT"]

    @property
    def id_scope(self) -> str:
        return self.values["HOMEPORT_ID_SCOPE"]

    @property
    def ca(self) -> str:
        return Path(self.values["HOMEPORT_CA_FILE"]).read_text()

    def hub_connection_string(self, host: str) -> str:
        """Return the owner's connection string of the hub with this host name."""
        for name, value in self.values.items():
            if name.startswith("HOMEPORT_HUB_CONNECTION_STRING") and f"HostName={host};" in value:
                return value
        raise KeyError(host)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("conformance")
    with HomeportServer(folder / "data", ADDRESSES) as server:
        for number, address in enumerate(ADDRESSES[1:], start=2):
            server.run("hub", "create", f"hub{number}", "--hostname", address)
        values = server.connection()
        # Microsoft's Python service clients verify servers through requests, which reads this.
        os.environ["REQUESTS_CA_BUNDLE"] = values["HOMEPORT_CA_FILE"]
        yield Service(server, values)
        assert server.stop() == 0


@pytest.fixture
def device_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


@pytest.fixture(scope="session")
def root_ca() -> Certified:
    return make_certificate("conformance root", ca=True)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    """A hub in this process; it takes the real ports of the loopback address that no server is on."""
    async with running_home(tmp_path) as home:
        yield home
