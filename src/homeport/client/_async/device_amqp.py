"""A device's requests over AMQP, plain or in a WebSocket (contract dps.md 5)."""

import ssl
import time
import uuid

from homeport.client._async.amqp_stream import AmqpStream, left
from homeport.client._async.backend import TlsStream
from homeport.client._async.streams import Stream, WebSocketStream
from homeport.client.amqp_messages import (
    EMPTY,
    TPM,
    WEBSOCKET_PROTOCOL,
    address,
    challenge_answer,
    hello,
    is_last,
    link_properties,
    operation_status_message,
    read_outcome,
    read_refusal,
    read_response,
    register_message,
)
from homeport.client.errors import UnexpectedAnswerError
from homeport.client.registration import API_VERSION, Answer, TpmKeys
from homeport.client.trust import transport_error
from homeport.proto import ProtocolError
from homeport.proto.amqp import (
    ACCEPTED,
    PLAIN,
    Attach,
    Attached,
    Begin,
    Closed,
    Connection,
    Delivery,
    Detached,
    Disposed,
    Disposition,
    Ended,
    Event,
    Flow,
    Link,
    LinkRole,
    Message,
    Open,
    PlainCredentials,
    Rejected,
    Role,
    SaslChallenge,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    SaslResponse,
    Source,
    Target,
    Transfer,
    decode_message,
    encode_message,
    plain,
)

CREDIT = 10
"""Answers that the service may send; there is one to each request."""


class AmqpConversation:
    """One device and its service. A connection that broke is opened again by the next request.

    A TPM proves itself while it connects: its first request is answered with the challenge, and the next one, which
    brings the token, goes on from there.
    """

    def __init__(
        self,
        host: str,
        port: int,
        id_scope: str,
        registration_id: str,
        *,
        context: ssl.SSLContext,
        websocket: bool,
        tpm: TpmKeys | None,
        api_version: str = API_VERSION,
    ) -> None:
        self._host = host
        self._port = port
        self._id_scope = id_scope
        self._registration_id = registration_id
        self._address = address(id_scope, registration_id)
        self._context = context
        self._websocket = websocket
        self._tpm = tpm
        self._link_properties = link_properties(api_version)
        self._amqp: AmqpStream | None = None
        self._sender: Link | None = None
        self._receiver: Link | None = None

    async def register(self, body: bytes, token: str | None, *, seconds: float) -> Answer:
        """Ask for a hub. Raises TransportError, UnexpectedAnswerError."""
        request_id = str(uuid.uuid4())
        return await self._ask(register_message(body, request_id), request_id, 202, token, seconds)

    async def operation_status(self, operation_id: str, token: str | None, *, seconds: float) -> Answer:
        """Ask how far the service is. Raises TransportError, UnexpectedAnswerError."""
        request_id = str(uuid.uuid4())
        return await self._ask(operation_status_message(operation_id, request_id), request_id, 200, token, seconds)

    async def aclose(self) -> None:
        """Disconnect."""
        amqp, self._amqp = self._amqp, None
        self._sender = self._receiver = None
        if amqp is not None:
            await amqp.aclose()

    async def _ask(self, request: Message, request_id: str, status: int, token: str | None, seconds: float) -> Answer:
        deadline = time.monotonic() + seconds
        try:
            amqp = self._amqp
            if amqp is None:
                amqp = await self._dial(token, deadline)
                challenge = await self._prove(amqp, token, deadline)
                if challenge is not None:
                    return challenge_answer(challenge)
            elif self._sender is None:
                # The TPM has imported the challenge's key, and the service waits for what it signed with it.
                await amqp.say(SaslResponse(response=EMPTY + (token or "").encode("ascii")), deadline=deadline)
                await _hear_outcome(amqp, deadline)
            if self._sender is None:
                await self._open(amqp, deadline)
            return await self._exchange(amqp, request, request_id, status, deadline)
        except _RefusedError as refusal:
            await self.aclose()
            return refusal.answer
        except (OSError, ProtocolError) as error:
            await self.aclose()
            raise transport_error(f"AMQP with {self._host}:{self._port}", error) from error
        except BaseException:
            await self.aclose()
            raise

    # --- connecting -------------------------------------------------------------------------------------------

    def _mechanism(self, token: str | None) -> str | None:
        return TPM if self._tpm is not None else PLAIN if token is not None else None

    async def _dial(self, token: str | None, deadline: float) -> AmqpStream:
        mechanism = self._mechanism(token)
        engine = Connection(
            Role.CLIENT, container_id=self._registration_id, mechanisms=() if mechanism is None else (mechanism,)
        )
        seconds = left(deadline)
        stream: Stream
        if self._websocket:
            stream = await WebSocketStream.connect(
                self._host, self._port, self._context, protocol=WEBSOCKET_PROTOCOL, seconds=seconds
            )
        else:
            stream = await TlsStream.connect(self._host, self._port, self._context, seconds=seconds)
        self._amqp = AmqpStream(stream, engine)
        return self._amqp

    async def _prove(self, amqp: AmqpStream, token: str | None, deadline: float) -> bytes | None:
        """Prove who we are, as far as that goes; return what a TPM must import first."""
        mechanism = self._mechanism(token)
        if mechanism is None:
            return None
        await amqp.flush(deadline)
        offer = await amqp.hear(deadline)
        if not isinstance(offer, SaslMechanisms) or mechanism not in offer.mechanisms:
            raise UnexpectedAnswerError(f"the service does not offer the SASL mechanism {mechanism}")
        if self._tpm is not None:
            return await self._ask_challenge(amqp, self._tpm, deadline)
        credentials = PlainCredentials(authentication_id=self._address, password=token or "")
        await amqp.say(
            SaslInit(mechanism=PLAIN, initial_response=plain(credentials), hostname=self._host), deadline=deadline
        )
        await _hear_outcome(amqp, deadline)
        return None

    async def _ask_challenge(self, amqp: AmqpStream, keys: TpmKeys, deadline: float) -> bytes:
        said = hello(self._id_scope, self._registration_id, keys)
        await amqp.say(SaslInit(mechanism=TPM, initial_response=said, hostname=self._host), deadline=deadline)
        await _hear_challenge(amqp, deadline)
        await amqp.say(SaslResponse(response=EMPTY + keys.storage_root_key), deadline=deadline)
        blob = b""
        while True:
            segment = await _hear_challenge(amqp, deadline)
            blob += segment[1:]
            if is_last(segment):
                return blob
            await amqp.say(SaslResponse(response=EMPTY), deadline=deadline)

    async def _open(self, amqp: AmqpStream, deadline: float) -> None:
        """Open connection, session and both links in one flight, and wait for the right to send."""
        session = amqp.engine.new_session()
        receiver = amqp.engine.new_link(session, "answers", LinkRole.RECEIVER)
        sender = amqp.engine.new_link(session, "requests", LinkRole.SENDER)
        here, there = Source(address=self._address), Target(address=self._address)
        await amqp.say(
            Open(hostname=self._host),
            Begin(session=session),
            Attach(link=receiver, source=here, target=Target(), properties=self._link_properties),
            Flow(link=receiver, credit=CREDIT),
            Attach(link=sender, source=Source(), target=there, properties=self._link_properties),
            deadline=deadline,
        )
        attached: set[Link] = set()
        while len(attached) < 2 or not sender.credit:
            event = await amqp.hear(deadline)
            _raise_refusal(event)
            if isinstance(event, Attached):
                attached.add(event.link)
        self._sender, self._receiver = sender, receiver

    # --- asking -----------------------------------------------------------------------------------------------

    async def _exchange(
        self, amqp: AmqpStream, request: Message, request_id: str, status: int, deadline: float
    ) -> Answer:
        assert self._sender is not None
        assert self._receiver is not None
        await amqp.say(Transfer(link=self._sender, data=encode_message(request)), deadline=deadline)
        while True:
            event = await amqp.hear(deadline)
            _raise_refusal(event)
            if isinstance(event, Disposed) and isinstance(event.state, Rejected):
                return read_refusal(event.state.error)
            if not isinstance(event, Delivery):
                continue
            if not event.settled:
                done = Disposition(link=event.link, delivery_id=event.delivery_id, state=ACCEPTED)
                await amqp.say(done, deadline=deadline)
            message = decode_message(event.data)
            if message.properties is not None and message.properties.correlation_id == request_id:
                await amqp.say(Flow(link=self._receiver, credit=CREDIT), deadline=deadline)
                return read_response(message, status)


class _RefusedError(Exception):
    """The service ended connection, session or link with an error body."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def _raise_refusal(event: Event) -> None:
    if isinstance(event, Closed | Ended | Detached):
        raise _RefusedError(read_refusal(event.error))


def _raise_unless_good(outcome: SaslOutcome) -> None:
    refusal = read_outcome(outcome)
    if refusal is not None:
        raise _RefusedError(refusal)


async def _hear_challenge(amqp: AmqpStream, deadline: float) -> bytes:
    event = await amqp.hear(deadline)
    if isinstance(event, SaslOutcome):
        _raise_unless_good(event)
    if not isinstance(event, SaslChallenge):
        raise UnexpectedAnswerError("the service broke off SASL TPM")
    return event.challenge


async def _hear_outcome(amqp: AmqpStream, deadline: float) -> None:
    event = await amqp.hear(deadline)
    if not isinstance(event, SaslOutcome):
        raise UnexpectedAnswerError("the service did not end SASL with its outcome")
    _raise_unless_good(event)
