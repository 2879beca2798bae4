"""An operator looks after a hub's events: where they are read, how long they are kept, and consumer groups."""

import json
from collections.abc import Iterator

import pytest

from tests.server import HomeportServer

ADDRESS, SECOND = "127.0.84.1", "127.0.84.2"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    with HomeportServer(tmp_path_factory.mktemp("hub-events") / "data", (ADDRESS, SECOND)) as running:
        running.run("hub", "create", "west-2", "--hostname", SECOND)
        yield running


def test_readers_are_told_where_events_are(server: HomeportServer) -> None:
    values = server.connection()
    for name, host, event_hub in (("", ADDRESS, "hub1"), ("_WEST_2", SECOND, "west-2")):
        parts = dict(part.split("=", 1) for part in values[f"HOMEPORT_EVENTHUB_CONNECTION_STRING{name}"].split(";"))
        assert parts["Endpoint"] == f"sb://{host}/"
        assert (parts["EntityPath"], parts["SharedAccessKeyName"]) == (event_hub, "service")
        assert parts["SharedAccessKey"] not in values[f"HOMEPORT_HUB_CONNECTION_STRING{name}"]


def test_retention(server: HomeportServer) -> None:
    assert server.run("hub", "events", "hub1").stdout.split()[-5:] == ["events", "hub1", "4", "1", "day"]
    changed = server.run("hub", "events", "hub1", "--retention-days", "7", "--max-megabytes", "100", "-o", "json")
    (document,) = json.loads(changed.stdout)
    assert (document["retentionDays"], document["maxBytes"]) == (7, 100 << 20)
    assert "7 days" in server.run("hub", "events", "HUB1", "--endpoint", "events").stdout
    (document,) = json.loads(server.run("hub", "events", "hub1", "--max-megabytes", "0", "-o", "json").stdout)
    assert (document["retentionDays"], document["maxBytes"]) == (7, None)


def test_consumer_groups(server: HomeportServer) -> None:
    for _ in range(2):
        created = server.run("hub", "consumer-group", "create", "hub1", "billing").stdout
        assert "billing reads events of hub hub1" in created
    listed = json.loads(server.run("hub", "consumer-group", "list", "hub1", "-o", "json").stdout)
    assert [group["name"] for group in listed] == ["$Default", "billing"]
    assert "billing" in server.run("hub", "consumer-group", "list", "hub1").stdout
    assert "$Default" in server.run("hub", "consumer-group", "list", "west-2").stdout
    server.run("hub", "consumer-group", "delete", "hub1", "billing")
    assert "billing" not in server.run("hub", "consumer-group", "list", "hub1").stdout
    audit = server.run("audit", "list", "-o", "json").stdout
    assert "consumerGroup.created" in audit
    assert "consumerGroup.deleted" in audit


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("events", "nohub"), "no hub of that name"),
        (("events", "hub1", "--endpoint", "alarms"), "no endpoint alarms"),
        (("consumer-group", "create", "hub1", "a/b"), "letters, digits"),
        (("consumer-group", "delete", "hub1", "$Default"), "cannot be removed"),
        (("consumer-group", "delete", "hub1", "nobody"), "no consumer group nobody"),
        (("consumer-group", "list", "hub1", "--endpoint", "alarms"), "no endpoint alarms"),
    ],
)
def test_what_cannot_be(server: HomeportServer, arguments: tuple[str, ...], told: str) -> None:
    refused = server.run("hub", *arguments, check=False)
    assert refused.returncode == 1
    assert told in refused.stderr
