"""A request of our HTTP server: its site, and a body with limits of size and time, whole or piece by piece."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from homeport.net.sites import Site
from homeport.net.stream import Peer

__all__ = ["Request", "body_pieces"]

_HSTS: Final = "max-age=31536000; includeSubDomains"  # contract dps.md 3.2
_DISCARD_SECONDS: Final = 5.0
_SPAN_BYTES: Final = 64 * 1024


class Request(web.BaseRequest):
    """A request that knows its site, and whose body has a time limit."""

    site: Site
    peer: Peer
    body_seconds: float
    _continued = False

    def limit_body(self, size: int) -> None:
        """Read at most `size` bytes, now that it is known who is to have them."""
        self._client_max_size = size

    async def read(self) -> bytes:
        """Return the whole body. Raises HTTPRequestEntityTooLarge, HTTPRequestTimeout."""
        if self._read_bytes is None:
            if (self.content_length or 0) > self.client_max_size:
                raise web.HTTPRequestEntityTooLarge(self.client_max_size, self.content_length or 0)
            await self._invite()
        if self.content.is_eof():
            return await super().read()  # all of it came with the head: there is nothing to time
        try:
            async with asyncio.timeout(self.body_seconds):
                return await super().read()
        except TimeoutError:
            raise web.HTTPRequestTimeout from None

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes, whatever its size.

        Each 64 KB have the time limit that a whole body has elsewhere: nobody keeps a connection with a trickle. What
        is done with a piece does not count. Raises HTTPRequestTimeout, and ConnectionError if the client leaves.
        """
        await self._invite()
        left, due = self.body_seconds, _SPAN_BYTES
        clock = asyncio.get_running_loop()
        while True:
            began = clock.time()
            try:
                async with asyncio.timeout(left):
                    piece = await self.content.readany()
            except TimeoutError:
                raise web.HTTPRequestTimeout from None
            except RequestPayloadError as fault:
                raise ConnectionResetError("the body broke off") from fault
            if not piece:
                return
            left, due = left - (clock.time() - began), due - len(piece)
            if due <= 0:
                left, due = self.body_seconds, _SPAN_BYTES
            yield piece

    async def discard_body(self, response: web.StreamResponse) -> None:
        """Read what nobody wanted, so that the connection can be kept; within limits, else it is closed."""
        if not self.can_read_body or response.keep_alive is False:
            return
        if self._expects_continue():
            response.force_close()  # whether the body comes now is up to the client
            return
        try:
            async with asyncio.timeout(_DISCARD_SECONDS):
                await self.release()
        except (TimeoutError, RequestPayloadError):
            response.force_close()

    async def _invite(self) -> None:
        """Ask for a body whose client waits to be asked."""
        if self._expects_continue():
            await self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.writer.output_size = 0  # or aiohttp takes it for the beginning of the answer
            self._continued = True

    def _expects_continue(self) -> bool:
        expected = self.headers.get("Expect", "").lower() == "100-continue"
        return expected and not self._continued and self.can_read_body

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        response.headers["Server"] = "Homeport"  # instead of the names and versions of the libraries
        host = self.headers.get("Host", "").partition(":")[0].lower()
        # A browser would never again speak plain HTTP to anything else on the developer's own machine.
        if host != "localhost" and not host.endswith(".localhost"):
            response.headers.setdefault("Strict-Transport-Security", _HSTS)


def body_pieces(request: web.BaseRequest) -> AsyncIterator[bytes]:
    """Return `Request.pieces` of a request that our server handed to a front-end."""
    assert isinstance(request, Request), "front-ends get requests from our server only"
    return request.pieces()
