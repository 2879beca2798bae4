"""Addresses and methods of the built-in blob store: `/uploads/{blob}`, and `/uploads` to list (Azure's Blob service).

Put Blob, Put Block, Put Block List, Get, Head, Delete, List; each call is opened by the signature in its query.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from homeport.clock import Clock
from homeport.errors import Code, HomeportError
from homeport.hub.blob_account import CONTAINER, built_in_account
from homeport.hub.blob_errors import BlobCode, BlobError
from homeport.hub.file_ports import BlobContainer
from homeport.hub.frontends.blobs import headers as told
from homeport.hub.frontends.blobs.documents import (
    MAX_BLOCK_LIST,
    Listing,
    checked_block_id,
    http_time,
    read_block_list,
    write_error,
    write_listing,
)
from homeport.hub.model import FileUploadSettings, StoredBlob
from homeport.net.http_request import body_pieces
from homeport.net.sites import raw_path
from homeport.net.stream import Peer
from homeport.security.blob_sas import VERSION, permits

MAX_BLOB = 16 * 1024**3
MAX_PUT_BLOB = 256 * 1024**2
"""What SDKs send in one piece at most; larger blobs come in blocks."""
MAX_BLOCK = 100 * 1024**2
MAX_NAME = 1024
MAX_LISTED = 5000

_log = logging.getLogger(__name__)


class BlobFrontEnd:
    """Answers for the blobs of one hub."""

    def __init__(
        self,
        *,
        hub: str,
        settings: Callable[[], Awaitable[FileUploadSettings]],
        container: BlobContainer,
        clock: Clock,
    ) -> None:
        self._hub = hub
        self._settings = settings
        self._container = container
        self._clock = clock

    def owns(self, method: str, path: str) -> bool:
        del method
        return path == f"/{CONTAINER}" or path.startswith(f"/{CONTAINER}/")

    async def handle(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        request_id = secrets.token_hex(16)
        try:
            response = await self._answer(request, request_id)
        except (web.HTTPException, ConnectionError):
            raise  # a body that did not arrive, or not in time: net's to answer, and no fault of ours
        except BlobError as error:
            _log.info(
                "hub %s: %s of a blob from %s refused (%s): %s",
                self._hub,
                request.method,
                peer.remote.host,
                error.code.wire_name,
                error.message,
            )
            response = self._refusal(error, request_id)
        except Exception as fault:
            _log.exception("hub %s: %s of a blob failed, request id %s", self._hub, request.method, request_id)
            busy = isinstance(fault, HomeportError) and fault.code is Code.UNAVAILABLE
            code = BlobCode.SERVER_BUSY if busy else BlobCode.INTERNAL
            response = self._refusal(BlobError(code, "The server failed."), request_id)
        if not response.prepared:
            response.headers.update(_common(request, request_id))
        return response

    async def _answer(self, request: web.BaseRequest, request_id: str) -> web.StreamResponse:
        name = _blob_name(raw_path(request))
        query = _query(request.raw_path.partition("?")[2])
        await self._authorize(request, name, query)
        comp = query.get("comp", "").lower()
        if name is None:
            if request.method == "GET" and comp == "list":
                return await self._list(request, query)
            raise BlobError(BlobCode.UNSUPPORTED, "A container is only listed here.")
        match request.method, comp:
            case "PUT", "":
                return await self._put(request, name)
            case "PUT", "block":
                return await self._put_block(request, name, query)
            case "PUT", "blocklist":
                return await self._put_block_list(request, name)
            case (("GET" | "HEAD"), ""):
                return await self._get(request, name, request_id)
            case "DELETE", "":
                if not await self._container.delete(name):
                    raise BlobError(BlobCode.BLOB_NOT_FOUND, "There is no such blob.")
                return web.Response(status=202)
            case _:
                raise BlobError(BlobCode.UNSUPPORTED, "This server does not have this operation.")

    async def _authorize(self, request: web.BaseRequest, name: str | None, query: Mapping[str, str]) -> None:
        needed = {"GET": "r" if name is not None else "l", "HEAD": "r", "DELETE": "d"}.get(request.method, "wc")
        account = built_in_account(self._hub, await self._settings(), "")
        problem = permits(account, CONTAINER, name, query, any_of=needed, now=self._clock.now())
        if problem is not None:
            raise BlobError(BlobCode.AUTHENTICATION_FAILED, problem)

    async def _put(self, request: web.BaseRequest, name: str) -> web.Response:
        if request.headers.get("x-ms-blob-type") != "BlockBlob":
            raise BlobError(BlobCode.INVALID_HEADER, "x-ms-blob-type: only BlockBlob is kept here.")
        _check_length(request, MAX_PUT_BLOB)
        blob = await self._container.put(
            name,
            body_pieces(request),
            told.read_properties(request.headers, of_body=True),
            limit=MAX_PUT_BLOB,
            md5=told.read_md5(request.headers),
            check=told.read_condition(request.headers),
        )
        return _written(blob)

    async def _put_block(self, request: web.BaseRequest, name: str, query: Mapping[str, str]) -> web.Response:
        block_id = checked_block_id(query.get("blockid", ""))
        _check_length(request, MAX_BLOCK)
        await self._container.put_block(
            name, block_id, body_pieces(request), limit=MAX_BLOCK, md5=told.read_md5(request.headers)
        )
        return web.Response(status=201, headers={"x-ms-request-server-encrypted": "false"})

    async def _put_block_list(self, request: web.BaseRequest, name: str) -> web.Response:
        _check_length(request, MAX_BLOCK_LIST)
        body = bytearray()
        async for piece in body_pieces(request):
            body += piece
            if len(body) > MAX_BLOCK_LIST:
                raise BlobError(BlobCode.TOO_LARGE, f"A block list has at most {MAX_BLOCK_LIST} bytes.")
        blob = await self._container.commit(
            name,
            read_block_list(bytes(body)),
            told.read_properties(request.headers, of_body=False),
            limit=MAX_BLOB,
            check=told.read_condition(request.headers),
        )
        return _written(blob)

    async def _get(self, request: web.BaseRequest, name: str, request_id: str) -> web.StreamResponse:
        blob = await self._container.find(name)
        if blob is None:
            raise BlobError(BlobCode.BLOB_NOT_FOUND, "There is no such blob.")
        part = told.read_range(request.headers, blob.size) if request.method == "GET" else None
        start, length = part or (0, blob.size)
        response = web.StreamResponse(status=206 if part else 200, headers=told.describe(blob))
        response.headers.update(_common(request, request_id))
        response.content_length = length
        if part:
            response.headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{blob.size}"
        if request.method == "HEAD":
            await response.prepare(request)
            return response
        pieces = self._container.read(blob, start, length)
        first = await anext(pieces, b"")  # before the head: the blob may be gone
        await response.prepare(request)
        await response.write(first)
        async for piece in pieces:
            await response.write(piece)
        return response

    async def _list(self, request: web.BaseRequest, query: Mapping[str, str]) -> web.Response:
        prefix, marker, delimiter = (query.get(name, "") for name in ("prefix", "marker", "delimiter"))
        text = query.get("maxresults", str(MAX_LISTED))
        if not (text.isascii() and text.isdigit() and int(text[:9]) > 0 and len(text) < 9):
            raise BlobError(BlobCode.INVALID_QUERY, f"maxresults is a number from 1 to {MAX_LISTED}.")
        if "\0" in prefix + marker + delimiter or len(delimiter) > 1:
            raise BlobError(BlobCode.INVALID_QUERY, "prefix, marker or delimiter cannot be part of a name.")
        limit = min(int(text), MAX_LISTED)
        blobs: list[StoredBlob] = []
        folders: list[str] = []
        after, more = marker, False
        while True:
            page = await self._container.list(prefix=prefix, after=after, limit=1 + limit - len(blobs) - len(folders))
            if not page:
                break
            for blob in page:
                if len(blobs) + len(folders) == limit:
                    more = True
                    break
                rest, found, _ = blob.name[len(prefix) :].partition(delimiter or "\0")
                if found:
                    folder = prefix + rest + delimiter
                    folders.append(folder)
                    after = folder + "\U0010ffff"  # all that is in it
                    break
                blobs.append(blob)
                after = blob.name
            if more:
                break
        listing = Listing(
            prefix=prefix,
            marker=marker,
            limit=limit,
            delimiter=delimiter,
            blobs=blobs,
            folders=folders,
            next_marker=after if more else "",
        )
        host = request.headers.get("Host", "")
        body = write_listing(f"https://{host}", CONTAINER, listing)
        return web.Response(body=body, headers={"Content-Type": "application/xml"})

    def _refusal(self, error: BlobError, request_id: str) -> web.Response:
        return web.Response(
            status=error.code.status,
            body=write_error(error, request_id, self._clock.now()),
            headers={"Content-Type": "application/xml", "x-ms-error-code": error.code.wire_name},
        )


def _blob_name(path: str) -> str | None:
    """Return the name of the blob that a raw path is for, None for the container. Raises BlobError INVALID_URI."""
    name = unquote(path[len(CONTAINER) + 2 :])
    if len(name) > MAX_NAME or not name.isprintable():
        raise BlobError(BlobCode.INVALID_URI, f"A blob's name has at most {MAX_NAME} printable characters.")
    return name or None


def _query(text: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=64))
    except ValueError:
        raise BlobError(BlobCode.INVALID_QUERY, "The query has too many parameters.") from None


def _check_length(request: web.BaseRequest, limit: int) -> None:
    if (request.content_length or 0) > limit:
        raise BlobError(BlobCode.TOO_LARGE, f"At most {limit} bytes are taken here.")


def _written(blob: StoredBlob) -> web.Response:
    return web.Response(
        status=201,
        headers={
            "ETag": blob.etag,
            "Last-Modified": http_time(blob.last_modified),
            "x-ms-request-server-encrypted": "false",
        },
    )


def _common(request: web.BaseRequest, request_id: str) -> dict[str, str]:
    fields = {"x-ms-request-id": request_id, "x-ms-version": VERSION}
    client = request.headers.get("x-ms-client-request-id", "")
    if 0 < len(client) <= MAX_NAME and client.isprintable():
        fields["x-ms-client-request-id"] = client
    return fields
