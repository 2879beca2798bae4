"""Peers that break the rules: what ends, with which condition, and what it costs."""

import tracemalloc
from typing import Any

import pytest

from homeport.proto.amqp import (
    AmqpProtocolError,
    Attach,
    Attached,
    Begin,
    Begun,
    Close,
    Closed,
    Condition,
    Connection,
    Detach,
    Detached,
    End,
    Ended,
    Error,
    Event,
    Flow,
    IdleTimeoutError,
    Limits,
    Link,
    LinkRole,
    LocalProtocolError,
    Open,
    Role,
    Scope,
    State,
)
from homeport.proto.amqp import performatives as p
from homeport.proto.amqp.frames import AMQP_HEADER
from tests.proto.amqp.pair import kinds, only, opened, pair
from tests.proto.amqp.raw import NONE, attach, begin, disposition, flow, frame, open_frame, transfer

LIMITS = Limits(
    max_frame_size=4096,
    channel_max=3,
    handle_max=7,
    max_links=5,
    max_unsettled=10,
    max_message_size=10_000,
    max_partial_bytes=15_000,
    incoming_window=20,
)


class Server:
    """A server that answers everything kindly, with a client of raw bytes."""

    def __init__(self, limits: Limits = LIMITS, *, credit: int = 5, **open_options: Any) -> None:
        self.engine = Connection(Role.SERVER, container_id="server", limits=limits)
        self.credit = credit
        self.links: list[Link] = []
        self.heard: list[Event] = []
        self.hear(AMQP_HEADER + open_frame(**open_options))

    def hear(self, *data: bytes) -> list[Event]:
        """Pass the pieces on, answer, and return the events."""
        heard: list[Event] = []
        for piece in data:
            events = self.engine.receive(piece)
            while events or self.engine.held:
                for event in events:
                    heard.append(event)
                    self.answer(event)
                events = self.engine.receive(b"") if self.engine.held else []
        self.heard += heard
        return heard

    def answer(self, event: Event) -> None:
        match event:
            case Begun():
                self.engine.send(Begin(session=event.session))
            case Attached():
                self.links.append(event.link)
                self.engine.send(Attach(link=event.link, source=event.source, target=event.target))
                if event.link.role is LinkRole.RECEIVER:
                    self.engine.send(Flow(link=event.link, credit=self.credit))
            case _ if type(event).__name__ == "Opened":
                self.engine.send(Open())
            case _:
                pass

    def said(self) -> list[Event]:
        """What a client's engine makes of everything that this server has said."""
        client = Connection(Role.CLIENT, container_id="peer")
        client.send(Open())
        for _ in range(LIMITS.channel_max + 1):
            session = client.new_session()
            client.send(Begin(session=session))
            client.send(Attach(link=client.new_link(session, "link", LinkRole.SENDER)))
        return client.receive(self.engine.outgoing())


# --- faults that end the connection ---------------------------------------------------------------------------------

CONNECTION_FAULTS: dict[str, tuple[list[bytes], str]] = {
    "frame larger than allowed": ([(4097).to_bytes(4) + b"\x02\x00\x00\x00"], Condition.FRAMING_ERROR),
    "frame of 4 GiB": ([b"\xff\xff\xff\xff\x02\x00\x00\x00"], Condition.FRAMING_ERROR),
    "frame smaller than its header": ([b"\x00\x00\x00\x07\x02\x00\x00\x00"], Condition.FRAMING_ERROR),
    "body inside the header": ([b"\x00\x00\x00\x08\x01\x00\x00\x00"], Condition.FRAMING_ERROR),
    "body beyond the frame": ([b"\x00\x00\x00\x08\x03\x00\x00\x00"], Condition.FRAMING_ERROR),
    "frame of the SASL layer": ([frame(p.SASL_INIT, "X", NONE, NONE, kind=1)], Condition.FRAMING_ERROR),
    "frame of no known kind": ([frame(p.END, NONE, kind=7)], Condition.FRAMING_ERROR),
    "SASL performative": ([frame(p.SASL_INIT, "X", NONE, NONE)], Condition.DECODE_ERROR),
    "garbage for a body": ([b"\x00\x00\x00\x0c\x02\x00\x00\x00\xff\xff\xff\xff"], Condition.DECODE_ERROR),
    "payload behind begin": ([begin() + b"", frame(p.END, NONE, payload=b"x")], Condition.DECODE_ERROR),
    "open twice": ([open_frame()], Condition.ILLEGAL_STATE),
    "channel above the highest": ([begin(4)], Condition.FRAMING_ERROR),
    "session on a channel that has one": ([begin(), begin()], Condition.NOT_ALLOWED),
    "answer to a session that was not begun": ([begin(0, remote=0)], Condition.NOT_ALLOWED),
    "attach on a channel without session": ([attach(channel=2)], Condition.NOT_ALLOWED),
    "transfer on a channel without session": ([begin(1), transfer()], Condition.NOT_ALLOWED),
    "disposition on a channel that never had a session": ([disposition(0)], Condition.NOT_ALLOWED),
    "attach after end": ([begin(), frame(p.END, NONE), attach()], Condition.NOT_ALLOWED),
    "transfer after end": ([begin(), attach(), frame(p.END, NONE), transfer()], Condition.NOT_ALLOWED),
    "end of a session that is over": ([begin(), frame(p.END, NONE), frame(p.END, NONE)], Condition.NOT_ALLOWED),
    "handle above the highest": ([begin(), attach(handle=8)], Condition.FRAMING_ERROR),
    "deep nesting": (
        [begin(), attach(properties={"x": [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]})],
        Condition.DECODE_ERROR,
    ),
    "more sessions than it allows us": ([begin(), begin(1), begin(2)], Condition.RESOURCE_LIMIT_EXCEEDED),
}


@pytest.mark.parametrize("name", CONNECTION_FAULTS)
@pytest.mark.parametrize("step", [0, 1])
def test_faults_that_end_the_connection(name: str, step: int) -> None:
    data, condition = CONNECTION_FAULTS[name]
    server = Server()
    pieces = data if not step else [bytes([byte]) for piece in data for byte in piece]
    with pytest.raises(AmqpProtocolError) as refused:
        server.hear(*pieces, b"")
    assert refused.value.scope is Scope.CONNECTION
    assert refused.value.condition == condition
    assert server.engine.state is State.CLOSED
    said = server.said()
    closed = only(said, Closed)
    assert closed.error == Error(condition=condition, description=str(refused.value))
    assert said[-1] is closed
    for again in (lambda: server.engine.receive(b"x"), lambda: server.engine.tick(0)):
        with pytest.raises(AmqpProtocolError):
            again()
    assert server.engine.outgoing() == b""


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        (begin(), Condition.ILLEGAL_STATE),
        (frame(p.OPEN, "c", NONE, 511, 0, NONE, (), (), (), (), NONE), Condition.INVALID_FIELD),
        (open_frame(idle=100), Condition.NOT_ALLOWED),
        (b"\xff" * 8, Condition.FRAMING_ERROR),
    ],
)
def test_faults_instead_of_open_are_answered_with_open_and_close(data: bytes, condition: str) -> None:
    both = pair()
    with pytest.raises(AmqpProtocolError):
        both.server.receive(AMQP_HEADER + data)
    both.client.send(Open())
    said = both.client.receive(both.server.outgoing())
    assert kinds(said) == ["Opened", "Closed"]
    assert only(said, Closed).error.condition == condition


def test_good_events_come_before_the_fault() -> None:
    server = Server()
    server.hear(begin())
    assert kinds(server.hear(attach() + b"\xff" * 8)) == ["Attached"]
    server.engine.outgoing()
    with pytest.raises(AmqpProtocolError):
        server.engine.tick(0)
    assert b"amqp:connection:framing-error" in server.engine.outgoing()


# --- faults that end a session --------------------------------------------------------------------------------------

SESSION_FAULTS: dict[str, tuple[list[bytes], str]] = {
    "transfer on an unknown handle": ([transfer(handle=5)], Condition.UNATTACHED_HANDLE),
    "flow on an unknown handle": ([flow(handle=5)], Condition.UNATTACHED_HANDLE),
    "detach of an unknown handle": ([frame(p.DETACH, 5, True, NONE)], Condition.UNATTACHED_HANDLE),
    "transfer after detach": ([frame(p.DETACH, 0, True, NONE), transfer()], Condition.UNATTACHED_HANDLE),
    "handle attached twice": ([attach("other", 0)], Condition.HANDLE_IN_USE),
    "link attached twice": ([attach("link", 1)], Condition.NOT_ALLOWED),
    "sender without initial delivery count": ([attach("other", 1, count=NONE)], Condition.INVALID_FIELD),
    "unknown settle mode": ([attach("other", 1, snd=3)], Condition.INVALID_FIELD),
    "unknown receiver settle mode": ([attach("other", 1, rcv=2)], Condition.INVALID_FIELD),
    "flow that knows the future": ([flow(next_incoming=7)], Condition.INVALID_FIELD),
    "disposition that ends before it begins": ([disposition(5, 4)], Condition.INVALID_FIELD),
    "more handles than it allows us": (
        [attach("b", 1), attach("c", 2), attach("d", 3)],
        Condition.RESOURCE_LIMIT_EXCEEDED,
    ),
}


@pytest.mark.parametrize("name", SESSION_FAULTS)
def test_faults_that_end_a_session(name: str) -> None:
    data, condition = SESSION_FAULTS[name]
    server = Server()
    server.hear(begin(1), begin(handle_max=2), attach())
    heard = server.hear(*data)
    ended = only(heard, Ended)
    assert ended.fault
    assert ended.error.condition == condition
    assert not ended.session.open
    said = server.said()
    assert [event.error for event in said if isinstance(event, Ended)] == [ended.error]
    # What the peer still says on that channel is ignored until it ends the session, too; the other one lives on.
    assert server.hear(attach("more", 3), transfer(handle=99)) == []
    assert server.hear(frame(p.END, NONE)) == []
    assert kinds(server.hear(begin(), attach(channel=1), attach())) == ["Begun", "Attached", "Attached"]
    assert server.engine.state is State.OPEN


def test_window_violation() -> None:
    """The window opens again at half of it, so only a peer that looks at no flow runs into it."""
    server = Server(credit=100)
    server.hear(begin(), attach())
    channel = next(iter(server.engine._sessions._channels.values()))
    channel._incoming.window = 0
    ended = only(server.hear(transfer()), Ended)
    assert ended.error.condition == Condition.WINDOW_VIOLATION


# --- faults that end a link -----------------------------------------------------------------------------------------

LINK_FAULTS: dict[str, tuple[list[bytes], str]] = {
    "no delivery id": ([transfer(delivery_id=NONE)], Condition.INVALID_FIELD),
    "no delivery tag": ([transfer(tag=NONE)], Condition.INVALID_FIELD),
    "delivery tag too long": ([transfer(tag=bytes(33))], Condition.INVALID_FIELD),
    "delivery id twice": ([transfer(), transfer()], Condition.INVALID_FIELD),
    "resumed delivery": ([transfer(resume=True)], Condition.NOT_IMPLEMENTED),
    "no credit": ([transfer(delivery_id=n, settled=True) for n in range(6)], Condition.TRANSFER_LIMIT_EXCEEDED),
    "message too large": ([transfer(bytes(4000), more=True)] * 3, Condition.MESSAGE_SIZE_EXCEEDED),
    "last part too large": (
        [transfer(bytes(4000), more=True)] * 2 + [transfer(bytes(4000))],
        Condition.MESSAGE_SIZE_EXCEEDED,
    ),
    "another delivery inside": ([transfer(more=True), transfer(delivery_id=1)], Condition.NOT_ALLOWED),
    "another tag inside": ([transfer(more=True), transfer(tag=b"u")], Condition.NOT_ALLOWED),
    "another format inside": ([transfer(more=True), transfer(message_format=1)], Condition.NOT_ALLOWED),
}


@pytest.mark.parametrize("name", LINK_FAULTS)
def test_faults_that_end_a_link(name: str) -> None:
    data, condition = LINK_FAULTS[name]
    server = Server()
    server.hear(begin(), attach(), attach("other", 1))
    heard = server.hear(*data)
    detached = only(heard, Detached)
    assert detached.fault
    assert detached.error.condition == condition
    assert detached.link is server.links[0]
    assert [event.error for event in server.said() if isinstance(event, Detached)] == [detached.error]
    assert server.hear(transfer(), flow(handle=0)) == []
    assert server.hear(frame(p.DETACH, 0, True, NONE)) == []
    assert kinds(server.hear(transfer(handle=1, delivery_id=77))) == ["Delivery"]
    assert server.engine._usage.partial_bytes == 0
    assert server.engine._usage.links == 1


def test_a_receiver_that_sends() -> None:
    server = Server()
    server.hear(begin(), attach(receives=True, count=NONE))
    assert only(server.hear(transfer()), Detached).error.condition == Condition.NOT_ALLOWED


def test_a_transfer_before_the_attach_is_answered() -> None:
    server = Server()
    server.hear(begin())
    heard = server.hear(attach() + transfer())
    assert kinds(heard) == ["Attached", "Detached"]
    assert kinds(server.said())[-3:] == ["Begun", "Attached", "Detached"]


def test_too_many_links() -> None:
    server = Server()
    server.hear(begin(), begin(1))
    server.hear(*(attach(f"a{n}", n) for n in range(3)), *(attach(f"b{n}", n, channel=1) for n in range(2)))
    detached = only(server.hear(attach("b2", 2, channel=1)), Detached)
    assert detached.error.condition == Condition.RESOURCE_LIMIT_EXCEEDED
    server.hear(frame(p.DETACH, 0, True, NONE), frame(p.DETACH, 2, True, NONE, channel=1))
    assert kinds(server.hear(attach("b2", 2, channel=1))) == ["Attached"]


def test_refused_links_that_pile_up() -> None:
    """Refused links are remembered until the peer detaches them, but not without end."""
    server = Server()
    server.hear(begin(), begin(1))
    names = [attach(f"l{n}", n % 8, channel=n // 8) for n in range(11)]
    heard = server.hear(*names[:10])
    assert kinds(heard).count("Detached") == 5
    with pytest.raises(AmqpProtocolError) as refused:
        server.hear(names[10])
    assert refused.value.condition == Condition.RESOURCE_LIMIT_EXCEEDED


def test_unfinished_messages_of_all_links_are_bounded() -> None:
    server = Server()
    server.hear(begin(), *(attach(f"l{n}", n) for n in range(5)))
    heard = server.hear(*(transfer(bytes(4000), handle=n % 5, delivery_id=n % 5, more=True) for n in range(10)))
    detached = [event.error for event in heard if isinstance(event, Detached)]
    assert {error and error.condition for error in detached} == {Condition.RESOURCE_LIMIT_EXCEEDED}
    assert server.engine._usage.partial_bytes <= LIMITS.max_partial_bytes


def test_unsettled_deliveries_are_bounded() -> None:
    server = Server(credit=100)
    server.hear(begin(), attach())
    heard = server.hear(*(transfer(delivery_id=n) for n in range(11)))
    assert kinds(heard) == ["Delivery"] * 10 + ["Detached"]


def test_aborted_deliveries_leave_nothing() -> None:
    server = Server()
    server.hear(begin(), attach())
    assert server.hear(transfer(b"xyz", more=True), transfer(aborted=True), transfer(delivery_id=1, aborted=True)) == []
    assert server.engine._usage.partial_bytes == 0
    assert server.links[0].credit == 3
    assert kinds(server.hear(transfer(delivery_id=2))) == ["Delivery"]


def test_what_is_unknown_is_settled_already() -> None:
    server = Server()
    server.hear(begin(), attach(receives=True, count=NONE))
    assert server.hear(disposition(0, 0x7FFF_FFFF, by_receiver=True), disposition(7)) == []


# --- an answer that does not fit --------------------------------------------------------------------------------------


def test_a_name_that_does_not_fit_into_the_peers_own_frames() -> None:
    """We could only answer with its name, in a frame that it does not take."""
    server = Server(max_frame_size=512)
    server.hear(begin())
    long = attach("x" * 600)
    (event,) = server.engine.receive(long)
    assert isinstance(event, Attached)
    for command in (Attach(link=event.link), Detach(link=event.link)):
        with pytest.raises(LocalProtocolError):
            server.engine.send(command)
    server.engine.outgoing()
    with pytest.raises(AmqpProtocolError) as refused:
        server.hear(frame(p.DETACH, 0, True, NONE))
    assert refused.value.condition == Condition.RESOURCE_LIMIT_EXCEEDED


def test_our_last_word_fits_into_any_frame() -> None:
    server = Server(max_frame_size=512)
    server.engine.close(Error(condition="x:y", description="z" * 1000))
    assert only(server.said(), Closed).error is None


# --- silence ----------------------------------------------------------------------------------------------------------


def test_heartbeats_and_silence() -> None:
    limits = Limits(idle_time_out=10.0)
    both = opened(client=limits, server=limits)
    assert both.server.tick(100.0) == 105.0  # half of what the client allows
    assert both.server.tick(104.9) == 105.0
    assert both.server.outgoing() == b""
    assert both.server.tick(105.0) == 110.0
    assert both.server.outgoing() == b"\x00\x00\x00\x08\x02\x00\x00\x00"
    assert both.server.tick(112.0) == 117.0
    assert both.server.outgoing()
    assert both.server.tick(118.0) == 120.0
    both.server.outgoing()
    with pytest.raises(IdleTimeoutError) as silent:
        both.server.tick(120.0)
    assert silent.value.condition == Condition.RESOURCE_LIMIT_EXCEEDED
    (closed,) = both.client.receive(both.server.outgoing())
    assert isinstance(closed, Closed)
    with pytest.raises(IdleTimeoutError):
        both.server.receive(b"")


def test_heartbeats_keep_a_connection() -> None:
    limits = Limits(idle_time_out=1.0)
    both = opened(client=limits, server=limits)
    now = 50.0
    for _ in range(50):
        due = [both.client.tick(now), both.server.tick(now)]
        both.pump()
        now = min(moment for moment in due if moment is not None)
    assert both.client.state is both.server.state is State.OPEN
    assert now > 60.0


def test_no_time_outs() -> None:
    both = opened(client=Limits(idle_time_out=None), server=Limits(idle_time_out=None))
    assert both.server.tick(0.0) is None
    assert both.server.tick(1e9) is None
    assert both.server.outgoing() == b""


def test_after_our_close_nothing_but_the_peers_is_heard() -> None:
    server = Server()
    server.hear(begin(), attach())
    server.engine.send(Close())
    assert server.engine.tick(1e9) is None
    assert server.hear(transfer(), attach("more", 4), begin(3), frame(p.CLOSE, NONE)) == [Closed()]


# --- memory -----------------------------------------------------------------------------------------------------------

BOMBS = {
    "array of nulls": b"\xf0\x00\x00\x00\x05\x00\x00\x3f\xff\x40",
    "arrays of nulls": b"\xc0\xa1\x10" + b"\xf0\x00\x00\x00\x05\x00\x00\x3f\xff\x40" * 16,
    "array of empty lists": b"\xf0\x00\x00\x00\x05\x00\x00\x3f\xff\x45",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name: str) -> None:
    """A few bytes cannot become many megabytes."""
    server = Server(Limits(max_elements=16384))
    properties = b"\xc1" + bytes([len(BOMBS[name]) + 4, 2]) + b"\xa3\x01x" + BOMBS[name]
    data = bytearray(begin())
    end = bytearray(frame(p.BEGIN, NONE, 0, 100, 100, 255, (), (), {}, channel=1))
    body = bytes(end[8:])
    # Replace the empty map at the end by the bomb.
    fields = body[6:-3] + properties
    body = body[:3] + b"\xd0" + (len(fields) + 4).to_bytes(4) + (8).to_bytes(4) + fields
    data += (8 + len(body)).to_bytes(4) + b"\x02\x00\x00\x01" + body
    tracemalloc.start()
    try:
        server.hear(bytes(data))
        server.hear(b"")
    except AmqpProtocolError as fault:
        assert fault.condition == Condition.DECODE_ERROR  # noqa: PT017  # some are within the limit
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000


def test_small_pieces_of_a_message_cost_what_they_weigh() -> None:
    server = Server(Limits(max_message_size=1 << 20))
    server.hear(begin(), attach())
    piece = transfer(b"x", more=True)
    tracemalloc.start()
    for _ in range(20):
        server.hear(piece * 1000)
        server.engine.outgoing()
    current, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert current < 200_000
    assert server.engine._usage.partial_bytes == 20_000


def test_sessions_that_come_and_go_leave_nothing() -> None:
    server = Server()
    cycle = [begin(), attach(), transfer(), frame(p.END, NONE)]
    server.hear(*cycle)
    server.heard.clear()
    tracemalloc.start()
    for _ in range(200):
        server.hear(*cycle)
        server.engine.outgoing()
        server.heard.clear()
        server.links.clear()
    current, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert current < 50_000
    assert server.engine._usage.links == 0


def test_a_session_ends_while_its_links_are_attached() -> None:
    server = Server()
    server.hear(begin(), attach())
    session = server.links[0].session
    server.engine.send(End(session=session))
    assert not server.links[0].open
    assert server.hear(transfer(), frame(p.END, NONE)) == [Ended(session=session)]


def test_afterthoughts_of_a_session_that_the_peer_has_ended() -> None:
    """Rhea, and with it Microsoft's Node clients, settles after its END what was on its way to it then."""
    server = Server()
    server.hear(begin(), attach(receives=True))
    end = frame(p.END, NONE)
    assert [type(event) for event in server.hear(end)] == [Ended]
    late = disposition(0, 2, by_receiver=True), flow(handle=0, count=0, credit=1), frame(p.DETACH, 0, True, NONE)
    assert server.hear(*late) == []
    # The channel is as good as any other for the next session, and what ends with that is passed over, too.
    assert [type(event) for event in server.hear(begin(), attach(), end, *late)] == [Begun, Attached, Ended]
