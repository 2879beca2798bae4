"""Custom allocation over HTTP against a real server: what is sent, and what each outcome means (dps.md 9.3)."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from homeport.clock import SystemClock
from homeport.dps.model import CustomAllocation
from homeport.dps.ports import AllocationRefusedError, AllocationUnavailableError
from homeport.hublinks.webhook import QUESTION_HEADER, WebhookAllocator
from homeport.net.http_client import HttpClient
from homeport.security.webhook_signature import SIGNATURE_HEADER, verify

KEYS = (b"new" * 10, b"old" * 10)
QUESTION = b'{"linkedHubs": ["a.example"]}'


@dataclass
class Hook:
    """A webhook on loopback. `reply` is what it does next."""

    url: str = ""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    reply: Callable[[], Awaitable[web.Response]] = field(
        default_factory=lambda: lambda: respond(200, {"iotHubHostName": "a.example"})
    )

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        return await self.reply()


async def respond(status: int, document: Any = None, **headers: str) -> web.Response:
    return web.json_response(document, status=status, headers=headers)


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    hook = Hook()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", hook.handle)
    async with TestServer(application, host="127.0.0.1") as server:
        hook.url = f"http://127.0.0.1:{server.port}/api/pick?code=s3cret%2F"
        yield hook


@pytest.fixture
async def allocator() -> AsyncIterator[WebhookAllocator]:
    async def keys() -> tuple[bytes, bytes]:
        return KEYS

    async with HttpClient(seconds=0.5, max_answer=1000) as http:
        yield WebhookAllocator(http, keys, SystemClock())


async def ask(allocator: WebhookAllocator, url: str) -> bytes:
    definition = CustomAllocation(webhook_url=url, api_version="2021-10-01")
    return await allocator.ask(definition, QUESTION, question_id="5.abc.1")


async def test_the_request_is_signed_with_both_keys_and_says_which_question_it_is(
    hook: Hook, allocator: WebhookAllocator
) -> None:
    assert json.loads(await ask(allocator, hook.url)) == {"iotHubHostName": "a.example"}
    [(headers, body)] = hook.requests
    assert body == QUESTION
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers[QUESTION_HEADER.lower()] == "5.abc.1"
    now = int(SystemClock().now().timestamp())
    signature = headers[SIGNATURE_HEADER.lower()]
    assert all(verify(signature, body, key, now=now) for key in KEYS)
    assert not verify(signature, body, b"another", now=now)
    assert not verify(signature, body + b" ", KEYS[0], now=now)


@pytest.mark.parametrize("status", [429, 500, 503, 599])
async def test_from_429_on_it_may_be_asked_again(hook: Hook, allocator: WebhookAllocator, status: int) -> None:
    hook.reply = lambda: respond(status)
    with pytest.raises(AllocationUnavailableError, match=str(status)):
        await ask(allocator, hook.url)


@pytest.mark.parametrize("status", [201, 204, 302, 400, 403, 404, 428])
async def test_any_other_status_is_final(hook: Hook, allocator: WebhookAllocator, status: int) -> None:
    hook.reply = lambda: respond(status, Location="/elsewhere")
    with pytest.raises(AllocationRefusedError, match=str(status)) as caught:
        await ask(allocator, hook.url)
    assert not caught.value.unauthorized
    assert len(hook.requests) == 1, "a redirect is not followed"


async def test_401_is_told_apart(hook: Hook, allocator: WebhookAllocator) -> None:
    hook.reply = lambda: respond(401)
    with pytest.raises(AllocationRefusedError) as caught:
        await ask(allocator, hook.url)
    assert caught.value.unauthorized


async def test_a_webhook_that_is_slow_or_away_may_be_asked_again(hook: Hook, allocator: WebhookAllocator) -> None:
    async def never() -> web.Response:
        await asyncio.sleep(3600)
        return web.Response()

    hook.reply = never
    with pytest.raises(AllocationUnavailableError, match="in time") as caught:
        await ask(allocator, hook.url)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(AllocationUnavailableError):
        await ask(allocator, "http://127.0.0.1:1/?code=s3cret")


async def test_an_endless_answer_is_refused(hook: Hook, allocator: WebhookAllocator) -> None:
    hook.reply = lambda: respond(200, {"iotHubHostName": "x" * 2000})
    with pytest.raises(AllocationRefusedError, match="larger than"):
        await ask(allocator, hook.url)


@pytest.mark.parametrize("url", ["http://example.com/", "ftp://127.0.0.1/", "https://user@example.com/"])
async def test_what_may_not_be_asked_is_not_asked(allocator: WebhookAllocator, url: str) -> None:
    with pytest.raises(AllocationRefusedError, match="URL"):
        await ask(allocator, url)
