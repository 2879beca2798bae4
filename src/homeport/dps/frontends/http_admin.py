"""Administrators over HTTPS, beside Azure's API: why, attempts, all registrations, linked hubs (`/homeport/…`)."""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from homeport.clock import Clock
from homeport.dps.administration import AdminResponder
from homeport.dps.frontends.authorization import Authorization
from homeport.dps.frontends.http import Target, answer_request, split_path
from homeport.dps.identifiers import Random, new_guid
from homeport.dps.reply import Reply
from homeport.dps.service_responder import Paging
from homeport.errors import Code, HomeportError
from homeport.net.stream import Peer
from homeport.security.policies import DpsRight

_PREFIX = "homeport"
_COLLECTIONS = frozenset({"why", "attempts", "registrations", "hubs"})

_Call = tuple[DpsRight, Callable[[], Awaitable[Reply]]]

_READ, _CONFIG = DpsRight.REGISTRATION_STATUS_READ, DpsRight.SERVICE_CONFIG


class AdminFrontEnd:
    """Answers four collections under `/homeport/`; the others there are somebody else's."""

    def __init__(
        self, responder: AdminResponder, authorization: Authorization, *, clock: Clock, random: Random
    ) -> None:
        self._responder = responder
        self._authorization = authorization
        self._clock = clock
        self._random = random

    def owns(self, method: str, path: str) -> bool:
        del method
        segments = split_path(path)
        return len(segments) >= 2 and segments[0].lower() == _PREFIX and segments[1].lower() in _COLLECTIONS

    async def handle(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        tracking_id = new_guid(self._random)
        return await answer_request(
            request, lambda body: self._answer(request, peer, body, tracking_id), tracking_id, self._clock
        )

    async def _answer(self, request: web.BaseRequest, peer: Peer, body: bytes, tracking_id: str) -> Reply:
        target = Target.of(request)
        calls = self._calls(request, target, body, tracking_id)
        if not calls:
            raise HomeportError(Code.NOT_FOUND, "There is no such operation.")
        call = calls.get(request.method)
        if call is None:
            raise HomeportError(Code.METHOD_NOT_ALLOWED, f"The methods here are {', '.join(sorted(calls))}.")
        right, run = call
        self._authorization.demand(request, peer, right, tracking_id)
        return await run()

    def _calls(self, request: web.BaseRequest, target: Target, body: bytes, tracking_id: str) -> Mapping[str, _Call]:
        """Return the operations of one address by method, each with the right it needs."""
        responder = self._responder

        def paging() -> Paging:
            return Paging(request.headers.get("x-ms-max-item-count"), request.headers.get("x-ms-continuation"))

        match [target.segments[1].lower(), *target.segments[2:]]:
            case ["why", name]:
                limit = target.parameters.get("limit")
                return {"GET": (_READ, lambda: responder.why(name, limit, tracking_id))}
            case ["attempts"]:
                return {"GET": (_READ, lambda: responder.attempts(paging(), tracking_id))}
            case ["attempts", wanted]:
                return {"GET": (_READ, lambda: responder.attempt(wanted, tracking_id))}
            case ["registrations"]:
                return {"GET": (_READ, lambda: responder.registrations(paging(), tracking_id))}
            case ["hubs"]:
                return {"GET": (_CONFIG, lambda: responder.hubs(tracking_id))}
            case ["hubs", name]:
                return {
                    "GET": (_CONFIG, lambda: responder.hub(name, tracking_id)),
                    "PUT": (_CONFIG, lambda: responder.put_hub(name, body, tracking_id)),
                    "PATCH": (_CONFIG, lambda: responder.patch_hub(name, body, tracking_id)),
                    "DELETE": (_CONFIG, lambda: responder.delete_hub(name, tracking_id)),
                }
            case _:
                return {}
