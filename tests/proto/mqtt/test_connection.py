from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.proto.mqtt import (
    SUBSCRIPTION_REFUSED,
    ConnAck,
    Connect,
    Connection,
    Disconnect,
    Event,
    LocalProtocolError,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    RemoteProtocolError,
    ReturnCode,
    Role,
    State,
    SubAck,
    Subscribe,
    Subscription,
    UnsubAck,
    Unsubscribe,
    UnsupportedProtocol,
    encode,
)
from tests.proto.mqtt.vectors import MALFORMED, ONE_WAY, PACKETS, Vector, connected

CONNECT = Connect(client_id="device")
SUBSCRIBE = Subscribe(subscriptions=(Subscription(topic_filter="#", qos=1),))


def _listener(speaker: Role, packet: Event | None) -> Connection:
    """An engine in the state in which `packet` may come from `speaker`."""
    if isinstance(packet, Connect | UnsupportedProtocol):
        return Connection(Role.SERVER)
    if isinstance(packet, ConnAck):
        client = Connection(Role.CLIENT)
        client.send(Connect(client_id="device", clean_session=False))
        return client
    client, server = connected()
    listener = client if speaker is Role.SERVER else server
    match packet:
        case PubAck(packet_id=packet_id) if packet_id:
            listener.send(Publish(topic="a", qos=1, packet_id=packet_id))
        case SubAck():
            wishes = tuple(Subscription(topic_filter="a") for _ in packet.return_codes)
            listener.send(Subscribe(subscriptions=wishes, packet_id=packet.packet_id))
        case UnsubAck():
            listener.send(Unsubscribe(topic_filters=("a",), packet_id=packet.packet_id))
        case _:
            pass
    return listener


def _feed(listener: Connection, chunks: Iterable[bytes]) -> list[Event]:
    return [event for chunk in chunks for event in listener.receive(chunk)]


def _bytewise(data: bytes) -> Iterable[bytes]:
    return (data[at : at + 1] for at in range(len(data)))


def _cases(vectors: list[Vector]) -> list[pytest.param]:  # type: ignore[valid-type]  # pytest has no name for it
    return [
        pytest.param(vector, speaker, id=f"{speaker.value}: {vector}")
        for vector in vectors
        for speaker in vector.speakers
    ]


@pytest.mark.parametrize(("vector", "speaker"), _cases(PACKETS + ONE_WAY))
def test_every_packet_whole_bytewise_and_with_trailing_bytes(vector: Vector, speaker: Role) -> None:
    packet, data = vector.packet, vector.data
    if isinstance(packet, PubRec | PubComp):
        with pytest.raises(RemoteProtocolError):  # we never send QoS 2
            _listener(speaker, packet).receive(data)
        return
    silent = isinstance(packet, PingReq | PingResp) or packet == PubAck(packet_id=0)
    expected = [] if silent else [packet]
    assert _listener(speaker, packet).receive(data) == expected
    assert _feed(_listener(speaker, packet), _bytewise(data)) == expected
    listener = _listener(speaker, packet)
    assert listener.receive(data + b"\x30\x04\x00") == expected
    if listener.state is State.CONNECTED:
        assert listener.receive(b"\x01a!") == [Publish(topic="a", payload=b"!")]


@pytest.mark.parametrize(("vector", "speaker"), _cases(MALFORMED))
def test_every_malformed_packet_ends_the_connection(vector: Vector, speaker: Role) -> None:
    openings: dict[int, Event] = {1: CONNECT, 2: ConnAck()}
    sample = openings.get(vector.data[0] >> 4)
    for chunks in ([vector.data], list(_bytewise(vector.data))):
        listener = _listener(speaker, sample)
        with pytest.raises(RemoteProtocolError):
            _feed(listener, chunks)
        assert listener.state is State.CLOSED
        with pytest.raises(RemoteProtocolError):
            listener.receive(encode(PingReq()))


# --- a fault does not swallow what came before it -----------------------------------------------------------------


GOOD = encode(Publish(topic="a", qos=1, packet_id=7))


def test_good_packets_before_a_fault_are_delivered_and_can_be_answered() -> None:
    _, server = connected()
    assert server.receive(GOOD + b"\xf0\x00") == [Publish(topic="a", qos=1, packet_id=7)]
    before = server.state
    server.send(PubAck(packet_id=7))
    assert server.outgoing() == encode(PubAck(packet_id=7))
    with pytest.raises(RemoteProtocolError, match="type 15"):
        server.tick(0)
    assert (before, server.state) == (State.CONNECTED, State.CLOSED)


def test_a_kept_back_fault_comes_with_the_next_receive_too() -> None:
    _, server = connected()
    server.receive(GOOD + b"\xf0\x00")
    with pytest.raises(RemoteProtocolError, match="type 15"):
        server.receive(GOOD)
    with pytest.raises(LocalProtocolError):
        server.send(PubAck(packet_id=7))


def test_closing_forgets_a_kept_back_fault() -> None:
    _, server = connected()
    server.receive(GOOD + b"\xf0\x00")
    server.close()
    assert server.tick(0) is None
    assert server.receive(GOOD) == []


# --- who may say what, and when -----------------------------------------------------------------------------------


FROM_BOTH: list[Packet] = [
    Publish(topic="a"),
    Publish(topic="a", qos=1, packet_id=1),
    PubAck(packet_id=1),
    PubRel(packet_id=1),
]
FROM_CLIENT: list[Packet] = [
    Subscribe(subscriptions=(Subscription(topic_filter="a"),), packet_id=1),
    Unsubscribe(topic_filters=("a",), packet_id=1),
    PingReq(),
    Disconnect(),
]
FROM_SERVER: list[Packet] = [SubAck(packet_id=1, return_codes=(0,)), UnsubAck(packet_id=1), PingResp()]
EVERYTHING: list[Packet] = [CONNECT, ConnAck(), *FROM_BOTH, *FROM_CLIENT, *FROM_SERVER]


def _stage(name: str) -> tuple[Connection, Connection]:
    client, server = Connection(Role.CLIENT), Connection(Role.SERVER)
    if name == "connecting":
        return client, server
    client.send(CONNECT)
    server.receive(client.outgoing())
    if name == "accepting":
        return client, server
    return connected()


STAGES: dict[str, tuple[State, list[Packet], list[Packet]]] = {
    # stage -> state, what a client may say, what a server may say
    "connecting": (State.CONNECTING, [CONNECT], []),
    "accepting": (State.ACCEPTING, [*FROM_BOTH, *FROM_CLIENT], [ConnAck()]),
    "connected": (State.CONNECTED, [*FROM_BOTH, *FROM_CLIENT], [*FROM_BOTH, *FROM_SERVER]),
}


@pytest.mark.parametrize("packet", EVERYTHING, ids=lambda packet: type(packet).__name__)
@pytest.mark.parametrize("speaker", Role)
@pytest.mark.parametrize("stage", STAGES)
def test_the_state_table_binds_speaker_and_listener(stage: str, speaker: Role, packet: Packet) -> None:
    client, server = _stage(stage)
    state, from_client, from_server = STAGES[stage]
    assert client.state is state
    assert server.state is state
    said, heard = (client, server) if speaker is Role.CLIENT else (server, client)
    if packet in (from_client if speaker is Role.CLIENT else from_server):
        said.send(packet)
        if not isinstance(packet, SubAck | UnsubAck):  # those need a question first, see below
            heard.receive(said.outgoing())
    else:
        with pytest.raises(LocalProtocolError):
            said.send(packet)
        assert said.outgoing() == b""
        with pytest.raises(RemoteProtocolError):
            heard.receive(encode(packet))


def test_a_server_answers_another_version_only_with_its_level() -> None:
    server = Connection(Role.SERVER)
    connect5 = bytes.fromhex("10 10 0004 4d515454 05 02 003c 03 210014 0000")
    assert server.receive(connect5 + b"\x30\x05later") == [UnsupportedProtocol(name="MQTT", level=5)]
    assert server.receive(b"\xff") == []
    assert server.tick(0) is None
    for wrong in (ConnAck(), ConnAck(return_code=ReturnCode.NOT_AUTHORIZED), Publish(topic="a")):
        with pytest.raises(LocalProtocolError):
            server.send(wrong)
    server.send(ConnAck(return_code=ReturnCode.UNACCEPTABLE_PROTOCOL_LEVEL))
    assert server.outgoing() == bytes.fromhex("20 02 00 01")
    assert server.state is State.CLOSED


def test_a_refused_client_is_not_listened_to() -> None:
    client = Connection(Role.CLIENT)
    client.send(CONNECT)
    server = Connection(Role.SERVER)
    server.receive(client.outgoing())
    server.send(ConnAck(return_code=ReturnCode.NOT_AUTHORIZED))
    assert server.state is State.CLOSED
    assert server.receive(GOOD) == []
    assert client.receive(server.outgoing()) == [ConnAck(return_code=ReturnCode.NOT_AUTHORIZED)]
    assert client.state is State.CLOSED
    with pytest.raises(LocalProtocolError):
        client.send(Publish(topic="a"))


def test_messages_said_together_with_goodbye_can_still_be_answered() -> None:
    client, server = connected()
    client.send(Publish(topic="a", qos=1))
    client.close()
    events = server.receive(client.outgoing() + GOOD)
    assert events == [Publish(topic="a", qos=1, packet_id=1), Disconnect()]
    assert server.state is State.CLOSED
    server.send(PubAck(packet_id=1))
    assert server.outgoing() == encode(PubAck(packet_id=1))


def test_a_session_cannot_be_present_if_a_clean_one_was_asked_for() -> None:
    client, server = _stage("accepting")
    with pytest.raises(LocalProtocolError):
        server.send(ConnAck(session_present=True))
    with pytest.raises(RemoteProtocolError):
        client.receive(encode(ConnAck(session_present=True)))


def test_close_says_goodbye_once_and_only_from_a_client() -> None:
    client, server = connected()
    client.close()
    client.close()
    assert client.outgoing() == encode(Disconnect())
    server.close()
    assert server.outgoing() == b""
    silent = Connection(Role.CLIENT)
    silent.close()
    assert silent.outgoing() == b""
    assert {client.state, server.state, silent.state} == {State.CLOSED}


# --- limits -------------------------------------------------------------------------------------------------------


def test_size_is_judged_by_the_fixed_header() -> None:
    _, server = connected(max_packet_size=100)
    fitting = encode(Publish(topic="a", payload=bytes(95)))
    assert len(fitting) == 100
    assert len(server.receive(fitting)) == 1
    with pytest.raises(RemoteProtocolError, match="larger than 100"):
        server.receive(b"\x30\x63")


def test_a_stranger_gets_less_room() -> None:
    server = Connection(Role.SERVER, max_connect_size=50)
    fitting = encode(Connect(client_id="x" * 36))
    assert len(fitting) == 50
    assert len(server.receive(fitting)) == 1
    with pytest.raises(RemoteProtocolError, match="larger than 50"):
        Connection(Role.SERVER, max_connect_size=50).receive(encode(Connect(client_id="x" * 37))[:2])


# --- packet ids ---------------------------------------------------------------------------------------------------


def test_packet_ids_are_given_in_turn_and_freed_by_their_acknowledgement() -> None:
    for role in Role:
        client, server = connected()
        sender, receiver = (client, server) if role is Role.CLIENT else (server, client)
        assert [sender.send(Publish(topic="a", qos=1)) for _ in range(3)] == [1, 2, 3]
        assert sender.in_flight == 3
        receiver.receive(sender.outgoing())
        receiver.send(PubAck(packet_id=2))
        assert sender.receive(receiver.outgoing()) == [PubAck(packet_id=2)]
        assert sender.in_flight == 2
        assert sender.send(Publish(topic="a", qos=1)) == 4
        assert sender.send(Publish(topic="a")) is None


def test_an_acknowledgement_of_nothing_is_passed_over() -> None:
    client, server = connected()
    assert server.receive(encode(PubAck(packet_id=9)) + encode(PubAck(packet_id=0))) == []
    client.send(SUBSCRIBE)
    assert client.receive(encode(PubAck(packet_id=1))) == []
    assert client.in_flight == 1


def test_ids_go_round_and_skip_what_is_in_flight() -> None:
    client, _ = connected()
    client.send(Publish(topic="a", qos=1, packet_id=2))
    ids = [client.send(Publish(topic="a", qos=1)) for _ in range(65534)]
    assert ids == [1, *range(3, 65536)]
    with pytest.raises(LocalProtocolError, match="all packet ids"):
        client.send(Publish(topic="a", qos=1))
    client.receive(encode(PubAck(packet_id=500)))
    assert client.send(Publish(topic="a", qos=1)) == 500


def test_an_id_in_flight_is_only_for_repeating() -> None:
    client, _ = connected()
    client.send(Publish(topic="a", qos=1, packet_id=5))
    with pytest.raises(LocalProtocolError):
        client.send(Publish(topic="b", qos=1, packet_id=5))
    with pytest.raises(LocalProtocolError):
        client.send(Subscribe(subscriptions=SUBSCRIBE.subscriptions, packet_id=5))
    assert client.send(Publish(topic="a", qos=1, packet_id=5, dup=True)) == 5
    assert client.in_flight == 1


def test_a_refused_message_takes_no_id() -> None:
    client, _ = connected()
    with pytest.raises(LocalProtocolError):
        client.send(Publish(topic="#", qos=1))
    assert client.in_flight == 0
    assert client.outgoing() == b""


def test_answers_must_fit_their_question() -> None:
    for answer in (
        SubAck(packet_id=2, return_codes=(1,)),
        SubAck(packet_id=1, return_codes=(1, 1)),
        UnsubAck(packet_id=1),
    ):
        client, _ = connected()
        client.send(SUBSCRIBE)
        with pytest.raises(RemoteProtocolError):
            client.receive(encode(answer))
    client, _ = connected()
    client.send(SUBSCRIBE)
    granted = SubAck(packet_id=1, return_codes=(SUBSCRIPTION_REFUSED,))
    assert client.receive(encode(granted)) == [granted]


def test_qos_2_is_heard_and_answered_but_not_said() -> None:
    client, server = connected()
    with pytest.raises(LocalProtocolError, match="QoS 2"):
        client.send(Publish(topic="a", qos=2, packet_id=3))
    assert server.receive(bytes.fromhex("34 05 0001 61 0003")) == [Publish(topic="a", qos=2, packet_id=3)]
    server.send(PubRec(packet_id=3))
    assert server.receive(encode(PubRel(packet_id=3))) == [PubRel(packet_id=3)]
    server.send(PubComp(packet_id=3))
    assert server.outgoing() == bytes.fromhex("50 02 0003 70 02 0003")


# --- conversations ------------------------------------------------------------------------------------------------


def test_pings_are_answered_after_the_connack() -> None:
    client, server = _stage("accepting")
    assert server.receive(encode(PingReq()) * 2) == []
    assert server.outgoing() == b""
    server.send(ConnAck())
    assert server.receive(encode(PingReq())) == []
    answer = server.outgoing()
    assert answer == encode(ConnAck()) + encode(PingResp()) * 3
    assert client.receive(answer) == [ConnAck()]


def _rechunked(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(edges)]


_cuts = st.lists(st.integers(0, 10_000), max_size=40)
_publishes = st.lists(
    st.builds(
        Publish,
        topic=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0#+"), min_size=1, max_size=40),
        payload=st.binary(max_size=300),
        qos=st.sampled_from((0, 1)),
        retain=st.booleans(),
    ),
    max_size=12,
)


@given(messages=_publishes, there=_cuts, back=_cuts)
def test_a_conversation_does_not_depend_on_how_the_stream_is_cut(
    messages: list[Publish], there: list[int], back: list[int]
) -> None:
    client, server = Connection(Role.CLIENT), Connection(Role.SERVER)
    heard: list[Event] = []
    answers: list[Event] = []

    def exchange() -> None:
        for chunk in _rechunked(client.outgoing(), there):
            for event in server.receive(chunk):
                heard.append(event)
                match event:
                    case Connect():
                        server.send(ConnAck())
                    case Subscribe(packet_id=int(packet_id)):
                        server.send(SubAck(packet_id=packet_id, return_codes=(1,)))
                    case Publish(qos=1, packet_id=int(packet_id)):
                        server.send(PubAck(packet_id=packet_id))
                        server.send(Publish(topic=event.topic, payload=event.payload, qos=1))
                    case _:
                        pass
        for chunk in _rechunked(server.outgoing(), back):
            for event in client.receive(chunk):
                answers.append(event)
                if isinstance(event, Publish) and event.packet_id is not None:
                    client.send(PubAck(packet_id=event.packet_id))

    client.send(CONNECT)
    client.send(SUBSCRIBE)
    for message in messages:
        client.send(message)
    exchange()
    exchange()
    client.send(Disconnect())
    exchange()

    def bare(event: Event) -> Event:
        return Publish(topic=event.topic, payload=event.payload) if isinstance(event, Publish) else event

    said = [event for event in heard if isinstance(event, Publish)]
    assert [bare(event) for event in said] == [bare(message) for message in messages]
    assert [(event.qos, event.retain) for event in said] == [(message.qos, message.retain) for message in messages]
    acknowledged = [message for message in messages if message.qos]
    assert [bare(event) for event in answers if isinstance(event, Publish)] == [
        bare(message) for message in acknowledged
    ]
    assert sum(isinstance(event, PubAck) for event in answers) == len(acknowledged)
    assert sum(isinstance(event, PubAck) for event in heard) == len(acknowledged)
    assert heard[0] == CONNECT
    assert heard[-1] == Disconnect()
    assert client.in_flight == 0
    assert client.state is server.state is State.CLOSED
