"""Devices over AMQP, on TLS or WebSocket: SASL, links and messages around the responder's calls (contract dps.md 5)."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, assert_never

from msgspec import Struct

from homeport.clock import Clock
from homeport.dps.attestation import INVALID_CERTIFICATE, UNAUTHORIZED
from homeport.dps.frontends.amqp_messages import (
    API_VERSION,
    CLIENT_VERSION,
    Address,
    Lookup,
    Register,
    Request,
    Status,
    error,
    read_address,
    read_request,
    read_text,
    response,
)
from homeport.dps.frontends.amqp_sasl import (
    SEGMENT_BYTES,
    TPM,
    SaslFormError,
    ask_storage_root_key,
    ask_token,
    read_hello,
)
from homeport.dps.identifiers import check_registration_id
from homeport.dps.model import (
    CallContext,
    CertificateEvidence,
    DeviceClaim,
    Evidence,
    NoEvidence,
    SasEvidence,
    TpmEvidence,
)
from homeport.dps.reply import Reply
from homeport.dps.responder import DeviceResponder
from homeport.errors import Code, HomeportError
from homeport.net.amqp_handlers import (
    AmqpConnection,
    AmqpDelivery,
    AmqpHandler,
    AmqpOpening,
    AmqpReceiver,
    AmqpSender,
    LinkTerms,
    SaslExchange,
    SaslRefusal,
)
from homeport.net.sites import MAX_BODY
from homeport.net.stream import Peer
from homeport.proto.amqp import ACCEPTED, PLAIN, Condition, Error, Rejected, SaslCode, SaslInit, parse_plain
from homeport.security.x509 import CertificateError, parse_chain
from homeport.wire.versions import waits_after_sending

SESSION_LIFE = timedelta(hours=1)
"""No registration takes as long as its operation's deadline; whoever stays beyond this has forgotten us."""
PAUSE_SECONDS = 0.05
"""For clients that begin to wait only after they have sent (contract dps.md 4.4)."""
CREDIT = 1000
"""What the hosted service gives (contract dps.md 5.3)."""
MAX_LINKS = 16
"""A registration needs two."""

_MAX_VERSION_TEXT: Final = 256
_log = logging.getLogger(__name__)


class _Identity(Struct, frozen=True, kw_only=True):
    """Who a client is by SASL, and the proof that each of its requests is judged by."""

    address: Address
    evidence: Evidence


class DeviceAmqpFrontEnd:
    """Lets a genuine device in, or says why not; each request is judged anew (contract dps.md 5.1)."""

    mechanisms: Sequence[str] = (PLAIN, TPM)

    def __init__(self, responder: DeviceResponder, clock: Clock) -> None:
        self._responder = responder
        self._clock = clock

    def owns(self, opening: AmqpOpening) -> bool | None:
        """Tell `{scope}/registrations/…` from a hub's `…@sas.root.{hub}`, `$cbs` and `devices/…`."""
        if opening.mechanism == TPM:
            return True
        if opening.identity is not None:
            return _is_ours(opening.identity)
        if opening.address is not None:
            return read_address(opening.address) is not None
        return None

    async def authenticate(self, init: SaslInit, peer: Peer, exchange: SaslExchange) -> object | None:
        context = self._context(peer)
        try:
            identity = (
                await self._challenge(init, context, exchange)
                if init.mechanism == TPM
                else _plain_identity(init.initial_response)
            )
        except SaslFormError as fault:
            _log.info("AMQP client %s: %s", peer.remote.host, fault)
            return None
        except HomeportError as refusal:  # recorded where it was raised
            return _sasl_refusal(self._responder.refuse(refusal, context))
        if identity is None:
            return None
        reply = await self._responder.authenticate(_claim(identity.address), identity.evidence, self._context(peer))
        return identity if reply.status < 300 else _sasl_refusal(reply)

    async def connect(
        self, opening: AmqpOpening, identity: object | None, peer: Peer, connection: AmqpConnection
    ) -> AmqpHandler | Error:
        del connection
        expires_at = self._clock.now() + SESSION_LIFE
        if isinstance(identity, _Identity):
            return DeviceAmqpHandler(
                self._responder, self._clock, peer, identity.evidence, bound_to=identity.address, expires_at=expires_at
            )
        evidence = CertificateEvidence(chain=peer.chain) if peer.chain else NoEvidence()
        refusal = await self._refuse(opening, evidence, peer)
        if refusal is not None:
            return error(refusal)
        return DeviceAmqpHandler(self._responder, self._clock, peer, evidence, bound_to=None, expires_at=expires_at)

    async def _challenge(self, init: SaslInit, context: CallContext, exchange: SaslExchange) -> _Identity:
        hello = await read_hello(init.initial_response, exchange)
        srk = await ask_storage_root_key(exchange)
        address = Address(id_scope=hello.id_scope, registration_id=hello.registration_id)
        keys = TpmEvidence(endorsement_key=hello.endorsement_key, storage_root_key=srk)
        issued = self._responder.challenge(_claim(address), keys, context)
        token = await ask_token(issued.blob, exchange)
        evidence = TpmEvidence(
            endorsement_key=hello.endorsement_key, storage_root_key=srk, token=token, challenge=issued.pending
        )
        return _Identity(address=address, evidence=evidence)

    async def _refuse(
        self, opening: AmqpOpening, evidence: CertificateEvidence | NoEvidence, peer: Peer
    ) -> Reply | None:
        """Judge a client without SASL: by the link it attaches, or before that by the name in its certificate."""
        context = self._context(peer)
        address = read_address(opening.address) if opening.address is not None else None
        if address is None:
            name = _common_name(evidence)
            if name is None:
                message = INVALID_CERTIFICATE if peer.chain else UNAUTHORIZED
                return self._responder.refuse(HomeportError(Code.UNAUTHORIZED, message), context)
            address = Address(id_scope=self._responder.id_scope, registration_id=name)
        reply = await self._responder.authenticate(_claim(address), evidence, context)
        return None if reply.status < 300 else reply

    def _context(self, peer: Peer) -> CallContext:
        return _context(peer, self._responder.new_tracking_id(), None)


class DeviceAmqpHandler:
    """One connection of a device. Nothing of it outlives the connection, the key of a TPM's challenge included."""

    def __init__(
        self,
        responder: DeviceResponder,
        clock: Clock,
        peer: Peer,
        evidence: Evidence,
        *,
        bound_to: Address | None,
        expires_at: datetime,
    ) -> None:
        """`bound_to` is the registration that SASL has proven; without SASL the certificate decides at each request."""
        self.expires_at: datetime | None = expires_at
        self._responder = responder
        self._clock = clock
        self._peer = peer
        self._evidence = evidence
        self._bound_to = bound_to
        self._answers: dict[tuple[str, str], AmqpSender] = {}
        self._links: set[AmqpReceiver | AmqpSender] = set()

    async def attach_receiver(self, link: AmqpReceiver) -> LinkTerms | Error:
        answer = self._judge(link)
        return answer if isinstance(answer, Error) else LinkTerms(credit=CREDIT, max_message_size=MAX_BODY)

    async def attach_sender(self, link: AmqpSender) -> LinkTerms | Error:
        answer = self._judge(link)
        if isinstance(answer, Error):
            return answer
        self._answers[_key(answer)] = link
        return LinkTerms()

    async def message(self, link: AmqpReceiver, delivery: AmqpDelivery) -> None:
        asked = delivery.message()
        address = read_address(link.address)
        assert address is not None  # or it would not be attached
        properties = link.attached.properties
        api_version = read_text(properties, API_VERSION) or ""
        client_version = read_text(properties, CLIENT_VERSION)
        claim = _claim(address, api_version)
        context = _context(self._peer, self._responder.new_tracking_id(), client_version)
        way_back = self._answers.get(_key(address))
        if way_back is None:
            unanswerable = HomeportError(Code.INVALID_REQUEST, "There is no link to answer on.")
            refusal = self._responder.refuse(unanswerable, context, claim, self._evidence)
            delivery.settle(Rejected(error=error(refusal)))
            return
        reply = await self._answer(read_request(asked), claim, context)
        if reply.status >= 300:
            delivery.settle(Rejected(error=error(reply)))
            return
        # C# waits for the outcome before it looks for the answer (contract dps.md 5.4).
        delivery.settle(ACCEPTED)
        if waits_after_sending(api_version, client_version):
            await self._clock.sleep(PAUSE_SECONDS)
        try:
            _ = way_back.send(response(asked, reply), settled=True)
        except ValueError as fault:
            too_large = Error(condition=Condition.MESSAGE_SIZE_EXCEEDED, description=str(fault))
            way_back.detach(too_large)
            await self.detached(way_back, too_large)

    def flow(self, link: AmqpSender, *, drain: bool) -> None:
        """Do nothing: an answer waits for credit by itself."""

    async def detached(self, link: AmqpReceiver | AmqpSender, error: Error | None) -> None:
        del error
        self._links.discard(link)
        self._answers = {key: each for key, each in self._answers.items() if each is not link}

    async def closed(self, *, orderly: bool) -> None:
        """Do nothing: an operation goes on without its device."""

    async def _answer(self, request: Request | None, claim: DeviceClaim, context: CallContext) -> Reply:
        responder, evidence = self._responder, self._evidence
        match request:
            case Register():
                reply = await responder.register(claim, evidence, request.body, context)
                if reply.status == 401 and reply.code is None:
                    # A challenge: over AMQP that is SASL's matter, and too late now.
                    denied = HomeportError(Code.UNAUTHORIZED, "A TPM proves itself by the SASL mechanism TPM.")
                    return responder.refuse(denied, context, claim, evidence)
                return reply
            case Status():
                return await responder.operation_status(claim, evidence, request.operation_id, context)
            case Lookup():
                return await responder.registration_state(claim, evidence, request.body, context)
            case None:
                unknown = HomeportError(Code.INVALID_REQUEST, "The iotdps-operation-type is missing or unknown.")
                return responder.refuse(unknown, context, claim, evidence)
            case _:
                assert_never(request)

    def _judge(self, link: AmqpReceiver | AmqpSender) -> Address | Error:
        address = read_address(link.address)
        if address is None:
            return self._error(Code.NOT_FOUND, "There is no such address.")
        if self._bound_to is not None and _key(address) != _key(self._bound_to):
            return self._error(Code.UNAUTHORIZED, "The link is for another registration than the connection.")
        if len(self._links) >= MAX_LINKS:
            return self._error(Code.THROTTLED, "Too many links on one connection.")
        self._links.add(link)
        return address

    def _error(self, code: Code, message: str) -> Error:
        context = _context(self._peer, self._responder.new_tracking_id(), None)
        return error(self._responder.refuse(HomeportError(code, message), context))


def _is_ours(identity: str) -> bool:
    parts = identity.split("/", 2)
    return len(parts) == 3 and parts[1].lower() == "registrations"


def _sasl_refusal(reply: Reply) -> SaslRefusal:
    """Give the error body along: our client looks at it, the SDKs only at the code."""
    passing = reply.status == 429 or reply.status >= 500
    return SaslRefusal(
        code=SaslCode.SYS_TEMP if passing else SaslCode.AUTH,
        additional_data=reply.body if len(reply.body) <= SEGMENT_BYTES else None,
    )


def _plain_identity(initial_response: bytes | None) -> _Identity | None:
    credentials = parse_plain(initial_response)
    address = read_address(credentials.authentication_id) if credentials else None
    if credentials is None or address is None:
        return None
    return _Identity(address=address, evidence=SasEvidence(token=credentials.password))


def _common_name(evidence: CertificateEvidence | NoEvidence) -> str | None:
    """Return the registration id that a certificate names."""
    if not isinstance(evidence, CertificateEvidence):
        return None
    try:
        return check_registration_id(parse_chain(evidence.chain[:1])[0].common_name or "")
    except (CertificateError, HomeportError):
        return None


def _claim(address: Address, api_version: str = "") -> DeviceClaim:
    return DeviceClaim(id_scope=address.id_scope, registration_id=address.registration_id, api_version=api_version)


def _key(address: Address) -> tuple[str, str]:
    return address.id_scope.lower(), address.registration_id.lower()


def _context(peer: Peer, tracking_id: str, client_version: str | None) -> CallContext:
    return CallContext(
        tracking_id=tracking_id,
        transport="amqp" if peer.transport == "tls" else "amqp-ws",
        remote_address=peer.remote.host,
        client_version=None if client_version is None else client_version[:_MAX_VERSION_TEXT],
    )
