"""The service REST API: paths and headers to calls, replies to responses (contract hub.md 3).

Tolerant as the contract asks: any letter case of the collections, trailing slashes, raw ids, method override.
"""

import logging
import re
import secrets
from collections.abc import Callable

from aiohttp import web

from homeport.clock import Clock
from homeport.hub.authentication import Audience, Reason, Refused, authorize_service
from homeport.hub.errors import HubCode, HubError
from homeport.hub.frontends.service.configurations import ConfigurationsResource
from homeport.hub.frontends.service.devices import DevicesResource
from homeport.hub.frontends.service.digital_twins import DigitalTwinsResource
from homeport.hub.frontends.service.file_settings import FileSettingsResource
from homeport.hub.frontends.service.jobs import JobsResource
from homeport.hub.frontends.service.notices import NoticesResource
from homeport.hub.frontends.service.resource import Call, Request, Resource, Target, is_of_devices
from homeport.hub.frontends.service.statistics import StatisticsResource
from homeport.hub.frontends.service.transfers import TransfersResource
from homeport.hub.frontends.service.twins import TwinsResource
from homeport.hub.reply import Reply, as_hub_error, error_reply
from homeport.hub.service import Service
from homeport.hub.service.bulk import MAX_BULK_BODY
from homeport.net.stream import Peer
from homeport.security.callers import Caller, CallerKind
from homeport.security.policies import HubRight

MAX_REQUEST_BODY = MAX_BULK_BODY
"""What the site must let through: the largest body of any call."""

_COLLECTIONS = frozenset(
    {"devices", "twins", "statistics", "jobs", "configurations", "digitaltwins", "fileupload", "messages"}
)
_OF_DEVICES = frozenset({"messages", "files"})
_OVERRIDABLE = frozenset({"PATCH", "PUT", "DELETE", "GET"})
_API_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")

_EXPIRED = frozenset({Reason.NO_PROOF, Reason.MALFORMED, Reason.EXPIRED})
_PUBLIC = {
    Reason.NO_PROOF: "The request has no Authorization header.",
    Reason.MALFORMED: "The Authorization header is not a SAS token.",
    Reason.EXPIRED: "The SAS token has expired.",
    Reason.MISSING_RIGHT: "The policy that signed the token does not permit this call.",
}

_log = logging.getLogger(__name__)


class ServiceFrontEnd:
    """Answers `/devices`, `/twins`, `/statistics` and their neighbours for one hub."""

    def __init__(self, *, hub: str, audience: Callable[[], Audience], service: Service, clock: Clock) -> None:
        self._hub = hub
        self._audience = audience
        self._clock = clock
        self._resources: tuple[Resource, ...] = (
            DevicesResource(service),
            TwinsResource(service),
            JobsResource(service.jobs),
            TransfersResource(service.transfers),
            DigitalTwinsResource(service.digital_twins),
            ConfigurationsResource(service.configurations),
            StatisticsResource(service.statistics),
            NoticesResource(service),
            FileSettingsResource(service.file_settings),
        )

    def owns(self, method: str, path: str) -> bool:
        """Tell whether the path is the service API's; what devices call themselves is not."""
        del method
        parts = path.split("/", 2)
        return len(parts) > 1 and parts[1].lower() in _COLLECTIONS and not is_of_devices(path, *_OF_DEVICES)

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
            target = Target.of(request.raw_path)
        except ValueError:
            raise HubError(HubCode.ARGUMENT_INVALID, "The query string has too many parameters.") from None
        call = self._find(_method(request), target.segments)
        caller = self._authorize(request, target, call.rights, tracking_id, peer)
        version = target.parameters.get("api-version", "")
        if _API_VERSION.fullmatch(version) is None:
            raise HubError(HubCode.INVALID_PROTOCOL_VERSION, "api-version is missing or is no date like 2021-04-12.")
        return await call.run(Request(request, target, caller))

    def _authorize(
        self, request: web.BaseRequest, target: Target, rights: frozenset[HubRight], tracking_id: str, peer: Peer
    ) -> Caller:
        verdict = authorize_service(
            self._audience(), request.headers.get("Authorization"), target.segments, rights, self._clock.now()
        )
        if not isinstance(verdict, Refused):
            return Caller(
                kind=CallerKind.POLICY,
                name=f"{self._hub}/{verdict}",
                remote_address=peer.remote.host,
                tracking_id=tracking_id,
            )
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

    def _find(self, method: str, segments: tuple[str, ...]) -> Call:
        calls = next((calls for each in self._resources if (calls := each.calls(segments))), None)
        if calls is None:
            raise HubError(HubCode.OPERATION_NOT_FOUND, "This server has no such operation.")
        call = calls.get(method)
        if call is None:
            raise HubError(HubCode.METHOD_NOT_ALLOWED, f"This address takes {', '.join(sorted(calls))}.")
        return call


def _method(request: web.BaseRequest) -> str:
    """Return the method that is meant: Java sends PATCH as POST with a header (contract hub.md 3.1)."""
    if request.method == "POST":
        override = request.headers.get("X-HTTP-Method-Override", "").upper()
        if override in _OVERRIDABLE:
            return override
    return request.method
