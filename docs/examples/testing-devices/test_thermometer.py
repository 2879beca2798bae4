"""The tests of the thermometer. No set-up: the fixtures start a server, enroll a device and connect it."""

import subprocess
import sys

import pytest
from azure.iot.device import ProvisioningDeviceClient
from thermometer import Thermometer


def test_a_reading_arrives(homeport_client, homeport_registered_device):
    Thermometer(homeport_client).measure(21.5)

    (message,) = homeport_registered_device.wait_for_telemetry()
    assert message.body == {"celsius": 21.5}
    assert message.properties == {}


def test_a_hot_one_is_an_alarm(homeport_client, homeport_registered_device):
    Thermometer(homeport_client).measure(99)

    (message,) = homeport_registered_device.wait_for_telemetry()
    assert message.properties == {"alarm": "true"}


@pytest.mark.parametrize("homeport_device", ["symmetric-key", "x509", "tpm", "key-group", "x509-group"], indirect=True)
def test_it_gets_a_hub_whatever_its_secret(homeport_device):
    home = homeport_device.register()

    assert home.assigned_hub == homeport_device.global_endpoint
    assert home.twin().device_id == home.device_id


def test_it_registers_with_microsofts_client(homeport_enroll, homeport_connection):
    device = homeport_enroll("symmetric-key", tags={"line": "assembly"})

    client = ProvisioningDeviceClient.create_from_symmetric_key(
        homeport_connection.global_endpoint,
        device.registration_id,
        homeport_connection.id_scope,
        device.key,
        server_verification_cert=homeport_connection.ca,
    )
    assert client.register().status == "assigned"


@pytest.mark.parametrize("websockets", [False, True])
def test_it_sends_over_either_port(homeport_registered_device, websockets):
    client = homeport_registered_device.azure_client(websockets=websockets)
    try:
        client.connect()
        Thermometer(client).measure(20)
    finally:
        client.shutdown()
    assert len(homeport_registered_device.wait_for_telemetry()) == 1


async def test_the_asynchronous_client(homeport_aio_client, homeport_registered_device):
    await homeport_aio_client.send_message("hello")

    (message,) = homeport_registered_device.wait_for_telemetry()
    assert message.body == "hello"


@pytest.mark.homeport(isolated=True)
def test_what_was_sent_survives_a_power_cut(homeport_server, homeport_client, homeport_registered_device):
    Thermometer(homeport_client).measure(21)
    homeport_server.kill()
    homeport_server.start()

    assert len(homeport_registered_device.wait_for_telemetry()) == 1


def test_a_program_of_its_own_finds_the_server(homeport_connection):
    program = "import os; print(os.environ['HOMEPORT_ID_SCOPE'], os.environ['HOMEPORT_GLOBAL_ENDPOINT'])"
    told = subprocess.check_output([sys.executable, "-c", program], env=homeport_connection.environment(), text=True)
    assert told.split() == [homeport_connection.id_scope, homeport_connection.global_endpoint]
