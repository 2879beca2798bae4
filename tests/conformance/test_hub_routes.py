"""Hub-made events, routes and enrichments, read by the stock Event Hubs client; told by what stock SDKs do."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from azure.iot.device import Message
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import Twin, TwinProperties

from homeport.client import HomeportAdminClient
from tests.conformance.conftest import Service
from tests.conformance.test_event_hubs import PATIENCE_SECONDS, Reader, reading
from tests.conformance.test_hub_devices import device

pytestmark = pytest.mark.conformance

PYTHON = "Python: azure-eventhub"
ENDPOINT = "hub-made"
SOURCES = ("TwinChangeEvents", "DeviceLifecycleEvents", "DeviceConnectionStateEvents")


@pytest.fixture
def registry(service: Service) -> IoTHubRegistryManager:
    return IoTHubRegistryManager.from_connection_string(service.values["HOMEPORT_HUB_CONNECTION_STRING"])


@pytest.fixture
def admin(service: Service) -> Iterator[HomeportAdminClient]:
    secret = service.values["HOMEPORT_DPS_CONNECTION_STRING"]
    with HomeportAdminClient.create_from_connection_string(
        secret, ca_file=service.values["HOMEPORT_CA_FILE"]
    ) as client:
        yield client


@pytest.fixture
def endpoint(service: Service, admin: HomeportAdminClient) -> Iterator[str]:
    """A named endpoint that is told everything; its connection string."""
    hub = service.values["HOMEPORT_EVENTHUB_CONNECTION_STRING"].partition("EntityPath=")[2]
    admin.put_hub_event_hub(hub, ENDPOINT)
    for source in SOURCES:
        admin.put_hub_route(hub, source, endpoints=[ENDPOINT], source=source)
    admin.put_hub_route(hub, "hot", endpoints=[ENDPOINT], condition="level = 'hot' AND $body.t > 50")
    admin.put_hub_enrichment(hub, "site", "$twin.tags.site", endpoints=[ENDPOINT])
    yield service.values["HOMEPORT_EVENTHUB_CONNECTION_STRING"].replace(f"EntityPath={hub}", f"EntityPath={ENDPOINT}")
    for name in (*SOURCES, "hot"):
        admin.delete_hub_route(hub, name)
    admin.delete_hub_enrichment(hub, "site")
    admin.delete_hub_endpoint(hub, ENDPOINT)


@dataclass(frozen=True)
class Told:
    """What is looked at of an event."""

    source: str
    operation: str | None
    site: str | None
    body: Any

    @classmethod
    def of(cls, event: Any) -> "Told":
        properties = {name.decode(): value.decode() for name, value in event.properties.items()}
        return cls(
            source=event.system_properties[b"iothub-message-source"].decode(),
            operation=properties.get("opType"),
            site=properties.get("site"),
            body=event.body_as_json(),
        )


async def next_event(reader: Reader) -> Told:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return Told.of(await reader.events.get())


@pytest.mark.matrix(sdk=PYTHON, feature="lifecycle, connection and twin events; routes; enrichments", transport="amqp")
async def test_what_happens_to_a_device_is_read_in_its_order(
    service: Service, registry: IoTHubRegistryManager, endpoint: str
) -> None:
    async with reading(service, endpoint, starting_position="-1") as reader:
        async with device(service, registry, websockets=False) as (device_id, client):
            made, connected = await next_event(reader), await next_event(reader)
            assert (made.source, made.operation) == ("deviceLifecycleEvents", "createDeviceIdentity")
            assert made.body["deviceId"] == device_id
            assert made.site == "$twin.tags.site"
            assert (connected.source, connected.operation) == ("deviceConnectionStateEvents", "deviceConnected")

            twin = Twin(tags={"site": "A"}, properties=TwinProperties(desired={"rate": 5}))
            await asyncio.to_thread(registry.update_twin, device_id, twin, "*")
            by_service = await next_event(reader)
            assert (by_service.operation, by_service.site) == ("updateTwin", "A")
            assert by_service.body["tags"] == {"site": "A"}
            assert by_service.body["properties"]["desired"]["rate"] == 5

            await client.patch_twin_reported_properties({"firmware": "1.2"})
            by_device = await next_event(reader)
            assert by_device.source == "twinChangeEvents"
            assert by_device.body["properties"]["reported"]["firmware"] == "1.2"
            assert "desired" not in by_device.body["properties"]

            for temperature in (10, 60):
                message = Message(json.dumps({"t": temperature}))
                message.content_type, message.content_encoding = "application/json", "utf-8"
                message.custom_properties["level"] = "hot"
                await client.send_message(message)
            sent = await next_event(reader)
            assert (sent.source, sent.body, sent.site) == ("Telemetry", {"t": 60}, "A")
        left = await next_event(reader)
        assert (left.operation, left.body["sequenceNumber"] > connected.body["sequenceNumber"]) == (
            "deviceDisconnected",
            True,
        )
        await asyncio.to_thread(registry.delete_device, device_id)
        gone = await next_event(reader)
        assert (gone.operation, gone.body["deviceId"], gone.site) == ("deleteDeviceIdentity", device_id, "A")
        assert reader.errors.empty()
