"""The demo's devices: Microsoft's `azure-iot-device` for certificates and keys, our own client where a TPM signs.

They stay connected until `leave`, so that the Device Explorer shows them.
"""

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from homeport.cli.demo.journey import MESSAGES, Journey

# Each official client runs several threads; more at once only makes two cores wait for each other.
AT_ONCE = 8


class Address(Struct, frozen=True, kw_only=True):
    """All that a device is told in the factory besides its secret."""

    host: str
    id_scope: str
    ca_file: Path


class Fleet:
    """Devices that are powered on, a few at a time, and then live on."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._ca = address.ca_file.read_text()
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._clients: list[Any] = []
        # The SDK logs each retry with a trace; the demo shows the outcome instead.
        logging.getLogger("azure").setLevel(logging.CRITICAL)

    async def with_key(self, journey: Journey, key: str) -> None:
        """Bring a device with a symmetric key home."""
        from azure.iot.device.aio import IoTHubDeviceClient, ProvisioningDeviceClient

        async def come_home() -> Any:
            provisioning = ProvisioningDeviceClient.create_from_symmetric_key(
                self._address.host,
                journey.device,
                self._address.id_scope,
                key,
                server_verification_cert=self._ca,
            )
            state = await self._register(journey, provisioning)
            return IoTHubDeviceClient.create_from_symmetric_key(
                key, state.assigned_hub, state.device_id, server_verification_cert=self._ca
            )

        await self._travel(journey, come_home)

    async def with_certificate(self, journey: Journey, chain: Path, key: Path) -> None:
        """Bring a device with a certificate home."""
        from azure.iot import device
        from azure.iot.device.aio import IoTHubDeviceClient, ProvisioningDeviceClient

        make: Any = device.X509  # the SDK's own constructors carry no types
        certificate = make(cert_file=str(chain), key_file=str(key))

        async def come_home() -> Any:
            provisioning = ProvisioningDeviceClient.create_from_x509_certificate(
                self._address.host,
                journey.device,
                self._address.id_scope,
                certificate,
                server_verification_cert=self._ca,
            )
            state = await self._register(journey, provisioning)
            return IoTHubDeviceClient.create_from_x509_certificate(
                certificate, state.assigned_hub, state.device_id, server_verification_cert=self._ca
            )

        await self._travel(journey, come_home)

    async def with_tpm(self, journey: Journey, provider: Any) -> None:
        """Bring a device whose TPM holds its keys home; every token is signed in the TPM."""
        from homeport.client.aio import ProvisioningDeviceClient, make_azure_iot_device_client

        async def come_home() -> Any:
            provisioning = ProvisioningDeviceClient.create(
                self._address.host, self._address.id_scope, provider, ca_file=self._address.ca_file
            )
            result = await provisioning.register()
            journey.registered(result.assigned_hub)
            return await make_azure_iot_device_client(result, provider, ca_file=self._address.ca_file)

        await self._travel(journey, come_home)

    async def leave(self) -> None:
        """Disconnect everybody."""
        await asyncio.gather(*(client.shutdown() for client in self._clients), return_exceptions=True)

    async def _register(self, journey: Journey, provisioning: Any) -> Any:
        result = await provisioning.register()
        if result.status != "assigned":
            raise RuntimeError(f"registration ended as {result.status}")
        journey.registered(result.registration_state.assigned_hub)
        return result.registration_state

    async def _travel(self, journey: Journey, come_home: Callable[[], Awaitable[Any]]) -> None:
        async with self._gate:
            journey.power_on()
            try:
                client = await come_home()
                self._clients.append(client)
                await client.connect()
                journey.connected()
                for number in range(MESSAGES):
                    await client.send_message(_reading(number))
                journey.arrived()
            except Exception as error:
                journey.failed(error)


def _reading(number: int) -> Any:
    from azure.iot import device

    # Any number will do for a thermometer.
    temperature = round(random.gauss(21, 2), 1)
    make: Any = device.Message
    message = make(json.dumps({"temperature": temperature, "reading": number + 1}))
    message.content_type = "application/json"
    message.content_encoding = "utf-8"
    return message
