"""Clients of a hub over AMQP that are not who they say, or want too much: refused, and no harm to others."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from homeport.proto.amqp import (
    BATCH_FORMAT,
    AmqpValue,
    Attach,
    Attached,
    Begin,
    Begun,
    Data,
    Delivery,
    Detached,
    Disposed,
    Flow,
    Link,
    LinkRole,
    Message,
    Open,
    Opened,
    Properties,
    Rejected,
    Source,
    Transfer,
    decode_message,
    encode_message,
)
from homeport.proto.amqp import Target as Terminus
from tests.hostile.amqp_clients import Client, stranger
from tests.hostile.devices import enrolled
from tests.hostile.target import Target

UNAUTHORIZED = "amqp:unauthorized-access"


@pytest.fixture(scope="module")
def device(target: Target) -> tuple[str, str]:
    return enrolled(target, "amqp")


@pytest.fixture(scope="module")
def victim(target: Target) -> tuple[str, str]:
    return enrolled(target, "victim")


@contextmanager
def connected(target: Target) -> Iterator[tuple[Client, Link]]:
    """A client that has opened $cbs, which everybody may."""
    with stranger(target) as client:
        client.say(Open(hostname=target.host))
        client.until(Opened)
        client.session = client.engine.new_session()
        client.say(Begin(session=client.session))
        client.until(Begun)
        back = client.engine.new_link(client.session, "back", LinkRole.RECEIVER)
        client.say(Attach(link=back, source=Source(address="$cbs"), target=Terminus()), Flow(link=back, credit=1000))
        yield client, sender(client, "$cbs")


def sender(client: Client, address: str) -> Link:
    """Attach a link to send on, and wait for credit or for its end."""
    link = client.engine.new_link(client.session, f"to {address}"[:200], LinkRole.SENDER)
    client.say(Attach(link=link, source=Source(), target=Terminus(address=address)))
    while not (link.credit and link.open):
        event = client.hear()
        assert event is not None
        if isinstance(event, Detached):
            break
    return link


def put(client: Client, cbs: Link, token: Any) -> int:
    """Put a token and return the status."""
    asked = Message(
        properties=Properties(message_id="1"),
        application_properties={"operation": "put-token"},
        body=AmqpValue(token),
    )
    client.say(Transfer(link=cbs, data=encode_message(asked)))
    answer = decode_message(client.until(Delivery).data)
    return int((answer.application_properties or {})["status-code"])


def refused(client: Client, address: str, role: LinkRole = LinkRole.SENDER) -> str:
    """Attach a link that is not to be; return the condition."""
    link = client.engine.new_link(client.session, f"no {address}"[:200], role)
    client.say(
        Attach(link=link, source=Source(address=address), target=Terminus(address=address)),
    )
    client.until(Attached)
    gone = client.until(Detached)
    assert gone.error is not None
    return str(gone.error.condition)


def test_links_of_others(target: Target, device: tuple[str, str], victim: tuple[str, str]) -> None:
    with connected(target) as (client, cbs):
        assert refused(client, f"devices/{device[0]}/messages/events") == UNAUTHORIZED
        assert put(client, cbs, target.hub_device_token(*device)) == 200
        for address in (
            f"devices/{victim[0]}/messages/events",
            f"/devices/{victim[0]}/twin",
            f"devices/{device[0]}%2F..%2F{victim[0]}/twin",
            f"devices/{device[0]}/modules/{victim[0]}/twin",
            f"devices/{device[0].upper()}/twin",
        ):
            for role in LinkRole:
                assert refused(client, address, role) in {UNAUTHORIZED, "amqp:not-found"}
        for address in ("messages/devicebound", "a" * 5000, "devices/" + "a" * 200 + "/twin", "//", "devices"):
            assert refused(client, address)
    assert target.registry.telemetry_count(victim[0]) == 0


def test_tokens_of_all_kinds(target: Target, device: tuple[str, str], victim: tuple[str, str]) -> None:
    genuine = target.hub_device_token(*device)
    with connected(target) as (client, cbs):
        for token in (
            "",
            "x" * 10_000,
            "SharedAccessSignature ",
            genuine.replace("sig=", "sig=A"),
            genuine.replace(device[0], victim[0]),
            genuine + "&se=4102444800",
            genuine + "\0",
            genuine[: len(genuine) // 2],
            None,
            5,
            [genuine],
            {"token": genuine},
        ):
            assert put(client, cbs, token) in {400, 401}
        assert refused(client, f"devices/{device[0]}/twin") == UNAUTHORIZED
        assert put(client, cbs, genuine) == 200


def test_a_token_larger_than_any(target: Target) -> None:
    with connected(target) as (client, cbs):
        cbs.peer_max_message_size = 0  # what was announced
        client.say(Transfer(link=cbs, data=encode_message(Message(body=AmqpValue("x" * 100_000)))))
        gone = client.until(Detached)
        assert gone.error is not None
        assert gone.error.condition == "amqp:link:message-size-exceeded"


def test_secrets_stay_out_of_the_log(target: Target, device: tuple[str, str]) -> None:
    size = target.log_size()
    token = target.hub_device_token(*device).replace("sig=", "sig=B")
    with connected(target) as (client, cbs):
        assert put(client, cbs, token) in {400, 401}
    assert token.split("sig=")[1].split("&")[0] not in target.log_since(size)


def test_absurd_telemetry(target: Target, device: tuple[str, str]) -> None:
    with connected(target) as (client, cbs):
        assert put(client, cbs, target.hub_device_token(*device)) == 200
        link = sender(client, f"devices/{device[0]}/messages/events")
        empty = encode_message(Message(body=Data((b"",))))
        for data, message_format in (
            (b"", BATCH_FORMAT),
            (b"\xff" * 1000, 0),
            (encode_message(Message(body=Data((empty,) * 20_000))), BATCH_FORMAT),
            (encode_message(Message(body=Data((empty, b"\x00\x53\x75\xa0\xff")))), BATCH_FORMAT),
            (encode_message(Message(body=AmqpValue([[[1]]]))), 0),
        ):
            client.say(Transfer(link=link, data=data, message_format=message_format))
            assert isinstance(client.until(Disposed).state, Rejected)
        assert target.registry.telemetry_count(device[0]) == 0
        client.say(Transfer(link=link, data=empty))
        client.until(Disposed)
    assert target.registry.telemetry_count(device[0]) == 1
