"""A client of a hub over AMQP: the engine's other role, with CBS in its hands."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from homeport.hub.model import CloudMessage, SasAuthentication
from homeport.hub.served_hub import ServedHub
from homeport.proto.amqp import (
    AmqpValue,
    Attached,
    Data,
    Delivery,
    Detached,
    Disposed,
    Error,
    Flowed,
    Link,
    Message,
    Properties,
    ULong,
    decode_message,
)
from tests.amqp_client import Client
from tests.unit.hub.clients import device_token
from tests.unit.hub.conftest import Line, ManualClock

KEY = b"1" * 32
KEYS = SasAuthentication(primary_key=KEY, secondary_key=b"2" * 32)
TOKEN = device_token("d1", KEY)
EVENTS, BOUND = "/devices/d1/messages/events", "/devices/d1/messages/devicebound"
TWIN, METHODS = "/devices/d1/twin", "/devices/d1/methods/devicebound"
SAS_TYPE = "servicebus.windows.net:sastoken"


class HubClient(Client):
    """One connection to a hub."""

    cbs: Link

    async def start(self) -> None:
        """Open a connection with one session and a pair of links to $cbs on it."""
        await self.open()
        await self.begin()
        await self.open_cbs()

    async def open_cbs(self) -> None:
        self.receiver("$cbs")
        await self.until(Attached)
        self.cbs = self.sender("$cbs")
        await self.attached()

    async def ask_cbs(self, token: Any, *, message_id: Any = None, **properties: Any) -> Message:
        """Put a token and return the answer; the request must have been settled before."""
        asked = {"operation": "put-token", "type": SAS_TYPE, "name": "localhost"} | properties
        self.message(
            self.cbs,
            Message(
                properties=Properties(message_id=ULong(1) if message_id is None else message_id),
                application_properties={name: value for name, value in asked.items() if value is not None},
                body=token if not isinstance(token, str) else AmqpValue(token),
            ),
        )
        while isinstance(event := await self.hear(), Flowed):
            pass
        assert isinstance(event, Disposed), event
        return decode_message((await self.until(Delivery)).data)

    async def put_token(self, token: str) -> int:
        """Put a token and return the status."""
        answer = await self.ask_cbs(token)
        status = (answer.application_properties or {})["status-code"]
        assert isinstance(status, int)
        return status


@asynccontextmanager
async def connected(line: Line, **options: Any) -> AsyncIterator[HubClient]:
    """Dial; nothing is said yet."""
    client = await HubClient.dial(("127.0.0.1", line.port), line.context, **options)
    try:
        yield client
    finally:
        client.writer.transport.abort()


async def refusal(client: HubClient) -> Error:
    """Wait for the end of a link that the hub does not accept, or ends; return its error."""
    gone = await client.until(Detached)
    assert gone.error is not None
    return gone.error


def text(value: str | bytes, **sections: Any) -> Message:
    """Make a message with one data section."""
    return Message(body=Data((value if isinstance(value, bytes) else value.encode(),)), **sections)


async def sending(client: HubClient, address: str, **options: Any) -> Link:
    link = client.sender(address, **options)
    await client.attached()
    assert link.open
    return link


async def receiving(client: HubClient, address: str, **options: Any) -> Link:
    link = client.receiver(address, **options)
    await client.until(Attached)
    return link


async def stored(hub: ServedHub, device_id: str = "d1") -> list[Any]:
    newest = await hub.telemetry.log.latest(device_id=device_id, limit=100)
    return [each.telemetry for each in reversed(newest)]


def cloud_message(clock: ManualClock, body: bytes = b"hello", **fields: Any) -> CloudMessage:
    now = clock.now()
    return CloudMessage(body=body, enqueued_at=now, expires_at=now + timedelta(hours=1), **fields)
