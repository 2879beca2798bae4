"""Routes, endpoints and enrichments of a hub, as administrators make, change, try and remove them over HTTPS."""

from typing import Any

import pytest

from tests.transports.test_audited import Operator, hook, operator

__all__ = ["hook", "operator"]

HUB = "/homeport/hubs/HUB1"
ROUTES, ENDPOINTS, ENRICHMENTS = f"{HUB}/routes", f"{HUB}/endpoints", f"{HUB}/enrichments"
FALLBACK = {
    "name": "$fallback",
    "source": "DeviceMessages",
    "condition": "true",
    "endpointNames": ["events"],
    "isEnabled": True,
}


async def got(operator: Operator, path: str) -> Any:
    answer = await operator.ask("GET", path)
    assert answer.status == 200, answer.body
    return answer.document


async def put(operator: Operator, path: str, body: Any) -> Any:
    answer = await operator.ask("PUT", path, body)
    assert answer.status == 200, answer.body
    return answer.document


async def test_routes(operator: Operator) -> None:
    assert await got(operator, ROUTES) == [FALLBACK]
    await put(operator, f"{ENDPOINTS}/alarms", {"type": "eventHub"})
    hot = {
        "name": "hot",
        "source": "TwinChangeEvents",
        "condition": "$body.version > 1",
        "endpointNames": ["alarms", "events"],
        "isEnabled": False,
    }
    given = {
        **hot,
        "source": "twinchangeevents",
        "endpointNames": ["ALARMS", "Events", "alarms"],
    }
    assert await put(operator, f"{ROUTES}/hot", given) == hot
    assert await got(operator, f"{ROUTES}/HOT") == hot
    assert await put(operator, f"{ROUTES}/HOT", {**given, "isEnabled": True}) == {**hot, "isEnabled": True}
    off = await put(operator, f"{ROUTES}/$fallback", {"isEnabled": False})
    assert off == {**FALLBACK, "isEnabled": False}
    assert [each["name"] for each in await got(operator, ROUTES)] == ["hot", "$fallback"]
    assert (await operator.ask("DELETE", f"{ENDPOINTS}/alarms")).status == 409
    assert (await operator.ask("DELETE", f"{ROUTES}/$fallback")).status == 400
    assert (await operator.ask("DELETE", f"{ROUTES}/hot")).status == 204
    assert (await operator.ask("DELETE", f"{ROUTES}/hot")).status == 404
    assert (await operator.ask("GET", f"{ROUTES}/hot")).status == 404
    assert (await operator.ask("DELETE", f"{ENDPOINTS}/Alarms")).status == 204


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        (f"{ROUTES}/r", {"endpointNames": []}, "endpointNames"),
        (f"{ROUTES}/r", {"endpointNames": ["none"]}, "none"),
        (f"{ROUTES}/r", {"endpointNames": ["events"], "condition": "a ="}, "condition: "),
        (f"{ROUTES}/r", {"endpointNames": ["events"], "condition": "$nothing = 1"}, "$nothing"),
        (f"{ROUTES}/r", {"endpointNames": ["events"], "source": "Nobody"}, "source"),
        (f"{ROUTES}/r%20x", {"endpointNames": ["events"]}, "name"),
        (f"{ROUTES}/r", {"endpointNames": "events"}, "endpointNames"),
        (f"{ENDPOINTS}/events", {"type": "eventHub"}, "events"),
        (f"{ENDPOINTS}/hub1", {"type": "eventHub"}, "hub's name"),
        (f"{ENDPOINTS}/x_", {"type": "eventHub"}, "name"),
        (f"{ENDPOINTS}/x", {"type": "serviceBus"}, "type"),
        (f"{ENDPOINTS}/x", {"type": "eventHub", "partitionCount": 33}, "partitions"),
        (f"{ENDPOINTS}/x", {"type": "webhook"}, "url"),
        (f"{ENDPOINTS}/x", {"type": "webhook", "url": "http://example.com/"}, "url"),
        (f"{ENDPOINTS}/x", {"type": "webhook", "url": "https://example.com/", "secret": "short"}, "secret"),
        (f"{ENDPOINTS}/x", {"type": "webhook", "url": "https://e.com/", "caCertificates": "x"}, "caCertificates"),
        (f"{ENDPOINTS}/x", {"type": "storage", "batchFrequencyInSeconds": 0}, "batchFrequencyInSeconds"),
        (f"{ENDPOINTS}/x", {"type": "storage", "maxChunkSizeInBytes": 1}, "maxChunkSizeInBytes"),
        (f"{ENDPOINTS}/x", {"type": "storage", "fileNameFormat": "{iothub}/{partition}"}, "fileNameFormat"),
        (f"{ENDPOINTS}/x", {"type": "storage", "connectionString": "nonsense", "container": "c"}, "connectionString"),
        (f"{ENRICHMENTS}/k", {"value": "", "endpointNames": ["events"]}, "value"),
        (f"{ENRICHMENTS}/k", {"value": "$twin.nothing", "endpointNames": ["events"]}, "$twin.tags"),
        (f"{ENRICHMENTS}/k", {"value": "x", "endpointNames": ["none"]}, "none"),
        (f"{ENRICHMENTS}/k%20x", {"value": "x", "endpointNames": ["events"]}, "key"),
    ],
)
async def test_what_cannot_be_meant_is_refused_with_the_reason(
    operator: Operator, path: str, body: Any, told: str
) -> None:
    answer = await operator.ask("PUT", path, body)
    assert answer.status == 400, answer.body
    assert told in answer.document["message"]
    assert [each["name"] for each in await got(operator, ROUTES)] == ["$fallback"]
    assert await got(operator, ENDPOINTS) == await got(operator, ENRICHMENTS) == []


async def test_a_hub_that_is_not_ours_has_none(operator: Operator) -> None:
    for path in ("routes", "endpoints", "enrichments", "routes/x", "endpoints/x", "enrichments/x"):
        assert (await operator.ask("GET", f"/homeport/hubs/other/{path}")).status == 404
    for path in (f"{ROUTES}/x/y", f"{ENDPOINTS}/x/y", f"{ENRICHMENTS}/x/y", f"{HUB}/testRoutes/x"):
        assert (await operator.ask("GET", path)).status == 404
    assert (await operator.ask("POST", ROUTES, {})).status == 405


async def test_webhooks_keep_their_secret(operator: Operator) -> None:
    body = {"type": "webhook", "url": "https://example.com/in?key=1"}
    made = await put(operator, f"{ENDPOINTS}/Hook", body)
    assert made["secret"].startswith("whsec_")
    shown = {
        "name": "Hook",
        "type": "webhook",
        "partitionCount": 4,
        "url": "https://example.com/in",
        "signed": True,
        "waiting": 0,
    }
    assert {name: value for name, value in made.items() if name != "secret"} == shown
    assert await put(operator, f"{ENDPOINTS}/hook", {**body, "url": "https://example.org/in"}) == {
        **shown,
        "url": "https://example.org/in",
    }
    assert (await put(operator, f"{ENDPOINTS}/hook", {**body, "secret": made["secret"]}))["secret"] == made["secret"]
    assert (await put(operator, f"{ENDPOINTS}/hook", {**body, "secret": None}))["signed"] is False
    assert (await operator.ask("PUT", f"{ENDPOINTS}/hook", {"type": "eventHub"})).status == 400
    assert (await operator.ask("PUT", f"{ENDPOINTS}/hook", {**body, "partitionCount": 2})).status == 400
    assert made["secret"] not in str([entry.entry for entry in await operator.journal()])
    assert await got(operator, f"{ENDPOINTS}/HOOK") == {**shown, "signed": False}


async def test_storage_keeps_its_connection_string(operator: Operator) -> None:
    account = "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5a2V5;EndpointSuffix=example.com"
    body = {"type": "storage", "connectionString": account, "container": "events", "batchFrequencyInSeconds": 60}
    shown = {
        "name": "files",
        "type": "storage",
        "partitionCount": 2,
        "fileNameFormat": "{iothub}/{partition}/{YYYY}/{MM}/{DD}/{HH}/{mm}",
        "batchFrequencyInSeconds": 60,
        "maxChunkSizeInBytes": 16777216,
        "storage": "account",
        "container": "events",
        "waiting": 0,
    }
    assert await put(operator, f"{ENDPOINTS}/files", {**body, "partitionCount": 2}) == shown
    again = {"type": "storage", "batchFrequencyInSeconds": 90}
    assert await put(operator, f"{ENDPOINTS}/files", again) == {**shown, "batchFrequencyInSeconds": 90}
    built_in = await put(operator, f"{ENDPOINTS}/files", {**again, "connectionString": None})
    assert (built_in["storage"], "container" in built_in) == ("built-in", False)
    assert "a2V5" not in str([entry.entry for entry in await operator.journal()])


async def test_there_is_an_end_of_endpoints_and_enrichments(operator: Operator) -> None:
    for number in range(10):
        await put(operator, f"{ENDPOINTS}/e{number}", {"type": "eventHub"})
        await put(operator, f"{ENRICHMENTS}/k{number}", {"value": "x", "endpointNames": ["events"]})
    assert (await operator.ask("PUT", f"{ENDPOINTS}/e10", {"type": "eventHub"})).status == 400
    more = {"value": "x", "endpointNames": ["events"]}
    assert (await operator.ask("PUT", f"{ENRICHMENTS}/k10", more)).status == 400
    assert (await operator.ask("PUT", f"{ENRICHMENTS}/k9", more)).status == 200


async def test_enrichments(operator: Operator) -> None:
    made = await put(operator, f"{ENRICHMENTS}/site", {"value": "$twin.tags.site", "endpointNames": ["EVENTS"]})
    assert made == {"key": "site", "value": "$twin.tags.site", "endpointNames": ["events"]}
    assert await got(operator, ENRICHMENTS) == [made]
    assert await got(operator, f"{ENRICHMENTS}/site") == made
    assert (await operator.ask("GET", f"{ENRICHMENTS}/SITE")).status == 404
    assert (await operator.ask("DELETE", f"{ENRICHMENTS}/site")).status == 204
    assert (await operator.ask("DELETE", f"{ENRICHMENTS}/site")).status == 404


async def test_trying_routes_sends_nothing(operator: Operator) -> None:
    await put(operator, f"{ENDPOINTS}/alarms", {"type": "eventHub"})
    await put(operator, f"{ROUTES}/hot", {"endpointNames": ["alarms"], "condition": "level = 'hot' AND $body.t > 5"})
    await put(operator, f"{ROUTES}/site", {"endpointNames": ["alarms", "events"], "condition": "$twin.tags.s = 'A'"})
    await put(operator, f"{ENRICHMENTS}/by", {"value": "$twin.tags.s", "endpointNames": ["alarms"]})

    async def tried(**what: Any) -> tuple[dict[str, str], dict[str, Any]]:
        answer = await operator.ask("POST", f"{HUB}/testRoutes", what)
        assert answer.status == 200, answer.body
        return (
            {each["name"]: each["result"] for each in answer.document["routes"]},
            {each["endpointName"]: each["properties"] for each in answer.document["deliveries"]},
        )

    message = {"body": {"t": 6}, "appProperties": {"level": "hot"}}
    assert await tried(message=message, twin={"tags": {"s": "B"}}) == (
        {"hot": "true", "site": "false"},
        {"alarms": {"level": "hot", "by": "B"}},
    )
    assert await tried(message={**message, "body": "{}"}, twin={"tags": {"s": "A"}}) == (
        {"hot": "undefined", "site": "true"},
        {"alarms": {"level": "hot", "by": "A"}, "events": {"level": "hot"}},
    )
    assert await tried() == ({"hot": "undefined", "site": "undefined"}, {"events": {}})
    assert await tried(routingSource="TwinChangeEvents") == ({}, {})
    alone = {"condition": "$connectionModuleId = 'm'", "endpointNames": ["events"]}
    assert await tried(route=alone, twin={}, deviceId="d/m") == ({"route": "true"}, {"events": {}})
    for refused, status in (
        ({"deviceId": "nobody"}, 404),
        ({"deviceId": "a b"}, 400),
        ({"routingSource": "x"}, 400),
        ({"route": {"condition": "("}}, 400),
        ({"twin": {"tags": {"$": 1}}}, 400),
    ):
        assert (await operator.ask("POST", f"{HUB}/testRoutes", refused)).status == status
    assert all(each["type"] == "eventHub" for each in await got(operator, ENDPOINTS))
