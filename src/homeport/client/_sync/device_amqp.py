# Made by scripts/unasync.py: change its twin in _async instead.
"""A device's requests over AMQP, plain or in a WebSocket (contract dps.md 5)."""

import ssl
import time
import uuid
from collections import deque

from homeport.client._sync.backend import TlsStream
from homeport.client._sync.streams import Stream, WebSocketStream
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
    Command,
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
        self._stream: Stream | None = None
        self._engine = Connection(Role.CLIENT, container_id=registration_id)
        self._events: deque[Event] = deque()
        self._sender: Link | None = None
        self._receiver: Link | None = None

    def register(self, body: bytes, token: str | None, *, seconds: float) -> Answer:
        """Ask for a hub. Raises TransportError, UnexpectedAnswerError."""
        request_id = str(uuid.uuid4())
        return self._ask(register_message(body, request_id), request_id, 202, token, seconds)

    def operation_status(self, operation_id: str, token: str | None, *, seconds: float) -> Answer:
        """Ask how far the service is. Raises TransportError, UnexpectedAnswerError."""
        request_id = str(uuid.uuid4())
        return self._ask(operation_status_message(operation_id, request_id), request_id, 200, token, seconds)

    def close(self) -> None:
        """Disconnect."""
        stream, self._stream = self._stream, None
        self._sender = self._receiver = None
        if stream is None:
            return
        self._engine.close()
        try:
            stream.write(self._engine.outgoing(), seconds=1.0)
        except OSError:
            pass
        finally:
            stream.close()

    def _ask(self, request: Message, request_id: str, status: int, token: str | None, seconds: float) -> Answer:
        deadline = time.monotonic() + seconds
        try:
            if self._stream is None:
                challenge = self._connect(token, deadline)
                if challenge is not None:
                    return challenge_answer(challenge)
            elif self._sender is None:
                # The TPM has imported the challenge's key, and the service waits for what it signed with it.
                self._say(SaslResponse(response=EMPTY + (token or "").encode("ascii")), deadline=deadline)
                self._hear_outcome(deadline)
            if self._sender is None:
                self._open(deadline)
            return self._exchange(request, request_id, status, deadline)
        except _RefusedError as refusal:
            self.close()
            return refusal.answer
        except (OSError, ProtocolError) as error:
            self.close()
            raise transport_error(f"AMQP with {self._host}:{self._port}", error) from error
        except BaseException:
            self.close()
            raise

    # --- connecting -------------------------------------------------------------------------------------------

    def _connect(self, token: str | None, deadline: float) -> bytes | None:
        """Connect and prove who we are, as far as that goes; return what a TPM must import first."""
        mechanism = TPM if self._tpm is not None else PLAIN if token is not None else None
        mechanisms = () if mechanism is None else (mechanism,)
        self._engine = Connection(Role.CLIENT, container_id=self._registration_id, mechanisms=mechanisms)
        self._events.clear()
        seconds = _left(deadline)
        if self._websocket:
            self._stream = WebSocketStream.connect(
                self._host, self._port, self._context, protocol=WEBSOCKET_PROTOCOL, seconds=seconds
            )
        else:
            self._stream = TlsStream.connect(self._host, self._port, self._context, seconds=seconds)
        if mechanism is None:
            return None
        self._flush(deadline)
        offer = self._hear(deadline)
        if not isinstance(offer, SaslMechanisms) or mechanism not in offer.mechanisms:
            raise UnexpectedAnswerError(f"the service does not offer the SASL mechanism {mechanism}")
        if self._tpm is not None:
            return self._ask_challenge(self._tpm, deadline)
        credentials = PlainCredentials(authentication_id=self._address, password=token or "")
        self._say(
            SaslInit(mechanism=PLAIN, initial_response=plain(credentials), hostname=self._host), deadline=deadline
        )
        self._hear_outcome(deadline)
        return None

    def _ask_challenge(self, keys: TpmKeys, deadline: float) -> bytes:
        said = hello(self._id_scope, self._registration_id, keys)
        self._say(SaslInit(mechanism=TPM, initial_response=said, hostname=self._host), deadline=deadline)
        self._hear_challenge(deadline)
        self._say(SaslResponse(response=EMPTY + keys.storage_root_key), deadline=deadline)
        blob = b""
        while True:
            segment = self._hear_challenge(deadline)
            blob += segment[1:]
            if is_last(segment):
                return blob
            self._say(SaslResponse(response=EMPTY), deadline=deadline)

    def _hear_challenge(self, deadline: float) -> bytes:
        event = self._hear(deadline)
        if isinstance(event, SaslOutcome):
            _raise_unless_good(event)
        if not isinstance(event, SaslChallenge):
            raise UnexpectedAnswerError("the service broke off SASL TPM")
        return event.challenge

    def _hear_outcome(self, deadline: float) -> None:
        event = self._hear(deadline)
        if not isinstance(event, SaslOutcome):
            raise UnexpectedAnswerError("the service did not end SASL with its outcome")
        _raise_unless_good(event)

    def _open(self, deadline: float) -> None:
        """Open connection, session and both links in one flight, and wait for the right to send."""
        session = self._engine.new_session()
        receiver = self._engine.new_link(session, "answers", LinkRole.RECEIVER)
        sender = self._engine.new_link(session, "requests", LinkRole.SENDER)
        here, there = Source(address=self._address), Target(address=self._address)
        self._say(
            Open(hostname=self._host),
            Begin(session=session),
            Attach(link=receiver, source=here, target=Target(), properties=self._link_properties),
            Flow(link=receiver, credit=CREDIT),
            Attach(link=sender, source=Source(), target=there, properties=self._link_properties),
            deadline=deadline,
        )
        attached: set[Link] = set()
        while len(attached) < 2 or not sender.credit:
            event = self._hear(deadline)
            _raise_refusal(event)
            if isinstance(event, Attached):
                attached.add(event.link)
        self._sender, self._receiver = sender, receiver

    # --- asking -----------------------------------------------------------------------------------------------

    def _exchange(self, request: Message, request_id: str, status: int, deadline: float) -> Answer:
        assert self._sender is not None
        assert self._receiver is not None
        self._say(Transfer(link=self._sender, data=encode_message(request)), deadline=deadline)
        while True:
            event = self._hear(deadline)
            _raise_refusal(event)
            if isinstance(event, Disposed) and isinstance(event.state, Rejected):
                return read_refusal(event.state.error)
            if not isinstance(event, Delivery):
                continue
            if not event.settled:
                done = Disposition(link=event.link, delivery_id=event.delivery_id, state=ACCEPTED)
                self._say(done, deadline=deadline)
            message = decode_message(event.data)
            if message.properties is not None and message.properties.correlation_id == request_id:
                self._say(Flow(link=self._receiver, credit=CREDIT), deadline=deadline)
                return read_response(message, status)

    def _say(self, *commands: Command, deadline: float) -> None:
        for command in commands:
            self._engine.send(command)
        self._flush(deadline)

    def _flush(self, deadline: float) -> None:
        assert self._stream is not None
        if data := self._engine.outgoing():
            self._stream.write(data, seconds=_left(deadline))

    def _hear(self, deadline: float) -> Event:
        assert self._stream is not None
        while not self._events:
            data = self._stream.read(seconds=_left(deadline))
            if not data:
                raise ConnectionError("the service closed the connection")
            self._events.extend(self._engine.receive(data))
            self._flush(deadline)
        return self._events.popleft()


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


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left
