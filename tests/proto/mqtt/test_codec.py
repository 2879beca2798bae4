import pytest

from homeport.proto.mqtt import (
    ConnAck,
    Connect,
    LocalProtocolError,
    Packet,
    PubAck,
    Publish,
    PubRel,
    RemoteProtocolError,
    ReturnCode,
    SubAck,
    Subscribe,
    Subscription,
    Unsubscribe,
    UnsupportedProtocol,
    Will,
    decode,
    encode,
)
from tests.proto.mqtt.vectors import MALFORMED, ONE_WAY, PACKETS, Vector


@pytest.mark.parametrize("vector", PACKETS, ids=str)
def test_encodes_as_the_table_says(vector: Vector) -> None:
    assert vector.packet is not None
    assert not isinstance(vector.packet, UnsupportedProtocol)
    assert encode(vector.packet) == vector.data


@pytest.mark.parametrize("vector", PACKETS + ONE_WAY, ids=str)
def test_decodes_as_the_table_says(vector: Vector) -> None:
    assert decode(vector.data) == vector.packet


@pytest.mark.parametrize("vector", PACKETS + ONE_WAY, ids=str)
def test_refuses_a_packet_that_is_cut_short_or_goes_on(vector: Vector) -> None:
    # cutting long payloads everywhere would only repeat the same case
    for size in {*range(min(len(vector.data), 300)), len(vector.data) - 1}:
        with pytest.raises(RemoteProtocolError):
            decode(vector.data[:size])
    with pytest.raises(RemoteProtocolError):
        decode(vector.data + b"\0")


@pytest.mark.parametrize("vector", MALFORMED, ids=str)
def test_refuses_what_the_standard_refuses(vector: Vector) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(vector.data)


def _subscribe(topic_filter: str, qos: int = 0, packet_id: int | None = 1) -> Subscribe:
    return Subscribe(subscriptions=(Subscription(topic_filter=topic_filter, qos=qos),), packet_id=packet_id)


@pytest.mark.parametrize(
    "packet",
    [
        Connect(client_id="x" * 65536),
        Connect(client_id="\0"),
        Connect(client_id="\ud800"),
        Connect(client_id="d", keep_alive=65536),
        Connect(client_id="d", keep_alive=-1),
        Connect(client_id="d", password=b"p"),
        Connect(client_id="d", user_name="u", password=bytes(65536)),
        Connect(client_id="d", will=Will(topic="")),
        Connect(client_id="d", will=Will(topic="a/+")),
        Connect(client_id="d", will=Will(topic="a", qos=3)),
        Connect(client_id="d", will=Will(topic="a", payload=bytes(65536))),
        ConnAck(return_code=ReturnCode.NOT_AUTHORIZED, session_present=True),
        Publish(topic=""),
        Publish(topic="a/#"),
        Publish(topic="a", qos=3, packet_id=1),
        Publish(topic="a", qos=1),
        Publish(topic="a", qos=1, packet_id=0),
        Publish(topic="a", qos=1, packet_id=65536),
        Publish(topic="a", dup=True),
        Publish(topic="a", packet_id=1),
        Publish(topic="a", payload=bytes(268_435_455)),
        PubAck(packet_id=-1),
        PubAck(packet_id=65536),
        PubRel(packet_id=0),
        _subscribe(""),
        _subscribe("a#"),
        _subscribe("a", qos=3),
        _subscribe("a", packet_id=None),
        Subscribe(subscriptions=(), packet_id=1),
        SubAck(packet_id=1, return_codes=()),
        SubAck(packet_id=1, return_codes=(3,)),
        SubAck(packet_id=1, return_codes=(-1,)),
        Unsubscribe(topic_filters=(), packet_id=1),
        Unsubscribe(topic_filters=("#/a",), packet_id=1),
    ],
    ids=lambda packet: repr(packet)[:60],
)
def test_does_not_say_what_a_peer_would_refuse(packet: Packet) -> None:
    with pytest.raises(LocalProtocolError):
        encode(packet)


def test_passwords_and_peers_text_stay_out_of_sight() -> None:
    assert "secret" not in repr(Connect(client_id="d", user_name="u", password=b"secret"))
    with pytest.raises(RemoteProtocolError) as caught:
        decode(bytes.fromhex("30 09 0007") + b"secret\xff")
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__
