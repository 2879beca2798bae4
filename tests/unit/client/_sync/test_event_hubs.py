# Made by scripts/unasync.py: change its twin in _async instead.
"""Event Hubs-compatible endpoints and consumer groups as the client writes and reads them."""

import json
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from homeport.client import ConsumerGroup, NotFoundError
from tests.unit.client._sync.test_admin import client
from tests.unit.client.scripted import ScriptedService, Step

VERSION = "?api-version=2021-10-01"
EVENTS = "/homeport/hubs/hub1/eventHubs"
AT = "2024-06-01T12:00:00Z"
GROUP = {"name": "billing", "createdDateTimeUtc": AT}
EVENT_HUB = {
    "name": "events",
    "eventHubName": "hub1",
    "partitionCount": 4,
    "retentionDays": 1,
    "maxBytes": None,
    "createdDateTimeUtc": AT,
}


def test_endpoints_and_groups(server_context: ssl.SSLContext, ca_file: Path) -> None:
    longer = EVENT_HUB | {"retentionDays": 7, "maxBytes": 1 << 30}
    steps = [
        Step(method="GET", path=f"{EVENTS}{VERSION}", body=[EVENT_HUB]),
        Step(method="GET", path=f"{EVENTS}/events{VERSION}", body=EVENT_HUB),
        Step(method="PATCH", path=f"{EVENTS}/events{VERSION}", body=longer),
        Step(method="GET", path=f"{EVENTS}/events/consumerGroups{VERSION}", body=[GROUP]),
        Step(method="PUT", path=f"{EVENTS}/a.b/consumerGroups/%24Default{VERSION}", body=GROUP),
        Step(method="DELETE", path=f"{EVENTS}/events/consumerGroups/billing{VERSION}", status=204),
        Step(
            method="DELETE",
            path=f"{EVENTS}/events/consumerGroups/billing{VERSION}",
            status=404,
            body={"errorCode": 404000, "message": "There is no consumer group billing."},
        ),
    ]
    with ScriptedService(steps, server_context) as service:
        with client(service, ca_file) as admin:
            (told,) = admin.event_hubs("hub1")
            assert told == admin.event_hub("hub1")
            assert (told.event_hub_name, told.partition_count, told.max_bytes) == ("hub1", 4, None)
            changed = admin.update_event_hub("hub1", retention_days=7, max_bytes=1 << 30)
            assert (changed.retention_days, changed.max_bytes) == (7, 1 << 30)
            group = ConsumerGroup(name="billing", created_date_time_utc=datetime(2024, 6, 1, 12, tzinfo=UTC))
            assert admin.consumer_groups("hub1") == [group]
            assert admin.create_consumer_group("hub1", "$Default", "a.b") == group
            admin.delete_consumer_group("hub1", "billing")
            with pytest.raises(NotFoundError, match="no consumer group"):
                admin.delete_consumer_group("hub1", "billing")
        assert json.loads(service.requests[2].body) == {"retentionDays": 7, "maxBytes": 1 << 30}
