# Made by scripts/unasync.py: change its twin in _async instead.
"""Cloud-to-device messages over AMQP in a WebSocket."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from homeport.client import (
    Acknowledgement,
    BadRequestError,
    CloudToDeviceMessage,
    NotFoundError,
    ProvisioningServiceError,
    ThrottledError,
    TransportError,
    UnauthorizedError,
)
from homeport.client._sync.hub import HubClient
from homeport.client._sync.message_sender import MessageSender
from homeport.proto.amqp import AmqpValue, Error, Symbol, Timestamp
from homeport.security.sas import decode_key, parse_token, verify_signature
from tests.unit.client.scripted_hub import ScriptedHub

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
HI = CloudToDeviceMessage(body=b"hi")


def client(hub: ScriptedHub, ca_file: Path) -> HubClient:
    text = f"HostName=localhost:{hub.port};SharedAccessKeyName=service;SharedAccessKey={KEY}"
    return HubClient.create_from_connection_string(text, ca_file=ca_file, timeout=5.0)


def test_what_is_sent(server_context: ssl.SSLContext, ca_file: Path) -> None:
    expiry = datetime(2026, 1, 1, tzinfo=UTC)
    message = CloudToDeviceMessage(
        body=b"\x00\x01",
        message_id="m1",
        correlation_id="c1",
        user_id="u1",
        content_type="application/json",
        content_encoding="utf-8",
        expiry_time=expiry,
        acknowledgement=Acknowledgement.NEGATIVE,
        properties={"a b": "ä"},
    )
    with ScriptedHub(server_context) as hub, client(hub, ca_file) as service, service.message_sender() as sender:
        sender.send("d#1", message)
        sender.send("d1", HI, module_id="m")
    first, second = hub.requests
    assert first.properties is not None
    assert first.properties.to == "/devices/d#1/messages/devicebound"
    assert (first.properties.message_id, first.properties.correlation_id) == ("m1", "c1")
    assert first.properties.user_id == b"u1"
    assert first.properties.absolute_expiry_time == Timestamp.of(expiry)
    assert first.application_properties == {"a b": "ä", "iothub-ack": "negative"}
    assert first.data == b"\x00\x01"
    assert second.properties is not None
    assert second.properties.to == "/devices/d1/modules/m/messages/devicebound"
    assert second.application_properties is None
    # One connection, proven once, by a token of the policy.
    (token,) = hub.tokens
    assert isinstance(token.body, AmqpValue)
    told = parse_token(str(token.body.value))
    assert (told.policy, told.resource) == ("service", "localhost")
    assert verify_signature(told, decode_key(KEY))
    assert len(hub.opened) == 1


def refusal(sender: MessageSender, kind: type[ProvisioningServiceError]) -> ProvisioningServiceError:
    with pytest.raises(kind) as refused:
        sender.send("d1", HI)
    return refused.value


REFUSALS = [
    ("amqp:not-found", NotFoundError, 404),
    ("amqp:resource-limit-exceeded", ThrottledError, 403),
    ("amqp:link:message-size-exceeded", BadRequestError, 413),
    ("com.microsoft:argument-error", BadRequestError, 400),
    ("x:unheard-of", ProvisioningServiceError, 500),
]


@pytest.mark.parametrize(("condition", "kind", "status"), REFUSALS)
def test_a_refused_message(
    condition: str,
    kind: type[ProvisioningServiceError],
    status: int,
    server_context: ssl.SSLContext,
    ca_file: Path,
) -> None:
    error = Error(condition=condition, description="why", info={Symbol("com.microsoft:tracking-id"): "t-1"})
    hub = ScriptedHub(server_context, verdicts=[error, None])
    with hub, client(hub, ca_file) as service, service.message_sender() as sender:
        refused = refusal(sender, kind)
        sender.send("d1", HI)  # the connection is as good as before
    assert type(refused) is kind
    told = "the hub has no d1, or its device is disabled" if status == 404 else "why"
    assert (refused.status, refused.message, refused.tracking_id) == (status, told, "t-1")
    assert len(hub.opened) == 1


def test_a_token_that_is_not_taken_in(server_context: ssl.SSLContext, ca_file: Path) -> None:
    hub = ScriptedHub(server_context, statuses=[401])
    with hub, pytest.raises(UnauthorizedError, match="said 401"), client(hub, ca_file) as service:
        service.send_message("d1", HI)
    assert hub.requests == []


def test_a_link_that_is_refused(server_context: ssl.SSLContext, ca_file: Path) -> None:
    unauthorized = Error(condition="amqp:unauthorized-access", description="no ServiceConnect")
    hub = ScriptedHub(server_context, link_errors=[None, None, unauthorized])
    with hub, pytest.raises(UnauthorizedError, match="no ServiceConnect"), client(hub, ca_file) as service:
        service.send_message("d1", HI)


def no_answer(sender: MessageSender) -> None:
    with pytest.raises(TransportError):
        sender.send("d1", HI)


def test_a_broken_connection_is_opened_again_by_the_next_message(server_context: ssl.SSLContext, ca_file: Path) -> None:
    hub = ScriptedHub(server_context, verdicts=[ScriptedHub.HANG_UP, None])
    with hub, client(hub, ca_file) as service, service.message_sender() as sender:
        no_answer(sender)
        sender.send("d1", HI)
    assert len(hub.opened) == 2


def test_nobody_listens(ca_file: Path) -> None:
    text = f"HostName=localhost:9;SharedAccessKeyName=service;SharedAccessKey={KEY}"
    with HubClient.create_from_connection_string(text, ca_file=ca_file) as service, pytest.raises(TransportError):
        service.send_message("d1", HI)
