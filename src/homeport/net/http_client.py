"""Outbound HTTP for hub links and webhooks: one request, one bounded answer, typed failures.

Never here: what an answer means, and retries.
"""

import asyncio
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aiohttp
from msgspec import Struct
from yarl import URL

__all__ = ["AnswerTooLargeError", "HttpAnswer", "HttpClient", "HttpClientError", "HttpUnreachableError"]


class HttpClientError(Exception):
    """There is no usable answer; the message holds no secrets: of the address, only scheme, host and port."""


class HttpUnreachableError(HttpClientError):
    """The server could not be reached, proved to be another one, or did not answer in time."""


class AnswerTooLargeError(HttpClientError):
    """The answer's body exceeds the limit."""


class HttpAnswer(Struct, frozen=True, kw_only=True):
    """Status, header fields (looked up in any letter case) and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient:
    """A pool of connections. An async context manager, or call `close` at the end."""

    def __init__(
        self,
        *,
        ca_pem: str | None = None,
        seconds: float = 30.0,
        max_answer: int = 1024 * 1024,
        connections_per_host: int = 20,
    ) -> None:
        """Trust the system's authorities, and those in `ca_pem` too. `seconds` bounds each whole request.

        Raises ValueError if `ca_pem` holds no certificates.
        """
        # The system's authorities take long to read, and many clients never call anybody.
        self._trust: ssl.SSLContext | None = None
        if ca_pem is not None:
            self._trust = ssl.create_default_context()
            try:
                self._trust.load_verify_locations(cadata=ca_pem)
            except ssl.SSLError as fault:
                message = "The CA certificates cannot be read: expected PEM"
                raise ValueError(message) from fault
        self._seconds = seconds
        self._max_answer = max_answer
        self._per_host = connections_per_host
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json; charset=utf-8",
        seconds: float | None = None,
    ) -> HttpAnswer:
        """Send one request and return the answer, whatever its status; redirects are answers too.

        `url` goes out as it is written, percent-encoding included. Raises HttpUnreachableError,
        AnswerTooLargeError.
        """
        fields = {"Accept": "application/json", **(headers or {})}
        if body is not None:
            fields.setdefault("Content-Type", content_type)
        target = URL(url, encoded=True)
        place = f"{target.scheme}://{target.host}:{target.port}"
        try:
            async with (
                asyncio.timeout(seconds or self._seconds),
                self._open().request(method, target, headers=fields, data=body, allow_redirects=False) as response,
            ):
                content = await self._read(response, place)
                return HttpAnswer(status=response.status, headers=response.headers, body=content)
        except TimeoutError as fault:
            raise HttpUnreachableError(f"{place} did not answer in time") from fault
        except aiohttp.ClientConnectorCertificateError as fault:
            raise HttpUnreachableError(
                f"{place} has a certificate that is not trusted: {_reason(fault.certificate_error)}"
            ) from fault
        except aiohttp.ClientConnectorError as fault:
            raise HttpUnreachableError(f"{place} cannot be reached: {fault.os_error.strerror}") from fault
        except (aiohttp.ClientError, OSError) as fault:
            raise HttpUnreachableError(f"{place} broke off: {type(fault).__name__}") from fault

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _read(self, response: aiohttp.ClientResponse, place: str) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._max_answer:
                response.close()
                raise AnswerTooLargeError(f"The answer of {place} is larger than {self._max_answer} bytes")
        return bytes(body)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._trust = self._trust or ssl.create_default_context()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._trust, limit_per_host=self._per_host),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                headers={"User-Agent": "Homeport"},
            )
        return self._session


def _reason(fault: Exception) -> str:
    return fault.verify_message if isinstance(fault, ssl.SSLCertVerificationError) else type(fault).__name__
