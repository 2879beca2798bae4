"""A front-end behind a plain HTTP server, as net's would call it, and what it answered."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession, web
from yarl import URL

from homeport.net.sites import HttpFrontEnd, raw_path
from homeport.net.stream import Address, Peer


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Server:
    """Asks the first front-end that owns a request. `chain` is what the TLS client is said to have presented."""

    def __init__(self, session: ClientSession, port: int) -> None:
        self._session = session
        self._port = port
        self.chain: tuple[bytes, ...] = ()

    async def ask(self, method: str, target: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        url = URL(f"http://127.0.0.1:{self._port}{target}", encoded=True)
        async with self._session.request(method, url, data=data, headers=headers) as response:
            return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, await response.read())


@asynccontextmanager
async def serving(*front_ends: HttpFrontEnd) -> AsyncIterator[Server]:
    """Serve these front-ends on a free port."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        peer = Peer(remote=Address("192.0.2.7", 50000), local=Address("127.0.0.1", 443), chain=server.chain)
        for front_end in front_ends:
            if front_end.owns(request.method, raw_path(request)):
                return await front_end.handle(request, peer)
        return web.Response(status=404, text="nobody owns it")

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]  # a real server has sockets
    try:
        async with ClientSession() as session:
            server = Server(session, port)
            yield server
    finally:
        await runner.cleanup()
