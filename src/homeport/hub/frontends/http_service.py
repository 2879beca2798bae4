"""The service REST API: paths and headers to calls, replies to responses (contract hub.md 3).

Tolerant as the contract asks: any letter case of the collections, trailing slashes, raw ids, method override.
"""

import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from homeport.clock import Clock
from homeport.hub.authentication import Audience, Reason, Refused, authorize_service
from homeport.hub.errors import HubCode, HubError
from homeport.hub.reply import Reply, as_hub_error, error_reply
from homeport.hub.service import MAX_BODY, MAX_BULK_BODY, Service
from homeport.net.stream import Peer
from homeport.security.policies import HubRight

MAX_REQUEST_BODY = MAX_BULK_BODY
"""What the site must let through: the largest body of any call."""

_COLLECTIONS = frozenset({"devices", "twins", "statistics", "jobs", "configurations", "digitaltwins"})
_OF_DEVICES = frozenset({"messages", "files"})
_OVERRIDABLE = frozenset({"PATCH", "PUT", "DELETE", "GET"})
_API_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")

_READ = frozenset({HubRight.REGISTRY_READ})
_WRITE = frozenset({HubRight.REGISTRY_WRITE})
_SERVICE = frozenset({HubRight.SERVICE_CONNECT})
_QUERY = _READ | _SERVICE

_EXPIRED = frozenset({Reason.NO_PROOF, Reason.MALFORMED, Reason.EXPIRED})
_PUBLIC = {
    Reason.NO_PROOF: "The request has no Authorization header.",
    Reason.MALFORMED: "The Authorization header is not a SAS token.",
    Reason.EXPIRED: "The SAS token has expired.",
    Reason.MISSING_RIGHT: "The policy that signed the token does not permit this call.",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """What a request line names: the path's decoded segments and the first value of each query parameter."""

    segments: tuple[str, ...]
    parameters: Mapping[str, str]

    @classmethod
    def of(cls, text: str) -> "_Target":
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One operation: the rights of which one is needed, and how it is carried out."""

    rights: frozenset[HubRight]
    run: Callable[["_Request"], Awaitable[Reply]]


class ServiceFrontEnd:
    """Answers `/devices`, `/twins`, `/statistics` and their neighbours for one hub."""

    def __init__(self, *, hub: str, audience: Callable[[], Audience], service: Service, clock: Clock) -> None:
        self._hub = hub
        self._audience = audience
        self._service = service
        self._clock = clock

    def owns(self, method: str, path: str) -> bool:
        """Tell whether the path is the service API's; what devices call themselves is not."""
        del method
        parts = path.split("/", 4)
        if len(parts) < 2 or parts[1].lower() not in _COLLECTIONS:
            return False
        return not (parts[1].lower() == "devices" and len(parts) > 3 and parts[3].lower() in _OF_DEVICES)

    async def handle(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        tracking_id = secrets.token_hex(16)
        try:
            reply = await self._answer(request, tracking_id, peer)
        except HubError as error:
            reply = error_reply(error, tracking_id, self._clock.now())
        except (web.HTTPException, ConnectionError):
            raise  # a body that did not arrive, or not in time: net's to answer, and no fault of ours
        except Exception as fault:
            _log.exception("hub %s: %s failed, tracking id %s", self._hub, request.method, tracking_id)
            reply = error_reply(as_hub_error(fault), tracking_id, self._clock.now())
        response = web.Response(status=reply.status, body=reply.body, headers=reply.headers)
        if reply.content_type is not None:
            response.headers["Content-Type"] = reply.content_type
        return response

    async def _answer(self, request: web.BaseRequest, tracking_id: str, peer: Peer) -> Reply:
        try:
            target = _Target.of(request.raw_path)
        except ValueError:
            raise HubError(HubCode.ARGUMENT_INVALID, "The query string has too many parameters.") from None
        call = self._find(_method(request), target.segments)
        self._authorize(request, target, call.rights, tracking_id, peer)
        version = target.parameters.get("api-version", "")
        if _API_VERSION.fullmatch(version) is None:
            raise HubError(HubCode.INVALID_PROTOCOL_VERSION, "api-version is missing or is no date like 2021-04-12.")
        return await call.run(_Request(request, target))

    def _authorize(
        self, request: web.BaseRequest, target: _Target, rights: frozenset[HubRight], tracking_id: str, peer: Peer
    ) -> None:
        verdict = authorize_service(
            self._audience(), request.headers.get("Authorization"), target.segments, rights, self._clock.now()
        )
        if not isinstance(verdict, Refused):
            return
        _log.info(
            "hub %s: %s /%s from %s refused (%s): %s; tracking id %s",
            self._hub,
            request.method,
            target.segments[0],
            peer.remote.host,
            verdict.reason,
            verdict.explanation,
            tracking_id,
        )
        code = HubCode.UNAUTHORIZED if verdict.reason in _EXPIRED else HubCode.UNAUTHORIZED_ACCESS
        raise HubError(code, _PUBLIC.get(verdict.reason, "The SAS token does not hold for this hub."))

    def _find(self, method: str, segments: tuple[str, ...]) -> _Call:
        calls = self._calls(segments)
        if not calls:
            raise HubError(HubCode.OPERATION_NOT_FOUND, "This server has no such operation.")
        call = calls.get(method)
        if call is None:
            raise HubError(HubCode.METHOD_NOT_ALLOWED, f"This address takes {', '.join(sorted(calls))}.")
        return call

    def _calls(self, segments: tuple[str, ...]) -> Mapping[str, _Call]:
        """Return the operations of one address by method."""
        service = self._service
        match segments:
            case ("devices",):
                return {
                    "GET": _call(_READ, lambda request: service.list_devices(request.parameter("top"))),
                    "POST": _call(_WRITE, lambda request: _with_body(request, service.bulk, MAX_BULK_BODY)),
                }
            case ("devices", device_id):
                calls = {
                    "GET": _call(_READ, lambda _: service.get_device(device_id)),
                    "PUT": _call(
                        _WRITE,
                        lambda request: _with_body(
                            request, lambda body: service.put_device(device_id, body, request.if_match)
                        ),
                    ),
                    "DELETE": _call(_WRITE, lambda request: service.delete_device(device_id, request.if_match)),
                }
                if device_id.lower() == "query":  # a device may have this name, but nobody posts to a device
                    calls["POST"] = _call(
                        _QUERY,
                        lambda request: _with_body(
                            request,
                            lambda body: service.query(
                                body,
                                page_size=request.header("x-ms-max-item-count"),
                                continuation=request.header("x-ms-continuation"),
                            ),
                        ),
                    )
                return calls
            case ("twins", device_id):
                return {
                    "GET": _call(_SERVICE, lambda _: service.get_twin(device_id)),
                    "PATCH": _call(
                        _SERVICE,
                        lambda request: _with_body(
                            request, lambda body: service.patch_twin(device_id, body, request.if_match)
                        ),
                    ),
                    "PUT": _call(
                        _SERVICE,
                        lambda request: _with_body(
                            request, lambda body: service.put_twin(device_id, body, request.if_match)
                        ),
                    ),
                }
            case ("statistics", kind) if kind.lower() == "devices":
                return {"GET": _call(_READ, lambda _: service.registry_statistics())}
            case ("statistics", kind) if kind.lower() == "service":
                return {"GET": _call(_SERVICE, lambda _: service.service_statistics())}
            case _:
                return {}


class _Request:
    """What a call may ask of its request."""

    def __init__(self, request: web.BaseRequest, target: _Target) -> None:
        self._request = request
        self._target = target

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


def _call(rights: frozenset[HubRight], run: Callable[[_Request], Awaitable[Reply]]) -> _Call:
    return _Call(rights=rights, run=run)


async def _with_body(request: _Request, run: Callable[[bytes], Awaitable[Reply]], limit: int = MAX_BODY) -> Reply:
    return await run(await request.body(limit))


def _method(request: web.BaseRequest) -> str:
    """Return the method that is meant: Java sends PATCH as POST with a header (contract hub.md 3.1)."""
    if request.method == "POST":
        override = request.headers.get("X-HTTP-Method-Override", "").upper()
        if override in _OVERRIDABLE:
            return override
    return request.method
