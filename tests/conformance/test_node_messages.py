"""Cloud-to-device messages to Microsoft's Node SDK, and what ends its connections; the hub is in this process."""

import asyncio
from datetime import timedelta

import pytest

from homeport.hub.identities import IdentityWrite
from homeport.hub.model import Acknowledgement, DeviceStatus, SelfSignedAuthentication
from homeport.security.x509 import parse_der
from tests.certificates import make_certificate
from tests.conformance.hub_at_home import CLOCK, Home
from tests.conformance.processes import at_home

pytestmark = [pytest.mark.conformance, pytest.mark.node]

SDK = "Node: azure-iot-device"
transports = pytest.mark.parametrize("transport", ["amqp", "amqp-ws"])


@pytest.mark.parametrize("transport", ["mqtt", "mqtt-ws", "amqp", "amqp-ws", "http"])
@pytest.mark.matrix(sdk=SDK, feature="cloud-to-device: complete, properties")
async def test_a_message(home: Home, transport: str) -> None:
    async with home.device(transport, messages=True) as (device_id, device):
        await home.send(
            device_id,
            "complete this",
            system={"mid": "m-1", "cid": "c-1", "ct": "text/plain"},
            properties={"colour": "red & blue"},
            acknowledgement=Acknowledgement.FULL,
        )
        told = await device.expect("message")
        # The SDK hands over less of some transports, and over HTTPS takes the headers' names as they are.
        assert told["text"] == "complete this"
        assert told["id"] == "m-1"
        assert told["correlationId"] == "c-1"
        colour = "iothub-app-colour" if transport == "http" else "colour"
        assert {"key": colour, "value": "red & blue"} in told["properties"]
        if transport.startswith("amqp"):
            assert told["to"] == f"/devices/{device_id}/messages/deviceBound"
            assert (told["ack"], told["contentType"]) == ("full", "text/plain")
        assert (await device.expect("settled"))["outcome"] == "complete"
        await home.waiting(device_id, 0)
        await device.leave()


@pytest.mark.parametrize("transport", ["amqp", "amqp-ws", "http"])
@pytest.mark.matrix(sdk=SDK, feature="cloud-to-device: abandon, reject")
async def test_other_outcomes(home: Home, transport: str) -> None:
    async with home.device(transport, messages=True) as (device_id, device):
        await home.send(device_id, "reject this")
        assert (await device.expect("settled"))["outcome"] == "reject"
        await home.waiting(device_id, 0)
        await home.send(device_id, "abandon this")
        for _ in range(10):  # and then it has been delivered too often
            assert (await device.expect("settled"))["outcome"] == "abandon"
        await home.waiting(device_id, 0)
        await device.leave()


@transports
@pytest.mark.matrix(sdk=SDK, feature="displaced, disabled: cut off")
async def test_what_ends_a_connection(home: Home, transport: str) -> None:
    async with home.device(transport, messages=True, method="m") as (device_id, first):
        async with home.again(device_id, transport, messages=True) as second:
            # The older one hears of it, and comes back as its retry policy says; so they take turns.
            await home.send(device_id, "complete: somebody is there")
            await home.waiting(device_id, 0)
            await second.leave()
        await first.leave()
    async with home.device(transport, messages=True) as (device_id, device):
        await home.send(device_id, "complete: it listens")
        await device.expect("settled")
        disabled = home.identity(device_id, DeviceStatus.DISABLED)
        await home.hub.registry.update(disabled, expected_etag=None)
        await device.expect("disconnect")
        assert len(home.hub.sessions) == 0


@pytest.mark.parametrize("transport", ["mqtt", "mqtt-ws", "amqp", "amqp-ws"])
@pytest.mark.matrix(sdk=SDK, feature="X.509: cut off when the certificate runs out")
async def test_a_certificate_runs_out(home: Home, transport: str) -> None:
    certified = make_certificate("short", not_after=CLOCK.now() + timedelta(seconds=5))
    thumbprint = parse_der(certified.der).info.sha256_thumbprint
    named = SelfSignedAuthentication(primary_thumbprint=thumbprint, secondary_thumbprint=None)
    await home.hub.registry.create(IdentityWrite(device_id="short", authentication=named))
    text = "HostName=localhost;DeviceId=short;x509=true"
    proof = {"cert": certified.pem, "certKey": certified.key_pem}
    async with at_home(home.ca_file, connectionString=text, transport=transport, messages=True, **proof) as device:
        await device.expect("ready")
        await home.send("short", "complete: it listens")
        await device.expect("settled")
        if transport.startswith("amqp"):  # over MQTT the SDK goes on trying, and says nothing
            await device.expect("disconnect")
        async with asyncio.timeout(20):
            while len(home.hub.sessions) > 0:  # noqa: ASYNC110 - told by the SDK only after a while
                await asyncio.sleep(0.05)


@transports
@pytest.mark.matrix(sdk=SDK, feature="tokens renewed on an open connection")
async def test_tokens_are_renewed(home: Home, transport: str) -> None:
    async with home.device(transport, messages=True, tokenSeconds=4) as (device_id, device):
        for _ in range(2):
            await device.expect("renewed")
        await home.send(device_id, "complete: still here")
        assert (await device.expect("settled"))["outcome"] == "complete"
        (session,) = home.hub.sessions
        assert session.expires_at is not None
        assert session.expires_at - session.connected_at > timedelta(minutes=5, seconds=4)
        await device.leave()
