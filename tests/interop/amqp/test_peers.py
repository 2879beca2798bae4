"""Our engine against qpid-proton, rhea and Microsoft's uamqp, over loopback sockets, in both roles."""

import json
import ssl
import uuid
from pathlib import Path
from typing import Any

import pytest

from homeport.proto.amqp import Accepted, Int, Rejected, SaslCode, SaslInit, plain
from homeport.proto.amqp.sasl import PlainCredentials
from tests.certificates import make_certificate
from tests.interop.amqp.loop import (
    PASSWORD,
    USER,
    Broker,
    Client,
    available,
    body_of,
    run_client,
    serving,
    size_id,
    start,
)

SIZES = [0, 1, 100, 255, 256, 5000, 200_000]

clients = pytest.mark.parametrize(
    "peer",
    [
        pytest.param(peer, marks=pytest.mark.skipif(not available(peer), reason=f"{peer} is not installed"))
        for peer in ("proton", "rhea")
    ],
)
servers = clients


def login(mechanism: str | None) -> dict[str, Any]:
    if mechanism == "PLAIN":
        return {"mechanism": mechanism, "user": USER, "password": PASSWORD}
    return {"mechanism": mechanism} if mechanism else {}


@clients
@pytest.mark.parametrize("mechanism", [None, "ANONYMOUS", "PLAIN"])
async def test_peer_sends(peer: str, mechanism: str | None) -> None:
    broker = Broker(sasl=mechanism is not None)
    async with serving(broker) as port:
        told = await run_client(peer, {"port": port, "to": "sink", "send": SIZES, **login(mechanism)})
    assert told["errors"] == []
    assert [outcome[0] for outcome in told["outcomes"]] == ["accepted"] * len(SIZES)
    assert [message.data for message in broker.messages] == [body_of(size) for size in SIZES]
    assert broker.fault is None
    first = broker.messages[-1]
    assert first.application_properties == {"size": SIZES[-1], "text": "ä"}
    assert first.message_annotations == {"x-note": SIZES[-1]}


@clients
async def test_small_frames(peer: str) -> None:
    """Frames of 512 bytes in both directions: every message takes many."""
    broker = Broker(sasl=False, feed=SIZES, max_frame_size=512)
    async with serving(broker) as port:
        told = await run_client(peer, {"port": port, "to": "sink", "send": SIZES, "max_frame_size": 512})
        assert [outcome[0] for outcome in told["outcomes"]] == ["accepted"] * len(SIZES)
        assert [message.data for message in broker.messages] == [body_of(size) for size in SIZES]
    broker = Broker(sasl=False, feed=SIZES, max_frame_size=512, incoming_window=4)
    async with serving(broker) as port:
        told = await run_client(
            peer, {"port": port, "from": "feed", "receive": 20, "count": len(SIZES), "max_frame_size": 512}
        )
    assert [(size, good) for size, good, _ in told["received"]] == [(size, True) for size in SIZES]


@clients
async def test_peer_receives(peer: str) -> None:
    broker = Broker(sasl=False, feed=SIZES)
    async with serving(broker) as port:
        told = await run_client(peer, {"port": port, "from": "feed", "receive": 50, "count": len(SIZES)})
    assert told["errors"] == []
    assert [(size, good) for size, good, _ in told["received"]] == [(size, True) for size in SIZES]
    if peer == "proton":  # rhea does not print UUIDs
        assert [uuid.UUID(told) for _, _, told in told["received"]] == [uuid.UUID(int=size) for size in SIZES]
    assert set(map(type, broker.disposed)) == {Accepted}


@clients
async def test_peer_drains(peer: str) -> None:
    """Three messages for ten credits: the sender gives the rest back."""
    broker = Broker(sasl=False, feed=[1, 2, 3])
    async with serving(broker) as port:
        told = await run_client(peer, {"port": port, "from": "feed", "receive": 10, "drain": True})
    assert told["drained"]
    assert [size for size, _, _ in told["received"]] == [1, 2, 3]


@clients
@pytest.mark.parametrize("address", ["reject", "release"])
async def test_outcomes(peer: str, address: str) -> None:
    broker = Broker(sasl=False)
    async with serving(broker) as port:
        told = await run_client(peer, {"port": port, "to": address, "send": [3]})
    info = {"why": "because", "after": 3}
    wanted = ["rejected", "test:no", "not wanted", info] if address == "reject" else ["released", None, None, None]
    assert told["outcomes"] == [wanted]


@clients
async def test_refused_link(peer: str) -> None:
    broker = Broker(sasl=False)
    async with serving(broker) as port:
        told = await run_client(peer, {"port": port, "to": "refused", "send": [3]})
    info = {"hostname": "elsewhere", "port": 5671, "address": "amqps://elsewhere:5671/x"}
    assert told["errors"] == [["link", "amqp:link:redirect", "it has moved", info]]


@clients
async def test_refused_password(peer: str) -> None:
    broker = Broker(sasl=True)
    async with serving(broker) as port:
        told = await run_client(peer, {"port": port, "to": "sink", "send": [3], **login("PLAIN"), "password": "guess"})
    assert told["outcomes"] == []
    assert told["errors"]
    assert broker.opened is None


@clients
async def test_heartbeats(peer: str) -> None:
    """Half a second of idle time-out on both sides, and nothing to say for three times as long."""
    broker = Broker(sasl=False, idle_time_out=0.5)
    async with serving(broker) as port:
        told = await run_client(peer, {"port": port, "idle": 0.5, "linger": 1.6})
    assert told["errors"] == []
    assert broker.fault is None
    assert broker.opened is not None
    assert broker.opened.idle_time_out


# --- Microsoft's uamqp, a client that speaks TLS only -----------------------------------------------------------------


needs_uamqp = pytest.mark.skipif(not available("uamqp"), reason="uamqp is not installed")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A server's context, and the file with the root that its client trusts."""
    folder = tmp_path_factory.mktemp("tls")
    root = make_certificate("root", ca=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*root.issue("localhost").write(folder))
    trusted, _ = root.write(folder)
    return context, trusted


Tls = tuple[ssl.SSLContext, Path]


async def run_uamqp(broker: Broker, tls: Tls, **wanted: Any) -> dict[str, Any]:
    context, trusted = tls
    async with serving(broker, context) as port:
        return await run_client("uamqp", {"port": port, "ca": str(trusted), **login("ANONYMOUS"), **wanted})


@needs_uamqp
@pytest.mark.parametrize("mechanism", ["ANONYMOUS", "PLAIN"])
async def test_uamqp_sends(tls: Tls, mechanism: str) -> None:
    broker = Broker(sasl=True)
    told = await run_uamqp(broker, tls, to="sink", send=SIZES, **login(mechanism))
    assert told["errors"] == []
    assert [outcome[0] for outcome in told["outcomes"]] == ["accepted"] * len(SIZES)
    assert [message.data for message in broker.messages] == [body_of(size) for size in SIZES]
    last = broker.messages[-1]
    assert last.properties is not None
    # Not one of the standard's types for it, but it comes back as it was.
    assert last.properties.message_id == 7
    assert type(last.properties.message_id) is Int
    assert last.message_annotations == {"x-note": SIZES[-1]}


@needs_uamqp
async def test_uamqp_sends_in_small_frames(tls: Tls) -> None:
    broker = Broker(sasl=True, max_frame_size=512)
    told = await run_uamqp(broker, tls, to="sink", send=[5000, 20_000])
    assert told["errors"] == []
    assert [message.data for message in broker.messages] == [body_of(5000), body_of(20_000)]


@needs_uamqp
async def test_uamqp_receives(tls: Tls) -> None:
    broker = Broker(sasl=True, feed=SIZES[1:])
    told = await run_uamqp(broker, tls, **{"from": "feed"}, receive=50, count=len(SIZES) - 1)
    assert told["errors"] == []
    assert told["received"] == [[size, True, str(uuid.UUID(int=size))] for size in SIZES[1:]]
    assert set(map(type, broker.disposed)) == {Accepted}


@needs_uamqp
async def test_uamqp_is_rejected(tls: Tls) -> None:
    told = await run_uamqp(Broker(sasl=True), tls, to="reject", send=[1])
    assert told["outcomes"] == [["rejected", "test:no: not wanted"]]


@needs_uamqp
async def test_uamqp_is_redirected(tls: Tls) -> None:
    told = await run_uamqp(Broker(sasl=True), tls, to="refused", send=[1])
    ((kind, text),) = told["errors"]
    assert kind == "LinkRedirect"
    assert "it has moved" in text


# --- our client -------------------------------------------------------------------------------------------------------


async def serve(peer: str, client: Client, **wanted: Any) -> dict[str, Any]:
    process = await start(peer, "server", wanted)
    try:
        assert process.stdout is not None
        line = await process.stdout.readline()
        await client.talk(json.loads(line)["port"])
        out, err = await process.communicate()
        assert out, err.decode()
        told: dict[str, Any] = json.loads(out)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return told


@servers
async def test_we_send(peer: str) -> None:
    client = Client(send=SIZES)
    told = await serve(peer, client, credit=2)
    assert told["received"] == [[size, True, size_id(size)] for size in SIZES]
    assert set(map(type, client.states)) == {Accepted}
    assert client.opened is not None
    assert client.opened.container_id == peer


@servers
async def test_we_are_rejected(peer: str) -> None:
    client = Client(send=[1], address="reject")
    await serve(peer, client)
    (state,) = client.states
    assert isinstance(state, Rejected)
    assert state.error is not None
    assert (state.error.condition, state.error.description) == ("test:no", "not wanted")
    assert state.error.info == {"why": "because"}


def eager(peer: str) -> bool:
    """Credit before the answer to ATTACH makes rhea 1.0 send transfers before its own ATTACH."""
    return peer != "rhea"


@servers
async def test_we_receive(peer: str) -> None:
    client = Client(receive=len(SIZES), address="feed", eager=eager(peer))
    told = await serve(peer, client, send=SIZES)
    assert [message.data for message in client.received] == [body_of(size) for size in SIZES]
    assert told["received"] == []


@servers
async def test_we_receive_through_a_small_window(peer: str) -> None:
    """Two frames for proton. rhea waits until the whole of a message fits."""
    window = 2 if peer == "proton" else 1000
    client = Client(receive=len(SIZES), address="feed", eager=eager(peer), max_frame_size=512, incoming_window=window)
    await serve(peer, client, send=SIZES)
    assert [message.data for message in client.received] == [body_of(size) for size in SIZES]


@servers
async def test_we_drain(peer: str) -> None:
    client = Client(address="feed", drain=True, eager=eager(peer))
    await serve(peer, client, send=[5, 6])
    assert client.drained
    assert [message.data for message in client.received] == [body_of(5), body_of(6)]


@pytest.mark.skipif(not available("rhea"), reason="rhea is not installed")
@pytest.mark.parametrize("password", [PASSWORD, "guess"])
async def test_we_log_in(password: str) -> None:
    response = plain(PlainCredentials(authentication_id=USER, password=password))
    client = Client(sasl=SaslInit(mechanism="PLAIN", initial_response=response), send=[1])
    if password == PASSWORD:
        await serve("rhea", client, user=USER, password=PASSWORD)
        assert client.outcome is SaslCode.OK
        assert len(client.states) == 1
        return
    process = await start("rhea", "server", {"user": USER, "password": PASSWORD})
    try:
        assert process.stdout is not None
        await client.talk(json.loads(await process.stdout.readline())["port"])
    finally:
        process.kill()
        await process.wait()
    assert client.outcome is SaslCode.AUTH
    assert client.opened is None


@pytest.mark.skipif(not available("proton"), reason="proton is not installed")
async def test_we_are_anonymous() -> None:
    client = Client(sasl=SaslInit(mechanism="ANONYMOUS", initial_response=b"somebody"), send=[1])
    await serve("proton", client)
    assert "ANONYMOUS" in client.mechanisms
    assert set(map(type, client.states)) == {Accepted}
