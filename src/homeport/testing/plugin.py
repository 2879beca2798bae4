"""The pytest plugin: `homeport_…` fixtures. Only pytest and the standard library are imported with it.

A server is started by the first test that wants one and shared by the rest of the run. A test that wants one of its
own says so with `@pytest.mark.homeport(isolated=True)`, a run with `--homeport-isolated`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from homeport.client import HomeportAdminClient, HubClient, ProvisioningServiceClient
    from homeport.testing.connection import Connection
    from homeport.testing.devices import EnrolledDevice, Factory, RegisteredDevice
    from homeport.testing.server import HomeportServer

_MARKER = "homeport"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer `--homeport-isolated` and the ini settings."""
    group = parser.getgroup("homeport", "devices at a Homeport server")
    group.addoption(
        "--homeport-isolated", action="store_true", help="Give every test that uses Homeport a server of its own."
    )
    parser.addini("homeport_options", "Further options of `homeport serve` for tests.", type="args", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(isolated=False, options=(), attestation='symmetric-key'): what this test wants of its Homeport "
        "server and device; options of `homeport serve` give it a server of its own.",
    )


@pytest.fixture(scope="session")
def homeport_session_server(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[HomeportServer]:
    """The server that tests share, for fixtures that live longer than one test."""
    from homeport.testing.server import running_server

    yield from running_server(tmp_path_factory.mktemp("homeport") / "data", pytestconfig.getini("homeport_options"))


@pytest.fixture
def homeport_server(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Iterator[HomeportServer]:
    """A running server: the shared one, or one of the test's own."""
    wanted = _wanted(request)
    options = tuple(wanted.get("options", ()))
    if not (wanted.get("isolated") or options or pytestconfig.getoption("--homeport-isolated")):
        yield request.getfixturevalue("homeport_session_server")
        return
    from homeport.testing.server import running_server

    data: Path = request.getfixturevalue("tmp_path") / "homeport"
    yield from running_server(data, (*pytestconfig.getini("homeport_options"), *options))


@pytest.fixture
def homeport_connection(homeport_server: HomeportServer) -> Connection:
    """Id scope, endpoints, connection strings and the CA of the server."""
    return homeport_server.connection


@pytest.fixture
def homeport_admin(homeport_server: HomeportServer) -> HomeportAdminClient:
    """Homeport's own administration: hubs, attempts, audit."""
    return homeport_server.admin


@pytest.fixture
def homeport_provisioning(homeport_server: HomeportServer) -> ProvisioningServiceClient:
    """Enrollments, groups and registrations."""
    return homeport_server.provisioning


@pytest.fixture
def homeport_hub(homeport_server: HomeportServer) -> HubClient:
    """The hub's registry, twins and telemetry."""
    return homeport_server.hub


@pytest.fixture
def homeport_enroll(homeport_server: HomeportServer, tmp_path: Path) -> Iterator[Factory]:
    """A function that enrolls devices: `homeport_enroll("x509")`; see `homeport.testing.devices.Factory`."""
    from homeport.testing.devices import Factory

    factory = Factory(homeport_server, tmp_path / "homeport-devices")
    try:
        yield factory
    finally:
        factory.close()


@pytest.fixture
def homeport_device(request: pytest.FixtureRequest, homeport_enroll: Factory) -> EnrolledDevice:
    """An enrolled device.

    Its attestation is the marker's, or the parameter of `parametrize("homeport_device", […], indirect=True)`. The
    test is skipped where the machine cannot make such a device.
    """
    from homeport.testing.devices import CannotMakeDeviceError

    attestation = getattr(request, "param", None) or _wanted(request).get("attestation", "symmetric-key")
    try:
        return homeport_enroll(attestation)
    except CannotMakeDeviceError as error:
        pytest.skip(str(error))


@pytest.fixture
def homeport_registered_device(homeport_device: EnrolledDevice) -> RegisteredDevice:
    """The device after it has registered: it has a hub, and is not connected to it."""
    return homeport_device.register()


@pytest.fixture
def homeport_client(homeport_registered_device: RegisteredDevice) -> Iterator[Any]:
    """Microsoft's `IoTHubDeviceClient`, connected; shut down after the test."""
    client = homeport_registered_device.azure_client()
    try:
        client.connect()
        yield client
    finally:
        client.shutdown()


@pytest.fixture
def homeport_aio_client(homeport_registered_device: RegisteredDevice) -> Iterator[Any]:
    """Microsoft's `aio.IoTHubDeviceClient`, connected; shut down after the test.

    No plugin for asynchronous tests is needed here, and any will do: the client lives in threads of its own.
    """
    from homeport.testing.devices import complete

    client = homeport_registered_device.azure_client(aio=True)
    try:
        complete(client.connect)
        yield client
    finally:
        complete(client.shutdown)


def _wanted(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return what the marks of the test say, the nearest last."""
    wanted: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers(_MARKER))):
        wanted |= mark.kwargs
    return wanted
