"""Events reach webhooks: all of them, in order for each subject, from one of several processes, whatever fails."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from homeport.clock import SystemClock
from homeport.dps.events import (
    Answer,
    EventDelivery,
    SubscriptionService,
    Tools,
    WebhookError,
    worker,
)
from homeport.dps.model import Entry, Filter, Kind, Mode, Subscription
from homeport.errors import Code, HomeportError
from homeport.security.callers import SYSTEM
from homeport.store import Stores, open_stores
from tests.transports.world import EPOCH

URL = "https://events.example.com/x"


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that must come soon."""
    for _ in range(2000):
        if await condition():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


@dataclass
class FakeWebhook:
    """Keeps what it was sent; `rule` decides what is answered, and may raise."""

    rule: Callable[[dict[str, Any], int], Answer] = lambda event, count: Answer(status=204, headers={})
    taken: list[dict[str, Any]] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    delay: float = 0.0

    async def call(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, ca_certificates: str | None
    ) -> Answer:
        del url, headers, ca_certificates
        if method == "OPTIONS":
            return Answer(status=200, headers={"webhook-allowed-origin": "*"})
        event = json.loads(body or b"")
        self.tried.append(event["id"])
        await asyncio.sleep(self.delay)
        answer = self.rule(event, self.tried.count(event["id"]))
        if answer.status < 300:
            self.taken.append(event)
        return answer

    async def has(self, count: int) -> list[dict[str, Any]]:
        await until(lambda: self._has(count))
        return self.taken

    async def _has(self, count: int) -> bool:
        return len(self.taken) >= count


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_FIRST_WAIT", 0.02)
    monkeypatch.setattr(worker, "_NOTE_EVERY", timedelta(milliseconds=20))


@pytest.fixture
async def stores() -> AsyncIterator[Stores]:
    async with open_stores(":memory:") as opened:
        yield opened


def subscription(**members: Any) -> Subscription:
    return Subscription(
        **{
            "name": "hook",
            "url": URL,
            "filter": Filter(types=("io.homeport.device.*",)),
            "mode": Mode.STRUCTURED,
            "secret": None,
            "enabled": True,
            "etag": "e",
            "created_at": EPOCH,
            **members,
        }
    )


def tools(stores: Stores, webhook: FakeWebhook, **members: Any) -> Tools:
    return Tools(
        journal=stores.journal,
        subscriptions=stores.subscriptions,
        webhook=webhook,
        source="urn:homeport:test",
        clock=SystemClock(),
        random=secrets.token_bytes,
        owner=secrets.token_hex(4),
        **members,
    )


@asynccontextmanager
async def delivering(stores: Stores, webhook: FakeWebhook, **members: Any) -> AsyncIterator[EventDelivery]:
    delivery = EventDelivery(tools(stores, webhook, **members), poll=0.05)
    task = asyncio.get_running_loop().create_task(delivery.run())
    try:
        yield delivery
    finally:
        task.cancel()
        await asyncio.wait((task,))


def service(stores: Stores, webhook: FakeWebhook) -> SubscriptionService:
    return SubscriptionService(
        subscriptions=stores.subscriptions,
        journal=stores.journal,
        webhook=webhook,
        origin="dps.example.com",
        source="urn:homeport:test",
        changed=lambda: None,
        clock=SystemClock(),
        random=secrets.token_bytes,
    )


async def tell(stores: Stores, *devices: str) -> None:
    await stores.journal.record(
        [Entry(kind=Kind.DEVICE_ASSIGNED, subject=f"devices/{device}", by=SYSTEM) for device in devices]
    )


def of_device(events: list[dict[str, Any]], device: str) -> list[int]:
    return [int(event["id"]) for event in events if event["subject"] == f"devices/{device}"]


async def test_all_that_is_wanted_comes_once_and_in_order(stores: Stores) -> None:
    webhook = FakeWebhook()
    await stores.subscriptions.put(subscription(), create=True, delivered=0, by=SYSTEM)
    async with delivering(stores, webhook):
        await tell(stores, *["a", "b", "c"] * 50)
        await stores.journal.record([Entry(kind=Kind.HUB_UPDATED, subject="hubs/x", by=SYSTEM)])
        taken = list(await webhook.has(150))
    assert len(taken) == len({event["id"] for event in taken}) == 150
    for device in "abc":
        numbers = of_device(taken, device)
        assert numbers == sorted(numbers)
    standing = await stores.subscriptions.standing("hook")
    assert standing.delivered == await stores.journal.last()
    assert standing.last_success_at is not None


async def test_what_fails_is_tried_again_in_its_place(stores: Stores) -> None:
    def rule(event: dict[str, Any], count: int) -> Answer:
        if event["subject"] == "devices/a" and count < 3:
            if count == 1:
                raise WebhookError("it hung up")
            return Answer(status=500, headers={})
        return Answer(status=200, headers={})

    webhook = FakeWebhook(rule)
    await stores.subscriptions.put(subscription(), create=True, delivered=0, by=SYSTEM)
    async with delivering(stores, webhook):
        await tell(stores, "a", "b", "a", "b")
        taken = await webhook.has(4)
    assert of_device(taken, "a") == sorted(of_device(taken, "a"))
    # The other device did not wait for it.
    assert [event["subject"] for event in taken[:2]] == ["devices/b", "devices/b"]
    assert (await stores.subscriptions.standing("hook")).last_failure == "the webhook answered 500"


async def test_a_webhook_that_asks_for_time_is_given_it(stores: Stores) -> None:
    asked: list[float] = []

    def rule(event: dict[str, Any], count: int) -> Answer:
        del event, count
        asked.append(asyncio.get_running_loop().time())
        return Answer(status=429, headers={"retry-after": "1"}) if len(asked) == 1 else Answer(status=200, headers={})

    webhook = FakeWebhook(rule)
    await stores.subscriptions.put(subscription(), create=True, delivered=0, by=SYSTEM)
    async with delivering(stores, webhook):
        await tell(stores, "a")
        await webhook.has(1)
    assert asked[1] - asked[0] >= 0.9


async def test_what_is_refused_or_fails_too_often_is_given_up_and_can_be_replayed(stores: Stores) -> None:
    broken = True

    def rule(event: dict[str, Any], count: int) -> Answer:
        del count
        if broken and event["subject"] == "devices/refused":
            return Answer(status=400, headers={})
        if broken and event["subject"] == "devices/failing":
            return Answer(status=503, headers={})
        return Answer(status=200, headers={})

    webhook = FakeWebhook(rule)
    asked = service(stores, webhook)
    await stores.subscriptions.put(subscription(max_attempts=3), create=True, delivered=0, by=SYSTEM)
    async with delivering(stores, webhook) as delivery:
        await tell(stores, "refused", "failing", "fine")
        await webhook.has(1)

        async def given_up(count: int) -> bool:
            return len(await asked.dead_letters("hook", after=0, limit=9)) == count

        await until(lambda: given_up(2))
        letters = await asked.dead_letters("hook", after=0, limit=9)
        assert sorted((letter.attempts, letter.reason) for letter in letters) == [
            (1, "the webhook answered 400"),
            (3, "the webhook answered 503"),
        ]
        broken = False
        assert await asked.replay("hook", None, SYSTEM) == 2
        delivery.wake()
        await webhook.has(3)
        await until(lambda: given_up(0))


async def test_everything_behind_an_event_can_be_told_again(stores: Stores) -> None:
    webhook = FakeWebhook()
    asked = service(stores, webhook)
    await stores.subscriptions.put(subscription(), create=True, delivered=0, by=SYSTEM)
    async with delivering(stores, webhook) as delivery:
        await tell(stores, "a", "b", "c")
        first = list(await webhook.has(3))
        await asked.replay("hook", int(first[0]["id"]), SYSTEM)
        delivery.wake()
        again = (await webhook.has(5))[3:]
    assert {event["subject"] for event in again} == {"devices/b", "devices/c"}


async def test_two_processes_tell_it_once(stores: Stores) -> None:
    webhook = FakeWebhook(delay=0.002)
    await stores.subscriptions.put(subscription(), create=True, delivered=0, by=SYSTEM)
    async with delivering(stores, webhook), delivering(stores, webhook):
        for _ in range(10):
            await tell(stores, *(f"d{number}" for number in range(10)))
        await webhook.has(100)
        await asyncio.sleep(0.2)
    assert len(webhook.taken) == 100


async def test_what_a_dead_process_had_not_noted_is_told_by_the_next(stores: Stores) -> None:
    webhook = FakeWebhook()
    await stores.subscriptions.put(subscription(), create=True, delivered=0, by=SYSTEM)
    await tell(stores, "a", "b")
    # A process that took the lease and died.
    begin = await stores.subscriptions.claim(
        "hook", owner="dead", now=SystemClock().now(), lease=timedelta(milliseconds=300)
    )
    assert begin == 0
    async with delivering(stores, webhook):
        await asyncio.sleep(0.1)
        assert webhook.taken == []
        await webhook.has(2)


async def test_a_disabled_or_removed_subscription_is_told_nothing_more(stores: Stores) -> None:
    webhook = FakeWebhook()
    await stores.subscriptions.put(subscription(), create=True, delivered=0, by=SYSTEM)
    async with delivering(stores, webhook):
        await tell(stores, "a")
        await webhook.has(1)
        await stores.subscriptions.put(subscription(enabled=False, etag="f"), create=False, delivered=0, by=SYSTEM)
        await asyncio.sleep(0.2)
        await tell(stores, "b")
        await asyncio.sleep(0.2)
        assert [event["subject"] for event in webhook.taken] == ["devices/a"]
        await stores.subscriptions.put(subscription(etag="g"), create=False, delivered=0, by=SYSTEM)
        await webhook.has(2)
        await stores.subscriptions.delete("hook", by=SYSTEM)
        await asyncio.sleep(0.2)
        await tell(stores, "c")
        await asyncio.sleep(0.2)
    assert len(webhook.taken) == 2
    with pytest.raises(HomeportError) as refused:
        await stores.subscriptions.standing("hook")
    assert refused.value.code is Code.NOT_FOUND
