"""Fetching from certificate authorities over real HTTP: what counts as a document, and what does not."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from homeport.hublinks.revocation_http import HttpRevocationFetcher
from homeport.security.revocation import RevocationError


async def good(request: web.Request) -> web.Response:
    del request
    return web.Response(body=b"\x30\x00")


async def echo(request: web.Request) -> web.Response:
    assert request.content_type == "application/ocsp-request"
    return web.Response(body=b"answer to " + await request.read())


async def elsewhere(request: web.Request) -> web.Response:
    del request
    raise web.HTTPFound("/good")


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(bytes(65536))


async def slow(request: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return await good(request)


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    application = web.Application()
    application.router.add_post("/ocsp", echo)
    for handler in (good, elsewhere, endless, slow):
        application.router.add_get(f"/{handler.__name__}", handler)
    running = TestServer(application)
    async with running:
        yield running


@pytest.fixture
async def fetcher() -> AsyncIterator[HttpRevocationFetcher]:
    made = HttpRevocationFetcher(max_answer=200_000)
    yield made
    await made.close()


async def test_documents_are_fetched(server: TestServer, fetcher: HttpRevocationFetcher) -> None:
    assert await fetcher.get(str(server.make_url("/good")), limit=10, seconds=5) == b"\x30\x00"
    url = str(server.make_url("/ocsp"))
    answer = await fetcher.post(url, b"question", "application/ocsp-request", limit=100, seconds=5)
    assert answer == b"answer to question"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/elsewhere", "answered with status 302"),
        ("/missing", "answered with status 404"),
        ("/endless", "is larger than 200000 bytes"),
        ("/slow", "did not answer in time"),
    ],
)
async def test_what_is_no_document(server: TestServer, fetcher: HttpRevocationFetcher, path: str, words: str) -> None:
    with pytest.raises(RevocationError, match=words):
        await fetcher.get(str(server.make_url(path)), limit=1_000_000, seconds=0.5)


async def test_the_limit_of_the_call_counts_too(server: TestServer, fetcher: HttpRevocationFetcher) -> None:
    with pytest.raises(RevocationError, match="larger than 1 bytes"):
        await fetcher.get(str(server.make_url("/good")), limit=1, seconds=5)


async def test_nobody_there(unused_tcp_port: int, fetcher: HttpRevocationFetcher) -> None:
    with pytest.raises(RevocationError, match="cannot be reached"):
        await fetcher.get(f"http://127.0.0.1:{unused_tcp_port}/", limit=1, seconds=5)
