"""A connection ends when a certificate that it rests on runs out: when it would be refused (contract hub.md 2.5)."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from homeport.hub.authentication import Accepted, CertificateEvidence, Refused, judge_device
from homeport.hub.frontends.site import hub_site
from homeport.hub.identities import IdentityWrite
from homeport.hub.model import Authentication, CaAuthentication, SelfSignedAuthentication
from homeport.hub.served_hub import ServedHub
from homeport.net.amqp_server import AmqpServer
from homeport.net.http_server import HttpServer
from homeport.net.mqtt_server import MqttServer
from homeport.net.sites import Sites
from homeport.proto.amqp import Accepted as Taken
from homeport.proto.amqp import Closed, Condition
from homeport.security.callers import SYSTEM
from homeport.values import replace
from tests.net.certs import Identity
from tests.net.test_websocket import RawWebSocket
from tests.unit.hub.amqp_client import HubClient, connected, refusal, sending, text
from tests.unit.hub.clients import Device, dialled, service_token
from tests.unit.hub.conftest import Line, ManualClock, listening, running, settle, until
from tests.unit.hub.test_ca_signed import _AUDIENCE, ROOT, TRUST, context, identity, pem
from tests.unit.security.certificates import NOW, Issued, issue

EVENTS = "devices/d1/messages/events/"
HOUR = 3600
SKEW = 300


@dataclass(frozen=True)
class Kind:
    """A device's certificates, and for how many seconds from NOW on they let it in."""

    leaf: Issued
    above: tuple[Issued, ...]
    seconds: int

    @property
    def authentication(self) -> Authentication:
        if self.above:
            return CaAuthentication()
        thumbprint = self.leaf.certificate.info.sha256_thumbprint
        return SelfSignedAuthentication(primary_thumbprint=thumbprint, secondary_thumbprint=None)


BETWEEN = ROOT.ca("Between", ends=NOW + timedelta(seconds=HOUR))
SOUND = ROOT.ca("Sound")
KINDS = {
    "thumbprint": Kind(issue("d1", ca=None, ends=NOW + timedelta(seconds=HOUR)), (), HOUR),
    "leaf": Kind(issue("d1", SOUND, ca=None, ends=NOW + timedelta(seconds=HOUR)), (SOUND,), HOUR + SKEW),
    "intermediate": Kind(issue("d1", BETWEEN, ca=None), (BETWEEN,), HOUR + SKEW),
}


@pytest.fixture(params=KINDS)
async def kind(request: pytest.FixtureRequest, hub: ServedHub) -> Kind:
    kind = KINDS[request.param]
    await hub.ca_certificates.put("root", pem(ROOT), is_verified=True, if_match=None, by=SYSTEM)
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=kind.authentication))
    return kind


class WebSocketBytes:
    """Binary messages of a WebSocket as a stream, for a client that knows reader and writer only."""

    def __init__(self, socket: RawWebSocket) -> None:
        self._socket = socket
        self.transport = socket.writer.transport

    async def read(self, most: int = 0) -> bytes:
        del most
        try:
            opcode, payload = await self._socket.receive()
        except asyncio.IncompleteReadError:
            return b""
        return payload if opcode == 2 else b""

    def write(self, data: bytes) -> None:
        self._socket.send(data)


@pytest.fixture
async def web(hub: ServedHub, clock: ManualClock, server_identity: Identity) -> AsyncIterator[Line]:
    """The running hub on a port for HTTPS and WebSockets."""
    sites = Sites([hub_site(hub, clock)])
    server = HttpServer(sites, MqttServer(sites, clock), amqp=AmqpServer(sites, clock))
    async with running(hub), listening(server, server_identity) as line:
        yield line


async def asked(line: Line, known: ssl.SSLContext, subprotocol: str) -> WebSocketBytes:
    socket, status, _ = await RawWebSocket.ask(("127.0.0.1", line.port), known, subprotocol=subprotocol)
    assert status == 101
    return WebSocketBytes(socket)


@asynccontextmanager
async def over_mqtt(line: Line, known: ssl.SSLContext, *, websockets: bool) -> AsyncIterator[Device]:
    if not websockets:
        async with dialled(line.port, known) as device:
            yield device
        return
    stream: Any = await asked(line, known, "mqtt")
    try:
        yield Device(stream, stream, (line.port, known))
    finally:
        stream.transport.abort()


@asynccontextmanager
async def over_amqp(line: Line, known: ssl.SSLContext, *, websockets: bool) -> AsyncIterator[HubClient]:
    if not websockets:
        async with connected(Line(line.port, lambda: known), mechanisms=()) as client:
            yield client
        return
    stream = await asked(line, known, "AMQPWSB10")
    try:
        yield HubClient(stream.read, stream.write)
    finally:
        stream.transport.abort()


def line_of(request: pytest.FixtureRequest, name: str) -> Line:
    line = request.getfixturevalue(name)
    assert isinstance(line, Line)
    return line


async def stays_and_ends_over_mqtt(
    line: Line, kind: Kind, hub: ServedHub, clock: ManualClock, folder: Path, *, websockets: bool
) -> None:
    known = context(line, folder, kind.leaf, *kind.above)
    async with over_mqtt(line, known, websockets=websockets) as device:
        assert (await device.connect("d1", None)).return_code == 0
        clock.pass_seconds(kind.seconds - 1)
        await device.publish(EVENTS)
        async with over_mqtt(line, known, websockets=websockets) as newer:
            assert (await newer.connect("d1", None)).return_code == 0
            clock.pass_seconds(2)
            await newer.publish(EVENTS, qos=0)  # by this clock nothing else wakes the loop
            assert await newer.hear() is None
    await until(lambda: len(hub.sessions) == 0)
    async with over_mqtt(line, known, websockets=websockets) as late:
        assert (await late.connect("d1", None)).return_code == 5


async def test_mqtt(kind: Kind, hub: ServedHub, mqtt: Line, clock: ManualClock, tmp_path: Path) -> None:
    await stays_and_ends_over_mqtt(mqtt, kind, hub, clock, tmp_path, websockets=False)


async def test_mqtt_over_websocket(kind: Kind, hub: ServedHub, web: Line, clock: ManualClock, tmp_path: Path) -> None:
    await stays_and_ends_over_mqtt(web, kind, hub, clock, tmp_path, websockets=True)


async def stays_and_ends_over_amqp(
    line: Line, kind: Kind, hub: ServedHub, clock: ManualClock, folder: Path, *, websockets: bool
) -> None:
    known = context(line, folder, kind.leaf, *kind.above)
    async with over_amqp(line, known, websockets=websockets) as client:
        await client.open()
        await client.begin()
        link = await sending(client, EVENTS)
        clock.pass_seconds(kind.seconds - 1)
        await settle()
        client.message(link, text("x"))
        assert isinstance(await client.outcome(), Taken)
        clock.pass_seconds(2)
        error = await refusal(client)
        assert (error.condition, error.description) == (Condition.UNAUTHORIZED_ACCESS, "The certificate has expired.")
        closed = (await client.until(Closed)).error
        assert closed is not None
        assert (closed.condition, closed.description) == (error.condition, error.description)
    await until(lambda: len(hub.sessions) == 0)
    async with over_amqp(line, known, websockets=websockets) as late:
        await late.open()
        await late.begin()
        late.sender(EVENTS)
        assert (await refusal(late)).condition == Condition.UNAUTHORIZED_ACCESS


async def test_amqp(kind: Kind, hub: ServedHub, amqp: Line, clock: ManualClock, tmp_path: Path) -> None:
    await stays_and_ends_over_amqp(amqp, kind, hub, clock, tmp_path, websockets=False)


async def test_amqp_over_websocket(kind: Kind, hub: ServedHub, web: Line, clock: ManualClock, tmp_path: Path) -> None:
    await stays_and_ends_over_amqp(web, kind, hub, clock, tmp_path, websockets=True)


async def test_https(kind: Kind, web: Line, clock: ManualClock, tmp_path: Path) -> None:
    url = f"https://localhost:{web.port}/devices/d1/messages/events?api-version=2021-04-12"
    async with httpx.AsyncClient(verify=context(web, tmp_path, kind.leaf, *kind.above)) as client:
        clock.pass_seconds(kind.seconds - 1)
        assert (await client.post(url, content=b"x")).status_code == 204
        clock.pass_seconds(2)
        assert (await client.post(url, content=b"x")).status_code == 401


async def test_a_token_that_takes_over_keeps_a_device(
    hub: ServedHub, amqp: Line, clock: ManualClock, tmp_path: Path
) -> None:
    kind = KINDS["thumbprint"]
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=kind.authentication))
    async with over_amqp(amqp, context(amqp, tmp_path, kind.leaf), websockets=False) as client:
        await client.start()
        kept = await sending(client, EVENTS)
        assert await client.put_token(service_token(hub, "device")) == 200
        clock.pass_seconds(kind.seconds + 1)
        await settle()
        client.message(kept, text("x"))
        assert isinstance(await client.outcome(), Taken)
        assert len(hub.sessions) == 1


def accepted(kind: Kind, now: datetime = NOW) -> Accepted | Refused:
    chain = tuple(each.certificate for each in (kind.leaf, *kind.above))
    of = replace(identity(), authentication=kind.authentication)
    return judge_device(_AUDIENCE, of, CertificateEvidence(chain=chain), now, trust=TRUST)


@pytest.mark.parametrize("name", KINDS)
def test_the_end_is_when_it_would_be_refused(name: str) -> None:
    verdict = accepted(KINDS[name])
    assert isinstance(verdict, Accepted)
    end = NOW + timedelta(seconds=KINDS[name].seconds)
    assert verdict.expires_at == end
    assert isinstance(accepted(KINDS[name], end), Accepted)
    assert isinstance(accepted(KINDS[name], end + timedelta(seconds=1)), Refused)


def test_certificates_without_an_end() -> None:
    never = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    endless = ROOT.ca("Endless", ends=never)
    for kind in (
        Kind(issue("d1", ca=None, ends=never), (), 0),
        Kind(issue("d1", endless, ca=None, ends=never), (endless,), 0),
    ):
        verdict = accepted(kind)
        assert isinstance(verdict, Accepted)
        # The root is of the path, and has an end.
        root_end = ROOT.certificate.info.not_after + timedelta(seconds=SKEW)
        assert verdict.expires_at == (root_end if kind.above else None)
