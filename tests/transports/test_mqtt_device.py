"""Devices over MQTT: user names, topics and order of contract dps.md 4, as the official clients have them."""

import json
from collections.abc import AsyncIterator, Awaitable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from homeport.dps.frontends.mqtt import DeviceMqttFrontEnd, DeviceMqttSession
from homeport.net.stream import Address, Peer, TransportName
from homeport.proto.mqtt import Connect, Publish, RemoteProtocolError
from tests.transports.world import KEY, SCOPE, World, new_world, token

REGISTER = "$dps/registrations/PUT/iotdps-register/?$rid="
STATUS = "$dps/registrations/GET/iotdps-get-operationstatus/?$rid="
PYTHON = "azure-iot-device-provisioning-py%2F2.14.0%28x%29"


@dataclass
class Link:
    """What the session did to its connection, in order."""

    said: list[Any] = field(default_factory=list)

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, dup: bool = False, retain: bool = False
    ) -> Awaitable[bool]:
        self.said.append((topic, json.loads(payload), qos))
        return _sent()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        work.close()

    def abort(self) -> None:
        self.close()

    def close(self) -> None:
        self.said.append("closed")

    def ack(self) -> None:
        self.said.append("acknowledged")


class _Sent:
    def __await__(self) -> Any:
        yield from ()
        return True


def _sent() -> Awaitable[bool]:
    return _Sent()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with new_world() as fresh:
        await fresh.enroll("dev-1")
        yield fresh


def connect(**options: Any) -> Connect:
    return Connect(
        **{
            "client_id": "dev-1",
            "user_name": f"{SCOPE}/registrations/dev-1/api-version=2019-03-31&ClientVersion={PYTHON}",
            "password": token("dev-1").encode(),
        }
        | options
    )


def peer(chain: tuple[bytes, ...] = (), transport: TransportName = "tls") -> Peer:
    return Peer(remote=Address("192.0.2.7", 1), local=Address("192.0.2.1", 8883), chain=chain, transport=transport)


async def session(world: World, link: Link, packet: Connect | None = None, **options: Any) -> DeviceMqttSession:
    accepted = await DeviceMqttFrontEnd(world.responder, world.clock).connect(
        packet or connect(), peer(**options), link
    )
    assert isinstance(accepted, DeviceMqttSession)
    return accepted


async def ask(asked: DeviceMqttSession, link: Link, topic: str, payload: bytes = b"") -> None:
    await asked.publish(Publish(topic=topic, payload=payload, qos=1, packet_id=1), link.ack)


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"payload":null,"registrationId":"dev-1"}', b'{"payload":{"a":1}}'])
async def test_register_is_acknowledged_first_and_answered_next(world: World, payload: bytes) -> None:
    link = Link()
    asked = await session(world, link)
    assert not asked.session_present
    assert await asked.subscribe([("$dps/registrations/res/#", 1)]) == [1]
    await ask(asked, link, REGISTER + "a-1", payload)
    puback, (topic, document, qos) = link.said
    assert puback == "acknowledged"
    assert topic == "$dps/registrations/res/202/?$rid=a-1&retry-after=3"
    assert document["status"] == "assigned"
    assert document["registrationState"]["assignedHub"] == "alpha.example"
    assert qos == 1


@pytest.mark.parametrize("payload", [b"", b" ", b'{"registrationId":"dev-1"}'])
@pytest.mark.parametrize("encoded", [False, True])
async def test_the_operation_is_polled(world: World, payload: bytes, encoded: bool) -> None:
    link = Link()
    asked = await session(world, link)
    await ask(asked, link, REGISTER + "1")
    operation = link.said[1][1]["operationId"]
    spelt = operation.replace(".", "%2E") if encoded else operation
    await ask(asked, link, f"{STATUS}2&operationId={spelt}", payload)
    topic, document, qos = link.said[-1]
    assert topic == "$dps/registrations/res/200/?$rid=2"
    assert document["operationId"] == operation
    assert qos == 0, "nobody subscribed"


async def test_a_bad_token_is_answered_on_the_topic(world: World) -> None:
    link = Link()
    asked = await session(world, link, connect(password=token("dev-1", b"x" * 32).encode()))
    await ask(asked, link, REGISTER + "1")
    topic, document, _ = link.said[-1]
    assert topic == "$dps/registrations/res/401/?$rid=1"
    assert (document["errorCode"], document["message"]) == (401002, "Unauthorized")
    assert (await world.database.attempts.find(document["trackingId"])) is not None


@pytest.mark.parametrize("password", [b"\xff\xfe", b"not a token", None, b""])
async def test_junk_for_a_password_is_answered_on_the_topic_too(world: World, password: bytes | None) -> None:
    link = Link()
    await ask(await session(world, link, connect(password=password)), link, REGISTER + "1")
    assert link.said[-1][1]["errorCode"] == 401002


@pytest.mark.parametrize(
    ("user_name", "client_id"),
    [
        (f"{SCOPE}/registrations/dev-1", "dev-1"),
        (f"{SCOPE}/registrations/dev-1/", "dev-1"),
        (f"{SCOPE}/registrations/d*v/api-version=2019-03-31", "d*v"),
        (f"{SCOPE}/registrations/dev-1/api-version=2019-03-31", "dev-2"),
        (f"{SCOPE}/registrations/dev-1/x/api-version=2019-03-31", "dev-1"),
    ],
)
async def test_malformed_claims_are_refused_while_connecting(world: World, user_name: str, client_id: str) -> None:
    front_end = DeviceMqttFrontEnd(world.responder, world.clock)
    packet = connect(user_name=user_name, client_id=client_id)
    assert await front_end.connect(packet, peer(), Link()) == 5


@pytest.mark.parametrize("version", ["", "latest"])
async def test_a_wrong_api_version_is_a_bad_request(world: World, version: str) -> None:
    link = Link()
    packet = connect(user_name=f"{SCOPE}/registrations/dev-1/api-version={version}")
    await ask(await session(world, link, packet), link, REGISTER + "1")
    assert link.said[-1][1]["errorCode"] == 400000


@pytest.mark.parametrize(
    "topic", ["x", "$dps/registrations/PUT/iotdps-register/", "$dps/registrations/PUT/other/?$rid=1", REGISTER[:-5]]
)
async def test_an_unknown_topic_closes_the_connection(world: World, topic: str) -> None:
    link = Link()
    connected = await session(world, link)
    with pytest.raises(RemoteProtocolError, match="topic"):
        await ask(connected, link, topic)
    assert link.said == []


async def test_only_the_response_topic_can_be_subscribed(world: World) -> None:
    asked = await session(world, Link())
    filters = [("#", 1), ("$dps/registrations/res/#", 2), ("$dps/registrations/res/#", 0)]
    assert await asked.subscribe(filters) == [0x80, 1, 0]


async def test_only_java_is_made_to_wait(world: World) -> None:
    for version, pause in ((PYTHON, 0), ("2019-03-31", 0.05), ("com.microsoft.azure.sdk.iot.dps%2F1.0", 0.05)):
        link = Link()
        packet = connect(user_name=f"{SCOPE}/registrations/dev-1/api-version=2019-03-31&ClientVersion={version}")
        asked = await session(world, link, packet)
        before = world.clock.now()
        await ask(asked, link, REGISTER + "1")
        assert (world.clock.now() - before).total_seconds() == pause


async def test_transport_and_client_are_on_record(world: World) -> None:
    link = Link()
    await ask(await session(world, link, transport="websocket"), link, REGISTER + "1")
    attempt = (await world.database.attempts.latest("dev-1", limit=1))[0]
    assert attempt.transport == "mqtt-ws"
    assert attempt.client_version == "azure-iot-device-provisioning-py/2.14.0(x)"


async def test_answers_are_ascii(world: World) -> None:
    link = Link()
    raw: list[bytes] = []
    publish = link.publish

    def watched(topic: str, payload: bytes, **options: Any) -> Awaitable[bool]:
        raw.append(payload)
        return publish(topic, payload, **options)

    link.publish = watched  # type: ignore[method-assign]  # a wire tap
    await world.link_hub("beta")
    await world.enroll("dev-2", iot_hubs=("münchen.example",))
    packet = connect(
        client_id="dev-2",
        user_name=f"{SCOPE}/registrations/dev-2/api-version=2019-03-31",
        password=token("dev-2", KEY).encode(),
    )
    await ask(await session(world, link, packet), link, REGISTER + "1")
    assert raw[0].isascii()
    assert "münchen" in link.said[-1][1]["registrationState"]["errorMessage"]


@pytest.mark.parametrize(
    ("user_name", "owned"),
    [
        (f"{SCOPE}/registrations/dev-1/api-version=2019-03-31", True),
        (f"{SCOPE}/registrations/dev-1", True),
        ("hub.example/registrations/?api-version=2021-04-12", False),
        ("hub.example/registrations/module/?api-version=2021-04-12", False),
        ("hub.example/dev-1/?api-version=2021-04-12", False),
        (None, False),
    ],
)
def test_a_hubs_device_is_not_ours(world: World, user_name: str | None, owned: bool) -> None:
    front_end = DeviceMqttFrontEnd(world.responder, world.clock)
    assert front_end.owns(connect(user_name=user_name, password=None)) is owned
