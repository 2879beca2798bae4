"""Files of devices in a storage account: Microsoft's device and storage SDKs, and Microsoft's emulator of one."""

import asyncio
import base64
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from azure.iot.device.aio import IoTHubDeviceClient
from azure.iot.hub import IoTHubRegistryManager
from azure.storage.blob import BlobClient

from homeport.client import HomeportAdminClient, HubClient
from tests.azurite import Azurite
from tests.conformance.conftest import Service
from tests.conformance.test_python_provisioning import unique
from tests.server import HomeportServer

pytestmark = [pytest.mark.conformance, pytest.mark.node]

ADDRESS, CONTAINER = "127.0.53.41", "uploads"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with Azurite(tmp_path_factory.mktemp("azurite")) as azurite:
        azurite.client().create_container(CONTAINER)
        yield azurite


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, account: Azurite) -> Iterator[Service]:
    """A server whose hub keeps files in the account; it trusts the account's certificate as an operator has it do."""
    data = tmp_path_factory.mktemp("stored") / "data"
    with HomeportServer(data, (ADDRESS,), env={"SSL_CERT_FILE": str(account.ca_file)}) as server:
        server.run("hub", "files", "hub1", "--connection-string", account.connection_string, "--container", CONTAINER)
        yield Service(server, server.connection())
        assert server.stop() == 0


@pytest.mark.matrix(
    sdk="Python: azure-iot-device", feature="file upload to a storage account (Azurite)", transport="https"
)
@pytest.mark.parametrize(
    ("size", "options"), [(5, {}), (3_000_000, {"max_single_put_size": 10, "max_block_size": 2**20})]
)
async def test_python_uploads(
    stored: Service, account: Azurite, size: int, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", stored.values["HOMEPORT_CA_FILE"])
    registry = IoTHubRegistryManager.from_connection_string(stored.values["HOMEPORT_HUB_CONNECTION_STRING"])
    device_id, key = unique("azurite"), base64.b64encode(os.urandom(32)).decode()
    await asyncio.to_thread(registry.create_device_with_sas, device_id, key, key, "enabled")
    client = IoTHubDeviceClient.create_from_symmetric_key(
        key, stored.host, device_id, server_verification_cert=stored.ca
    )
    content = os.urandom(size)
    info = await client.get_storage_info_for_blob("folder/ä b.bin")
    assert (info["containerName"], info["blobName"]) == (CONTAINER, f"{device_id}/folder/ä b.bin")
    url = f"https://{info['hostName']}/{info['containerName']}/{info['blobName']}{info['sasToken']}"
    blob = BlobClient.from_blob_url(url, connection_verify=str(account.ca_file), **options)
    await asyncio.to_thread(blob.upload_blob, content)
    await client.notify_blob_upload_status(info["correlationId"], True, 200, "done")
    await client.shutdown()
    found = account.client().get_blob_client(CONTAINER, info["blobName"])
    assert await asyncio.to_thread(lambda: found.download_blob().readall()) == content

    # The hub has looked at the account before it tells services.
    with HubClient.create_from_connection_string(
        stored.values["HOMEPORT_HUB_CONNECTION_STRING"], ca_file=stored.values["HOMEPORT_CA_FILE"]
    ) as services:
        told = await asyncio.to_thread(services.receive_file_notification)
        assert told is not None
        assert (told.notification.device_id, told.notification.blob_size_in_bytes) == (device_id, size)
        assert told.notification.blob_uri.startswith(f"https://{info['hostName']}/{CONTAINER}/{device_id}/")
        await asyncio.to_thread(services.complete_file_notification, told)
    settings = await asyncio.to_thread(stored.server.run, "hub", "files", "hub1")
    assert account.secret not in settings.stdout
    assert f"/{CONTAINER}" in settings.stdout


async def test_a_route_writes_to_the_account(
    stored: Service, account: Azurite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", stored.values["HOMEPORT_CA_FILE"])
    with HomeportAdminClient.create_from_connection_string(
        stored.values["HOMEPORT_DPS_CONNECTION_STRING"], ca_file=stored.values["HOMEPORT_CA_FILE"]
    ) as admin:
        admin.put_hub_storage(
            "hub1",
            "archive",
            connection_string=account.connection_string,
            container=CONTAINER,
            file_name_format="archive/{iothub}/{partition}/{YYYY}/{MM}/{DD}/{HH}/{mm}",
            batch_seconds=1,
        )
        admin.put_hub_route("hub1", "made", endpoints=["archive"], source="DeviceLifecycleEvents")
    registry = IoTHubRegistryManager.from_connection_string(stored.values["HOMEPORT_HUB_CONNECTION_STRING"])
    device_id, key = unique("archived"), base64.b64encode(os.urandom(32)).decode()
    await asyncio.to_thread(registry.create_device_with_sas, device_id, key, key, "enabled")
    container = account.client().get_container_client(CONTAINER)
    async with asyncio.timeout(30):
        while not (names := [blob.name for blob in container.list_blobs("archive/hub1/")]):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    (line,) = container.download_blob(names[0]).readall().splitlines()
    event = json.loads(line)
    assert (event["Body"]["deviceId"], event["Properties"]["opType"]) == (device_id, "createDeviceIdentity")
