"""Any bytes, however cut, produce events or RemoteProtocolError, nothing else, and in bounded memory."""

from collections.abc import Callable
from contextlib import suppress
from functools import cache

from hypothesis import example, given, settings
from hypothesis import strategies as st

from homeport.proto.amqp import (
    ACCEPTED,
    Accepted,
    Attach,
    Attached,
    Begin,
    Begun,
    Command,
    Connection,
    Delivery,
    Detach,
    Disposed,
    Disposition,
    Drained,
    Event,
    Flow,
    Flowed,
    Limits,
    LinkRole,
    LocalProtocolError,
    Open,
    Opened,
    RemoteProtocolError,
    Role,
    SaslChallenge,
    SaslCode,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    SaslResponse,
    Source,
    State,
    Target,
    Transfer,
    decode_message,
)
from homeport.proto.amqp import performatives as p
from homeport.proto.amqp.decoder import Budget, decode_value
from homeport.proto.amqp.frames import AMQP_HEADER, SASL_HEADER
from tests.proto.amqp.raw import attach, begin, disposition, flow, frame, open_frame, transfer
from tests.proto.amqp.test_hostile import CONNECTION_FAULTS, LINK_FAULTS, SESSION_FAULTS
from tests.proto.amqp.vectors import BODIES, CONVERSATIONS, MALFORMED, MALFORMED_BODIES, ONE_WAY, VALUES

LIMITS = Limits(
    max_frame_size=2048,
    max_sasl_frame_size=512,
    channel_max=3,
    handle_max=3,
    max_links=4,
    max_unsettled=8,
    max_message_size=4096,
    max_partial_bytes=6000,
    max_pending_bytes=6000,
    incoming_window=6,
    max_depth=8,
    max_elements=200,
)
HELD = LIMITS.max_frame_size * 2  # one look at what is held may come before the bound is enforced

BOTH = (False, True)
TRAFFIC = [
    *(
        transfer(b"x" * 700, handle=handle, delivery_id=delivery_id, more=more)
        for handle in (0, 1)
        for delivery_id in (1, 2)
        for more in BOTH
    ),
    *(flow(handle=handle, count=0, credit=credit) for handle in (None, 0, 1) for credit in (0, 10)),
    *(
        disposition(0, last, by_receiver=by_receiver, settled=settled)
        for last in (None, 5)
        for by_receiver in BOTH
        for settled in BOTH
    ),
    *(attach("a", handle, receives=bool(handle)) for handle in (0, 1)),
    *(frame(p.DETACH, handle, True, None) for handle in (0, 1)),
    begin(),
    begin(1),
    frame(p.END, None),
]
FAULTS = [*CONNECTION_FAULTS.values(), *SESSION_FAULTS.values(), *LINK_FAULTS.values()]
FRAMES = [
    AMQP_HEADER,
    SASL_HEADER,
    b"\0\0\0\x08\x02\0\0\0",
    open_frame(),
    open_frame(max_frame_size=512, idle=1000),
    open_frame(channel_max=0),
    begin(1, remote=0),
    begin(handle_max=1),
    *TRAFFIC,
    *(attach("b", handle, receives=receives) for handle in (0, 1) for receives in BOTH),
    *(piece for pieces, _ in FAULTS for piece in pieces),
    *(
        (8 + len(data)).to_bytes(4) + bytes([2, kind, 0, 0]) + data
        for data in [body.data for body in BODIES] + [vector.data for vector in MALFORMED_BODIES]
        for kind in (0, 1)
    ),
    *(recording.data for recording in CONVERSATIONS),
]
_known = st.sampled_from([known for known in FRAMES if len(known) < LIMITS.max_frame_size])


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(_known))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["change", "insert", "cut"])):
            case "change":
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "insert":
                data[at:at] = draw(st.binary(max_size=4))
            case _:
                del data[at:]
    return bytes(data)


_traffic = st.lists(st.sampled_from(TRAFFIC), max_size=30)
_chunks = st.lists(_damaged() | _known | st.binary(max_size=40), max_size=20)


def answer(event: Event) -> list[Command]:
    """What an application says to an event: something to everything."""
    match event:
        case SaslMechanisms():
            return [SaslInit(mechanism="X", initial_response=b"x")]
        case SaslInit():
            return [SaslChallenge(challenge=b"?")]
        case SaslChallenge():
            return [SaslResponse(response=b"!")]
        case SaslResponse():
            return [SaslOutcome(code=SaslCode.OK)]
        case SaslOutcome(code=SaslCode.OK) | Opened():
            return [Open()]
        case Begun() if not event.session.ours:
            return [Begin(session=event.session)]
        case Attached() if not event.link.ours:
            if event.link.name == "b" and event.link.role is LinkRole.SENDER:
                return [Detach(link=event.link)]
            answers: list[Command] = [Attach(link=event.link, source=event.source, target=event.target)]
            if event.link.role is LinkRole.RECEIVER:
                answers.append(Flow(link=event.link, credit=4))
            return answers
        case Delivery():
            return [Disposition(link=event.link, delivery_id=event.delivery_id, state=ACCEPTED)]
        case Disposed(state=Accepted(), settled=False):
            return [Disposition(link=event.link, delivery_id=event.delivery_id)]
        case Flowed() if event.link is not None:
            return [Transfer(link=event.link, data=bytes(700)), Drained(link=event.link)]
    return []


def client(mechanisms: tuple[str, ...]) -> Connection:
    """A client that has said all that it may."""
    engine = Connection(Role.CLIENT, container_id="c", mechanisms=mechanisms, limits=LIMITS)
    if not mechanisms:
        engine.send(Open())
        session = engine.new_session()
        engine.send(Begin(session=session))
        for role in LinkRole:
            engine.send(Attach(link=engine.new_link(session, "a", role), source=Source(), target=Target()))
    engine.outgoing()
    return engine


def server(mechanisms: tuple[str, ...]) -> Connection:
    return Connection(Role.SERVER, container_id="s", mechanisms=mechanisms, limits=LIMITS)


def started(make: Callable[[tuple[str, ...]], Connection], prelude: int) -> Connection:
    """An engine that has heard the beginning of an orderly conversation."""
    engine = make(())
    remote = 0 if make is client else None
    for piece in [AMQP_HEADER, open_frame(), begin(remote=remote), attach("a", 0), attach("a", 1, receives=True)][
        :prelude
    ]:
        listen(engine, piece)
    engine.outgoing()
    return engine


def listen(engine: Connection, data: bytes) -> None:
    events = engine.receive(data)
    while True:
        for event in events:
            assert isinstance(event, Event)
            for command in answer(event):
                try:
                    engine.send(command)
                except LocalProtocolError:
                    # Answers that the peer's own limits leave no room for, or that it has made superfluous.
                    assert isinstance(command, Transfer | SaslInit | SaslChallenge | Open | Attach | Detach), command
                    break
        if not engine.held:
            return
        events = engine.receive(b"")


@cache
def links() -> int:
    return LIMITS.max_links + (LIMITS.channel_max + 1) * 2


@given(
    make=st.sampled_from([client, server]),
    sasl=st.booleans(),
    prelude=st.integers(0, 5),
    chunks=_chunks | _traffic | st.builds(list.__add__, _traffic, _chunks),
)
@settings(max_examples=300)
@example(
    make=server, sasl=False, prelude=0, chunks=[AMQP_HEADER, open_frame(), begin(), attach("a" * 600), open_frame()]
)
@example(make=server, sasl=False, prelude=3, chunks=[attach("x", 2) + transfer(handle=2, more=True) * 9])
@example(make=client, sasl=False, prelude=5, chunks=[flow(handle=1, count=0, credit=100, window=1)] * 3)
def test_any_bytes(
    make: Callable[[tuple[str, ...]], Connection], sasl: bool, prelude: int, chunks: list[bytes]
) -> None:
    engine = make(("X",)) if sasl else started(make, prelude)
    taken = 0
    try:
        for chunk in chunks:
            taken += len(chunk)
            listen(engine, chunk)
            usage = engine._usage
            assert len(engine._buffer) <= HELD
            assert usage.partial_bytes <= LIMITS.max_partial_bytes
            assert usage.pending_bytes <= LIMITS.max_pending_bytes
            assert usage.links <= links()
            for channel in engine._sessions._channels.values():
                assert len(channel._incoming.unsettled) <= LIMITS.max_unsettled
                assert len(channel._outgoing.unsettled) <= LIMITS.max_unsettled
            assert len(engine.outgoing()) <= 2 * LIMITS.max_pending_bytes + 60 * taken + 2000
            engine.tick(0)
    except RemoteProtocolError:
        assert engine.state is State.CLOSED
        assert not engine._buffer
        assert engine.send(Open()) is None


_messages = st.sampled_from(
    [vector.data for vector in (*VALUES, *ONE_WAY, *MALFORMED)]
    + [b"\0\x53" + bytes([code]) for code in range(0x70, 0x79)]
    + [
        b"\0\x53\x75\xa0\x03abc",
        b"\0\x53\x73\xc0\x03\x01\x53\x07",
        b"\0\x53\x77\x41",
        b"\0\x53\x74\xc1\x05\x02\xa1\x01a\x41",
    ]
)


@given(parts=st.lists(_messages | st.binary(max_size=10), max_size=8))
def test_any_message(parts: list[bytes]) -> None:
    data = b"".join(parts)
    with suppress(RemoteProtocolError):
        decode_message(data, LIMITS)
    with suppress(RemoteProtocolError):
        decode_value(data, Budget(8, 200))
