"""Which site and which front-end answers."""

from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from homeport.net.amqp_handlers import AmqpConnection, AmqpHandler, AmqpOpening, SaslExchange
from homeport.net.sites import HttpFrontEnd, MqttFrontEnd, MqttLink, MqttSession, Site, Sites, raw_path
from homeport.net.stream import Peer
from homeport.proto.amqp import Error, SaslInit
from homeport.proto.mqtt import Connect


class Prefix:
    """Owns what begins with a prefix, over HTTP and MQTT."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def owns(self, method: str, path: str) -> bool:
        return path.startswith(self.prefix)

    async def handle(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        return web.Response()


class User:
    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def owns(self, connect: Connect) -> bool:
        return (connect.user_name or "").startswith(self.prefix)

    async def connect(self, connect: Connect, peer: Peer, link: MqttLink) -> MqttSession | int:
        return 5


class Word:
    """Owns AMQP clients whose identity, host name or address begins with a word; before an address it cannot tell."""

    def __init__(self, word: str, *mechanisms: str) -> None:
        self.word = word
        self.mechanisms = mechanisms

    def owns(self, opening: AmqpOpening) -> bool | None:
        said = [each for each in (opening.identity, opening.address) if each is not None]
        return any(each.startswith(self.word) for each in said) if said else None

    async def authenticate(self, init: SaslInit, peer: Peer, exchange: SaslExchange) -> object | None:
        return None

    async def connect(
        self, opening: AmqpOpening, identity: object | None, peer: Peer, connection: AmqpConnection
    ) -> AmqpHandler | Error:
        return Error(condition="x:no")


DPS = Site(names=frozenset({"dps.example", "localhost"}), http=(Prefix("/scope"),), mqtt=(User("scope/"),))
HUB = Site(
    names=frozenset({"Hub.Example", "localhost", "127.0.0.2"}),
    http=(Prefix("/devices"),),
    mqtt=(User("hub.example/"),),
    max_body=1_000_000,
)


@pytest.mark.parametrize(
    ("server_name", "host", "address", "expected"),
    [
        ("dps.example", None, "127.0.0.1", {DPS}),
        ("hub.example", "dps.example", "127.0.0.1", {HUB}),
        (None, "dps.example:443", "127.0.0.2", {DPS}),
        (None, "HUB.EXAMPLE.", "127.0.0.1", {HUB}),
        ("unknown.example", "hub.example:8443", "127.0.0.1", {HUB}),
        ("unknown.example", "unknown.example", "127.0.0.2", {HUB}),
        (None, None, "127.0.0.2", {HUB}),
        ("localhost", None, "127.0.0.1", {DPS, HUB}),
        ("unknown.example", None, "127.0.0.1", set()),
        (None, "[::1]:443", "127.0.0.1", set()),
    ],
)
def test_names_choose_the_site(server_name: str | None, host: str | None, address: str, expected: set[Site]) -> None:
    site = Sites([DPS, HUB]).resolve(server_name, host, address)
    assert set(site.http) == {front_end for each in expected for front_end in each.http}
    assert set(site.mqtt) == {front_end for each in expected for front_end in each.mqtt}


def test_an_ipv6_host_is_a_name_too() -> None:
    site = Site(names=frozenset({"::1"}), http=(cast("HttpFrontEnd", Prefix("/")),))
    assert Sites([site]).resolve(None, "[::1]:443", "127.0.0.1") is site


def test_the_default_answers_the_unknown() -> None:
    sites = Sites([DPS, HUB], default="dps.example")
    assert sites.resolve("unknown.example", None, "10.0.0.1") is DPS
    assert sites.resolve("hub.example", None, "10.0.0.1") is HUB


def test_sites_come_and_go() -> None:
    sites = Sites([DPS])
    assert sites.resolve("hub.example", None, "").http == ()
    sites.add(HUB)
    assert sites.resolve("hub.example", None, "") is HUB
    shared = sites.resolve("localhost", None, "")
    assert shared.http == (*DPS.http, *HUB.http)
    assert shared.max_body == HUB.max_body
    assert (sites.max_body(DPS.http[0]), sites.max_body(HUB.http[0])) == (DPS.max_body, HUB.max_body)
    sites.remove(HUB)
    assert sites.resolve("hub.example", None, "").http == ()
    assert sites.resolve("localhost", None, "") is DPS
    with pytest.raises(ValueError, match="not being served"):
        sites.remove(HUB)


def test_the_path_decides_between_front_ends() -> None:
    sites = Sites([DPS, HUB])
    shared = sites.resolve("localhost", None, "")
    assert sites.find_http(shared, "PUT", "/scope/registrations/a/register") is DPS.http[0]
    assert sites.find_http(shared, "GET", "/devices/a") is HUB.http[0]
    assert sites.find_http(shared, "GET", "/other") is None
    assert sites.find_http(DPS, "GET", "/devices/a") is None


def test_the_claim_decides_even_against_the_name() -> None:
    """Contract hub.md 13.2: no rejection because the TLS name is another one."""
    sites = Sites([DPS, HUB])
    hub_claim = Connect(client_id="a", user_name="hub.example/a/?api-version=2021-04-12")
    dps_claim = Connect(client_id="a", user_name="scope/registrations/a/api-version=2019-03-31")
    found: MqttFrontEnd | None = sites.find_mqtt(DPS, hub_claim)
    assert found is HUB.mqtt[0]
    assert sites.find_mqtt(HUB, dps_claim) is DPS.mqtt[0]
    assert sites.find_mqtt(sites.resolve("nobody", None, ""), dps_claim) is DPS.mqtt[0]
    assert sites.find_mqtt(HUB, Connect(client_id="a", user_name="what/else")) is None
    assert sites.find_mqtt(HUB, Connect(client_id="a")) is None


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/devices/a%3ab?api-version=1", "/devices/a%3ab"),
        ("/devices/a:b%24%2F$", "/devices/a:b%24%2F$"),
        ("/", "/"),
        ("https://hub.example/devices/%7e?x=/y", "/devices/%7e"),
        ("https://hub.example", "/"),
        ("*", "*"),
    ],
)
def test_raw_path(target: str, expected: str) -> None:
    assert raw_path(make_mocked_request("GET", target)) == expected


SCOPE, HUB_1, HUB_2 = Word("scope", "PLAIN", "TPM"), Word("hub1", "ANONYMOUS", "PLAIN"), Word("hub2", "ANONYMOUS")
AMQP_SITES = [
    Site(names=frozenset({"localhost"}), amqp=(SCOPE,)),
    Site(names=frozenset({"localhost"}), amqp=(HUB_1,)),
    Site(names=frozenset({"hub2.example"}), amqp=(HUB_2,)),
]


@pytest.mark.parametrize(
    ("name", "opening", "expected"),
    [
        ("localhost", AmqpOpening(hostname="localhost"), [SCOPE, HUB_1]),
        ("localhost", AmqpOpening(hostname="localhost", address="hub1/x"), [HUB_1]),
        ("localhost", AmqpOpening(hostname="localhost", address="hub2/x"), [HUB_2]),
        ("localhost", AmqpOpening(hostname="localhost", address="nobody"), []),
        ("localhost", AmqpOpening(mechanism="TPM"), [SCOPE]),
        ("localhost", AmqpOpening(mechanism="ANONYMOUS"), [HUB_1]),
        ("localhost", AmqpOpening(mechanism="PLAIN", identity="hub1@x"), [HUB_1]),
        ("localhost", AmqpOpening(mechanism="PLAIN", identity="hub2@x"), []),
        ("hub2.example", AmqpOpening(hostname="hub2.example"), [HUB_2]),
        ("hub2.example", AmqpOpening(mechanism="PLAIN", identity="scope/x"), [SCOPE]),
    ],
)
def test_whose_amqp_client_it_is(name: str, opening: AmqpOpening, expected: list[Word]) -> None:
    sites = Sites(AMQP_SITES)
    assert list(sites.find_amqp(sites.resolve(name, None, "127.0.0.1"), opening)) == expected


def test_the_mechanisms_of_all_who_share_a_name() -> None:
    sites = Sites([*AMQP_SITES, DPS])
    assert sites.mechanisms(sites.resolve("localhost", None, "127.0.0.1")) == ("PLAIN", "TPM", "ANONYMOUS")
    assert sites.mechanisms(sites.resolve("hub2.example", None, "127.0.0.1")) == ("ANONYMOUS",)
    # Where nobody speaks AMQP: whatever another name's front-end takes, as for MQTT.
    assert sites.mechanisms(sites.resolve("dps.example", None, "127.0.0.1")) == ("PLAIN", "TPM", "ANONYMOUS")
