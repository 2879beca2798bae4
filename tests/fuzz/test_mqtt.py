"""Any bytes, however cut, produce events or RemoteProtocolError, nothing else, and in bounded memory."""

from hypothesis import example, given
from hypothesis import strategies as st

from homeport.proto.mqtt import (
    ConnAck,
    Connect,
    Connection,
    Event,
    RemoteProtocolError,
    Role,
    Subscribe,
    Subscription,
    Unsubscribe,
    UnsupportedProtocol,
    decode,
    encode,
)
from tests.proto.mqtt.vectors import MALFORMED, ONE_WAY, PACKETS

LIMIT = 512

_known = st.sampled_from([vector.data for vector in (*PACKETS, *ONE_WAY, *MALFORMED) if len(vector.data) < LIMIT])


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


_chunks = st.lists(_damaged() | _known | st.binary(max_size=40), max_size=12)


def _engine(role: Role, *, established: bool) -> Connection:
    engine = Connection(role, max_packet_size=LIMIT, max_connect_size=LIMIT)
    connect = Connect(client_id="d", clean_session=False)
    if role is Role.CLIENT:
        engine.send(connect)
    if established and role is Role.CLIENT:
        engine.receive(encode(ConnAck()))
        engine.send(Subscribe(subscriptions=(Subscription(topic_filter="#"),)))
        engine.send(Unsubscribe(topic_filters=("#",)))
    elif established:
        engine.receive(encode(connect))
        engine.send(ConnAck())
    engine.outgoing()
    return engine


@given(role=st.sampled_from(Role), established=st.booleans(), chunks=_chunks)
@example(role=Role.SERVER, established=False, chunks=[b"\x10\xff\xff\xff\x7f"])
@example(role=Role.SERVER, established=True, chunks=[b"\xc0\x00" * 50])
@example(role=Role.SERVER, established=False, chunks=[b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00" * 2])
def test_any_bytes(role: Role, established: bool, chunks: list[bytes]) -> None:
    engine = _engine(role, established=established)
    taken = 0
    try:
        for chunk in chunks:
            taken += len(chunk)
            for event in engine.receive(chunk):
                assert isinstance(event, Event)
                assert decode_again(event)
            assert len(engine._buffer) < LIMIT
            assert len(engine.outgoing()) <= taken
            engine.tick(0)
    except RemoteProtocolError:
        assert not engine._buffer


@given(st.binary(max_size=60) | _damaged())
def test_what_is_understood_can_be_said_again(data: bytes) -> None:
    try:
        event = decode(data)
    except RemoteProtocolError:
        return
    assert decode_again(event)


def decode_again(event: Event) -> bool:
    return isinstance(event, UnsupportedProtocol) or decode(encode(event)) == event
