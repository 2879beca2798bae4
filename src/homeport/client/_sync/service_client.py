# Made by scripts/unasync.py: change its twin in _async instead.
"""What the clients of services have in common: how they are made, how they ask for pages, how they are closed."""

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import ClassVar, Self, TypeVar

import msgspec

from homeport.client._sync.backend import HttpTransport, Pause, pause
from homeport.client._sync.http import HttpSession, only
from homeport.client.answers import decode
from homeport.client.connection_string import parse_connection_string, parse_endpoint
from homeport.client.models import Page
from homeport.client.retry import RetryPolicy
from homeport.client.trust import CaFile, tls_context
from homeport.clock import Clock, SystemClock

T = TypeVar("T")


class ServiceClient:
    """A client that proves itself with a connection string."""

    API_VERSION: ClassVar[str]

    def __init__(self, host_name: str, session: HttpSession) -> None:
        """Use a session; `create_from_connection_string` makes one."""
        self.host_name = host_name
        self._session = session

    @classmethod
    def create_from_connection_string(
        cls,
        connection_string: str | Callable[[], str],
        *,
        api_version: str | None = None,
        endpoint: str | None = None,
        ca_file: CaFile = None,
        verify: bool = True,
        timeout: float = 30.0,
        retry: RetryPolicy | None = None,
        clock: Clock | None = None,
        pause: Pause = pause,
        transport: HttpTransport | None = None,
    ) -> Self:
        """Make a client of `HostName=…;SharedAccessKeyName=…;SharedAccessKey=…`; nothing is sent yet.

        A function in its place is asked before each request: so a client outlives the rotation of its key.
        `HostName` may carry a port. `endpoint` (`host:port` or `https://host:port`) is where to connect instead, for
        a service that is reached under another name than its own. `ca_file` (PEM) is trusted in place of the
        system's authorities. `api_version` is asked for in place of the client's own. `timeout`, in seconds, holds
        for each step of a request. `clock`, `pause` and `transport` replace the world in tests.
        Raises ConnectionStringError, or TransportError for an unusable `ca_file`.
        """
        tell = connection_string if callable(connection_string) else lambda: connection_string
        credential = parse_connection_string(tell())
        world = clock or SystemClock()
        return cls(
            credential.host_name,
            HttpSession(
                credential.authority if endpoint is None else endpoint.removeprefix("https://").rstrip("/"),
                context=tls_context(ca_file, verify=verify),
                timeout=timeout,
                retry=retry or RetryPolicy(),
                authorization=lambda: parse_connection_string(tell()).authorization(world.now()),
                query={"api-version": api_version or cls.API_VERSION},
                pause=pause,
                transport=transport,
            ),
        )

    @classmethod
    def create_from_token(
        cls,
        endpoint: str,
        token: str,
        *,
        api_version: str | None = None,
        ca_file: CaFile = None,
        verify: bool = True,
        timeout: float = 30.0,
        retry: RetryPolicy | None = None,
        pause: Pause = pause,
        transport: HttpTransport | None = None,
    ) -> Self:
        """Make a client of a service's address (`host`, `host:port` or `https://host:port`) and a bearer token.

        Homeport's administrators have such tokens; Azure's are those of Microsoft Entra ID. The other arguments are
        as for `create_from_connection_string`. Raises ConnectionStringError for what cannot be one of the two.
        """
        credential = parse_endpoint(endpoint, token)
        return cls(
            credential.host_name,
            HttpSession(
                credential.authority,
                context=tls_context(ca_file, verify=verify),
                timeout=timeout,
                retry=retry or RetryPolicy(),
                authorization=lambda: f"Bearer {credential.token}",
                query={"api-version": api_version or cls.API_VERSION},
                pause=pause,
                transport=transport,
            ),
        )

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _get(self, path: str, kind: type[T]) -> T:
        return decode((self._session.send("GET", path, repeatable=True)).content, kind)

    def _page(
        self,
        path: str,
        kind: type[T],
        *,
        method: str = "POST",
        query: str | None = None,
        page_size: int | None,
        continuation: str | None,
    ) -> Page[T]:
        """Ask for one page (contract dps.md 8.2 and 8.6, hub.md 8.1); `query` None sends no body."""
        size = None if page_size is None else str(page_size)
        response = self._session.send(
            method,
            path,
            body=None if query is None else msgspec.json.encode({"query": query}),
            headers=only({"x-ms-max-item-count": size, "x-ms-continuation": continuation}),
            repeatable=True,
        )
        items = decode(response.content, list[kind])  # type: ignore[valid-type]  # mypy takes `kind` for a value only
        return Page(items=items, continuation=response.headers.get("x-ms-continuation") or None)

    def _every(
        self, path: str, kind: type[T], *, method: str = "POST", query: str | None = None, page_size: int | None
    ) -> Iterator[T]:
        """Yield the items of all pages; each page is asked for when it is reached."""
        continuation = None
        while True:
            page = self._page(path, kind, method=method, query=query, page_size=page_size, continuation=continuation)
            yield from page.items
            continuation = page.continuation
            if continuation is None:
                return
