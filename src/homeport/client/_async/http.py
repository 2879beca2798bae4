"""Requests to one service over HTTPS: proof, time-outs, retries, refusals. What is asked is not known here."""

import random
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from types import TracebackType
from typing import Self
from urllib.parse import quote

import httpx

from homeport.client._async.backend import HttpClient, HttpTransport, Pause, pause, read_body, read_lines
from homeport.client.answers import refusal, retry_after
from homeport.client.errors import NotFoundError, ProvisioningServiceError, TransportError, UntrustedServerError
from homeport.client.event_stream import SILENCE, Message, StreamReader
from homeport.client.retry import RetryPolicy
from homeport.client.trust import is_loopback, transport_error

USER_AGENT = "homeport-client"
_JSON = "application/json; charset=utf-8"

# Errors of httpx that say that the request was never sent.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


def segment(identifier: str) -> str:
    """Percent-encode an id for its place in a path. Raises ValueError for one that would change the path."""
    if identifier in {"", ".", ".."}:
        raise ValueError(f"{identifier!r} cannot be an id")
    return quote(identifier, safe="")


class HttpSession:
    """A connection pool to one service."""

    def __init__(
        self,
        authority: str,
        *,
        context: ssl.SSLContext,
        timeout: float,
        retry: RetryPolicy,
        authorization: Callable[[], str] | None = None,
        query: Mapping[str, str] | None = None,
        pause: Pause = pause,
        transport: HttpTransport | None = None,
    ) -> None:
        """Prepare; nothing is sent yet.

        `authority` is `host` or `host:port`; `timeout`, in seconds, holds for each step of a request; `query` is
        appended to each of them; `authorization` makes the header's value anew for each of them.
        """
        self._client = HttpClient(
            base_url=f"https://{authority}",
            verify=context,
            timeout=timeout,
            transport=transport,
            # A proxy of the environment is for the world; it cannot reach a service on this machine.
            trust_env=not is_loopback(authority),
            headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
        )
        self.context = context
        self.seconds = timeout
        self._authority = authority
        self._retry = retry
        self._authorization = authorization
        self._query = dict(query or {})
        self._pause = pause

    @property
    def authority(self) -> str:
        """Where the service is: `host` or `host:port`."""
        return self._authority

    def proof(self) -> str:
        """Return the `Authorization` header's value for a request made now."""
        return "" if self._authorization is None else self._authorization()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        seconds: float | None = None,
        answers: Collection[int] = (),
        repeatable: bool,
    ) -> httpx.Response:
        """Send a request until it is answered well; return the 2xx answer, or one with a status of `answers`.

        A request that was surely not carried out (no connection, 429) is always tried again. One that may have
        been (a broken answer, 5xx) only if it is `repeatable`. A DELETE that finds nothing when it is repeated
        has done its work the first time. Raises TransportError or the ProvisioningServiceError of the refusal.
        """
        attempt, doubtful = 1, False
        while True:
            failure: TransportError | ProvisioningServiceError
            try:
                response = await self.exchange(method, path, body=body, headers=headers, query=query, seconds=seconds)
            except UntrustedServerError:
                raise
            except TransportError as error:
                failure = error
                sent = not isinstance(error.__cause__, _NOT_SENT)
                wait = None
            else:
                if response.is_success or response.status_code in answers:
                    return response
                failure = refusal(response.status_code, response.headers, response.content)
                if doubtful and method == "DELETE" and isinstance(failure, NotFoundError):
                    return response
                if response.status_code != 429 and response.status_code < 500:
                    raise failure
                sent = response.status_code != 429
                wait = retry_after(response.headers.get("retry-after"))
            if sent and not repeatable:
                raise failure
            doubtful = doubtful or sent
            delay = self._retry.delay(attempt, wait, random.random())  # noqa: S311  # spreads load, keeps no secret
            if delay is None:
                raise failure
            await self._pause(delay)
            attempt += 1

    async def exchange(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> httpx.Response:
        """Send a request once and return the answer, whatever it is; `seconds` overrides the session's time-out.

        Raises TransportError.
        """
        try:
            return await self._client.request(
                method,
                path,
                content=body,
                headers=self._headers(headers, body),
                params={**self._query, **(query or {})},
                timeout=httpx.USE_CLIENT_DEFAULT if seconds is None else seconds,
            )
        except httpx.HTTPError as error:
            raise transport_error(f"{method} to {self._authority}", error) from error

    async def _lines(self, path: str, query: Mapping[str, str]) -> AsyncIterator[str]:
        """Yield the lines of an answer that does not end, as they arrive; nothing is tried again.

        Ends when the service ends it. Raises TransportError, also after SILENCE seconds without a word, or the
        ProvisioningServiceError of the refusal.
        """
        headers = self._headers({"Accept": "text/event-stream"}, None)
        timeout = httpx.Timeout(self._client.timeout.connect, read=SILENCE)
        parameters = {**self._query, **query}
        try:
            async with self._client.stream(
                "GET", path, headers=headers, params=parameters, timeout=timeout
            ) as response:
                if not response.is_success:
                    raise refusal(response.status_code, response.headers, await read_body(response))
                async for line in read_lines(response):
                    yield line
        except httpx.HTTPError as error:
            raise transport_error(f"GET from {self._authority}", error) from error

    async def messages(
        self, path: str, *, query: Mapping[str, str], place: Mapping[str, str]
    ) -> AsyncIterator[Message]:
        """Yield the events of a stream without an end; nothing is lost when the connection is.

        `place` is the query that says where to begin; later `after` does. Raises TransportError when the service stays
        away, or only hangs up, for longer than the retry policy allows, and the ProvisioningServiceError of a refusal.
        """
        failures = 0
        while True:
            reader = StreamReader(place.get("after", ""))
            heard, broken = False, None
            try:
                async for line in self._lines(path, {**query, **place}):
                    failures, heard = 0, True
                    message = reader.feed(line)
                    if message is not None:
                        yield message
            except TransportError as error:
                broken = error
            if broken is not None or not heard:
                failures += 1
                if not await self._pause_after(failures):
                    raise broken or TransportError(f"GET from {self._authority}: hung up without a word")
            if reader.last_id:
                place = {"after": reader.last_id}

    async def _pause_after(self, failures: int) -> bool:
        """Wait as the retry policy says after so many failures in a row; False if it gives up."""
        delay = self._retry.delay(failures, None, random.random())  # noqa: S311  # spreads load, keeps no secret
        if delay is None:
            return False
        await self._pause(delay)
        return True

    def _headers(self, headers: Mapping[str, str] | None, body: bytes | None) -> dict[str, str]:
        sent = dict(headers or {})
        if body is not None:
            sent.setdefault("Content-Type", _JSON)
        if self._authorization is not None:
            sent["Authorization"] = self._authorization()
        return sent


def only(headers: Mapping[str, str | None]) -> dict[str, str]:
    """Drop the headers that have no value."""
    return {name: value for name, value in headers.items() if value is not None}
