import asyncio
import json
from typing import Any

import pytest
from aiohttp import ClientResponse

from homeport.portal import live
from homeport.portal.context import PORTAL
from tests.unit.portal.conftest import Clock, Visitor
from tests.unit.portal.standin import Standin

LIMIT = 5.0


class Stream:
    """Reads server-sent events as a browser does."""

    def __init__(self, answer: ClientResponse) -> None:
        self._answer = answer

    async def next(self) -> tuple[str, dict[str, Any]]:
        """Return the next event, passing comments over; EOFError at the end."""
        name, data = "", ""
        async with asyncio.timeout(LIMIT):
            while True:
                line = await self._answer.content.readline()
                if not line:
                    raise EOFError
                text = line.decode().rstrip("\n")
                if text.startswith("event: "):
                    name = text[7:]
                elif text.startswith("data: "):
                    data = text[6:]
                elif not text and data:
                    return name, json.loads(data)


@pytest.fixture
def hub(service: Standin) -> Standin:
    service.add_hub("hub1", "127.0.0.1")
    service.add_device("hub1", "sensor-1")
    service.add_device("hub1", "sensor-2")
    return service


async def test_a_device_is_followed_from_its_past_on(admin: Visitor, hub: Standin) -> None:
    hub.add_message("hub1", "sensor-1", {"n": 1})
    async with admin.client.get("/live/hub1/sensor-1") as answer:
        assert answer.content_type == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        stream = Stream(answer)
        name, document = await stream.next()
        assert (name, document["state"]) == ("connection", "Disconnected")
        assert (await stream.next())[1]["body"] == '{"n": 1}'
        hub.add_message("hub1", "sensor-2", {"n": "another device's"})
        hub.add_message("hub1", "sensor-1", {"n": 2}, properties={"alert": "high", "flag": None})
        name, document = await stream.next()
        assert name == "telemetry"
        assert document["body"] == '{"n": 2}'
        assert document["properties"] == {"alert": "high", "flag": "(no value)"}
        hub.connect("hub1", "sensor-1")
        assert (await stream.next())[1]["state"] == "Connected"
    await _until(lambda: not hub.listeners or None)


async def test_a_hub_tells_connections_and_no_telemetry(admin: Visitor, hub: Standin) -> None:
    async with admin.client.get("/live/hub1") as answer:
        stream = Stream(answer)
        await _until(lambda: hub.listeners)
        hub.add_message("hub1", "sensor-1", {"n": 1})
        hub.connect("hub1", "sensor-2")
        name, document = await stream.next()
        assert (name, document["device"], document["state"]) == ("connection", "sensor-2", "Connected")


async def test_hostile_messages_are_visible_text_and_cut(admin: Visitor, hub: Standin) -> None:
    many = {f"p{number}": "x" * 5000 for number in range(500)}
    hub.add_message("hub1", "sensor-1", "\u202e<b>\nevent: connection\n\n" + "y" * 50_000, encoding="text")
    hub.add_message("hub1", "sensor-1", {"deep": ["z" * 50_000]}, properties=many, systemProperties=many)
    async with admin.client.get("/live/hub1/sensor-1") as answer:
        stream = Stream(answer)
        await stream.next()
        name, document = await stream.next()
        assert name == "telemetry"
        assert document["body"].startswith("\\u202e<b>\nevent: connection\n\nyyy")
        assert len(document["body"]) <= live.MAX_BODY + 10
        _, document = await stream.next()
        assert len(document["body"]) <= live.MAX_BODY + 10
        assert len(document["properties"]) == live.MAX_PROPERTIES
        assert all(len(value) <= 513 for value in document["properties"].values())


async def test_unknown_hubs_and_devices(admin: Visitor, hub: Standin) -> None:
    assert (await admin.open("/live/nohub")).status == 404
    async with admin.client.get("/live/hub1/nobody") as answer:
        name, document = await Stream(answer).next()
        assert name == "trouble"
        assert "404" in document["message"]


async def test_a_hub_that_goes_away_is_told(admin: Visitor, hub: Standin) -> None:
    hub.down = True
    async with admin.client.get("/live/hub1") as answer:
        stream = Stream(answer)
        assert (await stream.next())[0] == "trouble"
        with pytest.raises(EOFError):
            await stream.next()


async def test_a_fault_of_ours_ends_the_stream_with_a_word(
    admin: Visitor, hub: Standin, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "messages", None)
    async with admin.client.get("/live/hub1/sensor-1") as answer:
        stream = Stream(answer)
        assert (await stream.next())[0] == "trouble"
        with pytest.raises(EOFError):
            await stream.next()
    assert any(record.exc_info for record in caplog.records)


async def test_streams_are_counted(admin: Visitor, hub: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_STREAMS", 1)
    async with admin.client.get("/live/hub1"):
        assert (await admin.open("/live/hub1")).status == 429
    await _until(lambda: not hub.listeners or None)


async def test_signing_out_ends_the_stream(admin: Visitor, hub: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "GLANCE", 0.05)
    async with admin.client.get("/live/hub1") as answer:
        await admin.send("/logout")
        with pytest.raises(EOFError):
            await Stream(answer).next()


async def test_a_reader_may_watch_and_is_asked_for_again_after_an_hour(
    stranger: Visitor, hub: Standin, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "GLANCE", 0.05)
    hub.administrators["hpt_reader"] = {"name": "anna", "role": "reader"}
    await stranger.sign_in("hpt_reader")
    async with stranger.client.get("/live/hub1/sensor-1") as answer:
        stream = Stream(answer)
        assert (await stream.next())[0] == "connection"
        hub.administrators.clear()
        hub.add_message("hub1", "sensor-1", {"n": 1})
        assert (await stream.next())[0] == "telemetry"
        clock.pass_time(live.STREAM_LIFE)
        with pytest.raises(EOFError):
            await stream.next()
    await _until(lambda: not hub.listeners)
    async with stranger.client.get("/live/hub1/sensor-1") as answer:
        assert answer.content_type != "text/event-stream"
    assert not hub.listeners


async def test_a_browser_that_left_is_noticed(admin: Visitor, hub: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "GLANCE", 0.05)
    answer = await admin.open("/live/hub1")
    await _until(lambda: hub.listeners)
    answer.close()
    await _until(lambda: not hub.listeners or None)


async def test_the_portal_stops_although_somebody_watches(admin: Visitor, hub: Standin) -> None:
    async with admin.client.get("/live/hub1") as answer:
        application = admin.client.app
        assert application is not None
        await _until(lambda: application[PORTAL].streams)
        await live.end_streams(application)
        with pytest.raises(EOFError):
            await Stream(answer).next()


async def _until(condition: Any) -> None:
    async with asyncio.timeout(LIMIT):
        while not condition():  # noqa: ASYNC110 - what is waited for lives in code that has no event for it
            await asyncio.sleep(0.01)
