"""Devices over MQTT, on TLS or WebSocket: user name and topics around the responder's calls (contract dps.md 4)."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from urllib.parse import unquote, unquote_plus

from msgspec import Struct

from homeport.clock import Clock
from homeport.dps.identifiers import check_registration_id
from homeport.dps.model import CallContext, CertificateEvidence, DeviceClaim, Evidence, NoEvidence, SasEvidence
from homeport.dps.reply import Reply
from homeport.dps.responder import DeviceResponder
from homeport.errors import Code, HomeportError
from homeport.net.sites import MqttLink, MqttSession
from homeport.net.stream import Peer
from homeport.proto.mqtt import SUBSCRIPTION_REFUSED, Connect, Publish, RemoteProtocolError, ReturnCode
from homeport.security.explain import quoted
from homeport.wire.versions import waits_after_sending

RESPONSES = "$dps/registrations/res/#"
SESSION_LIFE = timedelta(hours=1)
"""No registration takes as long as its operation's deadline; whoever stays beyond this has forgotten us."""
PAUSE_SECONDS = 0.05
"""For clients that begin to wait only after they have sent (contract dps.md 4.4)."""

_USER_NAME = re.compile(
    r"(?P<scope>[^/]+)/registrations/(?P<id>[^/]+)/api-version=(?P<version>[^&]*)(?:&(?P<rest>.*))?", re.DOTALL
)
_REQUEST = re.compile(
    r"\$dps/registrations/(?:(?P<register>PUT/iotdps-register)|(?P<status>GET/iotdps-get-operationstatus))/\?(?P<query>.*)",
    re.DOTALL,
)
_MAX_VERSION_TEXT = 256


class _Request(Struct, frozen=True, kw_only=True):
    """A PUBLISH understood. `rid` goes back unchanged."""

    rid: str
    operation_id: str | None
    """None: register."""


class DeviceMqttFrontEnd:
    """Accepts every well-formed user name; who the device is, each request says anew (contract dps.md 4.1)."""

    def __init__(self, responder: DeviceResponder, clock: Clock) -> None:
        self._responder = responder
        self._clock = clock

    def owns(self, connect: Connect) -> bool:
        """Tell `{scope}/registrations/…` from a hub's `{host}/{device}/?api-version=…`."""
        parts = (connect.user_name or "").split("/", 3)
        return len(parts) >= 3 and parts[1].lower() == "registrations" and not any(p[:1] == "?" for p in parts[2:])

    async def connect(self, connect: Connect, peer: Peer, link: MqttLink) -> MqttSession | int:
        match = _USER_NAME.fullmatch(connect.user_name or "")
        if match is None:
            return ReturnCode.NOT_AUTHORIZED
        claim = DeviceClaim(id_scope=match["scope"], registration_id=match["id"], api_version=match["version"])
        caller = _Caller(
            claim=claim,
            evidence=_evidence(connect, peer),
            transport="mqtt" if peer.transport == "tls" else "mqtt-ws",
            remote_address=peer.remote.host,
            client_version=_client_version(match["rest"]),
        )
        try:
            check_registration_id(claim.registration_id)
        except HomeportError:
            return ReturnCode.NOT_AUTHORIZED
        if connect.client_id.lower() != claim.registration_id.lower():
            error = HomeportError(Code.INVALID_REGISTRATION_ID, "The MQTT client id is not the registration id.")
            context = caller.context(self._responder.new_tracking_id())
            self._responder.refuse(error, context, claim, caller.evidence)
            return ReturnCode.NOT_AUTHORIZED
        return DeviceMqttSession(
            caller, self._responder, link, clock=self._clock, expires_at=self._clock.now() + SESSION_LIFE
        )


class _Caller(Struct, frozen=True, kw_only=True):
    """Who connected, and what was offered for proof; the same for every request of the connection."""

    claim: DeviceClaim
    evidence: Evidence
    transport: str
    remote_address: str
    client_version: str | None

    def context(self, tracking_id: str) -> CallContext:
        return CallContext(
            tracking_id=tracking_id,
            transport=self.transport,
            remote_address=self.remote_address,
            client_version=self.client_version,
        )


class DeviceMqttSession:
    """One connection of a device. Nothing of it outlives the connection."""

    session_present = False

    def __init__(
        self, caller: _Caller, responder: DeviceResponder, link: MqttLink, *, clock: Clock, expires_at: datetime
    ) -> None:
        self.expires_at: datetime | None = expires_at
        self._caller = caller
        self._responder = responder
        self._link = link
        self._clock = clock
        self._granted = 0
        self._pause = PAUSE_SECONDS if waits_after_sending(caller.claim.api_version, caller.client_version) else 0.0

    async def publish(self, message: Publish, ack: Callable[[], None]) -> None:
        request = _read_topic(message.topic)
        if request is None:
            raise RemoteProtocolError(f"{quoted(message.topic)} is no topic that devices may publish to")
        # C# takes the PUBACK before the response and nothing else in between (contract dps.md 4.4).
        ack()
        reply = await self._answer(request, message.payload)
        if self._pause:
            await self._clock.sleep(self._pause)
        _ = self._link.publish(_response_topic(reply, request.rid), reply.body, qos=self._granted)

    async def subscribe(self, filters: Sequence[tuple[str, int]]) -> Sequence[int]:
        granted = [min(qos, 1) if topic == RESPONSES else SUBSCRIPTION_REFUSED for topic, qos in filters]
        self._granted = max((qos for qos in granted if qos != SUBSCRIPTION_REFUSED), default=self._granted)
        return granted

    def subscribed(self) -> None:
        """Do nothing: there is nothing to deliver before a request."""

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        """Do nothing: an answer goes to whoever asked, subscribed or not (contract dps.md 4.2)."""

    async def closed(self, *, orderly: bool) -> None:
        """Do nothing: an operation goes on without its device."""

    async def _answer(self, request: _Request, payload: bytes) -> Reply:
        caller = self._caller
        context = caller.context(self._responder.new_tracking_id())
        if request.operation_id is None:
            return await self._responder.register(caller.claim, caller.evidence, payload, context)
        return await self._responder.operation_status(caller.claim, caller.evidence, request.operation_id, context)


def _evidence(connect: Connect, peer: Peer) -> Evidence:
    if connect.password:
        return SasEvidence(token=connect.password.decode("utf-8", "replace"))
    return CertificateEvidence(chain=peer.chain) if peer.chain else NoEvidence()


def _client_version(rest: str | None) -> str | None:
    for part in (rest or "").split("&"):
        name, _, value = part.partition("=")
        if name.lower() == "clientversion" and value:
            return unquote_plus(value)[:_MAX_VERSION_TEXT]
    return None


def _read_topic(topic: str) -> _Request | None:
    match = _REQUEST.fullmatch(topic)
    if match is None:
        return None
    fields: dict[str, str] = {}
    for part in match["query"].split("&"):
        name, _, value = part.partition("=")
        fields.setdefault(name, value)
    rid = fields.get("$rid")
    if rid is None:
        return None
    # Python percent-encodes the operation id, the others do not (contract dps.md 1.5).
    return _Request(rid=rid, operation_id=unquote(fields.get("operationId", "")) if match["status"] else None)


def _response_topic(reply: Reply, rid: str) -> str:
    """Write `$rid` first and `retry-after` last, with nothing behind its number (contract dps.md 4.4)."""
    topic = f"$dps/registrations/res/{reply.status}/?$rid={rid}"
    return topic if reply.retry_after is None else f"{topic}&retry-after={reply.retry_after}"
