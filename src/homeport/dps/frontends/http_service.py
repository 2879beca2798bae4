"""Administrators over HTTPS: enrollments, groups and registration states (contract dps.md 8)."""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from homeport.clock import Clock
from homeport.dps.frontends.authorization import Authorization
from homeport.dps.frontends.http import Target, answer_request, split_path
from homeport.dps.identifiers import Random, new_guid
from homeport.dps.listing import Paging
from homeport.dps.reply import Call, Reply
from homeport.dps.service_responder import ServiceResponder
from homeport.errors import Code, HomeportError
from homeport.net.stream import Peer
from homeport.security.callers import Caller
from homeport.security.policies import DpsRight
from homeport.wire.versions import is_api_version

_COLLECTIONS = frozenset({"enrollments", "enrollmentgroups", "registrations"})

_Operation = tuple[DpsRight, Callable[[], Awaitable[Reply]]]

_READ, _WRITE = DpsRight.ENROLLMENT_READ, DpsRight.ENROLLMENT_WRITE
_STATUS_READ, _STATUS_WRITE = DpsRight.REGISTRATION_STATUS_READ, DpsRight.REGISTRATION_STATUS_WRITE


class ServiceFrontEnd:
    """Answers `/enrollments…`, `/enrollmentGroups…` and `/registrations…`, in any letter case."""

    def __init__(
        self, responder: ServiceResponder, authorization: Authorization, *, clock: Clock, random: Random
    ) -> None:
        self._responder = responder
        self._authorization = authorization
        self._clock = clock
        self._random = random

    def owns(self, method: str, path: str) -> bool:
        del method
        segments = split_path(path)
        return bool(segments) and segments[0].lower() in _COLLECTIONS

    async def handle(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        tracking_id = new_guid(self._random)
        return await answer_request(
            request, lambda body: self._answer(request, peer, body, tracking_id), tracking_id, self._clock
        )

    async def _answer(self, request: web.BaseRequest, peer: Peer, body: bytes, tracking_id: str) -> Reply:
        target = Target.of(request.raw_path)
        asked = await self._authorization.ask(request, peer, tracking_id)
        calls = self._calls(request, target, body, asked.caller)
        if not calls and len(target.segments) == 1:
            raise HomeportError(Code.METHOD_NOT_ALLOWED, "The id is missing in the address.")
        if not calls:
            raise HomeportError(Code.NOT_FOUND, "There is no such operation.")
        call = calls.get(request.method)
        if call is None:
            raise HomeportError(Code.METHOD_NOT_ALLOWED, f"The methods here are {', '.join(sorted(calls))}.")
        right, run = call
        asked.demand(right)
        if not is_api_version(target.parameters.get("api-version", "")):
            raise HomeportError(Code.INVALID_REQUEST, "The api-version is missing or not of the form YYYY-MM-DD.")
        return await run()

    def _calls(self, request: web.BaseRequest, target: Target, body: bytes, caller: Caller) -> Mapping[str, _Operation]:
        """Return the operations of one address by method, each with the right it needs (contract dps.md 2.5, 8.1)."""
        responder, tracking_id = self._responder, caller.tracking_id
        call = Call(api_version=target.parameters.get("api-version", ""), by=caller)
        if_match = request.headers.get("If-Match")

        def paging() -> Paging:
            return Paging(request.headers.get("x-ms-max-item-count"), request.headers.get("x-ms-continuation"))

        match [target.segments[0].lower(), *target.segments[1:]]:
            case ["enrollments"]:
                return {"POST": (_WRITE, lambda: responder.bulk.individuals(body, call))}
            case ["enrollmentgroups"]:
                return {"POST": (_WRITE, lambda: responder.bulk.groups(body, call))}
            case ["enrollments", word] if word.lower() == "query" and request.method == "POST":
                return {"POST": (_READ, lambda: responder.query_individuals(body, paging(), call))}
            case ["enrollments", name]:
                return {
                    "GET": (_READ, lambda: responder.get_individual(name, call)),
                    "PUT": (_WRITE, lambda: responder.put_individual(name, body, if_match, call)),
                    "DELETE": (_WRITE, lambda: responder.delete_individual(name, if_match, caller)),
                }
            case ["enrollments", name, word] if word.lower() == "attestationmechanism":
                return {"POST": (_WRITE, lambda: responder.individual_mechanism(name, tracking_id))}
            case ["enrollmentgroups", word] if word.lower() == "query" and request.method == "POST":
                return {"POST": (_READ, lambda: responder.query_groups(body, paging(), call))}
            case ["enrollmentgroups", name]:
                return {
                    "GET": (_READ, lambda: responder.get_group(name, call)),
                    "PUT": (_WRITE, lambda: responder.put_group(name, body, if_match, call)),
                    "DELETE": (_WRITE, lambda: responder.delete_group(name, if_match, caller)),
                }
            case ["enrollmentgroups", name, word] if word.lower() == "attestationmechanism":
                return {"POST": (_WRITE, lambda: responder.group_mechanism(name, tracking_id))}
            case ["registrations", name]:
                return {
                    "GET": (_STATUS_READ, lambda: responder.get_registration(name, tracking_id)),
                    "DELETE": (_STATUS_WRITE, lambda: responder.delete_registration(name, if_match, caller)),
                }
            case ["registrations", name, word] if word.lower() == "query":
                return {
                    "POST": (_STATUS_READ, lambda: responder.query_registrations(name, body, paging(), tracking_id))
                }
            case _:
                return {}
