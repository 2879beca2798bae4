"""AMQP clients that mean no good: connected with or without a right to it, and sending what they like."""

import contextlib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from homeport.proto.amqp import (
    Attach,
    Attached,
    Begin,
    Begun,
    Closed,
    Command,
    Connection,
    Event,
    Link,
    LinkRole,
    Open,
    Opened,
    PlainCredentials,
    Role,
    SaslCode,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    Session,
    Source,
    Target,
    plain,
)
from tests.hostile.target import AMQP, SECONDS
from tests.hostile.target import Target as Server

T = TypeVar("T", bound=Event)
HEADER = b"AMQP\x00\x01\x00\x00"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"
VERSION = {"com.microsoft:api-version": "2021-06-01"}


class Client:
    """A connection, what arrives on it, and an engine for what is said properly."""

    def __init__(self, connection: ssl.SSLSocket, *, sasl: bool) -> None:
        self.connection = connection
        self.engine = Connection(Role.CLIENT, container_id="hostile", mechanisms=("PLAIN",) if sasl else ())
        self.events: list[Event] = []
        self.session: Session

    def send(self, *data: bytes) -> None:
        """Send bytes as they are."""
        with contextlib.suppress(OSError):  # the server may have closed it already
            self.connection.sendall(b"".join(data))

    def say(self, *commands: Command) -> None:
        for command in commands:
            self.engine.send(command)
        self.send(self.engine.outgoing())

    def hear(self) -> Event | None:
        """Return the next event, None when the server has closed the connection. Raises TimeoutError."""
        self.send(self.engine.outgoing())
        while not self.events:
            data = self._receive()
            if not data:
                return None
            self.events += self.engine.receive(data)
            self.send(self.engine.outgoing())
        return self.events.pop(0)

    def until(self, kind: type[T]) -> T:
        while not isinstance(event := self.hear(), kind):
            assert event is not None, f"closed before {kind.__name__}"
        return event

    def closed(self) -> str | None:
        """Wait until the server has closed the connection; return the condition it gave in CLOSE, if it did."""
        condition = None
        while (event := self.hear()) is not None:
            if isinstance(event, Closed) and event.error is not None:
                condition = str(event.error.condition)
        return condition

    def rest(self) -> bytes:
        """Return the bytes up to the server's end, unread."""
        heard = b""
        while data := self._receive():
            heard += data
        return heard

    def _receive(self) -> bytes:
        self.connection.settimeout(SECONDS)
        try:
            return self.connection.recv(65536)
        except TimeoutError:
            raise
        except OSError:  # reset: closed, too
            return b""


def address(target: Server, registration_id: str) -> str:
    return f"{target.id_scope}/registrations/{registration_id}"


@contextmanager
def stranger(target: Server, *, sasl: bool = False) -> Iterator[Client]:
    with target.connect(AMQP) as connection:
        yield Client(connection, sasl=sasl)


@contextmanager
def admitted(target: Server, registration_id: str, key: str) -> Iterator[Client]:
    """A device that has proven itself and begun a session."""
    with stranger(target, sasl=True) as client:
        client.until(SaslMechanisms)
        credentials = PlainCredentials(
            authentication_id=address(target, registration_id), password=target.device_token(registration_id, key)
        )
        client.say(SaslInit(mechanism="PLAIN", initial_response=plain(credentials)))
        assert client.until(SaslOutcome).code is SaslCode.OK
        client.say(Open(hostname=target.host))
        client.until(Opened)
        client.session = client.engine.new_session()
        client.say(Begin(session=client.session))
        client.until(Begun)
        yield client


def sender(client: Client, target: Server, registration_id: str, name: str = "requests") -> Link:
    """Attach a link to send on, and wait for credit."""
    link = client.engine.new_link(client.session, name, LinkRole.SENDER)
    there = Target(address=address(target, registration_id))
    client.say(Attach(link=link, source=Source(), target=there, properties=VERSION))
    client.until(Attached)
    while not link.credit:
        assert client.hear() is not None
    return link


def receiver(client: Client, target: Server, registration_id: str, name: str = "answers") -> Link:
    """Attach a link to receive on, without giving credit."""
    link = client.engine.new_link(client.session, name, LinkRole.RECEIVER)
    here = Source(address=address(target, registration_id))
    client.say(Attach(link=link, source=here, target=Target(), properties=VERSION))
    client.until(Attached)
    return link
