"""An operator says where a hub's messages go: routes, endpoints, enrichments, and a dry run."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import HomeportServer

ADDRESS = "127.0.85.1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    with HomeportServer(tmp_path_factory.mktemp("hub-routes") / "data", (ADDRESS,)) as running:
        yield running


def test_routes_endpoints_and_enrichments(server: HomeportServer, tmp_path: Path) -> None:
    assert (
        "alarms has 2 partitions"
        in server.run("hub", "endpoint", "event-hub", "hub1", "alarms", "--partitions", "2").stdout
    )
    secret = server.run("hub", "endpoint", "webhook", "hub1", "ops", "http://127.0.0.1:9/in").stdout.strip()
    assert secret.startswith("whsec_")
    assert not server.run("hub", "endpoint", "webhook", "hub1", "ops", "http://127.0.0.1:9/other").stdout.strip()
    stored = server.run("hub", "endpoint", "storage", "hub1", "files", "--seconds", "60").stdout
    assert "the hub's own store every 60 s" in stored
    made = server.run(
        "hub", "route", "set", "hub1", "hot", "--endpoint", "alarms", "--condition", "level = 'hot' AND $body.t > 5"
    ).stdout
    assert "DeviceMessages where level = 'hot' AND $body.t > 5 to alarms" in made
    server.run("hub", "route", "set", "hub1", "twins", "--endpoint", "ops", "--source", "TwinChangeEvents", "--off")
    assert "have site" in server.run("hub", "enrichment", "set", "hub1", "site", "A", "--endpoint", "alarms").stdout
    listed = server.run("hub", "route", "list", "hub1").stdout
    assert "twins (off)" in listed
    assert "$fallback" in listed
    assert [each["name"] for each in json.loads(server.run("hub", "route", "list", "hub1", "-o", "json").stdout)] == [
        "hot",
        "twins",
        "$fallback",
    ]
    assert "127.0.0.1:9/other" in server.run("hub", "endpoint", "list", "hub1").stdout
    assert len(json.loads(server.run("hub", "endpoint", "list", "hub1", "-o", "json").stdout)) == 3
    assert "site" in server.run("hub", "enrichment", "list", "hub1").stdout
    body = tmp_path / "body.json"
    body.write_text('{"t": 6}')
    tried = server.run("hub", "route", "test", "hub1", "--property", "level=hot", "--body-file", str(body)).stdout
    assert "true" in tried
    assert "arrive at alarms with level=hot, site=A" in tried
    assert "false" in server.run("hub", "route", "test", "hub1", "--condition", "a = 'b'", "--property", "a=c").stdout
    assert "are dropped" in server.run("hub", "route", "fallback", "hub1", "--off").stdout
    assert "would be dropped" in server.run("hub", "route", "test", "hub1", "--body", "x").stdout
    told = json.loads(server.run("hub", "route", "test", "hub1", "--body", "x", "-o", "json").stdout)
    assert told == {"routes": [{"name": "hot", "result": "undefined"}], "deliveries": []}
    for noun, name in (("route", "hot"), ("route", "twins"), ("enrichment", "site"), ("endpoint", "alarms")):
        assert "is gone" in server.run("hub", noun, "delete", "hub1", name).stdout
    assert json.loads(server.run("hub", "enrichment", "list", "hub1", "-o", "json").stdout) == []
    assert "hubRouting.updated" in server.run("audit", "list", "-o", "json").stdout
    assert secret not in server.run("audit", "list", "-o", "json").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("route", "list", "nohub"), "no hub of that name"),
        (("route", "set", "hub1", "r", "--endpoint", "nowhere"), "no endpoint nowhere"),
        (("route", "set", "hub1", "r", "--endpoint", "events", "--condition", "a ="), "condition"),
        (("route", "test", "hub1", "--property", "nothing"), "not name=value"),
        (("route", "delete", "hub1", "r"), "no such route"),
        (("endpoint", "webhook", "hub1", "w", "http://example.com/"), "loopback"),
        (("endpoint", "delete", "hub1", "w"), "no such endpoint"),
        (("enrichment", "set", "hub1", "k", "$nothing", "--endpoint", "events"), "$iothubname"),
        (("enrichment", "delete", "hub1", "k"), "no such enrichment"),
    ],
)
def test_what_cannot_be(server: HomeportServer, arguments: tuple[str, ...], told: str) -> None:
    refused = server.run("hub", *arguments, check=False)
    assert refused.returncode == 1
    assert told in refused.stderr
