"""A device at its hub over MQTT, or MQTT in a WebSocket (contract hub.md 13)."""

import itertools
import time
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qs, quote

import msgspec

from homeport.client._async.backend import TlsStream
from homeport.client._async.streams import Stream, WebSocketStream
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
from homeport.simulation.home import ANSWER_SECONDS, Credential, Handlers, HomeError, Waiting

API_VERSION = "2021-04-12"
KEEP_ALIVE = 120

T = TypeVar("T")

_ANSWERS, _METHODS = "$iothub/twin/res/", "$iothub/methods/POST/"
_DESIRED = "$iothub/twin/PATCH/properties/desired/"


class MqttHome:
    """See `Home`."""

    two_way = True

    def __init__(self, credential: Credential, handlers: Handlers, *, websocket: bool) -> None:
        self._credential = credential
        self._handlers = handlers
        self._websocket = websocket
        self._engine = Connection(Role.CLIENT)
        self._stream: Stream | None = None
        self._waiting = Waiting()
        self._request_ids = itertools.count(1)
        self._early: list[Event] = []

    async def connect(self) -> None:
        where = self._credential
        kind = WebSocketStream if self._websocket else TlsStream
        self._stream = await kind.connect(where.hub, where.port, where.context, seconds=ANSWER_SECONDS)
        await self._say(
            Connect(
                client_id=where.device_id,
                keep_alive=KEEP_ALIVE,
                user_name=f"{where.hub}/{where.device_id}/?api-version={API_VERSION}&DeviceClientType=homeport-simulate",
                password=None if where.token is None else where.token().encode("ascii"),
            )
        )
        accepted = await self._hear(ConnAck)
        if accepted.return_code is not ReturnCode.ACCEPTED:
            raise HomeError(f"the hub refused the connection (MQTT return code {accepted.return_code:d})")
        bound = f"devices/{where.device_id}/messages/devicebound/#"
        filters = (f"{_ANSWERS}#", f"{_METHODS}#", f"{_DESIRED}#", bound)
        wanted = tuple(Subscription(topic_filter=each, qos=int(each is bound)) for each in filters)
        await self._say(Subscribe(subscriptions=wanted))
        granted = await self._hear(SubAck)
        if SUBSCRIPTION_REFUSED in granted.return_codes:
            raise HomeError("the hub refused a subscription")

    async def listen(self) -> None:
        assert self._stream is not None
        try:
            for event in self._early:
                await self._take(event)
            while True:
                now = time.monotonic()
                due = self._engine.tick(now)
                await self._flush()
                try:
                    data = await self._stream.read(seconds=KEEP_ALIVE if due is None else max(due - now, 0.001))
                except TimeoutError:
                    continue
                if not data:
                    raise ConnectionError("the hub closed the connection")
                for event in self._engine.receive(data):
                    await self._take(event)
        except (OSError, ProtocolError) as error:
            self._waiting.fail(ConnectionError(str(error)))
            raise

    async def send(self, body: bytes, properties: Mapping[str, str]) -> None:
        bag = "&".join(
            f"{quote(name, safe='$.')}={quote(value, safe='')}"
            for name, value in {"$.ct": "application/json", "$.ce": "utf-8", **properties}.items()
        )
        topic = f"devices/{self._credential.device_id}/messages/events/{bag}"
        packet_id = self._engine.send(Publish(topic=topic, payload=body, qos=1))
        self._waiting.expect(packet_id)
        await self._flush()
        await self._waiting.answer(packet_id)

    async def read_twin(self) -> Mapping[str, Any]:
        twin: dict[str, Any] = msgspec.json.decode(await self._ask("$iothub/twin/GET/", b""))
        return twin

    async def report(self, patch: Mapping[str, Any]) -> None:
        await self._ask("$iothub/twin/PATCH/properties/reported/", msgspec.json.encode(patch))

    async def aclose(self) -> None:
        stream, self._stream = self._stream, None
        self._waiting.fail(ConnectionError("the device has left"))
        if stream is None:
            return
        self._engine.close()
        try:
            await stream.write(self._engine.outgoing(), seconds=1.0)
        except OSError:
            pass
        finally:
            await stream.aclose()

    async def _ask(self, topic: str, body: bytes) -> bytes:
        request_id = f"{next(self._request_ids)}"
        self._waiting.expect(request_id)
        await self._say(Publish(topic=f"{topic}?$rid={request_id}", payload=body, qos=0))
        status, answer = await self._waiting.answer(request_id)
        if status >= 300:
            raise HomeError(f"the hub answered {status}: {answer[:200].decode(errors='replace')}")
        told: bytes = answer
        return told

    async def _take(self, event: Event) -> None:
        match event:
            case PubAck(packet_id=packet_id):
                self._waiting.give(packet_id, None)
            case Publish(topic=topic, payload=payload, qos=qos, packet_id=packet_id):
                if qos and packet_id is not None:
                    await self._say(PubAck(packet_id=packet_id))
                await self._hear_of(topic, payload)
            case _:
                pass

    async def _hear_of(self, topic: str, payload: bytes) -> None:
        path, _, query = topic.partition("?")
        if topic.startswith(_ANSWERS):
            status = path.removeprefix(_ANSWERS).strip("/")
            self._waiting.give(_request_id(query), (int(status), payload))
        elif topic.startswith(_METHODS):
            name = path.removeprefix(_METHODS).strip("/")
            code, answer = self._handlers.method(name, msgspec.json.decode(payload) if payload else None)
            answered = f"$iothub/methods/res/{code}/?$rid={_request_id(query)}"
            await self._say(Publish(topic=answered, payload=msgspec.json.encode(answer), qos=0))
        elif topic.startswith(_DESIRED):
            self._handlers.desired(msgspec.json.decode(payload))
        else:
            self._handlers.message()

    async def _say(self, packet: Connect | Subscribe | Publish | PubAck) -> None:
        self._engine.send(packet)
        await self._flush()

    async def _flush(self) -> None:
        if self._stream is None:
            raise ConnectionError("the connection has ended")
        if data := self._engine.outgoing():
            await self._stream.write(data, seconds=ANSWER_SECONDS)

    async def _hear(self, kind: type[T]) -> T:
        """Wait for a packet of this kind; what comes with it is kept for `listen`."""
        assert self._stream is not None
        while True:
            data = await self._stream.read(seconds=ANSWER_SECONDS)
            if not data:
                raise ConnectionError("the hub closed the connection")
            events = self._engine.receive(data)
            found = next((event for event in events if isinstance(event, kind)), None)
            self._early += [event for event in events if event is not found]
            if found is not None:
                return found


def _request_id(query: str) -> str:
    return parse_qs(query).get("$rid", [""])[0]
