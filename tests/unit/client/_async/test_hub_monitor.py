"""Watching a hub: how it is asked for, and that it goes on after a break where it was."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from homeport.client import ConnectionChange, RetryPolicy, TelemetryMessage, UnauthorizedError
from homeport.client._async.hub_monitor import HubMonitorClient
from tests.unit.client.scripted import ScriptedService, Step

PATH = "/homeport/monitor?api-version=2021-04-12"
KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
CHANGE = 'event: connection\ndata: {"time":"2026-01-01T00:00:00Z","deviceId":"d1","connectionState":"Connected"}\n\n'
PLACE = "event: place\nid: 0:7\ndata: {}\n\n"


def client(service: ScriptedService, ca_file: Path) -> HubMonitorClient:
    text = f"HostName={service.authority};SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}"
    retry = RetryPolicy(attempts=3, base=0.0)
    return HubMonitorClient.create_from_connection_string(text, ca_file=ca_file, retry=retry)


def message(body: str, place: str | None) -> str:
    named = "" if place is None else f"id: {place}\n"
    return (
        f'event: telemetry\n{named}data: {{"deviceId":"d1","partition":0,"offset":7,"size":0,"bodyEncoding":"text",\n'
        f'data: "body":"{body}","enqueuedTime":"2026-01-01T00:00:00Z"}}\n\n'
    )


async def test_the_last_messages_and_what_follows(server_context: ssl.SSLContext, ca_file: Path) -> None:
    begin = f"{PATH}&events=telemetry%2Cconnection&deviceId=d1"
    steps = [
        # It breaks before the past was told to its end: that is asked for again.
        Step(method="GET", path=f"{begin}&replay=1", text=": open\n\n" + CHANGE),
        Step(method="GET", path=f"{begin}&replay=1", text=CHANGE + message("ä", None) + PLACE),
        Step(method="GET", path=f"{begin}&after=0%3A7", status=0),
        Step(
            method="GET",
            path=f"{begin}&after=0%3A7",
            text=": alive\n\nevent: tomorrow\ndata: {}\n\n" + message("new", "0:8"),
        ),
    ]
    told = []
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as hub:
            async for event in hub.monitor(kinds=["telemetry", "connection"], device_id="d1", replay=1):
                told.append(event)
                if len(told) == 4:
                    break
    assert isinstance(told[0], ConnectionChange)
    assert told[0] == told[1]
    assert [each.body for each in told[2:] if isinstance(each, TelemetryMessage)] == ["ä", "new"]


async def test_a_refused_stream(server_context: ssl.SSLContext, ca_file: Path) -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    body = {"Message": "ErrorCode:IotHubUnauthorizedAccess;Unauthorized", "ExceptionMessage": ""}
    step = Step(method="GET", path=f"{PATH}&since=2026-01-01T00%3A00%3A00%2B00%3A00", status=401, body=body)
    service = ScriptedService([step], server_context)
    with service, pytest.raises(UnauthorizedError, match="HubUnauthorized"):
        async with client(service, ca_file) as hub:
            assert [event async for event in hub.monitor(since=since)] == []
