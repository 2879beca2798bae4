"""The front-end of everything under `/homeport/` that administrators of the provisioning service are offered."""

from collections.abc import Sequence

from aiohttp import web

from homeport.clock import Clock
from homeport.dps.frontends.admin.resource import AdminRequest, AdminResource
from homeport.dps.frontends.authorization import Authorization
from homeport.dps.frontends.http import Target, answer_request, split_path
from homeport.dps.identifiers import Random, new_guid
from homeport.dps.reply import Reply
from homeport.errors import Code, HomeportError
from homeport.net.stream import Peer

_PREFIX = "homeport"


class AdminFrontEnd:
    """Answers the collections of its resources; others under `/homeport/` are somebody else's."""

    def __init__(
        self, resources: Sequence[AdminResource], authorization: Authorization, *, clock: Clock, random: Random
    ) -> None:
        self._resources = {name: resource for resource in resources for name in resource.collections}
        self._authorization = authorization
        self._clock = clock
        self._random = random

    def owns(self, method: str, path: str) -> bool:
        del method
        segments = split_path(path)
        return len(segments) >= 2 and segments[0].lower() == _PREFIX and segments[1].lower() in self._resources

    async def handle(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        tracking_id = new_guid(self._random)
        return await answer_request(
            request, lambda body: self._answer(request, peer, body, tracking_id), tracking_id, self._clock
        )

    async def _answer(self, request: web.BaseRequest, peer: Peer, body: bytes, tracking_id: str) -> Reply:
        target = Target.of(request.raw_path)
        collection = target.segments[1].lower()
        asked = await self._authorization.ask(request, peer, tracking_id)
        calls = self._resources[collection].calls(
            AdminRequest(
                path=(collection, *target.segments[2:]),
                parameters=target.parameters,
                headers={name.lower(): value for name, value in request.headers.items()},
                body=body,
                tracking_id=tracking_id,
                caller=asked.caller,
            )
        )
        if not calls:
            raise HomeportError(Code.NOT_FOUND, "There is no such operation.")
        call = calls.get(request.method)
        if call is None:
            raise HomeportError(Code.METHOD_NOT_ALLOWED, f"The methods here are {', '.join(sorted(calls))}.")
        right, run = call
        asked.demand(right)
        return await run()
