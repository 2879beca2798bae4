"""The device's operations, transport-neutral: connect, send, read and report its twin (contract hub.md 2, 13).

Names on the wire, packets and topics are the front-ends'. What refuses a device is logged here, with the reason.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from msgspec import Struct
from msgspec.json import Decoder

from homeport.clock import Clock
from homeport.hub import translate
from homeport.hub.authentication import (
    Accepted,
    Audience,
    CertificatePath,
    Reason,
    Refused,
    judge_device,
    read_evidence,
)
from homeport.hub.authorities import HubAuthorities
from homeport.hub.certificate_proof import NO_TRUST
from homeport.hub.errors import HubCode, HubError
from homeport.hub.identifiers import device_of, is_identity_id
from homeport.hub.model import CaAuthentication, DeviceIdentity
from homeport.hub.ports import DeviceStore
from homeport.hub.routing.device_messages import Send
from homeport.hub.sessions import Session, Sessions
from homeport.hub.telemetry import (
    MAX_MESSAGE_BYTES,
    PropertyBag,
    connection_annotations,
    make_message,
)
from homeport.hub.twins import Twins
from homeport.security.explain import quoted
from homeport.wire import TooLargeError, WireError, decode, encode

MAX_REPORT_BYTES = 256 * 1024
MAX_MODEL_ID = 2048  # the longest DTMI

T = TypeVar("T")

Cut = Callable[[bool], None]
"""Ends a connection as a fault would: in order (True), or without a word. Without waiting; may be called again."""

_report_decoder = Decoder(dict[str, object])
_log = logging.getLogger(__name__)


class DeviceClaim(Struct, frozen=True, kw_only=True):
    """Who a connection says it is, and what it offers to prove it."""

    device_id: str
    """An identity's id: of a device, or of a module with its device."""
    token: str | None
    """A SAS token, or None where a certificate is to speak."""
    chain: Sequence[bytes]
    model_id: str | None = None
    remote: str = ""
    transport: str = ""


class Caller(Struct, frozen=True, kw_only=True):
    """A device that has proven itself, and what the hub adds to its messages."""

    device_id: str
    annotations: Mapping[str, str]
    transport: str = ""


class Connected(Struct, frozen=True, kw_only=True):
    """A device that was let in, with its session."""

    session: Session
    caller: Caller


class DeviceResponder:
    """Answers the devices of one hub."""

    def __init__(
        self,
        *,
        hub: str,
        audience: Callable[[], Audience],
        authorities: HubAuthorities,
        store: DeviceStore,
        sessions: Sessions,
        send: Send,
        twins: Twins,
        clock: Clock,
    ) -> None:
        """`audience` is asked at each connection, since names and policies may change; `send` stores messages."""
        self._hub = hub
        self._audience = audience
        self._authorities = authorities
        self._store = store
        self._sessions = sessions
        self._send = send
        self._twins = twins
        self._clock = clock

    async def connect(self, claim: DeviceClaim, end: Callable[[], None], cut: Cut | None = None) -> Connected | Refused:
        """Authenticate a device and open its session, ending an older one; `end` closes the new connection.

        `cut` is for the fault lab; without it, `end` serves there too.
        """
        return self._logged(claim, await self._connect(claim, end, cut))

    async def authenticate(self, claim: DeviceClaim) -> Caller | Refused:
        """Authenticate a device for one request, without a session."""
        verdict = await self._judge(claim)
        if not isinstance(verdict, Refused):
            identity, accepted = verdict
            return _caller(identity, accepted, claim)
        return self._logged(claim, verdict)

    async def renew(self, connected: Connected, claim: DeviceClaim) -> Connected | Refused:
        """Judge a new proof of a connected device, or a model it names only now; the session goes on with it.

        Refused leaves the session as it was: the caller ends it.
        """
        since = self._sessions.changes
        verdict = await self._judge(claim)
        if isinstance(verdict, Refused):
            return self._logged(claim, verdict)
        identity, accepted = verdict
        await self._sessions.renew(connected.session, accepted, since=since)
        if claim.model_id and len(claim.model_id) <= MAX_MODEL_ID:
            await self._announce(identity.device_id, claim.model_id)
        return Connected(session=connected.session, caller=_caller(identity, accepted, claim))

    def _logged(self, claim: DeviceClaim, verdict: T) -> T:
        if isinstance(verdict, Refused):
            _log.info(
                "hub %s: device %s refused (%s): %s",
                self._hub,
                quoted(claim.device_id),
                verdict.reason,
                verdict.explanation,
                extra={
                    "hub": self._hub,
                    "device_id": claim.device_id,
                    "reason": verdict.reason.value,
                    "remote": claim.remote,
                    "transport": claim.transport,
                },
            )
        return verdict

    async def leave(self, connected: Connected) -> None:
        """Take note that the connection has ended, whoever ended it."""
        await self._sessions.leave(connected.session)

    async def send(self, caller: Caller, body: bytes, bag: PropertyBag) -> None:
        """Store a message of the device; durable when this returns. Raises MESSAGE_TOO_LARGE."""
        if len(body) + bag.size > MAX_MESSAGE_BYTES:
            raise HubError(HubCode.MESSAGE_TOO_LARGE, f"A message has at most {MAX_MESSAGE_BYTES} bytes.")
        now = self._clock.now()
        self._sessions.active(caller.device_id, now)
        # A module's messages are its device's: they share a partition, and so an order.
        owner = device_of(caller.device_id)
        await self._send(caller.device_id, make_message(owner, body, bag, caller.annotations, now))

    async def read_twin(self, connected: Connected) -> bytes:
        """Return the device's own view of its twin, as JSON."""
        device = await self._twins.get(connected.session.device_id)
        return encode(translate.device_twin_document(device))

    async def report(self, connected: Connected, body: bytes, expected_version: int | None) -> int:
        """Merge what the device reports and return the section's new version. Raises HubError."""
        try:
            patch = decode(_report_decoder, body, limit=MAX_REPORT_BYTES)
        except TooLargeError as error:
            raise HubError(HubCode.BODY_TOO_LARGE, str(error)) from None
        except WireError as error:
            raise HubError(HubCode.ARGUMENT_INVALID, str(error)) from None
        device_id = connected.session.device_id
        self._sessions.active(device_id, self._clock.now())
        patch.pop("$version", None)
        twin = await self._twins.report(device_id, patch, expected_version=expected_version)
        return twin.reported.version

    async def _judge(self, claim: DeviceClaim) -> tuple[DeviceIdentity, Accepted] | Refused:
        if not is_identity_id(claim.device_id):
            return Refused(reason=Reason.WRONG_CLAIM, explanation="this cannot be the id of a device or module")
        audience = self._audience()
        evidence = read_evidence(audience, claim.device_id, token=claim.token, chain=claim.chain)
        if isinstance(evidence, Refused):
            return evidence
        identity = await self._store.get_identity(claim.device_id)
        trust = NO_TRUST
        if identity is not None and isinstance(identity.authentication, CaAuthentication):
            trust = await self._authorities.trust()
        verdict = judge_device(audience, identity, evidence, self._now(claim.device_id), trust=trust)
        if isinstance(verdict, Refused):
            return verdict
        assert identity is not None
        if isinstance(verdict.proof, CertificatePath):
            refusal = await self._authorities.check_revocation(verdict.proof.path)
            if refusal is not None:
                return refusal
        return identity, verdict

    def _now(self, device_id: str) -> datetime:
        """Return the time that a device's proof is judged by."""
        del device_id
        return self._clock.now()

    async def _connect(self, claim: DeviceClaim, end: Callable[[], None], cut: Cut | None) -> Connected | Refused:
        since = self._sessions.changes
        verdict = await self._judge(claim)
        if isinstance(verdict, Refused):
            return verdict
        identity, accepted = verdict
        session = await self._sessions.open(identity, accepted, end, since=since)
        session.transport = claim.transport
        if cut is not None:
            session.cut = cut
        if session.ended is not None:
            await self._sessions.leave(session)
            return Refused(reason=Reason.DISABLED, explanation=session.ended)
        if claim.model_id and len(claim.model_id) <= MAX_MODEL_ID:
            await self._announce(session.device_id, claim.model_id)
        return Connected(session=session, caller=_caller(identity, accepted, claim))

    async def _announce(self, device_id: str, model_id: str) -> None:
        try:
            await self._twins.announce_model(device_id, model_id)
        except HubError as error:
            _log.warning("hub %s: model of device %s was not recorded: %s", self._hub, quoted(device_id), error.message)


def _caller(identity: DeviceIdentity, accepted: Accepted, claim: DeviceClaim) -> Caller:
    annotations = connection_annotations(identity, accepted, claim.model_id)
    return Caller(device_id=identity.device_id, annotations=annotations, transport=claim.transport)
