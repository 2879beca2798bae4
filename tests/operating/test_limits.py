"""An operator's limits and IP filter on a real server: what is configured is obeyed, told and counted."""

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from homeport.client import HomeportAdminClient
from tests.server import HomeportServer

ADDRESS = "127.0.75.1"
ELSEWHERE, OTHERS = "127.9.9.1", "127.8.8.1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    limits = ("--limit", "address-registrations=3/h", "--limit", "device-polls=off")
    with HomeportServer(tmp_path_factory.mktemp("limits") / "data", (ADDRESS,), *limits) as running:
        yield running


@pytest.fixture(scope="module")
def values(server: HomeportServer) -> dict[str, str]:
    return server.connection()


def ask(values: dict[str, str], path: str, *, method: str = "GET", source: str = "127.0.0.1") -> httpx.Response:
    context = ssl.create_default_context(cafile=values["HOMEPORT_CA_FILE"])
    transport = httpx.HTTPTransport(verify=context, local_address=source)
    with httpx.Client(transport=transport) as client:
        return client.request(method, f"https://{ADDRESS}{path}")


def register(values: dict[str, str], source: str) -> httpx.Response:
    scope = values["HOMEPORT_ID_SCOPE"]
    return ask(values, f"/{scope}/registrations/d/register?api-version=2021-06-01", method="PUT", source=source)


def can_reach(values: dict[str, str], port: int, source: str) -> bool:
    """Tell whether a TLS handshake comes to its end."""
    context = ssl.create_default_context(cafile=values["HOMEPORT_CA_FILE"])
    with contextlib.suppress(OSError):
        plain = socket.create_connection((ADDRESS, port), timeout=10, source_address=(source, 0))
        with plain, context.wrap_socket(plain, server_hostname=ADDRESS):
            return True
    return False


def test_a_limit_that_is_configured_is_obeyed_and_counted(values: dict[str, str]) -> None:
    answers = [register(values, OTHERS) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
    assert int(answers[3].headers["retry-after"]) > 1
    assert register(values, ELSEWHERE).status_code == 401
    metrics = ask(values, "/homeport/metrics").text
    assert 'homeport_throttled_total{call="register",scope="address"} 2.0' in metrics
    assert ask(values, "/homeport/health").json()["status"] == "ok"


def test_the_ip_filter_from_the_command_line(server: HomeportServer, values: dict[str, str]) -> None:
    assert "every address may come in" in server.run("ip-filter", "list").stdout
    assert can_reach(values, 8883, OTHERS)
    server.run("ip-filter", "add", "plant", "allow", "127.9.0.0/16", "--target", "devices")
    server.run("ip-filter", "add", "rest", "deny", "any", "--target", "devices")
    told = json.loads(server.run("ip-filter", "test", OTHERS, "-o", "json").stdout)
    assert [(each["target"], each["allowed"]) for each in told] == [
        ("devices", False),
        ("service", True),
        ("portal", True),
    ]
    assert "rule rest" in server.run("ip-filter", "test", OTHERS).stdout
    # Obeyed when the command has ended: MQTT is closed, HTTPS is still open for the service API only.
    assert not can_reach(values, 8883, OTHERS)
    assert can_reach(values, 8883, ELSEWHERE)
    assert register(values, OTHERS).json()["errorCode"] == 401002
    assert ask(values, "/homeport/health", source=OTHERS).status_code == 200
    # Revocation lists are for whoever meets a device.
    assert ask(values, "/homeport/pki/nobody.crl", source=OTHERS).status_code == 401
    assert ask(values, "/homeport/pki/nobody.crl", source=ELSEWHERE).status_code == 404
    metrics = ask(values, "/homeport/metrics").text
    assert 'homeport_ip_filter_refused_total{door="devices"}' in metrics
    assert 'homeport_connections_refused_total{limit="ip filter"}' in metrics

    server.run("ip-filter", "add", "admins", "deny", OTHERS, "--target", "service", "--place", "1")
    assert not can_reach(values, 443, OTHERS)
    listed = json.loads(server.run("ip-filter", "list", "-o", "json").stdout)
    assert [rule["name"] for rule in listed] == ["admins", "plant", "rest"]
    for name in ("admins", "rest", "plant"):
        server.run("ip-filter", "remove", name)
    assert can_reach(values, 443, OTHERS)
    missing = server.run("ip-filter", "remove", "plant", check=False)
    assert missing.returncode == 1
    assert "no rule 'plant'" in missing.stderr


def test_the_portal_has_a_door_of_its_own(server: HomeportServer, values: dict[str, str]) -> None:
    with httpx.Client(trust_env=False, follow_redirects=True) as browser:
        assert browser.get(values["HOMEPORT_PORTAL_URL"]).status_code == 200
        server.run("ip-filter", "add", "closed", "deny", "any", "--target", "portal", "--force")
        assert browser.get(values["HOMEPORT_PORTAL_URL"]).status_code == 403
        server.run("ip-filter", "remove", "closed")
        assert browser.get(values["HOMEPORT_PORTAL_URL"]).status_code == 200


def test_the_way_back_for_who_is_locked_out(tmp_path: Path) -> None:
    with HomeportServer(
        tmp_path / "data", (ADDRESS,), "--https-port", "14443", "--mqtt-port", "14883", "--amqp-port", "0"
    ) as server:
        refused = server.run("ip-filter", "add", "all", "deny", "any", check=False)
        assert refused.returncode == 1
        assert "locked out" in refused.stderr
        server.run("ip-filter", "add", "all", "deny", "any", "--force")
        assert server.run("ip-filter", "list", check=False).returncode == 1
        assert server.stop() == 0
    with HomeportServer(
        tmp_path / "data",
        (ADDRESS,),
        "--https-port",
        "14443",
        "--mqtt-port",
        "14883",
        "--amqp-port",
        "0",
        "--no-ip-filter",
    ) as server:
        server.run("ip-filter", "remove", "all")
        assert server.stop() == 0


def test_every_wrong_limit_is_named(tmp_path: Path) -> None:
    wrong = ("--limit", "registrations=many", "--limit", "colour=5/s", "--limit", "handshakes=0.5")
    started = HomeportServer(tmp_path / "data", (ADDRESS,), *wrong).run("serve", *wrong, check=False)
    assert started.returncode == 2
    for word in ("registrations", "colour", "handshakes"):
        assert word in started.stderr


def test_behind_a_load_balancer(tmp_path: Path) -> None:
    options = ("--https-port", "14443", "--mqtt-port", "14883", "--amqp-port", "0", "--proxy-protocol", "127.7.7.7")
    with HomeportServer(tmp_path / "data", (ADDRESS,), *options) as server:
        values = server.connection()
        context = ssl.create_default_context(cafile=values["HOMEPORT_CA_FILE"])
        plain = socket.create_connection((ADDRESS, 14443), timeout=10, source_address=("127.7.7.7", 0))
        plain.sendall(b"PROXY TCP4 192.0.2.77 192.0.2.1 40000 443\r\n")
        scope = values["HOMEPORT_ID_SCOPE"]
        with context.wrap_socket(plain, server_hostname=ADDRESS) as connection:
            path = f"/{scope}/registrations/behind/register?api-version=2021-06-01"
            connection.sendall(f"PUT {path} HTTP/1.1\r\nHost: {ADDRESS}\r\nContent-Length: 0\r\n\r\n".encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 401")
        connection_string = values["HOMEPORT_DPS_CONNECTION_STRING"]
        # An administrator on this machine comes directly, from an address that is not the load balancer's.
        with HomeportAdminClient.create_from_connection_string(
            connection_string, ca_file=values["HOMEPORT_CA_FILE"]
        ) as client:
            (attempt,) = client.why("behind")
        assert attempt.remote_address == "192.0.2.77"
