# Made by scripts/unasync.py: change its twin in _async instead.
"""A device's requests over MQTT, plain or in a WebSocket (contract dps.md 4)."""

import ssl
import time
import uuid
from collections import deque

from homeport.client._sync.backend import TlsStream
from homeport.client._sync.streams import Stream, WebSocketStream
from homeport.client.errors import TransportError, UnauthorizedError, UnexpectedAnswerError
from homeport.client.mqtt_topics import (
    RESPONSES,
    operation_status_topic,
    parse_response,
    register_topic,
    user_name,
)
from homeport.client.registration import API_VERSION, Answer
from homeport.client.trust import transport_error
from homeport.proto import ProtocolError
from homeport.proto.mqtt import (
    SUBSCRIPTION_REFUSED,
    ConnAck,
    Connect,
    Connection,
    Event,
    PubAck,
    Publish,
    ReturnCode,
    Role,
    SubAck,
    Subscribe,
    Subscription,
)

KEEP_ALIVE = 240
"""Seconds. The device does not ping: it closes the connection before a pause that comes near."""


class MqttConversation:
    """One device and its service. A connection that broke is opened again by the next request."""

    def __init__(
        self,
        host: str,
        port: int,
        id_scope: str,
        registration_id: str,
        *,
        context: ssl.SSLContext,
        websocket: bool,
        api_version: str = API_VERSION,
    ) -> None:
        self._host = host
        self._port = port
        self._id_scope = id_scope
        self._registration_id = registration_id
        self._context = context
        self._websocket = websocket
        self._api_version = api_version
        self._stream: Stream | None = None
        self._engine = Connection(Role.CLIENT)
        self._events: deque[Event] = deque()

    def register(self, body: bytes, token: str | None, *, seconds: float) -> Answer:
        """Ask for a hub. Raises TransportError, UnauthorizedError, UnexpectedAnswerError."""
        request_id = str(uuid.uuid4())
        return self._ask(register_topic(request_id), request_id, body, token, seconds)

    def operation_status(self, operation_id: str, token: str | None, *, seconds: float) -> Answer:
        """Ask how far the service is. Raises TransportError, UnauthorizedError, UnexpectedAnswerError."""
        request_id = str(uuid.uuid4())
        topic = operation_status_topic(request_id, operation_id)
        return self._ask(topic, request_id, b" ", token, seconds)

    def close(self) -> None:
        """Disconnect."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        self._engine.close()
        try:
            stream.write(self._engine.outgoing(), seconds=1.0)
        except OSError:
            pass
        finally:
            stream.close()

    def _ask(self, topic: str, request_id: str, payload: bytes, token: str | None, seconds: float) -> Answer:
        deadline = time.monotonic() + seconds
        try:
            if self._stream is None:
                self._connect(token, deadline)
            self._say(Publish(topic=topic, payload=payload, qos=1), deadline)
            while True:
                event = self._hear(deadline)
                if not isinstance(event, Publish):
                    continue
                if event.qos:
                    assert event.packet_id is not None, "the engine gives every QoS 1 message an id"
                    self._say(PubAck(packet_id=event.packet_id), deadline)
                response = parse_response(event.topic)
                if response is not None and response.request_id == request_id:
                    headers = {} if response.retry_after is None else {"retry-after": response.retry_after}
                    return Answer(status=response.status, body=event.payload, headers=headers)
        except (OSError, ProtocolError) as error:
            self.close()
            raise transport_error(f"MQTT with {self._host}:{self._port}", error) from error
        except BaseException:
            self.close()
            raise

    def _connect(self, token: str | None, deadline: float) -> None:
        self._engine = Connection(Role.CLIENT)
        self._events.clear()
        seconds = _left(deadline)
        if self._websocket:
            self._stream = WebSocketStream.connect(self._host, self._port, self._context, seconds=seconds)
        else:
            self._stream = TlsStream.connect(self._host, self._port, self._context, seconds=seconds)
        self._say(
            Connect(
                client_id=self._registration_id,
                keep_alive=KEEP_ALIVE,
                user_name=user_name(self._id_scope, self._registration_id, self._api_version),
                password=None if token is None else token.encode("ascii"),
            ),
            deadline,
        )
        accepted = self._hear(deadline)
        if not isinstance(accepted, ConnAck):
            raise UnexpectedAnswerError("the service did not answer CONNECT with CONNACK")
        match accepted.return_code:
            case ReturnCode.ACCEPTED:
                pass
            case ReturnCode.BAD_USER_NAME_OR_PASSWORD | ReturnCode.NOT_AUTHORIZED as code:
                raise UnauthorizedError(f"the service refused the connection (MQTT return code {code})", status=401)
            case ReturnCode.SERVER_UNAVAILABLE:
                raise TransportError("the service is not available now (MQTT return code 3)")
            case code:
                raise UnexpectedAnswerError(f"the service refused the connection (MQTT return code {code})")
        self._say(Subscribe(subscriptions=(Subscription(topic_filter=RESPONSES, qos=1),)), deadline)
        granted = self._hear(deadline)
        if not isinstance(granted, SubAck) or SUBSCRIPTION_REFUSED in granted.return_codes:
            raise UnexpectedAnswerError("the service refused the subscription to its answers")

    def _say(self, packet: Connect | Subscribe | Publish | PubAck, deadline: float) -> None:
        assert self._stream is not None
        self._engine.send(packet)
        self._stream.write(self._engine.outgoing(), seconds=_left(deadline))

    def _hear(self, deadline: float) -> Event:
        assert self._stream is not None
        while not self._events:
            data = self._stream.read(seconds=_left(deadline))
            if not data:
                raise ConnectionError("the service closed the connection")
            self._events.extend(self._engine.receive(data))
        return self._events.popleft()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left
