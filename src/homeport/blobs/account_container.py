"""A container of an Azure-compatible account, by its signed address, as imports and exports use it."""

import base64
from collections.abc import Mapping

from homeport.blobs.container_uri import ContainerUri
from homeport.clock import Clock
from homeport.hub.transfer_ports import BlobVersion, BlocksLostError, InputChangedError, StorageFault
from homeport.net.http_client import HttpAnswer, HttpClient, HttpClientError
from homeport.security.blob_sas import VERSION

_PAUSES = (0.5, 2.0, 8.0)
"""Before further tries, when the account is busy or out of reach."""
_SECONDS = 60.0


class AccountContainer:
    """TransferContainer over HTTP."""

    def __init__(self, uri: ContainerUri, http: HttpClient, clock: Clock) -> None:
        self._uri = uri
        self._http = http
        self._clock = clock

    async def find(self, name: str) -> BlobVersion | None:
        answer = await self._ask("HEAD", self._uri.blob(name), allowed=(200, 404))
        if answer.status == 404:
            return None
        try:
            return BlobVersion(size=int(answer.headers.get("Content-Length", "")), etag=answer.headers["ETag"])
        except (ValueError, KeyError):
            raise StorageFault(f"{self._uri.base} does not speak Azure's protocol.") from None

    async def read(self, name: str, *, start: int, length: int, etag: str) -> bytes:
        answer = await self._ask(
            "GET",
            self._uri.blob(name),
            {"x-ms-range": f"bytes={start}-{start + length - 1}", "If-Match": etag},
            allowed=(200, 206, 404, 412),
        )
        if answer.status in {404, 412}:
            raise InputChangedError(f"The blob {name} was changed or removed while it was being read.")
        if answer.status == 200 and start > 0:
            raise StorageFault(f"{self._uri.base} does not give out parts of blobs.")
        return answer.body[:length]

    async def put(self, name: str, content: bytes) -> None:
        await self._ask("PUT", self._uri.blob(name), {"x-ms-blob-type": "BlockBlob"}, content, allowed=(201,))

    async def put_block(self, name: str, number: int, content: bytes) -> None:
        url = self._uri.blob(name, comp="block", blockid=_block_id(number))
        await self._ask("PUT", url, {}, content, allowed=(201,))

    async def commit(self, name: str, blocks: int) -> None:
        listed = "".join(f"<Latest>{_block_id(number)}</Latest>" for number in range(blocks))
        document = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'.encode()
        answer = await self._ask(
            "PUT",
            self._uri.blob(name, comp="blocklist"),
            {"x-ms-blob-content-type": "text/plain; charset=utf-8"},
            document,
            allowed=(201, 400),
        )
        if answer.status == 400:
            raise BlocksLostError(f"{self._uri.base} has lost blocks of {name}.")

    async def delete(self, name: str) -> None:
        await self._ask("DELETE", self._uri.blob(name), allowed=(202, 404))

    async def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        allowed: tuple[int, ...],
    ) -> HttpAnswer:
        """Ask, again if the account has no time; every operation here may be repeated."""
        fields = {"x-ms-version": VERSION, **(headers or {})}
        problem = ""
        for pause in (*_PAUSES, None):
            try:
                answer = await self._http.request(
                    method, url, headers=fields, body=body, content_type="application/octet-stream", seconds=_SECONDS
                )
            except HttpClientError as error:
                problem = f"{error}."
            else:
                if answer.status in allowed:
                    return answer
                problem = f"{self._uri.base} answered {method} with status {answer.status}{_code(answer)}."
                if answer.status < 500 and answer.status != 429:
                    break
            if pause is not None:
                await self._clock.sleep(pause)
        raise StorageFault(problem)


def _block_id(number: int) -> str:
    return base64.b64encode(f"{number:08d}".encode()).decode()


def _code(answer: HttpAnswer) -> str:
    code = answer.headers.get("x-ms-error-code", "")
    return f" ({code})" if code.isalnum() and len(code) <= 64 else ""
