"""A small loop around our engine, a server application on it, and the peers as programs."""

import asyncio
import json
import os
import shutil
import ssl
import sys
import uuid
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from homeport.proto.amqp import (
    ACCEPTED,
    PLAIN,
    RELEASED,
    AmqpProtocolError,
    Attach,
    Attached,
    Begin,
    Begun,
    Close,
    Connection,
    Data,
    Delivery,
    DeliveryState,
    Detach,
    Detached,
    Disposed,
    Disposition,
    Drained,
    Error,
    Event,
    Flow,
    Flowed,
    Limits,
    Link,
    LinkRole,
    Message,
    Open,
    Opened,
    Properties,
    Rejected,
    Role,
    SaslCode,
    SaslInit,
    SaslOutcome,
    Source,
    State,
    Symbol,
    Target,
    Transfer,
    UInt,
    decode_message,
    encode_message,
    parse_plain,
)

PATIENCE = 10.0
PEERS = Path(__file__).parent / "peers"
RHEA = Path(__file__).parents[2] / "conformance" / "node" / "node_modules" / "rhea"
SYSTEM_PYTHON = "/usr/bin/python3"
USER, PASSWORD = "device/1", "sesame"

PROGRAMS: dict[str, list[str]] = {
    "proton": [SYSTEM_PYTHON, str(PEERS / "proton_peer.py")],
    "rhea": ["node", str(PEERS / "rhea_peer.cjs")],
    "uamqp": [sys.executable, str(PEERS / "uamqp_peer.py")],
}


def available(peer: str) -> bool:
    if peer == "rhea":
        return shutil.which("node") is not None and RHEA.exists()
    if peer == "proton":
        return Path("/usr/lib/python3/dist-packages/proton/__init__.py").exists()
    return find_spec("uamqp") is not None  # it has wheels for some architectures only


def body_of(size: int) -> bytes:
    return bytes(i % 251 for i in range(size))


async def drive(
    engine: Connection,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    handle: Callable[[Event], None],
    done: Callable[[], bool] = lambda: False,
) -> None:
    """Move bytes until the connection is over or `done`; raises what the engine raises, after writing its last word."""
    loop = asyncio.get_running_loop()
    try:
        while True:
            due = engine.tick(loop.time())
            writer.write(engine.outgoing())
            await writer.drain()
            if engine.state is State.CLOSED or done():
                return
            data = None
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    data = await reader.read(65536)
            if data == b"":
                return
            events = engine.receive(data or b"")
            while True:
                for event in events:
                    handle(event)
                if not engine.held:
                    break
                events = engine.receive(b"")
    finally:
        writer.write(engine.outgoing())
        with suppress(ConnectionError):
            await writer.drain()


class Broker:
    """What our server does in these tests, by the address of a link.

    `sink` accepts, `reject` and `release` do not, `refused` is not attached but redirected; from `feed` come the
    messages whose sizes are given.
    """

    def __init__(self, *, sasl: bool, feed: list[int] | None = None, **limits: Any) -> None:
        mechanisms = ("ANONYMOUS", "PLAIN") if sasl else ()
        self.engine = Connection(
            Role.SERVER, container_id="homeport", mechanisms=mechanisms, sasl_optional=not sasl, limits=Limits(**limits)
        )
        self.feed = list(feed or [])
        self.addresses: dict[Link, str] = {}
        self.opened: Opened | None = None
        self.messages: list[Message] = []
        self.disposed: list[Any] = []
        self.fault: AmqpProtocolError | None = None
        self.over = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await drive(self.engine, reader, writer, self.handle)
        except AmqpProtocolError as fault:
            self.fault = fault
        except ConnectionError:
            pass
        finally:
            writer.close()
            self.over.set()

    def handle(self, event: Event) -> None:
        send = self.engine.send
        match event:
            case SaslInit():
                known = parse_plain(event.initial_response) if event.mechanism == PLAIN else None
                good = event.mechanism != PLAIN or (
                    known is not None and (known.authentication_id, known.password) == (USER, PASSWORD)
                )
                send(SaslOutcome(code=SaslCode.OK if good else SaslCode.AUTH))
            case Opened():
                self.opened = event
                send(Open(properties={"product": "homeport"}))
            case Begun():
                send(Begin(session=event.session))
            case Attached():
                self._attach(event)
            case Delivery():
                self._take(event)
            case Flowed(link=Link(role=LinkRole.SENDER)):
                assert event.link is not None
                self._feed(event.link, drain=event.drain)
            case Disposed():
                self.disposed.append(event.state)
                if not event.settled:
                    send(Disposition(link=event.link, delivery_id=event.delivery_id, state=event.state))
            case _:
                pass

    def _attach(self, event: Attached) -> None:
        link, send = event.link, self.engine.send
        terminus = event.target if link.role is LinkRole.RECEIVER else event.source
        assert isinstance(terminus, Source | Target)
        address = str(terminus.address).rpartition("/")[2]
        self.addresses[link] = address
        if address == "refused":
            info = {"hostname": "elsewhere", "port": UInt(5671), "address": "amqps://elsewhere:5671/x"}
            error = Error(condition="amqp:link:redirect", description="it has moved", info=info)
            send(Detach(link=link, error=error))
            return
        send(
            Attach(
                link=link,
                source=event.source,
                target=event.target,
                snd_settle_mode=event.snd_settle_mode,
                rcv_settle_mode=event.rcv_settle_mode,
            )
        )
        if link.role is LinkRole.RECEIVER:
            send(Flow(link=link, credit=10))

    def _take(self, event: Delivery) -> None:
        message = decode_message(event.data)
        self.messages.append(message)
        link = event.link
        error = Error(condition="test:no", description="not wanted", info={"why": "because", "after": UInt(3)})
        states: dict[str, DeliveryState] = {"reject": Rejected(error=error), "release": RELEASED}
        state = states.get(self.addresses[link], ACCEPTED)
        self.engine.send(Disposition(link=link, delivery_id=event.delivery_id, state=state))
        if link.credit < 5:
            self.engine.send(Flow(link=link, credit=10))

    def _feed(self, link: Link, *, drain: bool) -> None:
        while self.feed and link.may_send:
            size = self.feed.pop(0)
            properties = Properties(correlation_id=uuid.UUID(int=size))
            message = Message(
                properties=properties,
                message_annotations={"x-note": size},
                application_properties={"size": size},
                body=Data((body_of(size),)),
            )
            settled = link.snd_settle_mode == 1
            self.engine.send(Transfer(link=link, data=encode_message(message), settled=settled))
        if drain and not self.feed:
            self.engine.send(Drained(link=link))


@asynccontextmanager
async def serving(broker: Broker, tls: ssl.SSLContext | None = None) -> Any:
    """Serve one connection after another on a free port; yields the port."""
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def run_client(peer: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """Run a peer as client to its end; return what it tells."""
    process = await start(peer, "client", wanted)
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert out, err.decode()
    told: dict[str, Any] = json.loads(out.splitlines()[-1])
    return told


async def start(peer: str, role: str, wanted: dict[str, Any]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *PROGRAMS[peer],
        role,
        json.dumps(wanted),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"RHEA": str(RHEA), "PYTHONWARNINGS": "ignore"},
    )


class Client:
    """What our client does against a peer that serves: send these sizes, or receive as many messages."""

    def __init__(
        self,
        *,
        sasl: SaslInit | None = None,
        address: str = "sink",
        send: list[int] | None = None,
        receive: int = 0,
        credit: int = 10,
        drain: bool = False,
        eager: bool = True,
        **limits: Any,
    ) -> None:
        self.sasl = sasl
        self.eager = eager
        mechanisms = (sasl.mechanism,) if sasl else ()
        self.engine = Connection(Role.CLIENT, container_id="homeport", mechanisms=mechanisms, limits=Limits(**limits))
        self.to_send = list(send or [])
        self.expected = len(self.to_send)
        self.receive = receive
        self.credit, self.drain = credit, drain
        self.drained = False
        self.received: list[Message] = []
        self.states: list[Any] = []
        self.mechanisms: tuple[Symbol, ...] = ()
        self.outcome: SaslCode | None = None
        self.opened: Opened | None = None
        self.detached: Detached | None = None
        session = self.engine.new_session()
        self.link = self.engine.new_link(session, "link", LinkRole.RECEIVER if receive or drain else LinkRole.SENDER)
        self.address = address
        if not sasl:
            self._pipeline()

    def _pipeline(self) -> None:
        """Say all at once, before anything is heard."""
        send = self.engine.send
        send(Open(hostname="localhost"))
        send(Begin(session=self.link.session))
        send(Attach(link=self.link, source=Source(address=self.address), target=Target(address=self.address)))
        if self.eager:
            self._give_credit()

    def _give_credit(self) -> None:
        if self.link.role is LinkRole.RECEIVER:
            self.engine.send(Flow(link=self.link, credit=self.credit, drain=self.drain))

    async def talk(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.timeout(PATIENCE):
                await drive(self.engine, reader, writer, self.handle)
                writer.write_eof()
                await reader.read()
        finally:
            writer.close()

    def handle(self, event: Event) -> None:
        send = self.engine.send
        match event:
            case SaslOutcome():
                self.outcome = event.code
                if event.code is SaslCode.OK:
                    self._pipeline()
            case Opened():
                self.opened = event
            case Attached() if not self.eager:
                self._give_credit()
            case Flowed(link=Link(role=LinkRole.SENDER)):
                while self.to_send and self.link.may_send:
                    size = self.to_send.pop(0)
                    message = Message(properties=Properties(correlation_id=size_id(size)), body=Data((body_of(size),)))
                    send(Transfer(link=self.link, data=encode_message(message)))
            case Flowed(link=Link(role=LinkRole.RECEIVER)):
                if self.drain and not event.credit:
                    self.drained = True
                    send(Close())
            case Disposed():
                self.states.append(event.state)
                if not event.settled:
                    send(Disposition(link=event.link, delivery_id=event.delivery_id, state=event.state))
                if len(self.states) == self.expected:
                    send(Close())
            case Delivery():
                self.received.append(decode_message(event.data))
                send(Disposition(link=event.link, delivery_id=event.delivery_id, state=ACCEPTED))
                if len(self.received) == self.receive:
                    send(Close())
            case Detached():
                self.detached = event
                send(Close())
            case _:
                if hasattr(event, "mechanisms"):
                    self.mechanisms = event.mechanisms
                    assert self.sasl is not None
                    send(self.sasl)


def size_id(size: int) -> str:
    return f"size {size}"
