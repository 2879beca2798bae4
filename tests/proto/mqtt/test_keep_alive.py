import pytest

from homeport.proto.mqtt import (
    ConnAck,
    Connect,
    Connection,
    KeepAliveError,
    PingReq,
    PingResp,
    Publish,
    Role,
    State,
    encode,
)
from tests.proto.mqtt.vectors import connected

PING = encode(PingReq())


def test_a_server_waits_one_and_a_half_keep_alives() -> None:
    _, server = connected(keep_alive=60)
    assert server.tick(1000) == 1090
    assert server.tick(1089.9) == 1090
    with pytest.raises(KeepAliveError, match="client is silent"):
        server.tick(1090)
    assert server.state is State.CLOSED


def test_any_byte_of_the_client_counts() -> None:
    _, server = connected(keep_alive=60)
    server.tick(0)
    server.receive(b"\x30")
    assert server.tick(80) == 170
    server.receive(b"")
    with pytest.raises(KeepAliveError):
        server.tick(170)


@pytest.mark.parametrize(("keep_alive", "max_silence", "due"), [(0, 1767, 1767), (1200, 1767, 1767), (60, 1767, 90)])
def test_a_server_can_cap_the_silence(keep_alive: int, max_silence: float, due: float) -> None:
    _, server = connected(keep_alive=keep_alive, max_silence=max_silence)
    assert server.tick(0) == due


def test_without_keep_alive_there_is_no_deadline() -> None:
    client, server = connected(keep_alive=0)
    assert client.tick(0) is server.tick(0) is None
    assert client.tick(1e9) is server.tick(1e9) is None


def test_silence_before_the_answer_is_the_servers_own() -> None:
    server = Connection(Role.SERVER)
    server.receive(encode(Connect(client_id="d", keep_alive=60)))
    assert server.tick(0) is None
    assert server.tick(100) is None
    server.send(ConnAck())
    assert server.tick(100) == 190


def test_a_client_pings_and_the_server_answers() -> None:
    client, server = connected(keep_alive=60)
    client.tick(0)
    server.tick(0)
    assert client.tick(59) == 60
    assert client.outgoing() == b""
    assert client.tick(60) == 120
    assert client.outgoing() == PING
    assert server.receive(PING) == []
    assert server.tick(60) == 150
    assert server.outgoing() == encode(PingResp())
    assert client.receive(encode(PingResp())) == []
    assert client.tick(61) == 120
    assert client.tick(120) == 180
    assert client.outgoing() == PING


def test_a_client_that_only_speaks_still_asks_whether_anyone_listens() -> None:
    client, _ = connected(keep_alive=60)
    client.tick(0)
    client.send(Publish(topic="a"))
    client.outgoing()
    assert client.tick(40) == 60
    client.tick(60)
    assert client.outgoing() == PING


def test_a_client_gives_up_on_a_server_that_does_not_answer() -> None:
    client, _ = connected(keep_alive=60)
    client.tick(0)
    client.tick(60)
    assert client.tick(119) == 120
    with pytest.raises(KeepAliveError, match="server is silent"):
        client.tick(120)
    with pytest.raises(KeepAliveError):
        client.receive(encode(PingResp()))


def test_a_closed_connection_has_no_deadline() -> None:
    client, server = connected(keep_alive=60)
    client.close()
    server.receive(client.outgoing())
    assert client.tick(0) is server.tick(0) is None
