"""A device registers over MQTT, plain and in a WebSocket."""

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
from homeport.client._async.device import ProvisioningDeviceClient, Transport
from homeport.proto.mqtt import ReturnCode
from homeport.security.sas import decode_key, parse_token, verify_signature
from tests.certificates import Certified
from tests.unit.client.scripted_mqtt import Reply, ScriptedMqttService

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
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

TRANSPORTS: list[Transport] = ["mqtt", "mqtt-ws"]


class Device:
    """A device whose waits are written down instead of waited."""

    def __init__(
        self, service: ScriptedMqttService, ca_file: Path, transport: Transport = "mqtt", provider: Any = None
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

    async def pause(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_register_and_poll(transport: Transport, server_context: ssl.SSLContext, ca_file: Path) -> None:
    replies = [Reply(status=202, body=ASSIGNING, retry_after=3), Reply(status=200, body=ASSIGNED)]
    with ScriptedMqttService(replies, server_context, websocket=transport == "mqtt-ws") as service:
        device = Device(service, ca_file, transport)
        result = await device.client.register({"a": 1})
        (connect,) = service.connects
        (register, body), (poll, _) = service.requests
    assert result.assigned_hub == "hub.example"
    assert device.waits == [3.0]
    assert service.goodbyes == 1
    assert connect.client_id == "d-1"
    assert connect.clean_session
    assert connect.user_name is not None
    assert connect.user_name.startswith("0ne00111111/registrations/d-1/api-version=2021-06-01&ClientVersion=")
    assert connect.password is not None
    assert verify_signature(parse_token(connect.password.decode()), decode_key(KEY))
    assert register.startswith("$dps/registrations/PUT/iotdps-register/?$rid=")
    assert json.loads(body) == {"registrationId": "d-1", "payload": {"a": 1}}
    assert poll.startswith("$dps/registrations/GET/iotdps-get-operationstatus/?$rid=")
    assert poll.endswith("&operationId=5.1.a")
    if transport == "mqtt-ws":
        assert service.paths == ["/$iothub/websocket"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_certificate_is_shown(
    transport: Transport, authority: Certified, server_context: ssl.SSLContext, ca_file: Path, tmp_path: Path
) -> None:
    certificate, key = authority.issue("d-1").write(tmp_path)
    replies = [Reply(status=202, body=ASSIGNED)]
    with ScriptedMqttService(replies, server_context, websocket=transport == "mqtt-ws") as service:
        device = Device(service, ca_file, transport, X509SecurityProvider(certificate, key))
        await device.client.register()
        assert service.common_names == ["d-1"]
        assert service.connects[0].password is None


async def test_a_refusal_on_the_topic(server_context: ssl.SSLContext, ca_file: Path) -> None:
    with (
        ScriptedMqttService([Reply(status=401, body=REFUSED)], server_context) as service,
        pytest.raises(UnauthorizedError, match="t-1"),
    ):
        await Device(service, ca_file).client.register()


async def test_a_refused_connection(server_context: ssl.SSLContext, ca_file: Path) -> None:
    with (
        ScriptedMqttService([], server_context, codes=[ReturnCode.NOT_AUTHORIZED]) as service,
        pytest.raises(UnauthorizedError, match="return code 5"),
    ):
        await Device(service, ca_file).client.register()


async def test_a_broken_connection_is_opened_again(server_context: ssl.SSLContext, ca_file: Path) -> None:
    replies = [
        Reply(status=0),
        Reply(status=429, body=REFUSED, retry_after=5),
        Reply(status=202, body=ASSIGNING),
        Reply(status=0),
        Reply(status=200, body=ASSIGNED),
    ]
    codes = [ReturnCode.SERVER_UNAVAILABLE]
    with ScriptedMqttService(replies, server_context, codes=codes) as service:
        device = Device(service, ca_file)
        assert (await device.client.register()).device_id == "d-1"
        topics = [topic.split("/")[2] for topic, _ in service.requests]
        assert len(service.connects) == 4
    assert topics == ["PUT", "PUT", "PUT", "GET", "GET"]
    assert len(device.waits) == 5
    assert device.waits[2] >= 5


async def test_no_long_pause_on_an_open_connection(server_context: ssl.SSLContext, ca_file: Path) -> None:
    replies = [Reply(status=202, body=ASSIGNING, retry_after=90), Reply(status=200, body=ASSIGNED)]
    with ScriptedMqttService(replies, server_context) as service:
        device = Device(service, ca_file)
        await device.client.register()
        assert len(service.connects) == 2
    assert device.waits == [90.0]


async def test_no_service(server_context: ssl.SSLContext, ca_file: Path) -> None:
    with ScriptedMqttService([], server_context) as service:
        device = Device(service, ca_file)
    with pytest.raises(RegistrationTimeoutError, match="no hub after 20 seconds") as caught:
        await device.client.register(timeout=20)
    assert "MQTT with localhost" in str(caught.value.__cause__)


async def test_an_untrusted_server_ends_it(server_context: ssl.SSLContext, ca_file: Path) -> None:
    with ScriptedMqttService([], server_context) as service:
        client = ProvisioningDeviceClient.create(
            "localhost", "0ne00111111", SymmetricKeySecurityProvider("d-1", KEY), port=service.port
        )
        with pytest.raises(UntrustedServerError):
            await client.register()
