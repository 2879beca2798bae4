"""MQTT devices that were let in and want more: topics of others, absurd requests, messages and twins beyond limits."""

import contextlib
import json

import pytest

from homeport.proto.mqtt import PubAck, Publish, SubAck, UnsubAck, Unsubscribe, encode
from tests.hostile.devices import REGISTER, TWIN, at_home, enrolled, registering, say, subscribe, telemetry
from tests.hostile.target import Target

KILOBYTE = 1024


@pytest.fixture(scope="module")
def device(target: Target) -> tuple[str, str]:
    return enrolled(target, "mqtt")


@pytest.fixture(scope="module")
def victim(target: Target) -> tuple[str, str]:
    return enrolled(target, "victim")


# ---------------------------------------------------------------- topics


def foreign_topics(device_id: str, victim_id: str) -> list[str]:
    return [
        telemetry(victim_id),
        f"devices/{victim_id}/messages/events",
        f"devices/{device_id}/../{victim_id}/messages/events/",
        f"devices/{device_id}x/messages/events/",
        f"devices/{device_id}/messages/eventsx",
        f"devices/{device_id}/messages/devicebound/",
        f"devices/{victim_id}/messages/devicebound/%24.to=x",
        f"DEVICES/{device_id}/messages/events/",
        "$iothub/methods/POST/reboot/?$rid=1",
        "$iothub/twin/PATCH/properties/desired/?$version=1",
        "$iothub/twin/res/200/?$rid=1",
        "$dps/registrations/PUT/iotdps-register/?$rid=1",
        "$SYS/broker",
        "a" * 60_000,
    ]


def test_publishing_to_topics_of_others(target: Target, device: tuple[str, str], victim: tuple[str, str]) -> None:
    with at_home(target, victim) as listening:
        listening.send(subscribe(1, f"devices/{victim[0]}/messages/devicebound/#", qos=1))
        assert listening.packets.next() == SubAck(packet_id=1, return_codes=(1,))
        for topic in foreign_topics(device[0], victim[0]):
            with at_home(target, device) as client:
                client.send(say(topic, b"forged", qos=1, packet_id=1))
                client.assert_closed()
        listening.assert_alive()
    assert target.registry.telemetry_count(victim[0]) == 0
    for topic in ("$dps/registrations/PUT/iotdps-register", telemetry(victim[0]), "$dps/registrations/res/200/?$rid=1"):
        with registering(target, *device) as client:
            client.send(say(topic, b"{}", qos=1, packet_id=1))
            client.assert_closed()


def test_subscribing_to_everything(target: Target, device: tuple[str, str], victim: tuple[str, str]) -> None:
    filters = ["#", "+/#", "$iothub/#", "$SYS/#", "devices/#", "devices/+/messages/events/#"]
    filters += [f"devices/{victim[0]}/messages/{each}/#" for each in ("devicebound", "events")]
    ask = subscribe(9, *filters, qos=2)
    with at_home(target, device) as spy:
        spy.send(ask)
        assert spy.packets.next() == SubAck(packet_id=9, return_codes=(0x80,) * len(filters))
        with at_home(target, victim) as client:
            client.send(say(telemetry(victim[0]), b"secret", qos=1, packet_id=1))
            assert client.packets.next() == PubAck(packet_id=1)
        spy.assert_alive()  # and there was nothing before the answer
    with registering(target, *device) as spy:
        spy.send(ask)
        assert spy.packets.next() == SubAck(packet_id=9, return_codes=(0x80,) * len(filters))
        with registering(target, *victim) as client:
            client.send(say(REGISTER + "1", b"{}"))
            assert isinstance(client.packets.next(), Publish)
        spy.assert_alive()


def test_ten_thousand_subscriptions(target: Target, device: tuple[str, str]) -> None:
    many = tuple(f"filter/{number}" for number in range(10_000))
    for open_one in (at_home, lambda target, device: registering(target, *device)):
        with open_one(target, device) as client:
            client.send(subscribe(1, *many))
            answer = client.packets.next()
            assert answer == SubAck(packet_id=1, return_codes=(0x80,) * 10_000)
            for number in range(1, 500):
                client.send(subscribe(number, f"{'f' * 2000}/{number}", qos=1))
                assert client.packets.next() == SubAck(packet_id=number, return_codes=(0x80,))
            client.send(encode(Unsubscribe(topic_filters=many, packet_id=2)))
            assert client.packets.next() == UnsubAck(packet_id=2)
            client.assert_alive()


@pytest.mark.parametrize(
    "rid", ["", "1&a=b", "a&$rid=b", "$", "%00", "%24rid=2", "\u202e", "a" * 60_000, "?", "1&operationId=x", " "]
)
def test_request_ids_that_are_absurd(target: Target, device: tuple[str, str], rid: str) -> None:
    with registering(target, *device) as client:
        client.send(say(REGISTER + rid, b"{}"))
        answer = client.packets.next()
        assert isinstance(answer, Publish)
        assert answer.topic == f"$dps/registrations/res/202/?$rid={rid.partition('&')[0]}&retry-after=3"
    for topic in ("$iothub/twin/GET/?$rid=", "$iothub/twin/PATCH/properties/reported/?$rid="):
        with at_home(target, device) as client:
            client.send(subscribe(1, TWIN, qos=0), say(topic + rid, b"{}"))
            assert client.packets.next() == SubAck(packet_id=1, return_codes=(0,))
            answer = client.packets.next()
            assert isinstance(answer, Publish)
            assert answer.topic.startswith(
                (f"$iothub/twin/res/200/?$rid={rid.partition('&')[0]}", "$iothub/twin/res/204/")
            )


def test_a_request_id_that_leaves_no_room_for_the_answer(target: Target, device: tuple[str, str]) -> None:
    topic = "$iothub/twin/GET/?$rid="
    with at_home(target, device) as client:
        client.send(subscribe(1, TWIN, qos=0))
        assert client.packets.next() == SubAck(packet_id=1, return_codes=(0,))
        client.send(say(topic + "r" * (65_535 - len(topic)), b""))
        client.assert_closed()


# ---------------------------------------------------------------- messages


def test_messages_that_are_too_large(target: Target, device: tuple[str, str]) -> None:
    topic = telemetry(device[0])
    count = target.registry.telemetry_count(device[0])
    for message in (
        Publish(topic=topic, payload=bytes(256 * KILOBYTE + 1), qos=1, packet_id=1),
        Publish(topic=topic, payload=bytes(10 * KILOBYTE * KILOBYTE), qos=1, packet_id=1),
        Publish(topic=topic + "a=" + "b" * 60_000, payload=bytes(200 * KILOBYTE), qos=1, packet_id=1),
    ):
        with at_home(target, device) as client:
            client.send(encode(message))
            client.assert_closed()
    with registering(target, *device) as client:
        client.send(say(REGISTER + "1", b'{"payload":"' + b"x" * 200 * KILOBYTE + b'"}'))
        answer = client.packets.next()
        assert answer is None or (isinstance(answer, Publish) and answer.topic == "$dps/registrations/res/413/?$rid=1")
    assert target.registry.telemetry_count(device[0]) == count
    with at_home(target, device) as client:
        client.send(say(topic, bytes(256 * KILOBYTE), qos=1, packet_id=1))
        assert client.packets.next() == PubAck(packet_id=1)


BAGS = [
    "%zz&%&%%%&=&==&&&&a&b=",
    "%ff%fe=%c3%28&%00=%00",
    "$.mid=" + "m" * 60_000,
    "&".join(f"k{number}=v" for number in range(7000)),
    "iothub-connection-device-id=victim&iothub-enqueuedtime=2000-01-01&iothub-message-source=Twin",
    "%24.cdid=victim&$.cmid=x&%24.to=/devices/victim&$.uid=root&$.exp=never&$.ctime=0",
    "$.ct=application%2Fjson%0d%0aX-Injected%3A%20yes&$.ce=utf-999",
    "\u202e=\U0001f600&__proto__=1&constructor=2&<script>=alert(1)",
    "a=1/b=2/../c=3",
    "$.=1&$=2&%24.%24.=3",
]


@pytest.mark.parametrize("bag", BAGS, ids=lambda bag: ascii(bag)[:30])
def test_property_bags(target: Target, bag: str) -> None:
    """Whatever a device writes: the message is stored as that device's, and administrators can read it."""
    sender = enrolled(target, "bags")
    with at_home(target, sender) as client:
        for payload in (b"{}", b"\xff\x00", b'{"a":"\\ud800"}', b"[" * 5000, b"<script>alert(1)</script>", b"NaN"):
            client.send(say(telemetry(sender[0]) + bag, payload, qos=1, packet_id=3))
            assert client.packets.next() == PubAck(packet_id=3)
    messages = target.registry.telemetry(sender[0])
    assert len(messages) == 6
    for message in messages:
        assert message.annotations["iothub-connection-device-id"] == sender[0]
        assert message.annotations["iothub-message-source"] == "Telemetry"
    assert target.registry.telemetry_count("victim") == 0


REPORTS = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff",
    b'{"a":' * 15_000,
    b'{"a":' * 12 + b"1" + b"}" * 12,
    b'{"a b":1}',
    b'{"a.b":1}',
    b'{"$a":1}',
    b'{"":1}',
    b'{"a":9007199254740993}',
    b'{"a":' + b"9" * 400 + b"}",
    b'{"a":"' + b"x" * 4097 + b'"}',
    b'{"' + b"k" * 1025 + b'":1}',
    b"{" + b",".join(b'"k%d":"%s"' % (number, b"v" * 4000) for number in range(9)) + b"}",
    b'{"a":"' + b"x" * 250_000 + b'"}',
]


def test_twin_reports(target: Target, device: tuple[str, str]) -> None:
    with at_home(target, device) as client:
        client.send(subscribe(1, TWIN, qos=0))
        assert client.packets.next() == SubAck(packet_id=1, return_codes=(0,))
        for number, report in enumerate(REPORTS):
            topic = f"$iothub/twin/PATCH/properties/reported/?$rid={number}"
            client.send(say(topic, report))
            answer = client.packets.next()
            assert isinstance(answer, Publish)
            assert answer.topic in {f"$iothub/twin/res/{status}/?$rid={number}" for status in (400, 413)}, report[:40]
            document = json.loads(answer.payload)
            assert document["errorCode"] // 1000 in {400, 413}
            assert document["message"]
        for version in ("-1", "1e9", "9" * 40, "x", ""):
            topic = f"$iothub/twin/PATCH/properties/reported/?$rid=v&$version={version}"
            client.send(say(topic, b'{"fine":1}'))
            answer = client.packets.next()
            assert isinstance(answer, Publish)
            assert answer.topic.startswith(("$iothub/twin/res/204/", "$iothub/twin/res/412/", "$iothub/twin/res/400/"))


def test_a_client_that_asks_and_does_not_read(target: Target, device: tuple[str, str]) -> None:
    """What waits for it is bounded: it is slowed down or cut off."""
    before = target.resident_mb()
    with at_home(target, device) as client:
        client.send(subscribe(1, TWIN, qos=0))
        request = say("$iothub/twin/GET/?$rid=" + "r" * 2000, b"") * 100
        client.connection.settimeout(0.5)
        with contextlib.suppress(OSError):
            for _ in range(300):
                client.connection.sendall(request)
        assert target.resident_mb() - before < 50
    target.register_a_normal_device()
