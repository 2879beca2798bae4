"""The AMQP loop over TLS, with our own client engine and bytes."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from homeport.net.amqp_handlers import AmqpDelivery, AmqpSender
from homeport.net.certificates import ServerCertificates
from homeport.proto.amqp import (
    Accepted,
    AmqpValue,
    Attached,
    Begin,
    Closed,
    Data,
    Delivery,
    Described,
    Detach,
    Detached,
    Disposed,
    Disposition,
    End,
    Ended,
    Error,
    Flow,
    Flowed,
    Limits,
    LinkRole,
    Message,
    Open,
    Opened,
    Rejected,
    SaslChallenge,
    SaslCode,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    SaslResponse,
    SenderSettleMode,
    Symbol,
    Target,
    encode_message,
)
from tests.amqp_client import Client
from tests.net.amqp_echo import REFUSED, EchoFrontEnd, EchoHandler
from tests.net.certs import issue
from tests.net.conftest import ClientContext
from tests.net.serving import amqp_server, listening

HEADER = b"AMQP\x00\x01\x00\x00"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"


async def until(condition: Callable[[], Any]) -> Any:
    for _ in range(1000):
        if result := condition():
            return result
        await asyncio.sleep(0.005)
    pytest.fail("it never came true")


async def joined(address: tuple[str, int], context: Any, **options: Any) -> Client:
    """Open a connection and a session without SASL."""
    client = await Client.dial(address, context, **options)
    await client.open()
    await client.begin()
    return client


def data(text: str) -> Message:
    return Message(body=Data((text.encode(),)))


async def test_a_conversation(certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    identity = issue("device")
    async with listening(amqp_server(front_end), certificates) as address:
        client = await Client.dial(address, client_context(identity))
        opened = await client.open()
        await client.begin()
        client.receiver("back")
        await client.attached()
        link = client.sender("there", properties={"a": 1})
        answer = await client.attached()
        client.message(link, data("one"))
        assert await client.outcome() == Accepted()
        assert await client.received() == data("one")
        client.message(link, data("two"), settled=True)
        assert await client.received() == data("two")
        await client.leave()
        assert await client.at_end()
        (handler,) = front_end.handlers
        await handler.ended.wait()
    assert (opened.idle_time_out, opened.max_frame_size) == (240.0, 65536)
    assert isinstance(answer.target, Target)
    assert (answer.target.address, answer.properties) == ("there", {"for": "there"})
    assert handler.receivers[0].attached.properties == {"a": 1}
    assert handler.ends == [True]
    assert front_end.peers[0].chain == identity.der
    assert front_end.openings[0].hostname == "localhost"


async def test_sasl_with_several_steps(certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    async with listening(amqp_server(front_end), certificates) as address:
        client = await Client.dial(address, client_context(), mechanisms=("CHAT",))
        assert (await client.next(SaslMechanisms)).mechanisms == ("PLAIN", "CHAT", "ANONYMOUS")
        client.send(SaslInit(mechanism="CHAT"))
        assert (await client.next(SaslChallenge)).challenge == b"first"
        client.send(SaslResponse(response=b"1"))
        assert (await client.next(SaslChallenge)).challenge == b"second"
        client.send(SaslResponse(response=b"2"))
        assert (await client.next(SaslOutcome)).code is SaslCode.OK
        await client.open()
        await client.leave()
    assert front_end.handlers[0].identity == [b"1", b"2"]
    assert front_end.openings[0].mechanism == "CHAT"


@pytest.mark.parametrize(
    ("mechanism", "response", "code"),
    [
        ("PLAIN", b"\0user\0good", SaslCode.OK),
        ("PLAIN", b"\0user\0bad", SaslCode.AUTH),
        ("PLAIN", b"user", SaslCode.AUTH),
        ("PLAIN", b"\0user\0fail", SaslCode.SYS),
        ("ANONYMOUS", b"", SaslCode.OK),
    ],
)
async def test_sasl_outcomes(
    mechanism: str, response: bytes, code: SaslCode, certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()
    async with listening(amqp_server(front_end), certificates) as address:
        client = await Client.dial(address, client_context(), mechanisms=(mechanism,))
        assert await client.sasl(mechanism, response) is code
        if code is SaslCode.OK:
            await client.open()
            await client.leave()
        assert await client.at_end()
    assert len(front_end.handlers) == (code is SaslCode.OK)


@pytest.mark.parametrize(
    ("hostname", "condition"),
    [("refused", "amqp:unauthorized-access"), ("fail", "amqp:internal-error")],
)
async def test_refused_in_open_and_in_close(
    hostname: str, condition: str, certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()
    async with listening(amqp_server(front_end), certificates) as address:
        client = await Client.dial(address, client_context())
        opened = await client.open(hostname)
        closed = await client.next(Closed)
        assert await client.at_end()
    assert closed.error is not None
    assert closed.error.condition == condition
    assert opened.properties is not None
    told = opened.properties["com.microsoft:open-error"]
    assert isinstance(told, Described)
    assert told.descriptor in {0x1D, "amqp:error:list"}
    assert told.value[0] == condition
    assert front_end.handlers == []


async def test_nobody_owns_the_client(certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd("x")
    async with listening(amqp_server(front_end), certificates) as address:
        client = await Client.dial(address, client_context(), mechanisms=("PLAIN",))
        assert await client.sasl("PLAIN", b"\0other\0good") is SaslCode.AUTH
        assert await client.at_end()
    assert front_end.openings == []


@pytest.mark.parametrize(
    ("hostname", "address_said", "owner"), [("b.example", "c", 1), ("localhost", "b/1", 1), ("localhost", "a/1", 0)]
)
async def test_where_several_could_be_meant_the_host_name_or_the_first_link_decides(
    hostname: str,
    address_said: str,
    owner: int,
    certificates: ServerCertificates,
    client_context: ClientContext,
) -> None:
    front_ends = [EchoFrontEnd("a"), EchoFrontEnd("b")]
    async with listening(amqp_server(*front_ends), certificates) as address:
        client = await Client.dial(address, client_context())
        opened = await client.open(hostname)
        await client.begin()
        link = client.sender(address_said)
        await client.attached()
        client.message(link, data("one"))
        assert await client.outcome() == Accepted()
        await client.leave()
    assert opened.properties is None
    assert [len(each.handlers) for each in front_ends] == [int(owner == 0), int(owner == 1)]


async def test_an_address_of_nobody_ends_an_undecided_connection(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    async with listening(amqp_server(EchoFrontEnd("a"), EchoFrontEnd("b")), certificates) as address:
        client = await joined(address, client_context())
        client.sender("c")
        closed = await client.until(Closed)
        assert closed.error is not None
        assert closed.error.condition == "amqp:not-found"
        assert await client.at_end()


async def test_a_client_that_pipelines_everything(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    """Java sends OPEN, BEGIN and its ATTACHes at once (contract dps.md 5.3); here messages come right behind credit."""
    front_end = EchoFrontEnd()
    async with listening(amqp_server(front_end), certificates) as address:
        client = await Client.dial(address, client_context())
        client.engine.send(Open(hostname="localhost"))
        client.session = client.engine.new_session()
        client.engine.send(Begin(session=client.session))
        client.receiver("back")
        link = client.sender("there")
        first = await client.next(Opened)
        assert first.container_id == "homeport"
        answers = [await client.attached(), await client.attached()]
        assert link.credit == 10
        client.message(link, data("one"))
        assert await client.received() == data("one")
        await client.leave()
    assert [answer.link.role for answer in answers] == [LinkRole.RECEIVER, LinkRole.SENDER]


async def test_refused_links_leave_the_connection(
    certificates: ServerCertificates, client_context: ClientContext, caplog: pytest.LogCaptureFixture
) -> None:
    front_end = EchoFrontEnd()
    async with listening(amqp_server(front_end), certificates) as address:
        client = await joined(address, client_context())
        for attach, condition in (
            (lambda: client.sender("no/a"), REFUSED.condition),
            (lambda: client.receiver("no/a", credit=0), REFUSED.condition),
            (lambda: client.sender("fail"), "amqp:internal-error"),
        ):
            attach()
            await client.until(Attached)
            detached = await client.until(Detached)
            assert detached.error is not None
            assert detached.error.condition == condition
        link = client.sender("fine")
        await client.attached()
        client.message(link, data("one"))
        assert await client.outcome() == Accepted()
        await client.leave()
    assert "ZeroDivisionError" in caplog.text


async def test_credit_is_topped_up(certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    async with listening(amqp_server(front_end), certificates) as address:
        client = await joined(address, client_context())
        link = client.sender("there")
        await client.attached()
        for number in range(50):
            while not link.credit:
                await client.hear()
            client.message(link, data(str(number)))
        await until(lambda: len(front_end.handlers[0].heard) == 50)
        await client.leave()
    assert front_end.handlers[0].heard == [encode_message(data(str(number))) for number in range(50)]


async def test_messages_to_the_client_wait_for_credit(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()
    sent: list[asyncio.Future[Any]] = []

    def send_early(link: AmqpSender) -> None:
        sent.extend(asyncio.ensure_future(link.send(data(str(number)))) for number in range(3))

    front_end.prepare = lambda handler: setattr(handler, "on_sender", send_early)
    async with listening(amqp_server(front_end), certificates) as address:
        client = await joined(address, client_context())
        link = client.receiver("back", credit=0)
        await client.attached()
        client.send(Flow(link=link, credit=2))
        got = [await client.until(Delivery) for _ in range(2)]
        assert [each.data for each in got] == [encode_message(data(str(number))) for number in range(2)]
        handler = front_end.handlers[0]
        assert handler.senders[0].credit == 0
        client.send(Disposition(link=link, delivery_id=got[0].delivery_id, state=Rejected()))
        assert await asyncio.wait_for(sent[0], 5) == Rejected()
        # The second is not answered, the third has no credit: neither will be.
        client.send(Detach(link=link))
        assert await asyncio.wait_for(asyncio.gather(*sent[1:]), 5) == [None, None]
        await until(lambda: handler.ended_links == [("back", None)])
        assert await handler.senders[0].send(data("late")) is None
        await client.leave()


@pytest.mark.parametrize("wish", [False, True])
@pytest.mark.parametrize("mode", SenderSettleMode)
async def test_the_client_says_how_to_settle(
    mode: SenderSettleMode, wish: bool, certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()
    async with listening(amqp_server(front_end), certificates) as address:
        client = await joined(address, client_context())
        client.receiver("back", snd_settle_mode=mode)
        await client.attached()
        sent = asyncio.ensure_future(front_end.handlers[0].senders[0].send(data("x"), settled=wish))
        delivery = await client.until(Delivery)
        settled = wish if mode is SenderSettleMode.MIXED else mode is SenderSettleMode.SETTLED
        assert delivery.settled is settled
        if not settled:
            client.send(Disposition(link=delivery.link, delivery_id=delivery.delivery_id, state=Accepted()))
        assert await asyncio.wait_for(sent, 5) == (None if settled else Accepted())
        await client.leave()


async def test_drain_takes_credit_back(certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    async with listening(amqp_server(front_end), certificates) as address:
        client = await joined(address, client_context())
        link = client.receiver("back", credit=0)
        await client.attached()
        client.send(Flow(link=link, credit=5, drain=True))
        flowed = await client.until(Flowed)
        assert (flowed.link, flowed.credit) == (link, 0)
        handler = front_end.handlers[0]
        assert handler.flows[-1] == (5, True)
        assert handler.senders[0].credit == 0
        await client.leave()


async def test_large_messages_both_ways(certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    async with listening(amqp_server(front_end), certificates) as address:
        client = await joined(address, client_context())
        client.receiver("back")
        await client.attached()
        link = client.sender("there")
        await client.attached()
        large = Message(body=Data((bytes(range(256)) * 3000,)))
        client.message(link, large)
        assert await client.received() == large
        await client.leave()


async def test_a_handlers_outcome(certificates: ServerCertificates, client_context: ClientContext) -> None:
    async def judge(handler: EchoHandler, delivery: AmqpDelivery) -> None:
        match delivery.message().body:
            case AmqpValue(value="reject"):
                delivery.settle(Rejected(error=REFUSED))
                delivery.settle(Accepted())  # the second does nothing
            case AmqpValue(value="fail"):
                raise ZeroDivisionError

    front_end = EchoFrontEnd(on_message=judge)
    async with listening(amqp_server(front_end), certificates) as address:
        client = await joined(address, client_context())
        link = client.sender("there")
        await client.attached()
        outcomes = []
        for word in ("accept", "reject", "fail"):
            client.message(link, Message(body=AmqpValue(word)))
            outcomes.append(await client.outcome())
        await client.leave()
    assert outcomes[:2] == [Accepted(), Rejected(error=REFUSED)]
    assert outcomes[2].error.condition == "amqp:internal-error"


async def test_a_message_that_is_none_closes(certificates: ServerCertificates, client_context: ClientContext) -> None:
    async def read(handler: EchoHandler, delivery: AmqpDelivery) -> None:
        delivery.message()

    front_end = EchoFrontEnd(on_message=read)
    async with listening(amqp_server(front_end), certificates) as address:
        client = await joined(address, client_context())
        link = client.sender("there")
        await client.attached()
        client.message(link, b"no sections at all")
        closed = await client.until(Closed)
        assert closed.error is not None
        assert closed.error.condition == "amqp:decode-error"
        assert await client.at_end()
        await front_end.handlers[0].ended.wait()
    assert front_end.handlers[0].ends == [False]


async def test_handling_is_bounded_by_not_reading(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    go = asyncio.Event()
    running = most = 0

    async def count(handler: EchoHandler, delivery: AmqpDelivery) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go.wait()
        running -= 1

    front_end = EchoFrontEnd(on_message=count)
    front_end.prepare = lambda handler: setattr(handler, "credit", 100)
    async with listening(amqp_server(front_end, handled_at_once=4), certificates) as address:
        client = await joined(address, client_context())
        link = client.sender("there")
        await client.attached()
        for _ in range(50):
            client.message(link, data("x"))
        await until(lambda: running == 4)
        await asyncio.sleep(0.05)
        assert len(front_end.handlers[0].heard) == 4
        go.set()
        await until(lambda: len(front_end.handlers[0].heard) == 50)
        await client.leave()
    assert most == 4


@pytest.mark.parametrize("opening", [b"GET / HTTP/1.1\r\n\r\n", b"AMQP\x02\x01\x00\x00", b"\x10\x20\x00\x04MQTT"])
async def test_garbage_closes(opening: bytes, certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    async with listening(amqp_server(front_end), certificates) as address:
        client = await Client.dial(address, client_context())
        client.writer.write(opening)
        heard = await asyncio.wait_for(client.rest(), 5)
        assert heard in {b"", HEADER, SASL_HEADER}
    assert front_end.openings == []


async def test_a_client_must_say_in_time_who_it_is(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    async with listening(
        amqp_server(EchoFrontEnd("a"), EchoFrontEnd("b"), connect_seconds=0.2), certificates
    ) as address:
        for beginning in (b"", HEADER[:5], HEADER, SASL_HEADER):
            client = await Client.dial(address, client_context())
            client.writer.write(beginning)
            await asyncio.wait_for(client.rest(), 5)
        # OPEN alone is not enough where it leaves open whom it is for.
        client = await Client.dial(address, client_context())
        await client.open()
        await client.until(Closed)


async def test_an_expired_connection_is_closed(certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    front_end.prepare = lambda handler: setattr(handler, "expires_at", datetime.now(UTC) + timedelta(seconds=0.2))
    async with listening(amqp_server(front_end), certificates) as address:
        client = await joined(address, client_context())
        closed = await client.until(Closed)
        assert closed.error is not None
        assert closed.error.condition == "amqp:unauthorized-access"
        await front_end.handlers[0].ended.wait()
    assert front_end.handlers[0].ends == [False]


async def test_a_silent_client_is_dropped(certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    server = amqp_server(front_end, protocol=Limits(idle_time_out=0.2), close_seconds=0.1)
    async with listening(server, certificates) as address:
        client = await joined(address, client_context())
        closed = await client.until(Closed)  # it does not tick, and so promises nothing
        assert closed.error is not None
        assert closed.error.condition == "amqp:resource-limit-exceeded"
        await front_end.handlers[0].ended.wait()
    assert front_end.handlers[0].ends == [False]


async def test_the_server_keeps_its_own_promise(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()
    async with listening(amqp_server(front_end), certificates) as address:
        client = await joined(address, client_context(), limits=Limits(idle_time_out=0.3))
        for _ in range(3):
            assert await asyncio.wait_for(client.read(), 5) == b"\x00\x00\x00\x08\x02\x00\x00\x00"
        assert front_end.handlers[0].ends == []
        await client.leave()


async def test_the_end_of_a_session_ends_its_links(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()
    async with listening(amqp_server(front_end), certificates) as address:
        client = await joined(address, client_context())
        for name in ("one", "two"):
            client.sender(name)
            await client.attached()
        first = client.session
        await client.begin()
        client.sender("three")
        await client.attached()
        client.send(End(session=first, error=Error(condition="x:why")))
        handler = front_end.handlers[0]
        await until(lambda: len(handler.ended_links) == 2)
        await client.leave()
        await handler.ended.wait()
    assert [name for name, _ in handler.ended_links] == ["one", "two"]
    assert handler.ends == [True]


async def test_a_handler_ends_a_link(certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    async with listening(amqp_server(front_end), certificates) as address:
        client = await joined(address, client_context())
        client.receiver("back")
        await client.attached()
        handler = front_end.handlers[0]
        handler.senders[0].detach(Error(condition="amqp:link:stolen"))
        detached = await client.until(Detached)
        assert detached.error is not None
        assert detached.error.condition == "amqp:link:stolen"
        await client.leave()
    assert handler.ended_links == []


async def test_a_handler_ends_a_session(certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    async with listening(amqp_server(front_end), certificates) as address:
        client = await joined(address, client_context())
        client.sender("one")
        await client.attached()
        first = client.session
        await client.begin()
        kept = client.sender("two")
        await client.attached()
        handler = front_end.handlers[0]
        ours = handler.receivers[0].session
        assert [link.address for link in handler.connection.end_session(ours, Error(condition="x:why"))] == ["one"]
        assert handler.connection.end_session(ours) == []
        ended = await client.until(Ended)
        assert ended.session is first
        assert ended.error is not None
        assert ended.error.condition == "x:why"
        client.message(kept, data("still here"))
        assert isinstance(await client.outcome(), Accepted)
        await client.leave()
    assert len(handler.heard) == 1
    assert handler.ended_links == []


async def test_a_handler_cuts_the_connection(certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    async with listening(amqp_server(front_end), certificates) as address:
        client = await joined(address, client_context())
        client.receiver("back")
        await client.attached()
        handler = front_end.handlers[0]
        handler.connection.abort()
        assert await client.rest() == b""  # not even CLOSE
        await handler.ended.wait()
    assert handler.ends == [False]


async def test_a_handler_closes_and_what_it_sent_is_flushed(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()
    async with listening(amqp_server(front_end), certificates) as address:
        client = await joined(address, client_context())
        client.receiver("back")
        await client.attached()
        handler = front_end.handlers[0]
        _ = handler.senders[0].send(data("last words"), settled=True)
        handler.connection.close(Error(condition="amqp:connection:forced"))
        handler.connection.close()
        assert await client.received() == data("last words")
        closed = await client.until(Closed)
        assert closed.error is not None
        assert closed.error.condition == "amqp:connection:forced"
        assert await client.at_end()
        await handler.ended.wait()
    assert handler.ends == [False]


async def test_a_client_that_does_not_read_is_dropped(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()
    async with listening(
        amqp_server(front_end, waiting_bytes=1_000_000, close_seconds=0.1), certificates, close_seconds=0.2
    ) as address:
        client = await joined(address, client_context())
        client.receiver("back", credit=5)
        await client.attached()
        handler = front_end.handlers[0]
        for _ in range(10_000):
            _ = handler.senders[0].send(bytes(10_000), settled=True)
            await asyncio.sleep(0)
            if handler.ended.is_set():
                break
        else:
            pytest.fail("still open after 100 MB")
        client.writer.transport.abort()


async def test_work_beside_the_connection(
    certificates: ServerCertificates, client_context: ClientContext, caplog: pytest.LogCaptureFixture
) -> None:
    cancelled = asyncio.Event()

    async def tick() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def fail() -> None:
        raise ZeroDivisionError

    front_end = EchoFrontEnd()
    async with listening(amqp_server(front_end), certificates) as address:
        client = await joined(address, client_context())
        handler = front_end.handlers[0]
        handler.connection.run(tick())
        with caplog.at_level(logging.ERROR):
            handler.connection.run(fail())
            await client.until(Closed)
        await asyncio.wait_for(cancelled.wait(), 5)
        await asyncio.wait_for(handler.ended.wait(), 5)
    assert handler.ends == [False]


async def test_shutdown_answers_what_has_come_and_closes(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    async def slow(handler: EchoHandler, delivery: AmqpDelivery) -> None:
        await asyncio.sleep(0.1)
        _ = handler.senders[0].send(b"", settled=True)

    front_end = EchoFrontEnd(on_message=slow)
    async with listening(amqp_server(front_end, close_seconds=0.2), certificates, grace=5) as address:
        client = await joined(address, client_context())
        client.receiver("back")
        await client.attached()
        link = client.sender("there")
        await client.attached()
        client.message(link, data("one"))
        await until(lambda: front_end.handlers[0].heard)
        hearing = asyncio.ensure_future(client.until(Disposed))
    assert (await hearing).state == Accepted()
    closed = await client.until(Closed)
    assert closed.error is not None
    assert closed.error.condition == "amqp:connection:forced"
    assert front_end.handlers[0].ends == [False]


NODE = {Symbol("com.microsoft:client-version"): "azure-iot-device/1.18.4 (node v20.0.0; Debian; x64)"}


async def test_sessions_of_node_clients_end_before_their_connection(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()
    async with listening(amqp_server(front_end, close_seconds=0.2), certificates, grace=5) as address:
        client = await joined(address, client_context())
        node = client.session
        client.sender("one", properties=NODE)
        await client.attached()
        empty = await client.begin()
        await client.begin()
        client.sender("two", properties={Symbol("com.microsoft:client-version"): "azure-iot-hub/2.7"})
        await client.attached()
        hearing = asyncio.ensure_future(client.until(Ended))
    first, second = await hearing, await client.next(Ended)
    assert first.session is node
    assert first.error is not None
    assert (first.error.condition, first.error.description) == ("amqp:link:detach-forced", "The server is going down.")
    assert (second.session, second.error) == (empty, None)
    closed = await client.next(Closed)
    assert closed.error is not None
    assert closed.error.condition == "amqp:connection:forced"
    assert front_end.handlers[0].ends == [False]
    assert front_end.handlers[0].ended_links == []


@pytest.mark.parametrize("error", [Error(condition="amqp:unauthorized-access", description="expired"), None])
async def test_the_sessions_end_with_the_error_of_the_connection(
    certificates: ServerCertificates, client_context: ClientContext, error: Error | None
) -> None:
    front_end = EchoFrontEnd()
    async with listening(amqp_server(front_end), certificates) as address:
        client = await joined(address, client_context())
        client.sender("one", properties=NODE)
        await client.attached()
        front_end.handlers[0].connection.close(error)
        assert (await client.until(Ended)).error == error
        assert (await client.next(Closed)).error == error


async def test_an_error_that_is_too_long_for_the_client_is_left_out(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()
    async with listening(amqp_server(front_end), certificates) as address:
        client = await joined(address, client_context(), limits=Limits(max_frame_size=512))
        client.sender("one", properties=NODE)
        await client.attached()
        front_end.handlers[0].connection.close(Error(condition="x:y", description="z" * 1000))
        assert (await client.until(Closed)).error is None


async def test_wrong_messages_are_refused_to_the_handler(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()
    async with listening(amqp_server(front_end), certificates) as address:
        client = await joined(address, client_context())
        client.receiver("back")
        await client.attached()
        sender = front_end.handlers[0].senders[0]
        with pytest.raises(ValueError, match="tag"):
            _ = sender.send(b"", tag=bytes(33))
        with pytest.raises(ValueError, match=r".+"):
            _ = sender.send(Message(body=AmqpValue(object())))
        _ = sender.send(data("fine"), tag=bytes(16))
        assert (await client.until(Delivery)).tag == bytes(16)
        await client.leave()
