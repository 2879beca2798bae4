"""A device at its hub over AMQP, or AMQP in a WebSocket (contract hub.md 15, 16)."""

import itertools
import time
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from homeport.client._async.amqp_cbs import prove
from homeport.client._async.amqp_stream import AmqpStream
from homeport.client._async.backend import TlsStream
from homeport.client._async.streams import Stream, WebSocketStream
from homeport.client.amqp_service_messages import WEBSOCKET_PROTOCOL, refusal_of
from homeport.proto import ProtocolError
from homeport.proto.amqp import (
    ACCEPTED,
    Accepted,
    Attach,
    Attached,
    Begin,
    Closed,
    Connection,
    Data,
    Delivery,
    Detached,
    Disposed,
    Disposition,
    Ended,
    Event,
    Flow,
    Int,
    Link,
    LinkRole,
    Message,
    Open,
    Properties,
    Rejected,
    Role,
    SenderSettleMode,
    Session,
    Source,
    Symbol,
    Target,
    Transfer,
    decode_message,
    encode_message,
)
from homeport.simulation.home import ANSWER_SECONDS, Credential, Handlers, HomeError, Waiting

CREDIT = 50
_REPORTED, _NOTICES = "/properties/reported", "/notifications/twin/properties/desired"
_ENDS = (Closed, Ended, Detached)
_HEARTBEAT_SECONDS = 30.0


class AmqpHome:
    """See `Home`."""

    two_way = True

    def __init__(self, credential: Credential, handlers: Handlers, *, websocket: bool) -> None:
        self._credential = credential
        self._handlers = handlers
        self._websocket = websocket
        self._waiting = Waiting()
        self._request_ids = itertools.count(1)
        self._amqp: AmqpStream | None = None
        self._early: list[Event] = []
        self._events: Link
        self._twin: Link
        self._notices: Link
        self._methods: Link
        self._calls: Link

    async def connect(self) -> None:
        where = self._credential
        deadline = time.monotonic() + ANSWER_SECONDS
        stream: Stream
        if self._websocket:
            stream = await WebSocketStream.connect(
                where.hub, where.port, where.context, protocol=WEBSOCKET_PROTOCOL, seconds=ANSWER_SECONDS
            )
        else:
            stream = await TlsStream.connect(where.hub, where.port, where.context, seconds=ANSWER_SECONDS)
        amqp = self._amqp = AmqpStream(stream, Connection(Role.CLIENT, container_id=where.device_id))
        session = amqp.engine.new_session()
        await amqp.say(Open(hostname=where.hub), Begin(session=session), deadline=deadline)
        if where.token is not None:
            await prove(amqp, session, where.token(), f"{where.hub}/devices/{where.device_id}", deadline)
        await self._open_links(amqp, session, deadline)
        await self._ask(next(self._request_ids), "PUT", _NOTICES, b" ", deadline=deadline)

    async def _open_links(self, amqp: AmqpStream, session: Session, deadline: float) -> None:
        own = f"/devices/{self._credential.device_id}"
        methods = f"{own}/methods/devicebound"
        new = amqp.engine.new_link
        self._events = new(session, "events", LinkRole.SENDER)
        self._twin, self._notices = new(session, "twin", LinkRole.SENDER), new(session, "twin-back", LinkRole.RECEIVER)
        self._methods = new(session, "methods", LinkRole.SENDER)
        self._calls = new(session, "methods-back", LinkRole.RECEIVER)
        bound = new(session, "devicebound", LinkRole.RECEIVER)
        twin = {Symbol("com.microsoft:channel-correlation-id"): f"twin:{uuid.uuid4()}"}
        calls = {Symbol("com.microsoft:channel-correlation-id"): self._credential.device_id}
        links = (
            Attach(link=self._events, source=Source(), target=Target(address=f"{own}/messages/events")),
            Attach(link=self._twin, source=Source(), target=Target(address=f"{own}/twin"), properties=twin),
            Attach(
                link=self._notices,
                source=Source(address=f"{own}/twin"),
                target=Target(),
                snd_settle_mode=SenderSettleMode.SETTLED,
                properties=twin,
            ),
            Attach(link=self._methods, source=Source(), target=Target(address=methods), properties=calls),
            Attach(link=self._calls, source=Source(address=methods), target=Target(), properties=calls),
            Attach(link=bound, source=Source(address=f"{own}/messages/devicebound"), target=Target()),
        )
        await amqp.say(*links, deadline=deadline)
        waiting = {self._events, self._twin, self._notices, self._methods, self._calls, bound}
        while waiting:
            event = await self._next(amqp, deadline)
            if isinstance(event, Attached):
                waiting.discard(event.link)
        for link in (self._notices, self._calls, bound):
            await amqp.say(Flow(link=link, credit=CREDIT), deadline=deadline)
        while not (self._events.credit and self._twin.credit and self._methods.credit):
            await self._next(amqp, deadline)

    async def listen(self) -> None:
        amqp = self._open()
        try:
            for event in self._early:
                await self._take(amqp, event)
            while True:
                amqp.engine.tick(time.monotonic())
                deadline = time.monotonic() + _HEARTBEAT_SECONDS
                await amqp.flush(deadline)
                try:
                    event = await amqp.hear(deadline)
                except TimeoutError:
                    continue
                await self._take(amqp, event)
        except (OSError, ProtocolError) as error:
            self._waiting.fail(ConnectionError(str(error)))
            raise
        except HomeError as error:
            self._waiting.fail(error)
            raise

    async def send(self, body: bytes, properties: Mapping[str, str]) -> None:
        message = Message(
            properties=Properties(content_type=Symbol("application/json"), content_encoding=Symbol("utf-8")),
            application_properties=dict(properties) or None,
            body=Data((body,)),
        )
        amqp = self._open()
        transfer = Transfer(link=self._events, data=encode_message(message))
        delivery_id = amqp.engine.send(transfer)
        self._waiting.expect(("event", delivery_id))
        await amqp.flush(time.monotonic() + ANSWER_SECONDS)
        state = await self._waiting.answer(("event", delivery_id))
        if not isinstance(state, Accepted):
            raise HomeError(str(refusal_of(state.error if isinstance(state, Rejected) else None)))

    async def read_twin(self) -> Mapping[str, Any]:
        twin: dict[str, Any] = msgspec.json.decode(await self._answered("GET", None, b" "))
        return twin

    async def report(self, patch: Mapping[str, Any]) -> None:
        await self._answered("PATCH", _REPORTED, msgspec.json.encode(patch))

    async def aclose(self) -> None:
        amqp, self._amqp = self._amqp, None
        self._waiting.fail(ConnectionError("the device has left"))
        if amqp is not None:
            await amqp.aclose()

    async def _answered(self, operation: str, resource: str | None, body: bytes) -> bytes:
        number = next(self._request_ids)
        self._waiting.expect(str(number))
        await self._ask(number, operation, resource, body, deadline=time.monotonic() + ANSWER_SECONDS)
        status, answer = await self._waiting.answer(str(number))
        if status >= 300:
            raise HomeError(f"the hub answered {status}: {answer[:200].decode(errors='replace')}")
        told: bytes = answer
        return told

    async def _ask(self, number: int, operation: str, resource: str | None, body: bytes, *, deadline: float) -> None:
        annotations = {Symbol("operation"): operation} | ({} if resource is None else {Symbol("resource"): resource})
        message = Message(
            message_annotations=annotations, properties=Properties(correlation_id=str(number)), body=Data((body,))
        )
        transfer = Transfer(link=self._twin, data=encode_message(message), settled=True)
        await self._open().say(transfer, deadline=deadline)

    async def _take(self, amqp: AmqpStream, event: Event) -> None:
        match event:
            case Disposed(link=link, delivery_id=delivery_id, state=state) if link is self._events:
                self._waiting.give(("event", delivery_id), state)
            case Delivery():
                if not event.settled:
                    done = Disposition(link=event.link, delivery_id=event.delivery_id, state=ACCEPTED)
                    amqp.engine.send(done)
                amqp.engine.send(Flow(link=event.link, credit=CREDIT))
                self._hear_of(amqp, event.link, decode_message(event.data))
                await amqp.flush(time.monotonic() + ANSWER_SECONDS)
            case Closed() | Ended() | Detached():
                raise HomeError(f"the hub ended the connection: {refusal_of(event.error)}")
            case _:
                pass

    def _hear_of(self, amqp: AmqpStream, link: Link, message: Message) -> None:
        body, told = message.data or b"", message.properties
        if link is self._notices:
            status = (message.message_annotations or {}).get(Symbol("status"))
            if status is None:
                self._handlers.desired(msgspec.json.decode(body))
            elif told is not None:
                self._waiting.give(told.correlation_id, (int(status), body))
        elif link is self._calls and told is not None:
            name = (message.application_properties or {}).get("IoThub-methodname", "")
            code, answer = self._handlers.method(str(name), msgspec.json.decode(body) if body else None)
            answered = Message(
                properties=Properties(correlation_id=told.correlation_id),
                application_properties={"IoThub-status": Int(code)},
                body=Data((msgspec.json.encode(answer),)),
            )
            amqp.engine.send(Transfer(link=self._methods, data=encode_message(answered), settled=True))
        else:
            self._handlers.message()

    async def _next(self, amqp: AmqpStream, deadline: float) -> Event:
        event = await amqp.hear(deadline)
        if isinstance(event, _ENDS):
            raise refusal_of(event.error)
        if isinstance(event, Delivery):
            self._early.append(event)
        return event

    def _open(self) -> AmqpStream:
        if self._amqp is None:
            raise ConnectionError("the connection has ended")
        return self._amqp
