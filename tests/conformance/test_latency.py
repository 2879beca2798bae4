"""Lowest latency, measured by the device with Homeport's client: it asks for its hubs, times them, and says so."""

import asyncio
import base64
import os
import ssl
from collections.abc import Iterator

import httpx
import pytest

from homeport.client import (
    AllocationPolicy,
    AttestationMechanism,
    EnrollmentGroup,
    HomeportAdminClient,
    ProvisioningDeviceClient,
    ProvisioningServiceClient,
    SymmetricKeySecurityProvider,
    UnauthorizedError,
    derive_device_key,
)
from homeport.client.aio import ProvisioningDeviceClient as AsyncDeviceClient
from tests.conformance.conftest import ADDRESSES, Service

pytestmark = pytest.mark.conformance

KEY = base64.b64encode(bytes(range(64))).decode()


@pytest.fixture
def group(service: Service) -> Iterator[str]:
    name = f"nearest-{os.urandom(4).hex()}"
    values = service.values
    with ProvisioningServiceClient.create_from_connection_string(
        values["HOMEPORT_DPS_CONNECTION_STRING"], ca_file=values["HOMEPORT_CA_FILE"]
    ) as operator:
        operator.create_or_update_enrollment_group(
            EnrollmentGroup(
                enrollment_group_id=name,
                attestation=AttestationMechanism.for_symmetric_key(primary_key=KEY, secondary_key=KEY),
                allocation_policy=AllocationPolicy.GEO_LATENCY,
                iot_hubs=[ADDRESSES[1], ADDRESSES[2]],
            )
        )
        yield name
        operator.delete_enrollment_group(name)


def provider(registration_id: str, key: str = KEY) -> SymmetricKeySecurityProvider:
    return SymmetricKeySecurityProvider(registration_id, derive_device_key(key, registration_id))


def test_a_device_measures_its_hubs_and_gets_the_nearest(service: Service, group: str) -> None:
    ca_file = service.values["HOMEPORT_CA_FILE"]
    for transport in ("https", "mqtt"):
        client = ProvisioningDeviceClient.create(
            service.host, service.id_scope, provider(f"{group}-{transport}"), transport=transport, ca_file=ca_file
        )
        measured = client.measure_latencies()
        assert measured.keys() == {ADDRESSES[1], ADDRESSES[2]}, "only the hubs it could be assigned to"
        assert all(0 <= each < 2000 for each in measured.values())
        far = {ADDRESSES[1]: 900.0, ADDRESSES[2]: 20.0}
        result = client.register({"model": "a"}, latencies=far)
        assert result.assigned_hub == ADDRESSES[2]
    with HomeportAdminClient.create_from_connection_string(
        service.values["HOMEPORT_DPS_CONNECTION_STRING"], ca_file=ca_file
    ) as admin:
        [attempt] = admin.why(f"{group}-mqtt", limit=1)
    assert any("20 ms measured by the device, the nearest of 2 hubs" in check.detail for check in attempt.checks)


def test_both_clients_measure(service: Service, group: str) -> None:
    async def measure() -> dict[str, float]:
        async with AsyncDeviceClient.create(
            service.host, service.id_scope, provider(f"{group}-a"), ca_file=service.values["HOMEPORT_CA_FILE"]
        ) as client:
            return await client.measure_latencies()

    assert asyncio.run(measure()).keys() == {ADDRESSES[1], ADDRESSES[2]}


def test_strangers_are_not_told_the_hubs(service: Service, group: str) -> None:
    client = ProvisioningDeviceClient.create(
        service.host,
        service.id_scope,
        provider(f"{group}-x", base64.b64encode(b"w" * 64).decode()),
        ca_file=service.values["HOMEPORT_CA_FILE"],
    )
    with pytest.raises(UnauthorizedError):
        client.measure_latencies()
    path = f"https://{service.host}/homeport/devices/{service.id_scope}/{group}-x/hubs?api-version=2021-06-01"
    trust = ssl.create_default_context(cafile=service.values["HOMEPORT_CA_FILE"])
    with httpx.Client(verify=trust, trust_env=False) as http:
        assert http.get(path).status_code == 401
        assert http.put(path).status_code == 405
        assert http.get(path.partition("?")[0]).status_code == 400
