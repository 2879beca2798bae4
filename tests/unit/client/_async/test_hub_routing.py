"""Routes, endpoints and enrichments of a hub as the client writes and reads them."""

import ssl
from pathlib import Path

import pytest

from homeport.client import ConflictError, HubEnrichment, HubRoute, RouteDelivery, RouteResult, RouteTrial
from tests.unit.client._async.test_admin import client
from tests.unit.client.scripted import ScriptedService, Step

VERSION = "?api-version=2021-10-01"
HUB = "/homeport/hubs/hub1"
ROUTE = {
    "name": "hot",
    "source": "DeviceMessages",
    "condition": "level = 'hot'",
    "endpointNames": ["alarms"],
    "isEnabled": True,
}
FALLBACK = ROUTE | {"name": "$fallback", "isEnabled": False}
ENDPOINT = {"name": "alarms", "type": "eventHub", "partitionCount": 2}
WEBHOOK = {"name": "ops", "type": "webhook", "partitionCount": 4, "url": "https://example.com/", "secret": "whsec_x"}
STORAGE = {"name": "files", "type": "storage", "partitionCount": 4, "storage": "built-in", "waiting": 3}
ENRICHMENT = {"key": "site", "value": "$twin.tags.site", "endpointNames": ["alarms"]}
TRIED = {
    "routes": [{"name": "hot", "result": "undefined"}],
    "deliveries": [{"endpointName": "events", "properties": {"a": None}}],
}


async def test_routes(server_context: ssl.SSLContext, ca_file: Path) -> None:
    written = {name: value for name, value in ROUTE.items() if name != "name"}
    steps = [
        Step(method="GET", path=f"{HUB}/routes{VERSION}", body=[ROUTE, FALLBACK]),
        Step(method="PUT", path=f"{HUB}/routes/hot{VERSION}", body=ROUTE, expects=written),
        Step(method="PUT", path=f"{HUB}/routes/%24fallback{VERSION}", body=FALLBACK, expects={"isEnabled": False}),
        Step(method="DELETE", path=f"{HUB}/routes/hot{VERSION}", status=204),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as admin:
            hot, fallback = await admin.hub_routes("hub1")
            assert await admin.put_hub_route("hub1", "hot", endpoints=["alarms"], condition="level = 'hot'") == hot
            assert await admin.set_hub_fallback("hub1", enabled=False) == fallback
            await admin.delete_hub_route("hub1", "hot")
    assert isinstance(hot, HubRoute)
    assert (hot.condition, fallback.is_enabled) == ("level = 'hot'", False)


async def test_trying(server_context: ssl.SSLContext, ca_file: Path) -> None:
    message = {"body": {"t": 1}, "appProperties": {"a": None}, "systemProperties": {}}
    alone = {"source": "DeviceMessages", "condition": "a = 1", "endpointNames": ["events"]}
    full = {
        "routingSource": "DeviceMessages",
        "message": message,
        "deviceId": "d1",
        "twin": {"tags": {}},
        "route": alone,
    }
    empty = {"body": "", "appProperties": {}, "systemProperties": {}}
    steps = [
        Step(method="POST", path=f"{HUB}/testRoutes{VERSION}", body=TRIED, expects=full),
        Step(
            method="POST",
            path=f"{HUB}/testRoutes{VERSION}",
            body=TRIED,
            expects={"routingSource": "TwinChangeEvents", "message": empty},
        ),
    ]
    trial = RouteTrial(body={"t": 1}, app_properties={"a": None}, device_id="d1", twin={"tags": {}}, condition="a = 1")
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as admin:
            told = await admin.test_hub_routes("hub1", trial)
            await admin.test_hub_routes("hub1", RouteTrial(routing_source="TwinChangeEvents"))
    assert told.routes == [RouteResult(name="hot", result="undefined")]
    assert told.deliveries == [RouteDelivery(endpoint_name="events", properties={"a": None})]


async def test_endpoints(server_context: ssl.SSLContext, ca_file: Path) -> None:
    def put(name: str, body: object, **expects: object) -> Step:
        return Step(method="PUT", path=f"{HUB}/endpoints/{name}{VERSION}", body=body, expects=expects)

    url = "https://example.com/"
    steps = [
        Step(method="GET", path=f"{HUB}/endpoints{VERSION}", body=[ENDPOINT, WEBHOOK, STORAGE]),
        put("alarms", ENDPOINT, type="eventHub", partitionCount=2),
        put("alarms", ENDPOINT, type="eventHub"),
        put("ops", WEBHOOK, type="webhook", url=url),
        put("ops", WEBHOOK, type="webhook", url=url, secret=None, caCertificates="pem"),
        put("ops", WEBHOOK, type="webhook", url=url, secret="whsec_y"),
        put("files", STORAGE, type="storage"),
        put(
            "files",
            STORAGE,
            type="storage",
            connectionString="c",
            container="n",
            fileNameFormat="f",
            batchFrequencyInSeconds=60,
            maxChunkSizeInBytes=1 << 20,
        ),
        Step(method="DELETE", path=f"{HUB}/endpoints/alarms{VERSION}", status=409, body={"errorCode": 409203}),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as admin:
            found = await admin.hub_endpoints("hub1")
            await admin.put_hub_event_hub("hub1", "alarms", partitions=2)
            await admin.put_hub_event_hub("hub1", "alarms")
            made = await admin.put_hub_webhook("hub1", "ops", url)
            await admin.put_hub_webhook("hub1", "ops", url, signed=False, ca_certificates="pem")
            await admin.put_hub_webhook("hub1", "ops", url, secret="whsec_y")
            await admin.put_hub_storage("hub1", "files")
            await admin.put_hub_storage(
                "hub1",
                "files",
                connection_string="c",
                container="n",
                file_name_format="f",
                batch_seconds=60,
                max_chunk_bytes=1 << 20,
            )
            with pytest.raises(ConflictError):
                await admin.delete_hub_endpoint("hub1", "alarms")
    assert [each.type for each in found] == ["eventHub", "webhook", "storage"]
    assert (made.secret, found[2].waiting, found[0].url) == ("whsec_x", 3, None)


async def test_enrichments(server_context: ssl.SSLContext, ca_file: Path) -> None:
    path = f"{HUB}/enrichments/site{VERSION}"
    written = {name: value for name, value in ENRICHMENT.items() if name != "key"}
    steps = [
        Step(method="PUT", path=path, body=ENRICHMENT, expects=written),
        Step(method="GET", path=f"{HUB}/enrichments{VERSION}", body=[ENRICHMENT]),
        Step(method="DELETE", path=path, status=204),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as admin:
            made = await admin.put_hub_enrichment("hub1", "site", "$twin.tags.site", endpoints=["alarms"])
            assert await admin.hub_enrichments("hub1") == [made]
            await admin.delete_hub_enrichment("hub1", "site")
    assert made == HubEnrichment(key="site", value="$twin.tags.site", endpoint_names=["alarms"])
