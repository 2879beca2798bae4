"""What the HTTP envelopes share: the request's target and body on the way in, the reply's headers on the way out."""

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import parse_qsl, unquote

from aiohttp import web
from msgspec import Struct

from homeport.clock import Clock
from homeport.dps.reply import Reply, answer, failure
from homeport.errors import Code, HomeportError
from homeport.net.plain_http import PlainAnswer
from homeport.net.sites import path_of
from homeport.wire import JSON_CONTENT_TYPE, MAX_DOCUMENT_BYTES

_MAX_PARAMETERS = 32
_TRANSPORT_SECURITY = "max-age=31536000; includeSubDomains"
_UNSECURED = frozenset({"localhost", ""})


class Target(Struct, frozen=True, kw_only=True):
    """What a request line names: the path's decoded segments, and the first value of each query parameter."""

    segments: tuple[str, ...]
    parameters: Mapping[str, str]

    @classmethod
    def of(cls, target: str) -> "Target":
        """Read a request target; trailing slashes do not count. Raises HomeportError INVALID_REQUEST."""
        try:
            parameters = _parameters(target.partition("?")[2])
        except ValueError:
            raise HomeportError(Code.INVALID_REQUEST, "The query string has too many parameters.") from None
        return cls(segments=split_path(path_of(target)), parameters=parameters)


@lru_cache(maxsize=64)
def _parameters(query: str) -> Mapping[str, str]:
    """Read a query string; all devices of a fleet send the same one. Raises ValueError if it has too many parts."""
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS):
        parameters.setdefault(name.lower(), value)
    return MappingProxyType(parameters)


@lru_cache(maxsize=64)
def split_path(path: str) -> tuple[str, ...]:
    """Return a raw path's decoded segments; what is no UTF-8 becomes a character no id has.

    Each request is asked several times, by whoever might own it.
    """
    segments = [unquote(segment) for segment in path.split("/")[1:]]
    while segments and not segments[-1]:
        segments.pop()
    return tuple(segments)


async def read_body(request: web.BaseRequest) -> bytes:
    """Return the whole body, also of a GET, so that a kept connection stays in step. Raises HomeportError TOO_LARGE."""
    check_body_size(request.content_length or 0)
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise HomeportError(Code.TOO_LARGE, f"The body is larger than {MAX_DOCUMENT_BYTES} bytes.") from None


def check_body_size(size: int) -> None:
    """Raise HomeportError TOO_LARGE for a body that no document has."""
    if size > MAX_DOCUMENT_BYTES:
        raise HomeportError(Code.TOO_LARGE, f"The body is larger than {MAX_DOCUMENT_BYTES} bytes.")


async def answer_request(
    request: web.BaseRequest, call: Callable[[bytes], Awaitable[Reply]], tracking_id: str, clock: Clock
) -> web.Response:
    """Answer an administrator's request by `call`, which gets the body.

    The body is read outside of the call: one that does not arrive, or not in time, is no fault of the server, and
    what is then raised (ConnectionError, HTTPRequestTimeout) is answered by net.
    """
    try:
        body = await read_body(request)
    except HomeportError as error:
        return respond(failure(error, tracking_id, clock), request)
    return respond(await answer(call(body), tracking_id, clock), request)


def respond(reply: Reply, request: web.BaseRequest, *, location: str | None = None) -> web.Response:
    """Put the reply into HTTP (contract dps.md 3.2, 3.6, 8.2)."""
    headers = _fields(reply, request.headers.get("Host", ""), location)
    return web.Response(status=reply.status, body=reply.body or None, headers=headers)


def respond_plain(reply: Reply, host: str, *, location: str | None = None) -> PlainAnswer:
    """As `respond`, for a plain request to this `Host`."""
    return PlainAnswer(status=reply.status, fields=_fields(reply, host, location), body=reply.body)


def _fields(reply: Reply, host: str, location: str | None) -> dict[str, str]:
    headers = {"x-ms-request-id": reply.tracking_id, **reply.headers}
    # A browser that met this on `localhost` would refuse the portal, which is served there without TLS.
    if host.partition(":")[0].lower() not in _UNSECURED:
        headers["Strict-Transport-Security"] = _TRANSPORT_SECURITY
    if reply.body:
        headers["Content-Type"] = JSON_CONTENT_TYPE
    if reply.retry_after is not None:
        headers["Retry-After"] = str(reply.retry_after)
    if reply.code is not None:
        headers["x-ms-error-code"] = str(reply.code)
    if location is not None:
        headers["Location"] = location
    return headers
