"""A stand-in for a storage account: one container in memory, over plain HTTP, opened by one signature."""

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
_LISTED = re.compile(r"<Latest>([^<]+)</Latest>")


@dataclass
class BlobAccount:
    """What it holds, and how it behaves."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    blocks: dict[str, dict[str, bytes]] = field(default_factory=dict)
    url: str = ""
    """Of the container, with the signature."""
    asked: list[str] = field(default_factory=list)
    busy: int = 0
    """How many requests are still to be answered 503."""
    read_only: bool = False

    async def answer(self, request: web.BaseRequest) -> web.Response:
        name = request.path.removeprefix("/account/files/")
        comp = request.query.get("comp", "")
        self.asked.append(f"{request.method} {comp}".strip())
        if self.busy:
            self.busy -= 1
            return web.Response(status=503, headers={"x-ms-error-code": "ServerBusy"})
        forbidden = self.read_only and request.method in {"PUT", "DELETE"}
        if request.query.get("sig") != "a+b/c=" or not request.headers.get("x-ms-version") or forbidden:
            return web.Response(status=403, headers={"x-ms-error-code": "AuthorizationPermissionMismatch"})
        match request.method, comp:
            case "PUT", "block":
                self.blocks.setdefault(name, {})[request.query["blockid"]] = await request.read()
                return web.Response(status=201)
            case "PUT", "blocklist":
                waiting = self.blocks.pop(name, {})
                listed = _LISTED.findall((await request.read()).decode())
                if any(one not in waiting for one in listed):
                    return web.Response(status=400, headers={"x-ms-error-code": "InvalidBlockList"})
                self.blobs[name] = b"".join(waiting[one] for one in listed)
                return web.Response(status=201)
            case "PUT", "" if request.headers.get("x-ms-blob-type") == "BlockBlob":
                self.blobs[name] = await request.read()
                return web.Response(status=201)
            case "DELETE", "":
                return web.Response(status=404 if self.blobs.pop(name, None) is None else 202)
            case (("GET" | "HEAD"), ""):
                return self._give(request, name)
            case _:
                return web.Response(status=400)

    def _give(self, request: web.BaseRequest, name: str) -> web.Response:
        content = self.blobs.get(name)
        if content is None:
            return web.Response(status=404, headers={"x-ms-error-code": "BlobNotFound"})
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        if request.headers.get("If-Match", etag) != etag:
            return web.Response(status=412)
        wanted = _RANGE.fullmatch(request.headers.get("x-ms-range", ""))
        part = content if wanted is None else content[int(wanted[1]) : int(wanted[2]) + 1]
        headers = {"ETag": etag, "Content-Length": str(len(part))}
        return web.Response(status=200 if wanted is None else 206, body=part, headers=headers)


@asynccontextmanager
async def blob_account(account: BlobAccount | None = None) -> AsyncIterator[BlobAccount]:
    """Serve an empty one, or this one."""
    account = account or BlobAccount()
    runner = web.ServerRunner(web.Server(account.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        assert site._server is not None
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]  # a real server has sockets
        account.url = f"http://127.0.0.1:{port}/account/files?sv=2021-12-02&sr=c&sp=rwdl&sig=a%2Bb%2Fc%3D"
        yield account
    finally:
        await runner.cleanup()
