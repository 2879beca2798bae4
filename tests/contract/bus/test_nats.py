"""What only several processes have: questions to others, events that stay at home, a server that comes and goes."""

import asyncio
import logging
from pathlib import Path

import msgspec
import pytest

from homeport.app.pki import create_root_ca, issue_server_certificate
from homeport.bus import BusError, DeviceChanged, HintsLost, HubsChanged
from homeport.clock import SystemClock
from homeport.net.nats_bus import NatsBus
from homeport.net.nats_connection import NatsConnection
from homeport.peers import Alone, PeerGoneError, Unreachable
from tests.contract.bus.conftest import Node, node_at
from tests.contract.bus.test_bus import LOCAL, PATIENCE, heard
from tests.nats_server import NatsServer, certificates_of


async def echo(question: bytes) -> bytes:
    return question[::-1]


async def until_connected(*nodes: Node, wanted: bool = True) -> None:
    async with asyncio.timeout(PATIENCE):
        while any(node.connection.is_connected != wanted for node in nodes):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.02)


async def test_what_concerns_one_process_stays_there(nodes: tuple[Node, Node]) -> None:
    left, right = nodes
    kinds = [type(event) for event in LOCAL]
    assert await heard(right.bus, left.bus, LOCAL, *kinds) == []
    assert await heard(left.bus, left.bus, LOCAL, *kinds) == list(LOCAL)


async def test_homeports_that_share_a_server_do_not_hear_each_other(nats: NatsServer) -> None:
    async with node_at(nats.url, "left") as ours, node_at(nats.url, "right", prefix="other") as theirs:
        theirs.peers.serve("things", knows=lambda _: True, answers=echo)
        assert await ours.peers.find("things", "x") is None
        async with theirs.bus.subscribe(DeviceChanged, HubsChanged) as events, asyncio.timeout(PATIENCE):
            await ours.bus.publish(DeviceChanged(hub="one", device_id="d"))
            assert ours.connection.client is not None
            await ours.connection.client.flush()
            await ours.connection.client.flush()
            await theirs.bus.publish(HubsChanged(name="own"))
            assert await anext(aiter(events)) == HubsChanged(name="own")


async def test_what_cannot_be_read_is_passed_over(nodes: tuple[Node, Node], caplog: pytest.LogCaptureFixture) -> None:
    left, right = nodes
    async with right.bus.subscribe(DeviceChanged) as events, asyncio.timeout(PATIENCE):
        for subject, data in (
            ("test.event.Unheard", b"{}"),
            ("test.event.DeviceChanged", b"no JSON"),
            ("test.event.DeviceChanged", b'{"hub": 5}'),
            ("test.event.DeviceChanged", msgspec.json.encode({"hub": "h", "device_id": "d", "new": True})),
        ):
            assert await left.connection.publish(subject, data)
        assert await anext(aiter(events)) == DeviceChanged(hub="h", device_id="d")
    assert [record.message for record in caplog.records] == ["the bus brought a DeviceChanged that cannot be read"] * 2


async def test_the_one_who_knows_is_found_and_answers(nodes: tuple[Node, Node]) -> None:
    left, right = nodes
    for node, key in ((left, "l"), (right, "rück")):
        node.peers.serve("things", knows=key.__eq__, answers=echo)
    assert await left.peers.find("things", "rück") == "right"
    assert await left.peers.find("things", "l") is None, "one's own are not asked for"
    assert await left.peers.find("other", "rück") is None
    assert await left.peers.ask("right", "things", b"abc", seconds=PATIENCE) == b"cba"
    many = [left.peers.ask("right", "things", str(number).encode(), seconds=PATIENCE) for number in range(200)]
    assert await asyncio.gather(*many) == [str(number)[::-1].encode() for number in range(200)]


async def test_long_answers_hold_up_nobody_else(nodes: tuple[Node, Node]) -> None:
    left, right = nodes
    go = asyncio.Event()

    async def slow(question: bytes) -> bytes:
        await go.wait()
        return question

    right.peers.serve("slow", knows=lambda _: True, answers=slow)
    right.peers.serve("quick", knows=lambda _: True, answers=echo)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(left.peers.ask("right", "slow", b"x", seconds=PATIENCE))
        assert await left.peers.ask("right", "quick", b"ab", seconds=PATIENCE) == b"ba"
        go.set()
    assert waiting.result() == b"x"


async def test_no_answer_is_told(nodes: tuple[Node, Node]) -> None:
    left, right = nodes

    async def never(_: bytes) -> bytes:
        return await asyncio.Future()

    async def failing(_: bytes) -> bytes:
        raise ValueError

    right.peers.serve("never", knows=lambda _: True, answers=never)
    right.peers.serve("failing", knows=lambda _: True, answers=failing)
    for topic in ("never", "failing"):
        with pytest.raises(TimeoutError):
            await left.peers.ask("right", topic, b"", seconds=0.3)
    with pytest.raises(PeerGoneError):
        await left.peers.ask("nobody", "never", b"", seconds=PATIENCE)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(_gone(left, "never"))
        await asyncio.sleep(0.1)
        left.alive.clear()
    assert asking.result(), "a question to a node that died ends with it"


async def _gone(node: Node, topic: str) -> bool:
    try:
        await node.peers.ask("right", topic, b"", seconds=300)
    except PeerGoneError:
        return True
    return False


async def test_one_that_does_not_say_anything_is_waited_for_a_second_only(nodes: tuple[Node, Node]) -> None:
    left, _ = nodes
    left.alive.add("dead")
    async with asyncio.timeout(PATIENCE):
        assert await left.peers.find("things", "x") is None


async def test_a_server_that_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server = NatsServer(user_info="someone:not-for-logs")
    with server:
        async with node_at(server.url, "left") as left, node_at(server.url, "right") as right:
            right.peers.serve("things", knows=lambda _: True, answers=echo)
            assert await left.peers.find("things", "x") == "right"
            server.stop()
            await until_connected(left, right, wanted=False)
            # Nothing waits for it, and nothing raises.
            await left.bus.publish(HubsChanged(name="lost"))
            assert await left.peers.find("things", "x") is None
            with pytest.raises(PeerGoneError):
                await left.peers.ask("right", "things", b"", seconds=PATIENCE)
            await asyncio.sleep(1.5)  # more than two attempts
            async with right.bus.subscribe(HintsLost) as losses, asyncio.timeout(PATIENCE):
                before = SystemClock().now()
                server.start()
                loss = await anext(aiter(losses))
            assert isinstance(loss, HintsLost)
            assert loss.since < before
            await until_connected(left, right)
            assert await left.peers.find("things", "x") == "right"
            assert await heard(right.bus, left.bus, [HubsChanged(name="new")]) == [HubsChanged(name="new")]
    said = [record.getMessage() for record in caplog.records if record.name.startswith("homeport")]
    assert len([text for text in said if "cannot be reached" in text]) == 2, said  # one of each node
    assert len([text for text in said if "connected again" in text]) == 2, said
    assert "not-for-logs" not in caplog.text


async def test_a_server_that_is_not_there_yet_and_one_that_refuses() -> None:
    server = NatsServer(user_info="someone:right")
    async with node_at(server.url, "left") as early:
        assert not early.connection.is_connected
        async with early.bus.subscribe(HintsLost) as losses, asyncio.timeout(PATIENCE):
            with server:
                await anext(aiter(losses))
                async with node_at(server.url.replace("right", "wrong"), "right") as refused:
                    assert not refused.connection.is_connected


async def test_over_tls(tmp_path: Path) -> None:
    now = SystemClock().now()
    ca = create_root_ca(name="test", now=now)
    own = issue_server_certificate(ca, names=["127.0.0.1"], now=now)
    with NatsServer(*certificates_of(tmp_path / "tls", own.certificate, own.key)) as server:
        (tmp_path / "ca.pem").write_bytes(ca.certificate)
        for trusted in (True, False):
            connection = NatsConnection(
                [server.url.replace("nats:", "tls:")],
                name="left",
                ca_file=str(tmp_path / "ca.pem") if trusted else None,
                clock=SystemClock(),
            )
            NatsBus(connection, prefix="test")
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(connection.run())
                await connection.connected_soon()
                assert connection.is_connected is trusted
                running.cancel()


async def test_authorities_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for name in ("missing.pem", "empty.pem"):
        with pytest.raises(BusError, match=name):
            NatsConnection(["tls://u:secret@a"], name="x", ca_file=str(tmp_path / name), clock=SystemClock())


async def test_alone_there_is_nobody() -> None:
    for peers in (Alone(), Unreachable("me")):
        peers.serve("things", knows=lambda _: True, answers=echo)
        assert await peers.find("things", "x") is None
        with pytest.raises(PeerGoneError):
            await peers.ask("me", "things", b"", seconds=1)
    assert Alone().node == ""
    assert Unreachable("me").node == "me"
