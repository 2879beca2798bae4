"""What a noun of the service API offers: its addresses, and for each the methods with the right they need."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol
from urllib.parse import parse_qsl, unquote

from aiohttp import web
from msgspec import Struct

from homeport.hub.errors import HubCode, HubError
from homeport.hub.reply import Reply
from homeport.hub.service.bodies import MAX_BODY
from homeport.security.callers import Caller, CallerKind
from homeport.security.policies import HubRight

READ = frozenset({HubRight.REGISTRY_READ})
WRITE = frozenset({HubRight.REGISTRY_WRITE})
SERVICE = frozenset({HubRight.SERVICE_CONNECT})
QUERY = READ | SERVICE


class Target(Struct, frozen=True, kw_only=True):
    """What a request line names: the path's decoded segments and the first value of each query parameter."""

    segments: tuple[str, ...]
    parameters: Mapping[str, str]

    @classmethod
    def of(cls, text: str) -> "Target":
        """Read the target as sent. The last `?` begins the query: the C client sends ids raw, `?` and `#` included."""
        if not text.startswith("/") and "://" in text:
            text = "/" + text.partition("://")[2].partition("/")[2]
        path, separator, query = text.rpartition("?")
        if not separator:
            path, query = text, ""
        parameters: dict[str, str] = {}
        for name, value in parse_qsl(query, keep_blank_values=True, max_num_fields=32):
            parameters.setdefault(name.lower(), value)
        segments = [unquote(segment) for segment in path.split("/")[1:]]
        while segments and not segments[-1]:
            segments.pop()
        if segments:
            segments[0] = segments[0].lower()
        return cls(segments=tuple(segments), parameters=parameters)


def is_of_devices(path: str, *words: str) -> bool:
    """Tell whether a raw path is what devices and modules call themselves: one of these words behind their id."""
    parts = path.lower().split("/", 6)
    if len(parts) < 4 or parts[1] != "devices":
        return False
    return parts[3] in words or (parts[3] == "modules" and len(parts) > 5 and parts[5] in words)


_STRANGER = Caller(kind=CallerKind.STRANGER, name="")


class Request:
    """What a call may ask of its request."""

    def __init__(self, request: web.BaseRequest, target: Target, caller: Caller = _STRANGER) -> None:
        self._request = request
        self._target = target
        self.caller = caller
        """In whose name changes of the hub's settings are told."""

    @property
    def host(self) -> str:
        """The Host header as it came, port included; empty if there is none."""
        return self.header("Host") or ""

    @property
    def if_match(self) -> str | None:
        return self.header("If-Match")

    def header(self, name: str) -> str | None:
        return self._request.headers.get(name)

    def parameter(self, name: str) -> str | None:
        return self._target.parameters.get(name)

    async def body(self, limit: int) -> bytes:
        """Read the body; a declared length over the limit is refused before any of it is read."""
        too_large = HubError(HubCode.BODY_TOO_LARGE, f"This call takes at most {limit} bytes.")
        if (self._request.content_length or 0) > limit:
            raise too_large
        try:
            body = await self._request.read()
        except web.HTTPRequestEntityTooLarge:
            raise too_large from None
        if len(body) > limit:
            raise too_large
        return body


class Call(Struct, frozen=True, kw_only=True):
    """One operation: the rights of which one is needed, and how it is carried out."""

    rights: frozenset[HubRight]
    run: Callable[[Request], Awaitable[Reply]]


Calls = Mapping[str, Call]
"""Operations of one address by method."""


class Resource(Protocol):
    """The operations of one or a few nouns."""

    def calls(self, segments: tuple[str, ...]) -> Calls:
        """Return the operations at this address, none if it is not this resource's; the collection is in lower case."""
        ...


def call(rights: frozenset[HubRight], run: Callable[[Request], Awaitable[Reply]]) -> Call:
    """Make an operation without a body."""
    return Call(rights=rights, run=run)


def call_with_body(
    rights: frozenset[HubRight], run: Callable[[Request, bytes], Awaitable[Reply]], limit: int = MAX_BODY
) -> Call:
    """Make an operation that takes a body of up to `limit` bytes."""

    async def with_body(request: Request) -> Reply:
        return await run(request, await request.body(limit))

    return Call(rights=rights, run=with_body)
