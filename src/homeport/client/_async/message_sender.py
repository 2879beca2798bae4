"""Sends cloud-to-device messages over AMQP in a WebSocket (contract hub.md 15, 18.2): HTTPS has no such call."""

import ssl
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Self

from homeport.client._async.amqp_cbs import prove
from homeport.client._async.amqp_stream import AmqpStream, left
from homeport.client._async.streams import WebSocketStream
from homeport.client.amqp_service_messages import (
    DEVICE_BOUND,
    WEBSOCKET_PROTOCOL,
    device_bound,
    refusal_of,
)
from homeport.client.errors import ProvisioningServiceError
from homeport.client.hub_message_models import CloudToDeviceMessage
from homeport.client.trust import transport_error
from homeport.proto import ProtocolError
from homeport.proto.amqp import (
    Accepted,
    Attach,
    Begin,
    Closed,
    Condition,
    Connection,
    Detached,
    Disposed,
    Ended,
    Error,
    Event,
    Link,
    LinkRole,
    Open,
    Rejected,
    Role,
    Source,
    Target,
    Transfer,
    encode_message,
)

_HTTPS = 443


class MessageSender:
    """One connection that sends messages to devices, one after another; a context manager.

    Made by `HubClient.message_sender`. `seconds` is how long connecting, and each message, may take.
    """

    def __init__(
        self, host_name: str, authority: str, proof: Callable[[], str], *, context: ssl.SSLContext, seconds: float
    ) -> None:
        host, colon, port = authority.rpartition(":")
        self._host, self._port = (host, int(port)) if colon and port.isdigit() else (authority, _HTTPS)
        self._host_name = host_name
        self._proof = proof
        self._context = context
        self._seconds = seconds
        self._amqp: AmqpStream | None = None
        self._sender: Link | None = None

    async def send(self, device_id: str, message: CloudToDeviceMessage, *, module_id: str | None = None) -> None:
        """Send a message; returns when the hub has queued it, durably.

        Raises NotFoundError (unknown or disabled device), ThrottledError with the status 403 (50 messages wait
        already), BadRequestError, another ProvisioningServiceError, or TransportError: then it may be queued.
        """
        deadline = time.monotonic() + self._seconds
        try:
            amqp, sender = await self._connected(deadline)
            data = encode_message(device_bound(device_id, module_id, message))
            await amqp.say(Transfer(link=sender, data=data), deadline=deadline)
            refused = await self._outcome(amqp, sender, deadline)
        except ProvisioningServiceError:
            raise
        except (OSError, ProtocolError) as error:
            await self.aclose()
            raise transport_error(f"AMQP with {self._host}:{self._port}", error) from error
        except BaseException:
            await self.aclose()
            raise
        if refused is not None:
            raise refusal_of(refused, "/".join(filter(None, (device_id, module_id))))

    async def aclose(self) -> None:
        """Disconnect."""
        amqp, self._amqp, self._sender = self._amqp, None, None
        if amqp is not None:
            await amqp.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _connected(self, deadline: float) -> tuple[AmqpStream, Link]:
        if self._amqp is not None and self._sender is not None:
            return self._amqp, self._sender
        stream = await WebSocketStream.connect(
            self._host, self._port, self._context, protocol=WEBSOCKET_PROTOCOL, seconds=left(deadline)
        )
        amqp = self._amqp = AmqpStream(stream, Connection(Role.CLIENT, container_id=str(uuid.uuid4())))
        try:
            await self._prove(amqp, deadline)
            self._sender = await self._attach(amqp, deadline)
        except ProvisioningServiceError:
            await self.aclose()
            raise
        return amqp, self._sender

    async def _prove(self, amqp: AmqpStream, deadline: float) -> None:
        """Put the token on the connection."""
        session = amqp.engine.new_session()
        await amqp.say(Open(hostname=self._host_name), Begin(session=session), deadline=deadline)
        await prove(amqp, session, self._proof(), self._host_name, deadline)

    async def _attach(self, amqp: AmqpStream, deadline: float) -> Link:
        """Open the link for messages, and wait for the right to send."""
        session = amqp.engine.new_session()
        sender = amqp.engine.new_link(session, "device-bound", LinkRole.SENDER)
        await amqp.say(
            Begin(session=session),
            Attach(link=sender, source=Source(), target=Target(address=DEVICE_BOUND)),
            deadline=deadline,
        )
        while not sender.credit:
            await self._next(amqp, deadline)
        return sender

    async def _outcome(self, amqp: AmqpStream, sender: Link, deadline: float) -> Error | None:
        """Wait for what becomes of the one message that is under way; None if it is queued."""
        while True:
            event = await self._next(amqp, deadline)
            if isinstance(event, Disposed) and event.link is sender:
                if isinstance(event.state, Accepted):
                    return None
                rejected = event.state.error if isinstance(event.state, Rejected) else None
                return rejected or Error(condition=Condition.INTERNAL_ERROR, description="the hub gave no reason")

    async def _next(self, amqp: AmqpStream, deadline: float) -> Event:
        """Return what comes; raises the refusal that ends link, session or connection."""
        event = await amqp.hear(deadline)
        if isinstance(event, Closed | Ended | Detached):
            await self.aclose()
            raise refusal_of(event.error)
        return event
