"""Microsoft's service SDKs over AMQP: messages to devices, feedback, files; and devices that upload."""

import asyncio
import base64
import os
import ssl
from typing import Any

import certifi
import httpx
import pytest
from azure.core.exceptions import ResourceExistsError
from azure.iot.hub import IoTHubRegistryManager
from azure.storage.blob import BlobClient, ContainerClient
from uamqp import TransportType

from homeport.security import sas
from tests.conformance.conftest import Service
from tests.conformance.processes import at_home
from tests.conformance.test_hub_devices import device
from tests.conformance.test_node import run
from tests.conformance.test_python_provisioning import unique

pytestmark = pytest.mark.conformance

PATIENCE_SECONDS = 30.0
transports = pytest.mark.parametrize(
    "transport",
    [
        pytest.param("amqp", marks=pytest.mark.matrix(transport="amqp")),
        pytest.param("amqp-ws", marks=pytest.mark.matrix(transport="amqp-ws")),
    ],
)


@pytest.fixture
def hub(service: Service) -> str:
    return service.values["HOMEPORT_HUB_CONNECTION_STRING"]


@pytest.fixture
def registry(hub: str) -> IoTHubRegistryManager:
    return IoTHubRegistryManager.from_connection_string(hub)


@transports
@pytest.mark.matrix(sdk="Python: azure-iot-hub", feature="cloud-to-device messages")
async def test_python_sends_to_python(
    service: Service, hub: str, registry: IoTHubRegistryManager, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The client library takes no other authorities than those of this package.
    monkeypatch.setattr(certifi, "where", lambda: service.values["HOMEPORT_CA_FILE"])
    kind = TransportType.Amqp if transport == "amqp" else TransportType.AmqpOverWebsocket
    sender = await asyncio.to_thread(IoTHubRegistryManager.from_connection_string, hub, kind)
    async with device(service, registry, websockets=False) as (device_id, client):
        received = inbox(client)
        properties = {"messageId": "m1", "correlationId": "c1", "contentType": "text/plain", "plant": "north & south"}
        await asyncio.to_thread(sender.send_c2d_message, device_id, "hello, wörld", properties)
        async with asyncio.timeout(PATIENCE_SECONDS):
            message = await received.get()
        assert message.data.decode() == "hello, wörld"
        assert (message.message_id, message.correlation_id, message.content_type) == ("m1", "c1", "text/plain")
        assert message.custom_properties["plant"] == "north & south"
        with pytest.raises(Exception, match="send failure"):
            await asyncio.to_thread(sender.send_c2d_message, unique("nobody"), "lost", {})
    await asyncio.to_thread(sender.amqp_svc_client.disconnect_sync)


@transports
@pytest.mark.node
@pytest.mark.matrix(sdk="Node: azure-iothub", feature="cloud-to-device messages, feedback, file notifications")
async def test_node_sends_and_hears(
    service: Service, hub: str, registry: IoTHubRegistryManager, transport: str
) -> None:
    async with (
        device(service, registry, websockets=False) as (device_id, client),
        at_home(
            service.values["HOMEPORT_CA_FILE"],
            script="services.cjs",
            connectionString=hub,
            transport=transport,
            feedback=True,
            files=True,
        ) as node,
    ):
        await node.expect("ready")
        received = inbox(client)
        message_id = unique("m")
        node.tell(to=device_id, text="hello", messageId=message_id, ack="full", properties={"a": "1"})
        assert (await node.expect("sent"))["messageId"] == message_id
        async with asyncio.timeout(PATIENCE_SECONDS):
            message = await received.get()
        assert (message.data, message.message_id, message.custom_properties["a"]) == (b"hello", message_id, "1")

        node.tell(to=unique("nobody"), text="lost", messageId="lost", ack="none")
        assert (await node.expect("rejected"))["name"] == "DeviceNotFoundError"

        await upload(service, client, "n.bin", b"x" * 1000)
        told = (await node.expect("file"))["body"]
        assert (told["deviceId"], told["blobName"], told["blobSizeInBytes"]) == (device_id, f"{device_id}/n.bin", 1000)
        assert told["blobUri"] == f"https://{service.host}/uploads/{device_id}/n.bin"

        records: list[Any] = []
        while not any(record["originalMessageId"] == message_id for record in records):
            records = (await node.expect("feedback"))["body"]
        (record,) = (each for each in records if each["originalMessageId"] == message_id)
        assert (record["statusCode"], record["description"], record["deviceId"]) == ("Success", "Success", device_id)
        identity = await asyncio.to_thread(registry.get_device, device_id)
        assert record["deviceGenerationId"] == identity.generation_id
        await node.leave()


def inbox(client: Any) -> asyncio.Queue[Any]:
    """Return where a device's messages arrive; the SDK calls from a thread of its own."""
    received: asyncio.Queue[Any] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    client.on_message_received = lambda message: loop.call_soon_threadsafe(received.put_nowait, message)
    return received


async def upload(service: Service, client: Any, name: str, content: bytes, **options: Any) -> BlobClient:
    """Upload a file as the documentation tells Python devices to."""
    info = await client.get_storage_info_for_blob(name)
    url = f"https://{info['hostName']}/{info['containerName']}/{info['blobName']}{info['sasToken']}"
    blob = BlobClient.from_blob_url(url, connection_verify=service.values["HOMEPORT_CA_FILE"], **options)
    await asyncio.to_thread(blob.upload_blob, content)
    await client.notify_blob_upload_status(info["correlationId"], True, 200, "done")
    return blob


@pytest.mark.matrix(sdk="Python: azure-iot-device", feature="file upload, by azure-storage-blob", transport="https")
@pytest.mark.parametrize(
    ("size", "options"), [(5, {}), (3_000_000, {"max_single_put_size": 10, "max_block_size": 2**20})]
)
async def test_python_uploads(
    service: Service, hub: str, registry: IoTHubRegistryManager, size: int, options: dict[str, int]
) -> None:
    async with device(service, registry, websockets=False) as (device_id, client):
        content = os.urandom(size)
        blob = await upload(service, client, "folder/ä b.bin", content, **options)
        assert await asyncio.to_thread(lambda: blob.download_blob().readall()) == content
        with pytest.raises(ResourceExistsError):
            await asyncio.to_thread(blob.upload_blob, b"other")
        await asyncio.to_thread(blob.upload_blob, b"other", overwrite=True)

    # What the operator reads with: the address that the hub's settings tell.
    url = await asyncio.to_thread(container_url, service, hub)
    container = ContainerClient.from_container_url(url, connection_verify=service.values["HOMEPORT_CA_FILE"])
    names = await asyncio.to_thread(lambda: [each.name for each in container.list_blobs(f"{device_id}/")])
    assert names == [f"{device_id}/folder/ä b.bin"]
    found = container.get_blob_client(names[0])
    assert await asyncio.to_thread(lambda: found.download_blob().readall()) == b"other"
    assert (await asyncio.to_thread(found.get_blob_properties)).size == 5
    await asyncio.to_thread(found.delete_blob)
    assert not await asyncio.to_thread(found.exists)


def container_url(service: Service, hub: str) -> str:
    fields = dict(part.split("=", 1) for part in hub.split(";"))
    token = sas.sign(
        fields["HostName"], base64.b64decode(fields["SharedAccessKey"]), 4102444800, fields["SharedAccessKeyName"]
    )
    with httpx.Client(verify=ssl.create_default_context(cafile=service.values["HOMEPORT_CA_FILE"])) as client:
        answer = client.get(
            f"https://{fields['HostName']}/fileUpload?api-version=2021-04-12", headers={"Authorization": token}
        )
    url: str = answer.json()["containerUrl"]
    return url


@pytest.mark.node
@pytest.mark.parametrize("transport", ["mqtt", "amqp", "http"])
@pytest.mark.parametrize("size", [5, 9_000_000])
@pytest.mark.matrix(sdk="Node: azure-iot-device", feature="file upload of {size} bytes")
def test_node_uploads(service: Service, registry: IoTHubRegistryManager, transport: str, size: int) -> None:
    device_id, key = unique("node-upload"), base64.b64encode(os.urandom(32)).decode()
    registry.create_device_with_sas(device_id, key, key, "enabled")
    answer = run(
        service,
        "upload.cjs",
        {
            "connectionString": f"HostName={service.host};DeviceId={device_id};SharedAccessKey={key}",
            "transport": transport,
            "blobName": "x.bin",
            "size": size,
        },
    )
    assert answer == {"result": {"size": size}}
    url = container_url(service, service.values["HOMEPORT_HUB_CONNECTION_STRING"])
    container = ContainerClient.from_container_url(url, connection_verify=service.values["HOMEPORT_CA_FILE"])
    assert container.get_blob_client(f"{device_id}/x.bin").get_blob_properties().size == size
