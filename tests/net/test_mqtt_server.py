"""The MQTT loop over TLS, with our own client engine, paho and bytes."""

import asyncio
import logging
import queue
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import paho.mqtt.client as paho
import pytest

from homeport.net.certificates import ServerCertificates
from homeport.net.sites import MqttSession, UnacknowledgedError
from homeport.proto.mqtt import (
    ConnAck,
    Connect,
    Disconnect,
    PubAck,
    Publish,
    ReturnCode,
    SubAck,
    Subscribe,
    Subscription,
    UnsubAck,
    Unsubscribe,
    Will,
)
from tests.net.certs import issue
from tests.net.conftest import ClientContext
from tests.net.mqtt_echo import Client, EchoFrontEnd, EchoSession
from tests.net.serving import listening, mqtt_server


def subscribe(*names: str, qos: int = 1) -> Subscribe:
    return Subscribe(subscriptions=tuple(Subscription(topic_filter=name, qos=qos) for name in names))


async def test_a_conversation(certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    identity = issue("device")
    async with listening(mqtt_server(front_end), certificates) as address:
        client = await Client.join(address, client_context(identity))
        client.send(subscribe("a/#", "no/b", qos=2))
        assert (await client.next(SubAck)).return_codes == (1, 0x80)
        client.send(Publish(topic="a/1", payload=b"one", qos=1))
        await client.next(PubAck)
        back = await client.next(Publish)
        assert (back.topic, back.payload, back.qos) == ("a/1/back", b"one", 1)
        client.send(PubAck(packet_id=back.packet_id or 0), Publish(topic="a/2", payload=b"two"))
        assert (await client.next(Publish)).qos == 0
        client.send(Unsubscribe(topic_filters=("a/#",)))
        await client.next(UnsubAck)
        client.send(Disconnect())
        assert await client.at_end()
        (session,) = front_end.sessions
        await session.ended.wait()
    assert session.ends == [True]
    assert session.told_subscribed == 1
    assert session.subscriptions == [("no/b", 2)]
    assert front_end.peers[0].chain == identity.der


async def test_all_in_one_flight(certificates: ServerCertificates, client_context: ClientContext) -> None:
    """A client may send everything at once, DISCONNECT included, and nothing of it is lost."""

    async def slow(session: EchoSession, message: Publish, ack: Callable[[], None]) -> None:
        await asyncio.sleep(0.05)
        session.connect = Connect(client_id="done")

    front_end = EchoFrontEnd(slow)
    async with listening(mqtt_server(front_end), certificates) as address:
        client = await Client.dial(address, client_context())
        from homeport.proto.mqtt import encode

        for packet in (
            Connect(client_id="a", user_name="user"),
            Publish(topic="a", payload=b"1", qos=1, packet_id=1),
            Publish(topic="a", payload=b"2"),
            Disconnect(),
        ):
            client.writer.write(encode(packet))
        session = await until(lambda: front_end.sessions and front_end.sessions[0])
        await session.ended.wait()
        client.writer.close()
    assert [message.payload for message in session.heard] == [b"1", b"2"]
    assert session.connect.client_id == "done"
    assert session.ends == [True]


async def until(condition: Callable[[], Any]) -> Any:
    for _ in range(1000):
        if result := condition():
            return result
        await asyncio.sleep(0.005)
    pytest.fail("it never came true")


@pytest.mark.parametrize(
    ("user", "code"),
    [("5", 5), ("2", 2), ("nobody", 5), ("fail", 3), ("0", 3), ("77", 3)],
)
async def test_refusals(user: str, code: int, certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    async with listening(mqtt_server(front_end), certificates) as address:
        client = await Client.dial(address, client_context())
        client.send(Connect(client_id="a", user_name=user))
        assert (await client.next(ConnAck)).return_code == code
        assert await client.at_end()
    assert front_end.sessions == []


async def test_another_protocol_level_gets_connack_1(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    async with listening(mqtt_server(EchoFrontEnd()), certificates) as address:
        client = await Client.dial(address, client_context())
        client.writer.write(bytes.fromhex("100f00044d5154540502003c00000361626300"[:34]))
        assert await asyncio.wait_for(client.reader.read(), 5) == b"\x20\x02\x00\x01"
        client.writer.close()


@pytest.mark.parametrize(
    "opening",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xc0\x00",
        b"\x10\xff\xff\xff\x7f",
        b"\x10\xff\xff\xff\xff\xff",
        b"\x10\x0c\x00\x04MQTX\x04\x02\x00\x00\x00\x00",
    ],
)
async def test_garbage_closes(opening: bytes, certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    async with listening(mqtt_server(front_end), certificates) as address:
        client = await Client.dial(address, client_context())
        client.writer.write(opening)
        assert await client.at_end()
    assert front_end.peers == []


async def test_connect_must_come_in_time(certificates: ServerCertificates, client_context: ClientContext) -> None:
    async with listening(mqtt_server(EchoFrontEnd(), connect_seconds=0.1), certificates) as address:
        for beginning in (b"", b"\x10\x20\x00"):
            client = await Client.dial(address, client_context())
            client.writer.write(beginning)
            assert await client.at_end()


@pytest.mark.parametrize("keep_alive", [0, 600])
async def test_a_silent_client_is_dropped_and_the_will_is_due(
    keep_alive: int, certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()
    async with listening(mqtt_server(front_end, silence_seconds=0.2), certificates) as address:
        client = await Client.dial(address, client_context())
        will = Will(topic="gone", payload=b"bye")
        client.send(Connect(client_id="a", user_name="user", keep_alive=keep_alive, will=will))
        await client.next(ConnAck)
        assert await client.at_end()
        (session,) = front_end.sessions
        await session.ended.wait()
    assert session.ends == [False]
    assert session.connect.will == will


async def test_pings_keep_a_client(certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    async with listening(mqtt_server(front_end, silence_seconds=0.3), certificates) as address:
        client = await Client.join(address, client_context())
        for _ in range(5):
            await asyncio.sleep(0.1)
            client.writer.write(b"\xc0\x00")
            assert await asyncio.wait_for(client.reader.readexactly(2), 5) == b"\xd0\x00"
        assert front_end.sessions[0].ends == []
        client.writer.close()


async def test_an_expired_session_is_closed(certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()

    def expire(session: EchoSession) -> None:
        session.expires_at = datetime.now(UTC) + timedelta(seconds=0.2)

    front_end.prepare = expire
    async with listening(mqtt_server(front_end), certificates) as address:
        client = await Client.join(address, client_context())
        assert await client.at_end()
        await front_end.sessions[0].ended.wait()
    assert front_end.sessions[0].ends == [False]


@pytest.mark.parametrize("what", ["qos 2", "second CONNECT", "reserved"])
async def test_violations_close(what: str, certificates: ServerCertificates, client_context: ClientContext) -> None:
    packets = {
        "qos 2": b"\x34\x07\x00\x01a\x00\x01hi",
        "second CONNECT": b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a",
        "reserved": b"\xf0\x00",
    }
    front_end = EchoFrontEnd()
    async with listening(mqtt_server(front_end), certificates) as address:
        client = await Client.join(address, client_context())
        client.writer.write(packets[what])
        assert await client.at_end()
        await front_end.sessions[0].ended.wait()
    assert front_end.sessions[0].ends == [False]
    assert front_end.sessions[0].heard == []


async def test_good_packets_before_a_bad_one_are_answered(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()
    async with listening(mqtt_server(front_end), certificates) as address:
        client = await Client.join(address, client_context())
        client.engine.send(subscribe("a"))
        client.writer.write(client.engine.outgoing() + b"\xf0\x00")
        await client.next(SubAck)
        assert await client.at_end()


async def test_pubacks_leave_in_order_of_receipt(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    gates = [asyncio.Event() for _ in range(5)]

    async def gated(session: EchoSession, message: Publish, ack: Callable[[], None]) -> None:
        await gates[int(message.payload)].wait()
        ack()
        ack()  # a second time does nothing

    front_end = EchoFrontEnd(gated)
    async with listening(mqtt_server(front_end), certificates) as address:
        client = await Client.join(address, client_context())
        client.send(*(Publish(topic="a", payload=b"%d" % n, qos=1, packet_id=10 + n) for n in range(5)))
        await until(lambda: len(front_end.sessions[0].heard) == 5)
        for number in (3, 1, 4):
            gates[number].set()
            await asyncio.sleep(0.01)
        gates[0].set()
        assert [(await client.next(PubAck)).packet_id for _ in range(2)] == [10, 11]
        gates[2].set()
        assert [(await client.next(PubAck)).packet_id for _ in range(3)] == [12, 13, 14]
        client.writer.close()


async def test_one_puback_may_be_left_out(certificates: ServerCertificates, client_context: ClientContext) -> None:
    """And those of other messages neither wait for it nor stand in its way."""
    gate = asyncio.Event()

    async def withhold(session: EchoSession, message: Publish, ack: Callable[[], None]) -> None:
        if message.payload == b"slow":
            await gate.wait()
        elif message.payload == b"never":
            raise UnacknowledgedError

    front_end = EchoFrontEnd(withhold)
    async with listening(mqtt_server(front_end), certificates) as address:
        client = await Client.join(address, client_context())
        for number, payload in enumerate((b"slow", b"never", b"x", b"never", b"y"), start=1):
            client.send(Publish(topic="a", payload=payload, qos=1, packet_id=number))
        client.send(Publish(topic="a", payload=b"never", qos=0))
        await until(lambda: len(front_end.sessions[0].heard) == 6)
        gate.set()
        assert [(await client.next(PubAck)).packet_id for _ in range(3)] == [1, 3, 5]
        client.writer.close()


async def test_a_session_cuts_the_connection(certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    async with listening(mqtt_server(front_end), certificates) as address:
        client = await Client.join(address, client_context())
        session = front_end.sessions[0]
        _ = session.link.publish("lost", b"")
        session.link.abort()
        session.link.abort()
        assert await client.at_end()
        await session.ended.wait()
    assert session.ends == [False]


async def test_what_follows_ack_follows_the_puback(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    """The order C# insists on (contract dps.md 4.4)."""

    async def answer(session: EchoSession, message: Publish, ack: Callable[[], None]) -> None:
        await asyncio.sleep(0)
        ack()
        await session.link.publish("answer", b"", qos=0)

    async with listening(mqtt_server(EchoFrontEnd(answer)), certificates) as address:
        client = await Client.join(address, client_context())
        for _ in range(20):
            client.send(Publish(topic="a", qos=1))
            await client.next(PubAck)
            await client.next(Publish)
        client.writer.close()


async def test_handling_is_bounded_by_not_reading(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    go = asyncio.Event()
    running = most = 0

    async def count(session: EchoSession, message: Publish, ack: Callable[[], None]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go.wait()
        running -= 1

    front_end = EchoFrontEnd(count)
    async with listening(mqtt_server(front_end, handled_at_once=4), certificates) as address:
        client = await Client.join(address, client_context())
        client.send(*(Publish(topic="a", qos=1) for _ in range(50)))
        await until(lambda: running == 4)
        await asyncio.sleep(0.05)
        assert len(front_end.sessions[0].heard) == 4
        go.set()
        for _ in range(50):
            await client.next(PubAck)
        client.writer.close()
    assert most == 4


async def test_a_failing_session_loses_its_connection_and_no_other(
    certificates: ServerCertificates, client_context: ClientContext, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(session: EchoSession, message: Publish, ack: Callable[[], None]) -> None:
        if message.topic == "fail":
            raise ZeroDivisionError("told in the log")
        ack()

    front_end = EchoFrontEnd(fail)
    async with listening(mqtt_server(front_end), certificates) as address:
        good = await Client.join(address, client_context())
        bad = await Client.join(address, client_context())
        with caplog.at_level(logging.ERROR):
            bad.send(Publish(topic="fail", qos=1))
            assert await bad.at_end()
        assert "told in the log" in caplog.text
        await front_end.sessions[1].ended.wait()
        assert front_end.sessions[1].ends == [False]
        good.send(Publish(topic="a", qos=1))
        await good.next(PubAck)
        good.writer.close()


async def test_displacement(certificates: ServerCertificates, client_context: ClientContext) -> None:
    """`link.close()` ends the older connection at once, what was published before is flushed."""
    front_end = EchoFrontEnd()

    def displace(session: EchoSession) -> None:
        for older in front_end.sessions:
            _ = older.link.publish("last", b"words")
            older.link.close()
            older.link.close()

    front_end.prepare = displace
    async with listening(mqtt_server(front_end), certificates) as address:
        older = await Client.join(address, client_context())
        newer = await Client.join(address, client_context())
        assert (await older.next(Publish)).payload == b"words"
        assert await older.at_end()
        await front_end.sessions[0].ended.wait()
        assert front_end.sessions[0].ends == [False]
        assert not await front_end.sessions[0].link.publish("late", b"", qos=1)
        assert not await front_end.sessions[0].link.publish("late", b"", qos=0)
        assert front_end.sessions[1].ends == []
        newer.writer.close()


async def test_qos_1_to_the_client_is_confirmed_within_a_window(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()
    async with listening(mqtt_server(front_end, window=2), certificates) as address:
        client = await Client.join(address, client_context())
        link = front_end.sessions[0].link
        sent = [asyncio.ensure_future(link.publish("c2d", b"%d" % n, qos=1)) for n in range(5)]
        now = link.publish("now", b"", qos=0)
        first, second = await client.next(Publish), await client.next(Publish)
        assert (await client.next(Publish)).topic == "now"
        assert await now
        assert not any(each.done() for each in sent)
        client.send(PubAck(packet_id=first.packet_id or 0))
        third = await client.next(Publish)
        assert third.payload == b"2"
        await until(sent[0].done)
        assert sent[0].result() is True
        assert not sent[1].done()
        client.send(PubAck(packet_id=second.packet_id or 0), PubAck(packet_id=third.packet_id or 0))
        assert [(await client.next(Publish)).payload for _ in range(2)] == [b"3", b"4"]
        client.writer.transport.abort()
        assert await asyncio.wait_for(asyncio.gather(*sent), 5) == [True, True, True, False, False]


async def test_wrong_publishes_are_refused_to_the_session(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()
    async with listening(mqtt_server(front_end), certificates) as address:
        client = await Client.join(address, client_context())
        link = front_end.sessions[0].link
        for topic, qos in (("a", 2), ("a/#", 0), ("x" * 70_000, 1)):
            with pytest.raises(ValueError, match=r"QoS|topic"):
                _ = link.publish(topic, b"", qos=qos)
        _ = link.publish("fine", b"")
        assert (await client.next(Publish)).topic == "fine"
        client.writer.close()


async def test_early_messages_wait_for_connack(certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()

    def prepare(session: EchoSession) -> None:
        for qos in (0, 1):
            _ = session.link.publish("early", b"", qos=qos)

    front_end.prepare = prepare
    async with listening(mqtt_server(front_end), certificates) as address:
        client = await Client.join(address, client_context())
        assert [(await client.next(Publish)).qos for _ in range(2)] == [0, 1]
        client.writer.close()


async def test_a_client_that_does_not_read_is_dropped(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()
    async with listening(mqtt_server(front_end, waiting_bytes=1_000_000), certificates, close_seconds=0.2) as address:
        client = await Client.join(address, client_context())
        session = front_end.sessions[0]
        for _ in range(10_000):
            _ = session.link.publish("flood", bytes(10_000))
            await asyncio.sleep(0)
            if session.ended.is_set():
                break
        else:
            pytest.fail("still open after 100 MB")
        client.writer.transport.abort()


async def test_work_beside_the_connection(certificates: ServerCertificates, client_context: ClientContext) -> None:
    cancelled = asyncio.Event()

    async def tick(session: EchoSession) -> None:
        try:
            while True:
                _ = session.link.publish("tick", b"")
                await asyncio.sleep(0.01)
        finally:
            cancelled.set()

    async def fail() -> None:
        raise ZeroDivisionError

    front_end = EchoFrontEnd()
    front_end.prepare = lambda session: session.link.run(tick(session))
    async with listening(mqtt_server(front_end), certificates) as address:
        client = await Client.join(address, client_context())
        for _ in range(3):
            await client.next(Publish)
        front_end.sessions[0].link.run(fail())
        await asyncio.wait_for(cancelled.wait(), 5)
        await asyncio.wait_for(front_end.sessions[0].ended.wait(), 5)
        client.writer.transport.abort()
    assert front_end.sessions[0].ends == [False]


async def test_session_present_goes_only_to_those_who_asked(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()
    front_end.prepare = lambda session: setattr(session, "session_present", True)
    async with listening(mqtt_server(front_end), certificates) as address:
        for clean in (True, False):
            client = await Client.dial(address, client_context())
            client.send(Connect(client_id="a", user_name="user", clean_session=clean))
            connack = await client.next(ConnAck)
            assert (connack.return_code, connack.session_present) == (ReturnCode.ACCEPTED, not clean)
            client.writer.close()


async def test_shutdown_closes_everybody(certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    async with listening(mqtt_server(front_end), certificates, grace=5) as address:
        clients = [await Client.join(address, client_context()) for _ in range(3)]
    for client in clients:
        assert await client.at_end()
    assert [session.ends for session in front_end.sessions] == [[False]] * 3


async def test_a_second_front_end_may_own_the_claim(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    class Picky(EchoFrontEnd):
        def owns(self, connect: Connect) -> bool:
            return connect.user_name == "picky"

    first, second = Picky(), EchoFrontEnd()
    async with listening(mqtt_server(first, second), certificates) as address:
        client = await Client.join(address, client_context())
        client.writer.close()
    assert (len(first.sessions), len(second.sessions)) == (0, 1)


def talk_with_paho(address: tuple[str, int], context: Any, transport: str, path: str = "/mqtt") -> list[bytes]:
    """Subscribe, publish at both QoS, collect what comes back, disconnect."""
    heard: queue.Queue[bytes] = queue.Queue()
    steps: queue.Queue[str] = queue.Queue()
    client = paho.Client("device", clean_session=True, transport=transport)
    client.username_pw_set("user", "password")
    context.check_hostname = False
    client.tls_set_context(context)
    if transport == "websockets":
        client.ws_set_options(path=path)
    client.on_connect = lambda *_: steps.put("connected")
    client.on_subscribe = lambda *_: steps.put("subscribed")
    client.on_disconnect = lambda *_: steps.put("disconnected")
    client.on_message = lambda _client, _data, message: heard.put(bytes(message.payload))
    client.connect(*address, keepalive=60)
    client.loop_start()
    try:
        assert steps.get(timeout=5) == "connected"
        client.subscribe("a/#", 1)
        assert steps.get(timeout=5) == "subscribed"
        for number in range(20):
            client.publish("a", b"%d" % number + bytes(1000 * number), qos=number % 2)
        answers = [heard.get(timeout=5) for _ in range(20)]
        client.disconnect()
        assert steps.get(timeout=5) == "disconnected"
        return answers
    finally:
        client.loop_stop()


async def test_paho(certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    async with listening(mqtt_server(front_end), certificates) as address:
        heard = await asyncio.to_thread(talk_with_paho, address, client_context(issue("device")), "tcp")
        await front_end.sessions[0].ended.wait()
    assert sorted(heard) == sorted(b"%d" % number + bytes(1000 * number) for number in range(20))
    assert front_end.sessions[0].ends == [True]
    assert front_end.sessions[0].connect.password == b"password"
    session: MqttSession = front_end.sessions[0]  # the double has the real shape
    assert session.session_present is False
