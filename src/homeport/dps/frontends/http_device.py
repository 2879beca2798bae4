"""Devices over HTTPS: method, path and headers around the responder's calls (contract dps.md 3)."""

from collections.abc import Sequence

from aiohttp import web

from homeport.dps.frontends.http import Target, check_body_size, read_body, respond, respond_plain, split_path
from homeport.dps.model import CallContext, CertificateEvidence, DeviceClaim, Evidence, NoEvidence, SasEvidence
from homeport.dps.reply import Reply
from homeport.dps.responder import DeviceResponder
from homeport.errors import Code, HomeportError
from homeport.net.plain_http import PlainAnswer, PlainRequest
from homeport.net.sites import path_of
from homeport.net.stream import Peer
from homeport.values import replace

_COLLECTION = "registrations"
_NOT_SCOPES = frozenset({"", "registrations", "enrollments", "enrollmentgroups", "homeport", "uploads"})
_MAX_VERSION_TEXT = 256


class DeviceFrontEnd:
    """Answers `/{idScope}/registrations/…`; an id scope that is not ours is refused, with a record, by the engine."""

    def __init__(self, responder: DeviceResponder) -> None:
        self._responder = responder

    def owns(self, method: str, path: str) -> bool:
        del method
        segments = split_path(path)
        if _is_candidates(segments):
            return True
        return len(segments) >= 2 and segments[1].lower() == _COLLECTION and segments[0].lower() not in _NOT_SCOPES

    async def handle(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        # The first of several fields of one name counts.
        fields = {name.lower(): value for name, value in reversed(list(request.headers.items()))}
        plain = PlainRequest(method=request.method, target=request.raw_path, fields=fields, body=b"")
        context = self._context(plain, peer)
        try:
            reply = await self._answer(replace(plain, body=await read_body(request)), peer, context)
        except HomeportError as error:
            reply = self._responder.refuse(error, context)
        return respond(reply, request, location=_location(host, plain.target) if reply.status == 202 else None)

    async def answer(self, request: PlainRequest, peer: Peer) -> PlainAnswer:
        """As `handle`, without aiohttp."""
        host = request.fields["host"]
        context = self._context(request, peer)
        try:
            check_body_size(len(request.body))
            reply = await self._answer(request, peer, context)
        except HomeportError as error:
            reply = self._responder.refuse(error, context)
        return respond_plain(reply, host, location=_location(host, request.target) if reply.status == 202 else None)

    def _context(self, request: PlainRequest, peer: Peer) -> CallContext:
        return CallContext(
            tracking_id=self._responder.new_tracking_id(),
            transport="https",
            remote_address=peer.remote.host,
            client_version=_client_version(request),
        )

    async def _answer(self, request: PlainRequest, peer: Peer, context: CallContext) -> Reply:
        target = Target.of(request.target)
        if _is_candidates(target.segments):
            return await self._candidates(request, peer, target, context)
        scope, rest = target.segments[0], target.segments[2:]
        if not rest:
            raise HomeportError(Code.METHOD_NOT_ALLOWED, "The registration id is missing.")
        claim = DeviceClaim(
            id_scope=scope, registration_id=rest[0], api_version=target.parameters.get("api-version", "")
        )
        evidence = _evidence(request, peer)
        match request.method, [rest[1].lower(), *rest[2:]] if len(rest) > 1 else []:
            case "PUT", ["register"]:
                return await self._responder.register(claim, evidence, request.body, context)
            case "GET", ["operations", operation_id]:
                return await self._responder.operation_status(claim, evidence, operation_id, context)
            case "POST", []:
                return await self._responder.registration_state(claim, evidence, request.body, context)
            case _, ([] | ["register"] | ["operations", _]):
                raise HomeportError(Code.METHOD_NOT_ALLOWED, f"{_method_for(rest)} is the method here.")
            case _:
                raise HomeportError(Code.NOT_FOUND, "There is no such operation.")

    async def _candidates(self, request: PlainRequest, peer: Peer, target: Target, context: CallContext) -> Reply:
        if request.method != "GET":
            raise HomeportError(Code.METHOD_NOT_ALLOWED, "GET is the method here.")
        _, _, scope, registration_id, _ = target.segments
        claim = DeviceClaim(
            id_scope=scope, registration_id=registration_id, api_version=target.parameters.get("api-version", "")
        )
        return await self._responder.candidates(claim, _evidence(request, peer), context)


def _is_candidates(segments: Sequence[str]) -> bool:
    """Tell whether this is `/homeport/devices/{idScope}/{registrationId}/hubs`, which is ours and not Azure's."""
    return len(segments) == 5 and [segments[0].lower(), segments[1].lower(), segments[4].lower()] == [
        "homeport",
        "devices",
        "hubs",
    ]


def _method_for(rest: Sequence[str]) -> str:
    if len(rest) == 1:
        return "POST"
    return "PUT" if rest[1].lower() == "register" else "GET"


def _evidence(request: PlainRequest, peer: Peer) -> Evidence:
    """Take the token if there is one: a client may have a certificate for other purposes."""
    token = request.fields.get("authorization", "").strip()
    if token:
        return SasEvidence(token=token)
    return CertificateEvidence(chain=peer.chain) if peer.chain else NoEvidence()


def _client_version(request: PlainRequest) -> str | None:
    # C spells the header without a hyphen (contract dps.md 3.1).
    text = request.fields.get("useragent") or request.fields.get("user-agent")
    # Whatever bytes it was sent in: the record of the attempt must not fail for it.
    return text[:_MAX_VERSION_TEXT].encode(errors="replace").decode() if text else None


def _location(host: str, target: str) -> str:
    return f"https://{host}{path_of(target)}"
