"""Bodies that a front-end takes piece by piece: of any size, at no less than some speed, until the client leaves."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from homeport.net.certificates import ServerCertificates
from homeport.net.http_request import body_pieces
from homeport.net.stream import Peer
from tests.net.conftest import ClientContext
from tests.net.serving import Mirror, http_server, listening
from tests.net.test_http_server import answer, dial, head

REQUEST = "PUT /pieces HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n{}\r\n"


class Taker:
    """Counts what comes, and notes how it ended."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    async def take(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        size = 0
        try:
            async for piece in body_pieces(request):
                size += len(piece)
        except BaseException as fault:
            self.ended.set_result(fault)
            raise
        return web.json_response(size)


async def test_more_than_the_site_takes_in_one_piece(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    server = http_server(Mirror(pieces=Taker().take), max_body=100)
    async with listening(server, certificates) as address:
        reader, writer = await dial(address, client_context)
        writer.write(REQUEST.format(1_000_000, "").encode() + bytes(1_000_000))
        assert (await answer(reader))[2] == 1_000_000
        writer.write(REQUEST.format(4, "Expect: 100-continue\r\n").encode())
        assert (await head(reader))[0] == 100
        writer.write(b"body")
        assert (await answer(reader))[2] == 4
        writer.close()


@pytest.mark.parametrize("size", [200_000, 100])
async def test_a_trickle_is_cut_off(certificates: ServerCertificates, client_context: ClientContext, size: int) -> None:
    taker = Taker()
    server = http_server(Mirror(pieces=taker.take), body_seconds=0.3)
    async with listening(server, certificates) as address:
        reader, writer = await dial(address, client_context)
        writer.write(REQUEST.format(1_000_000, "").encode() + bytes(size))

        async def trickle() -> None:
            while not taker.ended.done():
                writer.write(b"x")
                await asyncio.sleep(0.02)

        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            task = tasks.create_task(trickle())
            status, _, problem = await answer(reader)
            task.cancel()
        assert (status, problem["errorCode"]) == (408, 400000)
        assert isinstance(taker.ended.result(), web.HTTPRequestTimeout)
        writer.close()


async def test_a_client_that_leaves(certificates: ServerCertificates, client_context: ClientContext) -> None:
    taker = Taker()
    async with listening(http_server(Mirror(pieces=taker.take)), certificates) as address:
        _, writer = await dial(address, client_context)
        writer.write(REQUEST.format(1000, "").encode() + bytes(10))
        await writer.drain()
        writer.transport.abort()
        async with asyncio.timeout(5):
            fault: Any = await taker.ended
    assert isinstance(fault, ConnectionError | asyncio.CancelledError)
