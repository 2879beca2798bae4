"""Devices over MQTT, with the real server between them and the hub (contract hub.md 13)."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from homeport.hub.frontends.mqtt import UserName
from homeport.hub.identities import IdentityWrite
from homeport.hub.model import (
    CaAuthentication,
    ConnectionState,
    DeviceStatus,
    SasAuthentication,
    SelfSignedAuthentication,
)
from homeport.hub.served_hub import ServedHub
from homeport.proto.mqtt import PubAck, Publish, Will
from homeport.security.x509 import parse_der
from tests.certificates import make_certificate
from tests.unit.hub.clients import Device, device_token, dialled, service_token
from tests.unit.hub.conftest import Calls, Line, ManualClock, until

KEYS = SasAuthentication(primary_key=b"1" * 32, secondary_key=b"2" * 32)
TOKEN = device_token("d1", b"1" * 32)
EVENTS = "devices/d1/messages/events/"


@pytest.fixture
async def device(hub: ServedHub, mqtt: Line) -> Any:
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    async with dialled(mqtt.port, mqtt.context) as device:
        yield device


async def messages(hub: ServedHub, device_id: str = "d1") -> list[Any]:
    stored = await hub.telemetry.log.latest(device_id=device_id, limit=100)
    return [each.telemetry for each in reversed(stored)]


# ---------------------------------------------------------------- connecting


async def test_a_device_connects_and_leaves(device: Device, hub: ServedHub, clock: ManualClock) -> None:
    answer = await device.connect("d1", TOKEN)
    assert (answer.return_code, answer.session_present) == (0, False)
    identity = await hub.registry.get("d1")
    assert identity.connection_state is ConnectionState.CONNECTED
    assert identity.last_activity_at == clock.now()
    await device.leave()
    await until(lambda: len(hub.sessions) == 0)
    assert (await hub.registry.get("d1")).connection_state is ConnectionState.DISCONNECTED


@pytest.mark.parametrize(
    ("client_id", "changes", "code"),
    [
        ("d1", {"password": b"SharedAccessSignature sr=x"}, 5),
        ("d1", {"password": device_token("d1", b"x" * 32).encode()}, 5),
        ("d1", {"password": None}, 5),
        ("d1", {"password": b"\xff\xfe"}, 5),
        ("d1", {"user_name": "localhost/d2/?api-version=2021-04-12"}, 5),
        ("d1", {"user_name": "localhost/"}, 5),
        ("d1", {"will": Will(topic="devices/d2/messages/events/")}, 5),
        ("d1/m1", {}, 5),
        ("nobody", {"password": device_token("nobody", b"1" * 32).encode()}, 5),
        ("ä", {}, 5),
        ("", {"user_name": "localhost//"}, 2),
        ("d1", {"user_name": "elsewhere.example.com/d1/"}, 5),
    ],
)
async def test_refusals(device: Device, client_id: str, changes: dict[str, Any], code: int) -> None:
    answer = await device.connect(client_id, TOKEN, **changes)
    assert answer.return_code == code
    assert await device.hear() is None


@pytest.mark.parametrize(
    "rest",
    [
        "/?api-version=2020-09-30&DeviceClientType=c%2F1",
        "/api-version=2016-11-14/DeviceClientType=x",
        "/",
        "",
    ],
)
async def test_user_names_of_all_ages(device: Device, rest: str) -> None:
    assert (await device.connect("d1", TOKEN, user_name=f"LOCALHOST/d1{rest}")).return_code == 0


def test_user_names() -> None:
    node = "h/d?a&b=c/?api-version=2021-04-12&model-id=dtmi:a:b;1&DeviceClientType=x&model-id=second"
    assert UserName.parse(node, "d?a&b=c") == UserName(host="h", client_id="d?a&b=c", model_id="dtmi:a:b;1")
    c_sharp = "h/d/m/?api-version=2020-09-30&model-id=dtmi%3Aa%3Bb%3B1"
    assert UserName.parse(c_sharp, "d/m") == UserName(host="h", client_id="d/m", model_id="dtmi:a;b;1")
    assert UserName.parse("h/d/m", "d") == UserName(host="h", client_id="d")
    assert UserName.parse("h", "d") is None


async def test_a_disabled_device_is_refused(device: Device, hub: ServedHub) -> None:
    disabled = IdentityWrite(device_id="d1", authentication=KEYS, status=DeviceStatus.DISABLED)
    await hub.registry.update(disabled, expected_etag=None)
    assert (await device.connect("d1", TOKEN)).return_code == 5


async def test_a_policy_token_connects_any_device(device: Device, hub: ServedHub) -> None:
    await hub.registry.update(IdentityWrite(device_id="d1", authentication=CaAuthentication()), expected_etag=None)
    assert (await device.connect("d1", service_token(hub, "registryRead"))).return_code == 5
    async with dialled_again(device) as second:
        assert (await second.connect("d1", service_token(hub, "device"))).return_code == 0
        await second.publish(EVENTS)
    message = (await messages(hub))[0]
    assert '"scope":"hub"' in message.annotations["iothub-connection-auth-method"]


async def test_certificates(device: Device, hub: ServedHub, mqtt: Line, clock: ManualClock, tmp_path: Path) -> None:
    certified = make_certificate("d1", not_before=clock.now(), not_after=clock.now() + timedelta(days=1))
    thumbprint = parse_der(certified.der).info.sha1_thumbprint
    named = SelfSignedAuthentication(primary_thumbprint=None, secondary_thumbprint=thumbprint.lower())
    await hub.registry.update(IdentityWrite(device_id="d1", authentication=named), expected_etag=None)
    assert (await device.connect("d1", None)).return_code == 5
    chain, key = certified.write(tmp_path)
    context = mqtt.make_context()
    context.load_cert_chain(chain, key)
    async with dialled(mqtt.port, context) as known:
        assert (await known.connect("d1", None)).return_code == 0
        await known.publish(EVENTS)
    assert '"type":"x509"' in (await messages(hub))[0].annotations["iothub-connection-auth-method"]
    await hub.registry.update(IdentityWrite(device_id="d1", authentication=CaAuthentication()), expected_etag=None)
    async with dialled(mqtt.port, context) as unknown:
        assert (await unknown.connect("d1", None)).return_code == 5


def dialled_again(device: Device) -> Any:
    return dialled(*device.dialled_with)


# ---------------------------------------------------------------- telemetry


async def test_telemetry_is_stored_before_it_is_acknowledged(
    device: Device, hub: ServedHub, clock: ManualClock
) -> None:
    await device.connect("d1", TOKEN)
    clock.pass_seconds(1)
    await device.publish(EVENTS + "%24.mid=m1&%24.ct=application%2Fjson&a%20b=c%26d/", b'{"t":20}')
    (message,) = await messages(hub)
    assert message.body == b'{"t":20}'
    assert dict(message.system) == {"mid": "m1", "ct": "application/json"}
    assert dict(message.properties) == {"a b": "c&d"}
    assert message.annotations["iothub-connection-device-id"] == "d1"
    assert message.annotations["iothub-message-source"] == "Telemetry"
    identity = await hub.registry.get("d1")
    assert message.annotations["iothub-connection-auth-generation-id"] == identity.generation_id
    assert message.enqueued_at == clock.now() == identity.last_activity_at


async def test_order_and_quality_of_service(device: Device, hub: ServedHub) -> None:
    await device.connect("d1", TOKEN)
    for number in range(50):
        device.say(Publish(topic=EVENTS.rstrip("/"), payload=str(number).encode(), qos=number % 2))
    for _ in range(25):
        await device.expect(PubAck)
    await device.publish(EVENTS, b"50")
    assert [each.body for each in await messages(hub)] == [str(number).encode() for number in range(51)]


async def test_the_packets_flags_become_properties(device: Device, hub: ServedHub) -> None:
    await device.connect("d1", TOKEN)
    await device.publish(EVENTS + "a=1", retain=True)
    assert dict((await messages(hub))[0].properties) == {"a": "1", "mqtt-retain": "true"}


@pytest.mark.parametrize(
    ("topic", "size"),
    [
        ("devices/d2/messages/events/", 1),
        ("devices/d1/messages/eventsx", 1),
        ("devices/d1/modules/m/messages/events/", 1),
        ("$iothub/other", 1),
        (EVENTS, 256 * 1024 + 1),
        (EVENTS + "name=value", 256 * 1024),
    ],
)
async def test_what_closes_the_connection(device: Device, hub: ServedHub, topic: str, size: int) -> None:
    await device.connect("d1", TOKEN)
    device.say(Publish(topic=topic, payload=b"x" * size, qos=1))
    assert await device.hear() is None
    assert not await messages(hub)


async def test_the_largest_message(device: Device, hub: ServedHub) -> None:
    await device.connect("d1", TOKEN)
    await device.publish(EVENTS, b"x" * (256 * 1024))
    assert len((await messages(hub))[0].body) == 256 * 1024


async def test_a_store_that_fails_gets_no_acknowledgement(device: Device, hub: ServedHub, calls: Calls) -> None:
    await device.connect("d1", TOKEN)
    calls.failing = {"append"}
    device.say(Publish(topic=EVENTS, payload=b"x", qos=1))
    assert await device.hear() is None


@pytest.mark.parametrize("orderly", [True, False])
async def test_the_will(device: Device, hub: ServedHub, orderly: bool) -> None:
    await device.connect("d1", TOKEN, will=Will(topic=EVENTS + "a=1", payload=b"gone", retain=True))
    await device.leave(orderly=orderly)
    await until(lambda: len(hub.sessions) == 0)
    stored = await messages(hub)
    if orderly:
        assert stored == []
    else:
        assert [each.body for each in stored] == [b"gone"]
        assert dict(stored[0].properties) == {"a": "1", "iothub-MessageType": "Will", "mqtt-retain": "true"}


async def test_a_model_is_announced(device: Device, hub: ServedHub) -> None:
    await device.connect("d1", TOKEN, user_name="localhost/d1/?api-version=2020-09-30&model-id=dtmi:a:b;1")
    await device.publish(EVENTS)
    assert (await messages(hub))[0].annotations["dt-dataschema"] == "dtmi:a:b;1"
    assert (await hub.twins.get("d1")).twin.model_id == "dtmi:a:b;1"


# ---------------------------------------------------------------- the life of a connection


async def test_a_second_connection_ends_the_first(device: Device, hub: ServedHub) -> None:
    await device.connect("d1", TOKEN)
    async with dialled_again(device) as second:
        assert (await second.connect("d1", TOKEN)).return_code == 0
        assert await device.hear() is None
        await second.publish(EVENTS)
        assert (await hub.registry.get("d1")).connection_state is ConnectionState.CONNECTED


@pytest.mark.parametrize("what", ["disable", "rekey", "delete"])
async def test_cut_off_at_once(device: Device, hub: ServedHub, what: str) -> None:
    await device.connect("d1", TOKEN)
    if what == "delete":
        await hub.registry.delete("d1", expected_etag=None)
    else:
        status = DeviceStatus.DISABLED if what == "disable" else DeviceStatus.ENABLED
        keys = KEYS if what == "disable" else None
        await hub.registry.update(IdentityWrite(device_id="d1", authentication=keys, status=status), expected_etag=None)
    assert await device.hear() is None


async def test_a_token_ends(device: Device, hub: ServedHub, clock: ManualClock) -> None:
    expiry = clock.now() - timedelta(minutes=5) + timedelta(seconds=0.2)
    # Whole seconds: the tolerance of five minutes ends within this one.
    token = device_token("d1", b"1" * 32, int(expiry.timestamp()) + 1)
    assert (await device.connect("d1", token)).return_code == 0
    clock.pass_seconds(2)
    device.say(Publish(topic=EVENTS, payload=b"wakes the loop"))
    assert await device.hear() is None


# ---------------------------------------------------------------- subscriptions and twin


async def test_which_filters_are_granted(device: Device) -> None:
    await device.connect("d1", TOKEN)
    granted = await device.subscribe(
        "devices/d1/messages/devicebound/#",
        "$iothub/twin/res/#",
        "$iothub/twin/PATCH/properties/desired/#",
        "$iothub/methods/POST/#",
        "devices/d2/messages/devicebound/#",
        "#",
    )
    assert granted == (1, 1, 1, 1, 0x80, 0x80)


async def test_the_twin(device: Device, hub: ServedHub) -> None:
    await device.connect("d1", TOKEN)
    await device.subscribe("$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#")
    await device.publish("$iothub/twin/GET/?$rid=7", b" ", qos=0)
    answer = await device.expect(Publish)
    assert (answer.topic, answer.qos) == ("$iothub/twin/res/200/?$rid=7", 0)
    assert msgspec.json.decode(answer.payload) == {"desired": {"$version": 1}, "reported": {"$version": 1}}

    await device.publish("$iothub/twin/PATCH/properties/reported/?$rid=abc-1", b'{"fw":"1.0"}', qos=0)
    answer = await device.expect(Publish)
    assert (answer.topic, answer.payload) == ("$iothub/twin/res/204/?$rid=abc-1&$version=2", b"")
    assert (await hub.twins.get("d1")).twin.reported.content == {"fw": "1.0"}

    for body, query, status in [
        (b'{"a.b":1}', "", 400),
        (b"nonsense", "", 400),
        (b"[1]", "", 400),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "", 400),
        (b'{"a":1}', "&$version=9", 412),
    ]:
        await device.publish(f"$iothub/twin/PATCH/properties/reported/?$rid=9{query}", body, qos=0)
        answer = await device.expect(Publish)
        assert answer.topic == f"$iothub/twin/res/{status}/?$rid=9"
        assert msgspec.json.decode(answer.payload)["errorCode"] // 1000 == status

    await hub.twins.patch("d1", tags={"unseen": 1}, desired={"x": 1, "y": None}, expected_version=None)
    told = await device.expect(Publish)
    assert told.topic == "$iothub/twin/PATCH/properties/desired/?$version=2"
    assert msgspec.json.decode(told.payload) == {"x": 1, "y": None, "$version": 2}


async def test_who_does_not_listen_is_not_told(device: Device, hub: ServedHub) -> None:
    await device.connect("d1", TOKEN)
    await device.publish("$iothub/twin/GET/?$rid=1")
    await hub.twins.patch("d1", tags=None, desired={"x": 1}, expected_version=None)
    assert await device.subscribe("$iothub/twin/res/#") == (1,)  # nothing else was heard before this


async def test_subscriptions_survive_for_those_who_ask(device: Device, hub: ServedHub) -> None:
    desired = "$iothub/twin/PATCH/properties/desired/#"
    assert not (await device.connect("d1", TOKEN, clean_session=False)).session_present
    await device.subscribe(desired)
    await device.leave()
    async with dialled_again(device) as second:
        assert (await second.connect("d1", TOKEN, clean_session=False)).session_present
        await hub.twins.patch("d1", tags=None, desired={"x": 1}, expected_version=None)
        assert (await second.expect(Publish)).topic.endswith("?$version=2")
        await second.leave()
    async with dialled_again(device) as third:
        assert not (await third.connect("d1", TOKEN, clean_session=True)).session_present
        await third.leave()
    async with dialled_again(device) as fourth:
        assert not (await fourth.connect("d1", TOKEN, clean_session=False)).session_present


async def test_a_recreated_device_inherits_nothing(device: Device, hub: ServedHub, clock: ManualClock) -> None:
    await device.connect("d1", TOKEN, clean_session=False)
    await hub.registry.delete("d1", expected_etag=None)
    assert await device.hear() is None
    clock.pass_seconds(1)
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    async with dialled_again(device) as second:
        assert not (await second.connect("d1", TOKEN, clean_session=False)).session_present
