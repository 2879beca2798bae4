# Made by scripts/unasync.py: change its twin in _async instead.
"""A device registers over AMQP, plain and in a WebSocket."""

import base64
import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from homeport.client import (
    RegistrationTimeoutError,
    SymmetricKeySecurityProvider,
    UnauthorizedError,
    UntrustedServerError,
    X509SecurityProvider,
)
from homeport.client._sync.device import ProvisioningDeviceClient, Transport
from homeport.client._sync.device_amqp import AmqpConversation
from homeport.client.errors import TransportError, UnexpectedAnswerError
from homeport.client.registration import TpmKeys
from homeport.client.trust import tls_context
from homeport.proto.amqp import Error, SaslCode, SaslOutcome, Source, Target, parse_plain
from homeport.security.sas import decode_key, parse_token, verify_signature
from tests.certificates import Certified
from tests.unit.client.scripted_amqp import ScriptedAmqpService
from tests.unit.client.scripted_stream import Reply

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
ADDRESS = "0ne00111111/registrations/d-1"
ASSIGNING = {"operationId": "5.1.a", "status": "assigning"}
ASSIGNED = {
    "operationId": "5.1.a",
    "status": "assigned",
    "registrationState": {
        "registrationId": "d-1",
        "status": "assigned",
        "assignedHub": "hub.example",
        "deviceId": "d-1",
        "payload": {"padding": "x" * 300},
    },
}
REFUSED = {"errorCode": 401002, "trackingId": "t-1", "message": "Unauthorized", "timestampUtc": "2026-01-01T00:00:00Z"}
REFUSAL = Error(condition="amqp:unauthorized-access", description=json.dumps(REFUSED))
THROTTLED = REFUSED | {"errorCode": 429001}

TRANSPORTS: list[Transport] = ["amqp", "amqp-ws"]


class Device:
    """A device whose waits are written down instead of waited."""

    def __init__(
        self, service: ScriptedAmqpService, ca_file: Path, transport: Transport = "amqp", provider: Any = None
    ) -> None:
        self.waits: list[float] = []
        self.client = ProvisioningDeviceClient.create(
            "localhost",
            "0ne00111111",
            provider or SymmetricKeySecurityProvider("d-1", KEY),
            transport=transport,
            port=service.port,
            ca_file=ca_file,
            pause=self.pause,
        )

    def pause(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.mark.parametrize("unsettled", [False, True])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_register_and_poll(
    transport: Transport, unsettled: bool, server_context: ssl.SSLContext, ca_file: Path
) -> None:
    replies = [Reply(status=202, body=ASSIGNING, retry_after=3), Reply(status=200, body=ASSIGNED)]
    with ScriptedAmqpService(replies, server_context, websocket=transport == "amqp-ws", unsettled=unsettled) as service:
        device = Device(service, ca_file, transport)
        result = device.client.register({"a": 1})
        (init,) = service.inits
        (opened,) = service.opened
        register, poll = service.requests
    assert result.assigned_hub == "hub.example"
    assert device.waits == [3.0]
    assert service.goodbyes == 1
    credentials = parse_plain(init.initial_response)
    assert credentials is not None
    assert (credentials.authorization_id, credentials.authentication_id) == ("", ADDRESS)
    assert verify_signature(parse_token(credentials.password), decode_key(KEY))
    assert opened.hostname == "localhost"
    receiver, sender = service.attached
    assert isinstance(receiver.source, Source)
    assert isinstance(sender.target, Target)
    assert (receiver.source.address, sender.target.address) == (ADDRESS, ADDRESS)
    assert receiver.properties == sender.properties == {"com.microsoft:api-version": "2021-06-01"}
    assert register.application_properties == {"iotdps-operation-type": "iotdps-register"}
    assert json.loads(register.data or b"") == {"registrationId": "d-1", "payload": {"a": 1}}
    assert poll.application_properties == {
        "iotdps-operation-type": "iotdps-get-operationstatus",
        "iotdps-operation-id": "5.1.a",
    }
    if transport == "amqp-ws":
        assert service.paths == ["/$iothub/websocket"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_certificate_needs_no_sasl(
    transport: Transport, authority: Certified, server_context: ssl.SSLContext, ca_file: Path, tmp_path: Path
) -> None:
    certificate, key = authority.issue("d-1").write(tmp_path)
    replies = [Reply(status=202, body=ASSIGNED)]
    with ScriptedAmqpService(replies, server_context, websocket=transport == "amqp-ws") as service:
        device = Device(service, ca_file, transport, X509SecurityProvider(certificate, key))
        device.client.register()
        assert service.common_names == ["d-1"]
        assert service.inits == []


def test_a_rejected_request(server_context: ssl.SSLContext, ca_file: Path) -> None:
    with (
        ScriptedAmqpService([Reply(status=401, body=REFUSED)], server_context) as service,
        pytest.raises(UnauthorizedError, match="t-1"),
    ):
        Device(service, ca_file).client.register()


@pytest.mark.parametrize(
    "refusal",
    [
        {"outcomes": [SaslOutcome(code=SaslCode.AUTH, additional_data=json.dumps(REFUSED).encode())]},
        {"open_errors": [REFUSAL]},
        {"link_errors": [REFUSAL]},
        {"link_errors": [None, REFUSAL]},
    ],
    ids=["SASL", "OPEN", "receiver", "sender"],
)
def test_refused_while_connecting(refusal: dict[str, Any], server_context: ssl.SSLContext, ca_file: Path) -> None:
    with (
        ScriptedAmqpService([], server_context, **refusal) as service,
        pytest.raises(UnauthorizedError, match="t-1") as caught,
    ):
        Device(service, ca_file).client.register()
    assert caught.value.code == 401002


def test_a_refusal_without_words(server_context: ssl.SSLContext, ca_file: Path) -> None:
    outcomes = [SaslOutcome(code=SaslCode.AUTH)]
    with (
        ScriptedAmqpService([], server_context, outcomes=outcomes) as service,
        pytest.raises(UnauthorizedError) as caught,
    ):
        Device(service, ca_file).client.register()
    assert caught.value.status == 401


def test_a_broken_connection_is_opened_again(server_context: ssl.SSLContext, ca_file: Path) -> None:
    replies = [
        Reply(status=0),
        Reply(status=429, body=THROTTLED, retry_after=5),
        Reply(status=202, body=ASSIGNING),
        Reply(status=0),
        Reply(status=200, body=ASSIGNED),
    ]
    outcomes = [SaslOutcome(code=SaslCode.SYS_TEMP)]
    with ScriptedAmqpService(replies, server_context, outcomes=outcomes) as service:
        device = Device(service, ca_file)
        assert (device.client.register()).device_id == "d-1"
        asked = [(each.application_properties or {})["iotdps-operation-type"] for each in service.requests]
        assert len(service.inits) == 4
    assert [each.removeprefix("iotdps-") for each in asked] == ["register"] * 3 + ["get-operationstatus"] * 2
    assert len(device.waits) == 5
    assert device.waits[2] >= 5


def test_no_long_pause_on_an_open_connection(server_context: ssl.SSLContext, ca_file: Path) -> None:
    replies = [Reply(status=202, body=ASSIGNING, retry_after=90), Reply(status=200, body=ASSIGNED)]
    with ScriptedAmqpService(replies, server_context) as service:
        device = Device(service, ca_file)
        device.client.register()
        assert len(service.inits) == 2
    assert device.waits == [90.0]


def test_no_service(server_context: ssl.SSLContext, ca_file: Path) -> None:
    with ScriptedAmqpService([], server_context) as service:
        device = Device(service, ca_file)
    with pytest.raises(RegistrationTimeoutError, match="no hub after 20 seconds") as caught:
        device.client.register(timeout=20)
    assert "AMQP with localhost" in str(caught.value.__cause__)


def test_an_untrusted_server_ends_it(server_context: ssl.SSLContext, ca_file: Path) -> None:
    with ScriptedAmqpService([], server_context) as service:
        client = ProvisioningDeviceClient.create(
            "localhost",
            "0ne00111111",
            SymmetricKeySecurityProvider("d-1", KEY),
            transport="amqp",
            port=service.port,
        )
        with pytest.raises(UntrustedServerError):
            client.register()


def test_a_service_without_the_mechanism(server_context: ssl.SSLContext, ca_file: Path) -> None:
    with (
        ScriptedAmqpService([], server_context, mechanisms=("ANONYMOUS",)) as service,
        pytest.raises(UnexpectedAnswerError, match="PLAIN"),
    ):
        Device(service, ca_file).client.register()


# ---------------------------------------------------------------- TPM

KEYS = TpmKeys(endorsement_key=b"e" * 316, storage_root_key=b"s" * 284)
BLOB = bytes(range(256)) * 3


def conversation(service: ScriptedAmqpService, ca_file: Path) -> AmqpConversation:
    return AmqpConversation(
        "localhost",
        service.port,
        "0ne00111111",
        "d-1",
        context=tls_context(ca_file),
        websocket=False,
        tpm=KEYS,
    )


@pytest.mark.parametrize("segment", [470, 384, 300], ids=["two segments", "equal", "three"])
def test_a_tpm_goes_on_where_the_challenge_left_off(
    segment: int, server_context: ssl.SSLContext, ca_file: Path
) -> None:
    replies = [Reply(status=202, body=ASSIGNED)]
    with ScriptedAmqpService(replies, server_context, blob=BLOB, segment=segment) as service:
        talk = conversation(service, ca_file)
        challenge = talk.register(b"{}", None, seconds=5)
        answer = talk.register(b"{}", "the token", seconds=5)
        talk.close()
        (init,) = service.inits

    assert challenge.status == 401
    assert base64.b64decode(json.loads(challenge.body)["authenticationKey"]) == BLOB
    assert json.loads(answer.body)["status"] == "assigned"
    assert init.initial_response == b"\x000ne00111111\0d-1\0" + KEYS.endorsement_key
    empty = [b"\0"] * ((len(BLOB) - 1) // segment)
    assert service.responses == [b"\0" + KEYS.storage_root_key, *empty, b"\0the token"]


def test_a_tpm_is_refused_for_its_keys(server_context: ssl.SSLContext, ca_file: Path) -> None:
    refusal = SaslOutcome(code=SaslCode.AUTH, additional_data=json.dumps(REFUSED).encode())
    with ScriptedAmqpService([], server_context, outcomes=[refusal]) as service:
        talk = conversation(service, ca_file)
        answer = talk.register(b"{}", None, seconds=5)
    assert (answer.status, json.loads(answer.body)) == (401, REFUSED)


def test_a_tpm_whose_connection_broke_is_challenged_again(server_context: ssl.SSLContext, ca_file: Path) -> None:
    replies = [Reply(status=0), Reply(status=202, body=ASSIGNED)]
    with ScriptedAmqpService(replies, server_context, blob=BLOB) as service:
        talk = conversation(service, ca_file)
        assert (talk.register(b"{}", None, seconds=5)).status == 401
        with pytest.raises(TransportError):
            talk.register(b"{}", "the token", seconds=5)
        # The key of the first challenge died with its connection.
        assert (talk.operation_status("5.1.a", "the token", seconds=5)).status == 401
        assert (talk.register(b"{}", "another token", seconds=5)).status == 202
        talk.close()
        assert len(service.inits) == 2
