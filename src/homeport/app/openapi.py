"""Serves the description of our HTTP APIs (`/homeport/openapi.json`); everybody may read it."""

from functools import cached_property

from aiohttp import web

from homeport import __version__
from homeport.net.sites import raw_path
from homeport.net.stream import Peer
from homeport.wire import JSON_CONTENT_TYPE, encode
from homeport.wire.openapi import describe

PATH = "/homeport/openapi.json"


class OpenApiFrontEnd:
    """Answers one address; the document is made when it is first asked for."""

    @cached_property
    def _document(self) -> bytes:
        return encode(describe(__version__))

    def owns(self, method: str, path: str) -> bool:
        """Own the address whatever the method is."""
        del method
        return path == PATH

    async def handle(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        del peer
        assert raw_path(request) == PATH
        if request.method not in {"GET", "HEAD"}:
            return web.json_response({"error": "Only GET is offered here."}, status=405, headers={"Allow": "GET, HEAD"})
        return web.Response(body=self._document, headers={"Content-Type": JSON_CONTENT_TYPE})
