"""Kill -9 under routed telemetry: what was acknowledged reaches the webhook, and every change has its event."""

import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.fault.actors import KeyDevice, MqttDevice, Operator, Place, network
from tests.fault.test_telemetry_kill import send_until_killed
from tests.server import HomeportServer

HUB = "127.0.62.1"
ROUNDS = 2
MOST = 100


class Hook:
    """A webhook in this process; refuses now and then, so that there is always something on the way."""

    def __init__(self, chance: random.Random) -> None:
        self.url = ""
        self.events: list[Any] = []
        self._chance = chance

    async def answer(self, request: web.BaseRequest) -> web.Response:
        event = json.loads(await request.read())
        if self._chance.random() < 0.02:
            return web.Response(status=503, headers={"Retry-After": "0"})
        self.events.append(event)
        return web.Response(status=204)

    def of(self, kind: str) -> list[Any]:
        """Return the bodies of one kind of event, each once, in the order of their first arrival."""
        once: dict[str, Any] = {}
        for event in self.events:
            if event["type"] == f"io.homeport.hub.{kind}":
                body = event["data"]["body"]
                once.setdefault(event["id"], json.loads(base64.b64decode(body)) if isinstance(body, str) else body)
        return list(once.values())


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    made = Hook(random.Random(5))
    runner = web.ServerRunner(web.Server(made.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    made.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/"  # type: ignore[attr-defined]  # a real server has sockets
    yield made
    await runner.cleanup()


async def test_nothing_acknowledged_is_lost_on_its_way(tmp_path: Path, hook: Hook) -> None:
    data = tmp_path / "data"
    chance = random.Random(11)
    key = ""
    acknowledged: set[int] = set()
    desired = 0
    for number in range(ROUNDS):
        with HomeportServer(data, (HUB,)) as server:
            async with Operator(data) as operator:
                place = Place.of(operator.info)
                if not key:
                    await operator.admin.put_hub_webhook("hub1", "ops", hook.url)
                    await operator.admin.put_hub_route("hub1", "all", endpoints=["ops"])
                    await operator.admin.put_hub_route("hub1", "twins", endpoints=["ops"], source="TwinChangeEvents")
                    key = await operator.enroll_key("sender")
                    async with network(place) as http:
                        sender = KeyDevice(registration_id="sender", key=key, place=place, http=http)
                        assert (await sender.register()).outcome == "assigned"
                desired += 1
                await operator.change_desired("hub1", "sender", n=desired)
                async with MqttDevice(HUB, "sender", key, place.trust()) as device:
                    acknowledged |= await send_until_killed(device, server, 1000 * number, chance.randint(1, MOST))
    with HomeportServer(data, (HUB,)):
        async with asyncio.timeout(30):
            while not acknowledged <= {body["n"] for body in hook.of("telemetry")}:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        async with Operator(data) as operator:
            (endpoint,) = await operator.admin.hub_endpoints("hub1")
            assert endpoint.name == "ops"
    arrived = [body["n"] for body in hook.of("telemetry")]
    assert len(acknowledged) >= ROUNDS
    assert arrived == sorted(set(arrived)), "in the order of sending, each once but for repetitions"
    changes = [body["properties"]["desired"]["n"] for body in hook.of("twinChangeEvents")]
    assert changes == list(range(1, desired + 1))
