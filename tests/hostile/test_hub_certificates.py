"""Certificates of every bad kind at a hub whose devices come in by their chains: refused, and the log says why."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from homeport.proto.mqtt import ConnAck, Connect, ReturnCode, encode
from tests.hostile.devices import Packets
from tests.hostile.forge import Forged, client_context, forge, named
from tests.hostile.target import MQTT, Target, unique

VERSION = "api-version=2021-04-12"


def hub_path(name: str) -> str:
    return f"/homeport/hubs/hub1/certificates/{name}"


def administer(target: Target, method: str, path: str, document: Any = None) -> int:
    body = b"" if document is None else json.dumps(document).encode()
    return target.ask(method, path, body, {"Authorization": target.owner_token()}).status


@pytest.fixture(scope="module")
def root(target: Target) -> Iterator[Forged]:
    """A root that the hub trusts."""
    root, name = forge(unique("hub root"), ca=True), unique("root")
    upload = {"properties": {"certificate": root.pem, "isVerified": True}}
    assert administer(target, "PUT", hub_path(name), upload) == 200
    yield root
    assert administer(target, "DELETE", hub_path(name)) == 204


@pytest.fixture(scope="module")
def device(target: Target) -> str:
    device_id = unique("by-chain")
    body = json.dumps({"deviceId": device_id, "authentication": {"type": "certificateAuthority"}}).encode()
    owner = {"Authorization": target.hub_owner_token()}
    assert target.ask("PUT", f"/devices/{device_id}?{VERSION}", body, owner).status == 200
    return device_id


def connects(target: Target, device_id: str, leaf: Forged, chain: Sequence[Forged] = ()) -> bool:
    """Connect over MQTT; tells whether the hub let the device in."""
    with target.connect(MQTT, client_context(target.ca_file, leaf, chain)) as connection:
        hello = Connect(client_id=device_id, user_name=f"{target.host}/{device_id}/?{VERSION}", clean_session=True)
        connection.sendall(encode(hello))
        answer = Packets(connection).next()
    assert isinstance(answer, ConnAck)
    assert answer.return_code in {ReturnCode.ACCEPTED, ReturnCode.NOT_AUTHORIZED}
    return answer.return_code == ReturnCode.ACCEPTED


def test_sound_chains(target: Target, root: Forged, device: str) -> None:
    line = forge("line", root, ca=True, path_length=0)
    for chain in ([line], [root, line], [line, line, line]):
        assert connects(target, device, forge(device, line), chain)


def test_unsound_chains(target: Target, root: Forged, device: str) -> None:
    line, short = forge("line", root, ca=True), forge("short", root, ca=True, path_length=0)
    below, no_ca = forge("below", short, ca=True), forge("no CA", root, ca=False)
    twin = forge(root.name, ca=True)
    size = target.log_size()
    for leaf, chain in (
        (forge(device), []),
        (forge(device, twin), [twin]),
        (forge(device, line), []),
        (forge(device, below), [below, short]),
        (forge(device, no_ca), [no_ca]),
        (forge(device, root, days=(-30, -3)), []),
        (forge(device, root, days=(3, 30)), []),
        (forge(named(device, device), root), []),
        (forge(named(device.upper()), root), []),
        (forge(named(f"{device} "), root), []),
        (forge(named("a\r\nb"), root), []),
    ):
        assert not connects(target, device, leaf, chain)
    told = [line for line in target.log_since(size).splitlines() if f"device '{device}' refused" in line]
    assert len(told) == 11
    assert all(line.isprintable() for line in told)


def test_a_crowd_of_authorities_with_one_name(target: Target, root: Forged, device: str) -> None:
    crowd = [forge(root.name, ca=True) for _ in range(8)]
    assert not connects(target, device, forge(device, crowd[0]), crowd)
    target.register_a_normal_device()


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"properties": {}},
        {"properties": {"certificate": 1}},
        {"properties": {"certificate": "A" * 60_000}},
        {"properties": {"certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"}},
        {"properties": {"certificate": forge("leaf").pem, "isVerified": True}},
    ],
    ids=["empty", "none", "number", "long", "broken", "no CA"],
)
def test_what_cannot_be_uploaded(target: Target, document: Any) -> None:
    assert administer(target, "PUT", hub_path("x"), document) == 400
    assert administer(target, "GET", hub_path("x")) == 404


def test_names_in_paths(target: Target) -> None:
    upload = {"properties": {"certificate": forge("any", ca=True).pem}}
    for name in ("%00", "a%2Fb", "..", "%2e%2e", "a" * 65, "é", "%C3%A9", "a%20b"):
        assert administer(target, "PUT", hub_path(name), upload) in {400, 404}


@pytest.mark.parametrize(
    "document",
    [
        {"defaultTtlAsIso8601": "P1Y"},
        {"defaultTtlAsIso8601": "1 h"},
        {"defaultTtlAsIso8601": "-PT1H"},
        {"maxDeliveryCount": 10**30},
        {"maxDeliveryCount": "ten"},
        {"feedback": {"lockDurationAsIso8601": "PT0S"}},
        {"feedback": []},
    ],
)
def test_settings_that_cannot_be(target: Target, document: Any) -> None:
    before = target.ask("GET", "/homeport/hubs/hub1/cloudToDevice", b"", {"Authorization": target.owner_token()}).body
    assert administer(target, "PUT", "/homeport/hubs/hub1/cloudToDevice", document) == 400
    after = target.ask("GET", "/homeport/hubs/hub1/cloudToDevice", b"", {"Authorization": target.owner_token()}).body
    assert after == before
