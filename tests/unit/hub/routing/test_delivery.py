"""Messages on their way to webhooks and storage: at least once, in order, wherever a process stopped."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from homeport.hub.hubs import Hubs
from homeport.hub.model import (
    Endpoint,
    MessageSource,
    Route,
    StorageEndpoint,
    Telemetry,
    WebhookEndpoint,
)
from homeport.hub.routing.delivery import LEASE
from homeport.hub.served_hub import ServedHub
from homeport.security.callers import SYSTEM
from homeport.security.webhooks import new_secret, signature
from homeport.values import replace
from tests.unit.hub.conftest import MakeHubs, ManualClock, running, settle

SECRET = new_secret(lambda size: b"s" * size)
JSON = {"ct": "application/json", "ce": "utf-8"}


@dataclass
class Hook:
    """A webhook that notes what it is sent, and answers as it is told: the next of `answers`, then 204."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    calls: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.calls.append((request.headers, await request.read()))
        status = self.answers.pop(0) if self.answers else 204
        return web.Response(status=status, headers={"Retry-After": "7"} if status == 429 else {})

    @property
    def taken(self) -> list[Any]:
        return [json.loads(body)["data"]["body"] for _, body in self.calls]


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    made = Hook()
    runner = web.ServerRunner(web.Server(made.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    made.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/in?key=1"  # type: ignore[attr-defined]  # a real server has sockets
    yield made
    await runner.cleanup()


async def route_to(hub: ServedHub, endpoint: Endpoint) -> None:
    routing = hub.routing
    await routing.endpoints.put(endpoint.name, lambda _: endpoint, by=SYSTEM)
    route = Route(name="all", source=MessageSource.DEVICE_MESSAGES, endpoints=(endpoint.name,))
    await routing.routes.put(route.name, lambda _: route, by=SYSTEM)


async def send(hub: ServedHub, clock: ManualClock, *bodies: bytes, device_id: str = "d1", **properties: str) -> None:
    for body in bodies:
        message = Telemetry(
            device_id=device_id,
            body=body,
            system=JSON,
            properties=properties,
            annotations={"iothub-connection-device-id": device_id, "iothub-message-source": "Telemetry"},
            enqueued_at=clock.now(),
        )
        await hub.routing.device_messages.send(device_id, message)


async def eventually(holds: Callable[[], object], clock: ManualClock | None = None, seconds: float = 0) -> None:
    """Wait for what a delivery is about to bring about; the clock moves on meanwhile if it is given."""
    async with asyncio.timeout(10):
        while not holds():
            if clock is not None:
                clock.pass_seconds(seconds)
            await asyncio.sleep(0.005)


async def test_a_webhook_gets_each_message_signed_and_in_order(hub: ServedHub, hook: Hook, clock: ManualClock) -> None:
    await route_to(hub, WebhookEndpoint(name="hook", url=hook.url, secret=SECRET))
    await send(hub, clock, b'{"n": 0}', device_id="d0", level="hot")
    async with running(hub):
        await send(hub, clock, *(b'{"n": %d}' % number for number in range(20)))
        await eventually(lambda: len(hook.calls) == 21)
    assert [each["n"] for each in hook.taken if each].count(0) == 2
    of_d1 = [json.loads(body) for _, body in hook.calls if json.loads(body)["subject"] == "devices/d1"]
    assert [event["data"]["body"] for event in of_d1] == [{"n": number} for number in range(20)]
    headers, body = next(call for call in hook.calls if json.loads(call[1])["subject"] == "devices/d0")
    event = json.loads(body)
    assert event == {
        "specversion": "1.0",
        "id": event["id"],
        "source": "urn:homeport:hub:hub:hook",
        "type": "io.homeport.hub.telemetry",
        "subject": "devices/d0",
        "time": "2024-06-01T12:00:00.0000000Z",
        "datacontenttype": "application/json",
        "sequence": "0" * 18,
        "data": {
            "properties": {"level": "hot"},
            "systemProperties": {
                "contentType": "application/json",
                "contentEncoding": "utf-8",
                "connectionDeviceId": "d0",
                "messageSource": "Telemetry",
                "enqueuedTime": "2024-06-01T12:00:00.0000000Z",
            },
            "body": {"n": 0},
        },
    }
    name = f"{event['source']}:{event['id']}"
    assert signature(SECRET, name, int(headers["webhook-timestamp"]), body).items() <= dict(headers).items()


@pytest.mark.parametrize("status", [500, 503, 404, 401, 302])
async def test_a_webhook_that_fails_is_tried_again_with_the_same_message(
    hub: ServedHub, hook: Hook, clock: ManualClock, status: int
) -> None:
    hook.answers = [status, status]
    await route_to(hub, WebhookEndpoint(name="hook", url=hook.url))
    async with running(hub):
        await send(hub, clock, b"1", b"2")
        await eventually(lambda: len(hook.calls) == 4, clock, 0.5)
    assert hook.taken == [1, 1, 1, 2]
    assert "webhook-signature" not in hook.calls[0][0]
    standing = await hub.routing.deliveries.standing("hook")
    assert standing.last_failure == f"the webhook answered {status}"
    assert sum(standing.positions.values()) == 2


async def test_what_a_webhook_never_takes_is_passed_over(hub: ServedHub, hook: Hook, clock: ManualClock) -> None:
    hook.answers = [400]
    await route_to(hub, WebhookEndpoint(name="hook", url=hook.url))
    async with running(hub):
        await send(hub, clock, b"1", b"2")
        await eventually(lambda: len(hook.calls) == 2)
    assert hook.taken == [1, 2]


async def test_a_webhook_that_asks_for_time_gets_it(hub: ServedHub, hook: Hook, clock: ManualClock) -> None:
    hook.answers = [429]
    await route_to(hub, WebhookEndpoint(name="hook", url=hook.url))
    async with running(hub):
        await send(hub, clock, b"1")
        await eventually(lambda: len(hook.calls) == 1)
        await settle()
        clock.pass_seconds(6)
        await asyncio.sleep(0.05)
        assert len(hook.calls) == 1
        clock.pass_seconds(1)
        await eventually(lambda: len(hook.calls) == 2)


async def test_delivery_goes_on_where_it_stopped(
    hub: ServedHub, make_hubs: MakeHubs, hook: Hook, clock: ManualClock
) -> None:
    await route_to(hub, WebhookEndpoint(name="hook", url=hook.url))
    async with running(hub):
        await send(hub, clock, b"1", b"2")
        await eventually(lambda: len(hook.calls) == 2)
    await send(hub, clock, b"3")
    again: Hubs = make_hubs()
    await again.load(alone=False)
    async with running(again):
        await eventually(lambda: len(hook.calls) == 3)
    assert hook.taken == [1, 2, 3]


async def test_another_process_takes_over_when_the_lease_ends(
    hub: ServedHub, make_hubs: MakeHubs, hook: Hook, clock: ManualClock
) -> None:
    await route_to(hub, WebhookEndpoint(name="hook", url=hook.url))
    dead = await hub.routing.deliveries.claim("hook", owner="dead", now=clock.now(), until=clock.now() + LEASE)
    assert dead is not None
    await send(hub, clock, b"1")
    async with running(hub):
        await asyncio.sleep(0.05)
        assert hook.calls == []
        clock.pass_seconds(LEASE.total_seconds())
        await eventually(lambda: hook.taken == [1])


async def test_two_processes_deliver_once(hub: ServedHub, make_hubs: MakeHubs, hook: Hook, clock: ManualClock) -> None:
    await route_to(hub, WebhookEndpoint(name="hook", url=hook.url))
    other: Hubs = make_hubs()
    await other.load(alone=False)
    async with running(hub), running(other):
        await send(hub, clock, *(b"%d" % number for number in range(30)))
        await eventually(lambda: len(hook.calls) >= 30)
        await asyncio.sleep(0.05)
    assert hook.taken == list(range(30))


async def test_a_changed_address_counts_from_the_next_message(hub: ServedHub, hook: Hook, clock: ManualClock) -> None:
    nowhere = WebhookEndpoint(name="hook", url="http://127.0.0.1:9/")
    await route_to(hub, nowhere)
    async with running(hub):
        await send(hub, clock, b"1")
        await asyncio.sleep(0.1)
        await hub.routing.endpoints.put("hook", lambda _: replace(nowhere, url=hook.url), by=SYSTEM)
        await eventually(lambda: hook.taken == [1], clock, 0.1)


async def test_an_endpoint_that_is_removed_is_sent_nothing_more(hub: ServedHub, hook: Hook, clock: ManualClock) -> None:
    hook.answers = [503] * 1000
    await route_to(hub, WebhookEndpoint(name="hook", url=hook.url))
    async with running(hub):
        await send(hub, clock, b"1")
        await eventually(lambda: hook.calls)
        await hub.routing.routes.delete("all", by=SYSTEM)
        await hub.routing.endpoints.delete("hook", by=SYSTEM)
        await asyncio.sleep(0.4)
        calls = len(hook.calls)
        clock.pass_seconds(100)
        await asyncio.sleep(0.05)
        assert len(hook.calls) == calls


# ---------------------------------------------------------------- storage


async def blobs(hub: ServedHub) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for blob in await hub.files.container.list(prefix="", after="", limit=100):
        found[blob.name] = b"".join([piece async for piece in hub.files.container.read(blob, 0, blob.size)])
    return found


def lines(content: Sequence[bytes]) -> list[Any]:
    return [json.loads(line) for each in content for line in each.splitlines()]


async def has_blobs(hub: ServedHub, count: int, clock: ManualClock | None = None) -> dict[str, bytes]:
    async with asyncio.timeout(10):
        while len(found := await blobs(hub)) < count:
            if clock is not None:
                clock.pass_seconds(1)
            await asyncio.sleep(0.005)
    return found


async def test_storage_gets_a_blob_for_each_batch(hub: ServedHub, clock: ManualClock) -> None:
    await route_to(hub, StorageEndpoint(name="files", partitions=1, batch_seconds=60))
    async with running(hub):
        await send(hub, clock, b'{"n":\n 1}', b"[", level="hot")
        await asyncio.sleep(0.05)
        assert await blobs(hub) == {}
        clock.pass_seconds(60)
        found = await has_blobs(hub, 1)
        await send(hub, clock, b"3")
        clock.pass_seconds(60)
        found = await has_blobs(hub, 2)
    assert list(found) == ["hub/0/2024/06/01/12/00_0.json", "hub/0/2024/06/01/12/01_2.json"]
    first, second, third = lines(list(found.values()))
    assert first == {
        "EnqueuedTimeUtc": "2024-06-01T12:00:00.0000000Z",
        "Properties": {"level": "hot"},
        "SystemProperties": {
            "contentType": "application/json",
            "contentEncoding": "utf-8",
            "connectionDeviceId": "d1",
            "messageSource": "Telemetry",
            "enqueuedTime": "2024-06-01T12:00:00.0000000Z",
        },
        "Body": {"n": 1},
    }
    assert (second["Body"], third["Body"]) == ("Ww==", 3)


async def test_a_full_batch_does_not_wait(hub: ServedHub, clock: ManualClock) -> None:
    endpoint = StorageEndpoint(name="files", partitions=1, max_chunk_bytes=1 << 20)
    await route_to(hub, endpoint)
    async with running(hub):
        await send(hub, clock, *(b'"%s"' % (b"x" * 200_000) for _ in range(7)))
        found = await has_blobs(hub, 1)
    assert [len(content.splitlines()) for content in found.values()] == [6]


async def test_a_batch_that_was_written_and_not_noted_replaces_itself(
    hub: ServedHub, make_hubs: MakeHubs, clock: ManualClock
) -> None:
    await route_to(hub, StorageEndpoint(name="files", partitions=1, batch_seconds=1))
    await send(hub, clock, b"1", b"2")
    async with running(hub):
        clock.pass_seconds(1)
        await has_blobs(hub, 1)
    store = hub.routing.deliveries
    standing = await store.claim("files", owner="x", now=clock.now(), until=clock.now() + LEASE)
    assert standing is not None
    assert standing.positions == {0: 2}
    await store.advance("files", replace(standing, positions={}), owner="x", until=clock.now())
    await store.release("files", owner="x")
    again: Hubs = make_hubs()
    await again.load(alone=False)
    await send(hub, clock, b"3")
    async with running(again):
        clock.pass_seconds(1)
        async with asyncio.timeout(10):
            while [each["Body"] for each in lines(list((await blobs(hub)).values()))] != [1, 2, 3]:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    assert len(await blobs(hub)) == 1
