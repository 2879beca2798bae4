"""What anybody may read: the chains and revocation lists of issuing authorities (RFC 5280, 4.2.1.13 and 4.2.2.1)."""

from aiohttp import web

from homeport.clock import Clock
from homeport.dps.frontends.http import Target, read_body, respond, split_path
from homeport.dps.identifiers import Random, new_guid
from homeport.dps.issuing.authorities import AuthorityService
from homeport.dps.issuing.revocation import RevocationService
from homeport.dps.reply import Reply, answer
from homeport.dps.translate_issuing import pem_of
from homeport.errors import Code, HomeportError
from homeport.net.stream import Peer

_LIST = "application/pkix-crl"
_CHAIN = "application/pem-certificate-chain"


class PublicCertificatesFrontEnd:
    """`/homeport/pki/{authority}.crl` and `/homeport/pki/{authority}.pem`, `?version=` for one but the newest."""

    def __init__(
        self, authorities: AuthorityService, revocations: RevocationService, *, clock: Clock, random: Random
    ) -> None:
        self._authorities = authorities
        self._revocations = revocations
        self._clock = clock
        self._random = random

    def owns(self, method: str, path: str) -> bool:
        del method
        segments = split_path(path)
        return len(segments) == 3 and [segment.lower() for segment in segments[:2]] == ["homeport", "pki"]

    async def handle(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        del peer
        tracking_id = new_guid(self._random)
        content_type = _LIST if request.path.lower().endswith(".crl") else _CHAIN
        reply = await answer(self._answer(request, tracking_id), tracking_id, self._clock)
        response = respond(reply, request)
        if reply.status == 200:
            response.headers["Content-Type"] = content_type
        return response

    async def _answer(self, request: web.BaseRequest, tracking_id: str) -> Reply:
        await read_body(request)
        target = Target.of(request.raw_path)
        if request.method != "GET":
            raise HomeportError(Code.METHOD_NOT_ALLOWED, "The method here is GET.")
        name, _, kind = target.segments[2].rpartition(".")
        text = target.parameters.get("version", "")
        version = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
        match kind.lower():
            case "crl":
                found = await self._revocations.revocation_list(name, version)
                return Reply(status=200, body=found.der, tracking_id=tracking_id)
            case "pem":
                authority = await self._authorities.get(name)
                at_hand = authority.active if version is None else authority.version(version)
                if at_hand is not None:
                    chain = "".join(pem_of(der) for der in at_hand.chain)
                    return Reply(status=200, body=chain.encode(), tracking_id=tracking_id)
        raise HomeportError(Code.NOT_FOUND, "There is nothing here.")
