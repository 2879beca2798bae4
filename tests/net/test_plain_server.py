"""Connections that begin with plain requests, and become aiohttp's with the first that is not."""

import asyncio
import json
import logging

import pytest
from aiohttp import web

from homeport.net.certificates import ServerCertificates
from homeport.net.plain_http import PlainAnswer, PlainRequest
from homeport.net.stream import Peer
from tests.net.clients import speak_and_half_close
from tests.net.conftest import ClientContext
from tests.net.serving import Mirror, http_server, listening
from tests.net.test_http_server import answer, dial

GET = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n"


class PlainMirror(Mirror):
    """A Mirror that also takes plain requests, and says which way they came."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def handle(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        await request.read()
        return web.json_response({"plain": False, "path": request.path})

    async def answer(self, request: PlainRequest, peer: Peer) -> PlainAnswer:
        self.peers.append(peer)
        self.asked.set()
        await self.go.wait()
        if request.target == "/broken":
            raise LookupError
        if request.target == "/torn":
            return PlainAnswer(status=200, fields={"X": "a\r\nb"})
        size = 300_000 if request.target == "/large" else 0
        said = {"plain": True, "path": request.target, "body": request.body.decode() + "x" * size}
        return PlainAnswer(status=200, body=json.dumps(said).encode(), closes=request.target == "/last")


async def test_plain_requests_and_others_share_a_connection(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    async with listening(http_server(PlainMirror()), certificates) as address:
        reader, writer = await dial(address, client_context)
        writer.write(b"PUT /1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
        status, fields, said = await answer(reader)
        assert (status, said) == (200, {"plain": True, "path": "/1", "body": "{}"})
        assert fields["server"] == "Homeport"
        assert fields["date"].endswith("GMT")
        writer.write(GET % b"2")
        assert (await answer(reader))[2]["plain"] is True
        for piece in (b"PUT /3 HTTP/1.1\r\nHost: localhost\r\nContent-", b"Length: 2\r\n\r\n{", b"}"):
            writer.write(piece)
            await asyncio.sleep(0.02)
        assert (await answer(reader))[2] == {"plain": False, "path": "/3"}
        writer.write(GET % b"4")
        assert (await answer(reader))[2] == {"plain": False, "path": "/4"}
        writer.close()


async def test_what_no_plain_front_end_owns_goes_where_it_always_went(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    async with listening(http_server(PlainMirror()), certificates) as address:
        for target, host in ((b"nobody", b"localhost"), (b"x", b"elsewhere.test")):
            reader, writer = await dial(address, client_context)
            writer.write(b"GET /%s HTTP/1.1\r\nHost: %s\r\n\r\n" % (target, host))
            assert (await answer(reader))[0] == (404 if target == b"nobody" else 200)
            writer.close()


async def test_what_comes_while_it_answers_waits(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    mirror = PlainMirror()
    mirror.go.clear()
    async with listening(http_server(mirror), certificates) as address:
        reader, writer = await dial(address, client_context)
        writer.write(GET % b"1")
        await mirror.asked.wait()
        writer.write(GET % b"2" + GET % b"3")
        await writer.drain()
        await asyncio.sleep(0.05)
        assert len(mirror.peers) == 1
        mirror.go.set()
        for number in range(1, 4):
            assert (await answer(reader))[2]["path"] == f"/{number}"
        writer.close()


@pytest.mark.parametrize("target", [b"broken", b"torn"])
async def test_a_front_end_that_fails(
    target: bytes, certificates: ServerCertificates, client_context: ClientContext, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(http_server(PlainMirror()), certificates) as address:
        reader, writer = await dial(address, client_context)
        with caplog.at_level(logging.ERROR):
            writer.write(GET % target)
            status, _, said = await answer(reader)
        assert status == 500
        assert said["message"] == "Internal error"
        assert said["trackingId"] in caplog.text
        writer.write(GET % b"next")
        assert (await answer(reader))[0] == 200
        writer.close()


@pytest.mark.parametrize("request_", [GET % b"last", b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"])
async def test_either_side_may_end_it_with_the_answer(
    request_: bytes, certificates: ServerCertificates, client_context: ClientContext
) -> None:
    async with listening(http_server(PlainMirror()), certificates) as address:
        reader, writer = await dial(address, client_context)
        writer.write(request_)
        status, fields, _ = await answer(reader)
        assert (status, fields["connection"]) == (200, "close")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_an_idle_connection_is_closed(certificates: ServerCertificates, client_context: ClientContext) -> None:
    async with listening(http_server(PlainMirror(), idle_seconds=0.1), certificates) as address:
        reader, writer = await dial(address, client_context)
        writer.write(GET % b"1")
        assert (await answer(reader))[0] == 200
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


@pytest.mark.parametrize("first", [b"", GET % b"1"])
async def test_a_head_that_never_ends_is_cut(
    first: bytes, certificates: ServerCertificates, client_context: ClientContext
) -> None:
    async with listening(http_server(PlainMirror(), head_seconds=0.2), certificates) as address:
        reader, writer = await dial(address, client_context)
        if first:
            writer.write(first)
            assert (await answer(reader))[0] == 200
        writer.write(b"GET ")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_a_client_that_does_not_read_gets_all_of_it_later(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    async with listening(http_server(PlainMirror()), certificates) as address:
        reader, writer = await dial(address, client_context)
        for _ in range(20):
            writer.write(GET % b"large")
            await asyncio.sleep(0.01)
        for _ in range(20):
            assert (await answer(reader))[0] == 200
        writer.close()


async def test_a_half_closed_client_gets_its_answer(certificates: ServerCertificates) -> None:
    async with listening(http_server(PlainMirror()), certificates) as address:
        heard = await speak_and_half_close(address, GET % b"1")
        assert heard.startswith(b"HTTP/1.1 200 ")
        assert b'"plain": true' in heard


async def test_shutdown_lets_requests_finish_and_closes_the_idle(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    mirror = PlainMirror()
    async with asyncio.TaskGroup() as tasks, listening(http_server(mirror), certificates, grace=10) as address:
        idle_reader, idle_writer = await dial(address, client_context)
        idle_writer.write(GET % b"1")
        await answer(idle_reader)
        mirror.asked.clear()
        mirror.go.clear()
        reader, writer = await dial(address, client_context)
        writer.write(GET % b"2")
        await mirror.asked.wait()

        async def watch() -> None:
            assert await asyncio.wait_for(idle_reader.read(), 5) == b""
            idle_writer.close()
            mirror.go.set()
            assert (await answer(reader))[2]["path"] == "/2"
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()

        tasks.create_task(watch())
