"""A device and a service at the other end of real TLS connections."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from homeport.hub.served_hub import ServedHub
from homeport.proto.mqtt import (
    ConnAck,
    Connect,
    Connection,
    Disconnect,
    Event,
    PubAck,
    Publish,
    Role,
    SubAck,
    Subscribe,
    Subscription,
)
from homeport.security import sas

FOREVER = 4102444800


class Device:
    """One MQTT connection, seen from the device."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dialled_with: tuple[int, ssl.SSLContext]
    ) -> None:
        self.dialled_with = dialled_with
        self._reader = reader
        self._writer = writer
        self._engine = Connection(Role.CLIENT)
        self._events: list[Event] = []

    def say(self, *packets: Any) -> None:
        for packet in packets:
            self._engine.send(packet)
        self._writer.write(self._engine.outgoing())

    async def hear(self) -> Event | None:
        """Return the next packet; None when the server has closed the connection."""
        while not self._events:
            async with asyncio.timeout(5):
                data = await self._reader.read(65536)
            if not data:
                return None
            self._events.extend(self._engine.receive(data))
        return self._events.pop(0)

    async def expect(self, kind: type[Any]) -> Any:
        event = await self.hear()
        assert isinstance(event, kind), f"expected {kind.__name__}, heard {event}"
        return event

    async def connect(self, client_id: str, token: str | None, **changes: Any) -> ConnAck:
        fields: dict[str, Any] = {
            "client_id": client_id,
            "user_name": f"localhost/{client_id}/?api-version=2021-04-12&DeviceClientType=test",
            "password": token.encode() if token else None,
            "clean_session": True,
        }
        self.say(Connect(**(fields | changes)))
        answer: ConnAck = await self.expect(ConnAck)
        return answer

    async def publish(self, topic: str, payload: bytes = b"", qos: int = 1, **changes: Any) -> None:
        self.say(Publish(topic=topic, payload=payload, qos=qos, **changes))
        if qos:
            await self.expect(PubAck)

    async def subscribe(self, *filters: str) -> tuple[int, ...]:
        self.say(Subscribe(subscriptions=tuple(Subscription(topic_filter=each, qos=1) for each in filters)))
        answer: SubAck = await self.expect(SubAck)
        return answer.return_codes

    async def leave(self, *, orderly: bool = True) -> None:
        if orderly:
            self.say(Disconnect())
        else:
            self._writer.transport.abort()
        while await self.hear() is not None:
            pass


@asynccontextmanager
async def dialled(port: int, context: ssl.SSLContext) -> AsyncIterator[Device]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    try:
        yield Device(reader, writer, (port, context))
    finally:
        writer.transport.abort()


def device_token(device_id: str, key: bytes, expiry: int = FOREVER) -> str:
    return sas.sign(sas.encode_resource(f"localhost/devices/{device_id}"), key, expiry)


def service_token(hub: ServedHub, policy: str = "iothubowner") -> str:
    key = next(each.primary_key for each in hub.hub.policies if each.name == policy)
    return sas.sign("localhost", key, FOREVER, policy)


class RestClient:
    """The service API of one hub."""

    def __init__(self, hub: ServedHub, client: httpx.AsyncClient) -> None:
        self.port = client.base_url.port
        self._hub = hub
        self._client = client

    async def __call__(
        self,
        method: str,
        path: str,
        document: Any = None,
        *,
        body: bytes | None = None,
        policy: str | None = "iothubowner",
        version: str | None = "2021-04-12",
        **headers: str,
    ) -> httpx.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if policy is not None:
            sent.setdefault("Authorization", service_token(self._hub, policy))
        separator = "&" if "?" in path else "?"
        url = path if version is None else f"{path}{separator}api-version={version}"
        if document is not None:
            return await self._client.request(method, url, json=document, headers=sent)
        return await self._client.request(method, url, content=body, headers=sent)
