"""Uploads of revocation lists (`PUT /homeport/certificates/{name}/crl`): the only large bodies that are taken.

A site of its own, because of the size; who may not upload is told so before the body is read.
"""

from aiohttp import web

from homeport.clock import Clock
from homeport.dps.administration import CertificatesResponder
from homeport.dps.frontends.authorization import Authorization
from homeport.dps.frontends.http import respond, split_path
from homeport.dps.identifiers import Random, new_guid
from homeport.dps.reply import answer, failure
from homeport.errors import Code, HomeportError
from homeport.net.sites import raw_path
from homeport.net.stream import Peer
from homeport.security.crl import MAX_CRL_BYTES
from homeport.security.policies import DpsRight

MAX_UPLOAD = MAX_CRL_BYTES * 4 // 3 + 64 * 1024
"""A list in PEM."""


class CrlFrontEnd:
    def __init__(
        self, responder: CertificatesResponder, authorization: Authorization, *, clock: Clock, random: Random
    ) -> None:
        self._responder = responder
        self._authorization = authorization
        self._clock = clock
        self._random = random

    def owns(self, method: str, path: str) -> bool:
        return method == "PUT" and _name(path) is not None

    async def handle(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        tracking_id = new_guid(self._random)
        name = _name(raw_path(request)) or ""
        try:
            asked = await self._authorization.ask(request, peer, tracking_id)
            asked.demand(DpsRight.SERVICE_CONFIG)
            body = await _read(request)
        except HomeportError as error:
            return respond(failure(error, tracking_id, self._clock), request)
        reply = await answer(self._responder.put_crl(name, body, asked.caller), tracking_id, self._clock)
        return respond(reply, request)


async def _read(request: web.BaseRequest) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise HomeportError(Code.TOO_LARGE, f"The CRL is larger than {MAX_CRL_BYTES} bytes.") from None


def _name(path: str) -> str | None:
    match split_path(path):
        case (prefix, collection, name, what) if (
            prefix.lower() == "homeport" and collection.lower() == "certificates" and what.lower() == "crl"
        ):
            return name
        case _:
            return None
