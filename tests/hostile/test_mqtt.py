"""MQTT that breaks the protocol, and clients that are not who they say: refused or ended, and no harm to others."""

import json
import time
from pathlib import Path

import pytest

from homeport.proto.mqtt import (
    ConnAck,
    Connect,
    PingReq,
    PubAck,
    Publish,
    ReturnCode,
    Will,
    encode,
)
from tests.hostile.devices import (
    ACCEPTED,
    REGISTER,
    Client,
    at_home,
    enrolled,
    hub_connect,
    registering,
    say,
    stranger,
    subscribe,
    telemetry,
)
from tests.hostile.target import MQTT, Target, unique

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "mqtt.json").read_text())
MALFORMED = [each for each in VECTORS["malformed"] if each["from"] in {"client", "both"}]
SETTLE_SECONDS = 20.0


@pytest.fixture(scope="module")
def device(target: Target) -> tuple[str, str]:
    return enrolled(target, "mqtt")


@pytest.fixture(scope="module")
def victim(target: Target) -> tuple[str, str]:
    return enrolled(target, "victim")


# ---------------------------------------------------------------- the protocol


@pytest.mark.parametrize("vector", MALFORMED, ids=lambda vector: vector["name"])
def test_malformed_packets(target: Target, device: tuple[str, str], vector: dict[str, str]) -> None:
    data = bytes.fromhex(vector["hex"])
    with stranger(target) as client:
        client.send(data)
        client.assert_closed()
    with registering(target, *device) as client:
        client.send(data)
        client.assert_closed()


@pytest.mark.parametrize("vector", VECTORS["one_way"][-3:], ids=lambda vector: vector["name"])
def test_other_protocol_levels(target: Target, vector: dict[str, str]) -> None:
    with stranger(target) as client:
        client.send(bytes.fromhex(vector["hex"]))
        assert client.packets.rest() == [ConnAck(return_code=ReturnCode.UNACCEPTABLE_PROTOCOL_LEVEL)]


def test_packets_that_say_they_are_huge(target: Target, device: tuple[str, str]) -> None:
    """Cut off by what they announce: not a byte of them is waited for."""
    with stranger(target) as client:
        client.send(b"\x10\xff\xff\xff\x7f")
        client.assert_closed()
    with registering(target, *device) as client:
        client.send(b"\x30\xff\xff\xff\x7f")
        client.assert_closed()
    with at_home(target, device) as client:
        client.send(b"\x82\xff\xff\xff\x7f")
        client.assert_closed()


@pytest.mark.parametrize("first", [encode(PingReq()), say("a"), subscribe(1, "#")])
def test_anything_before_connect(target: Target, first: bytes) -> None:
    with stranger(target) as client:
        client.send(first)
        client.assert_closed()


def test_a_second_connect(target: Target, device: tuple[str, str]) -> None:
    with registering(target, *device) as client:
        client.send(encode(Connect(client_id=device[0])))
        client.assert_closed()
    with at_home(target, device) as client:
        client.send(hub_connect(target, device))
        client.assert_closed()


def test_qos_2(target: Target, device: tuple[str, str]) -> None:
    with registering(target, *device) as client:
        client.send(say(REGISTER + "1", b"{}", qos=2, packet_id=1))
        client.assert_closed()
    with at_home(target, device) as client:
        client.send(say(telemetry(device[0]), b"{}", qos=2, packet_id=1))
        client.assert_closed()
    assert target.registry.telemetry_count(device[0]) == 0


def test_what_comes_before_the_connack(target: Target, victim: tuple[str, str]) -> None:
    """A client may go on without waiting; one that is refused then has said nothing."""
    wrong = (victim[0], target.enroll("wrong")[1])
    message = say(telemetry(victim[0]), b"early", qos=1, packet_id=7)
    with stranger(target) as client:
        client.send(hub_connect(target, wrong), message, encode(PingReq()) * 1000)
        assert client.packets.rest() == [ConnAck(return_code=ReturnCode.NOT_AUTHORIZED)]
    assert target.registry.telemetry_count(victim[0]) == 0
    early = enrolled(target, "early")
    with stranger(target) as client:
        client.send(hub_connect(target, early), say(telemetry(early[0]), b"", qos=1, packet_id=7))
        assert [client.packets.next(), client.packets.next()] == [ACCEPTED, PubAck(packet_id=7)]


def test_acknowledgements_of_nothing(target: Target, device: tuple[str, str]) -> None:
    with at_home(target, device) as client:
        client.send(*(encode(PubAck(packet_id=number)) for number in range(1, 5000)))
        client.assert_alive()


# ---------------------------------------------------------------- who


NAMES = [
    None,
    "",
    "/",
    "///",
    "{scope}",
    "{scope}/registrations",
    "{scope}/registrations/",
    "{scope}/registrations//api-version=2021-06-01",
    "{scope}/registrations/{id}",
    "{scope}/registrations/{id}/",
    "{scope}/registrations/{id}/api-version",
    "{scope}/registrations/{id}/x/api-version=2021-06-01",
    "{scope}/registrations/another/api-version=2021-06-01",
    "{scope}/registrations/" + "a" * 129 + "/api-version=2021-06-01",
    "{scope}/registrations/../{id}/api-version=2021-06-01",
    "{scope}/registrations/%00/api-version=2021-06-01",
    "elsewhere.example/{id}/?api-version=2021-04-12",
    "{host}",
    "{host}/",
    "{host}/another/?api-version=2021-04-12",
    "{host}/{id}/module/?api-version=2021-04-12",
    "{host}/#/?api-version=2021-04-12",
    "{host}/" + "a" * 8000,
    "a" * 60_000,
    "\u202e\U0001f600",
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:40])
def test_user_names_that_are_none(target: Target, device: tuple[str, str], name: str | None) -> None:
    user_name = None if name is None else name.format(scope=target.id_scope, id=device[0], host=target.host)
    password = None if name is None else b"SharedAccessSignature sr=a&sig=b&se=1"
    with stranger(target) as client:
        client.send(encode(Connect(client_id=device[0], user_name=user_name, password=password)))
        answers = client.packets.rest()
    assert answers in ([ConnAck(return_code=ReturnCode.NOT_AUTHORIZED)], [])


@pytest.mark.parametrize("client_id", ["", "a" * 300, "a" * 60_000, "a/b", "another", "../x", "#", "\u202e"])
def test_client_ids_that_are_not_the_devices(target: Target, device: tuple[str, str], client_id: str) -> None:
    for user_name in (
        f"{target.id_scope}/registrations/{device[0]}/api-version=2021-06-01",
        f"{target.host}/{device[0]}/?api-version=2021-04-12",
    ):
        with stranger(target) as client:
            client.send(encode(Connect(client_id=client_id, user_name=user_name, clean_session=True)))
            for answer in client.packets.rest():
                assert isinstance(answer, ConnAck)
                assert answer.return_code in {ReturnCode.NOT_AUTHORIZED, ReturnCode.IDENTIFIER_REJECTED}


@pytest.mark.parametrize(
    "password", [b"", b"\x00" * 100, b"\xff\xfe", b"SharedAccessSignature sr=&sig=&se=", b"a" * 60_000]
)
def test_passwords_that_are_none(target: Target, device: tuple[str, str], password: bytes) -> None:
    with stranger(target) as client:
        user_name = f"{target.host}/{device[0]}/?api-version=2021-04-12"
        client.send(encode(Connect(client_id=device[0], user_name=user_name, password=password)))
        assert client.packets.rest() in ([ConnAck(return_code=ReturnCode.NOT_AUTHORIZED)], [])
    with stranger(target) as client:
        user_name = f"{target.id_scope}/registrations/{device[0]}/api-version=2021-06-01"
        client.send(encode(Connect(client_id=device[0], user_name=user_name, password=password)))
        if client.packets.next() == ACCEPTED:
            client.send(say(REGISTER + "1", b"{}"))
            answer = client.packets.next()
            assert isinstance(answer, Publish)
            assert answer.topic == "$dps/registrations/res/401/?$rid=1"
            assert target.why(device[0])[0].outcome == "refused"


def test_wills_elsewhere(target: Target, device: tuple[str, str], victim: tuple[str, str]) -> None:
    for topic in (telemetry(victim[0]), "devices", "$iothub/twin/GET/?$rid=1", telemetry(device[0]) + "a/b\u202e"):
        with stranger(target) as client:
            client.send(hub_connect(target, device, will=Will(topic=topic, payload=b"last words")))
            answer = client.packets.next()
            assert isinstance(answer, ConnAck)
            assert answer.return_code is ReturnCode.NOT_AUTHORIZED or topic.startswith(telemetry(device[0]))
    assert target.registry.telemetry_count(victim[0]) == 0


def test_pings_without_end(target: Target, device: tuple[str, str]) -> None:
    with registering(target, *device) as client:
        for _ in range(100):
            client.send(encode(PingReq()) * 1000)
            for _ in range(1000):
                assert client.packets.next() is not None
        client.assert_alive()


def test_connecting_again_and_again(target: Target) -> None:
    """The last one stays, the others are displaced; nothing of them is left behind."""
    device = enrolled(target, "again")
    clients = []
    for number in range(50):
        connection = target.connect(MQTT)
        clients.append(Client(connection))
        clients[-1].send(hub_connect(target, device, clean=number % 2 == 0))
        assert isinstance(clients[-1].packets.next(), ConnAck)
    for client in clients[:-1]:
        client.assert_closed()
        client.connection.close()
    clients[-1].assert_alive()
    clients[-1].connection.close()
    deadline = time.monotonic() + SETTLE_SECONDS
    while target.registry.get_device(device[0]).connection_state != "Disconnected":
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_unknown_devices_look_like_wrong_keys(target: Target, device: tuple[str, str]) -> None:
    for who in ((unique("nobody"), device[1]), (device[0], target.enroll("other")[1])):
        with stranger(target) as client:
            client.send(hub_connect(target, who))
            assert client.packets.rest() == [ConnAck(return_code=ReturnCode.NOT_AUTHORIZED)]
