"""The client of a hub: documents of the contract, pages, etags, errors."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from homeport.client import NotFoundError
from homeport.client._async.hub_registry import HubRegistryClient
from homeport.client.hub_models import FileUploadChanges
from tests.unit.client.scripted import ScriptedService, Step

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
VERSION = "?api-version=2021-04-12"
NEVER = "0001-01-01T00:00:00Z"
# Contract hub.md 4.1.
DEVICE: dict[str, Any] = {
    "deviceId": "d1",
    "generationId": "638000000000000000",
    "etag": "ODAxMjMyNDI2",
    "connectionState": "Disconnected",
    "status": "enabled",
    "statusReason": None,
    "connectionStateUpdatedTime": NEVER,
    "statusUpdatedTime": "0001-01-01T00:00:00",
    "lastActivityTime": NEVER,
    "cloudToDeviceMessageCount": 0,
    "authentication": {
        "symmetricKey": {"primaryKey": "c2VjcmV0", "secondaryKey": "c2VjcmV0"},
        "x509Thumbprint": {"primaryThumbprint": None, "secondaryThumbprint": None},
        "type": "sas",
    },
    "capabilities": {"iotEdge": False},
}
# Contract hub.md 6.1, shortened.
TWIN: dict[str, Any] = {
    "deviceId": "d1",
    "etag": "AAAAAAAAAAE=",
    "status": "enabled",
    "statusUpdateTime": NEVER,
    "connectionState": "Connected",
    "version": 2,
    "tags": {"line": 1},
    "properties": {"desired": {"interval": 30, "$version": 2}, "reported": {"$version": 1}},
}
MESSAGE: dict[str, Any] = {
    "deviceId": "d1",
    "partition": 0,
    "offset": 7,
    "enqueuedTime": "2026-01-01T00:00:00.0000000Z",
    "size": 2,
    "bodyEncoding": "json",
    "body": {},
}


def client(service: ScriptedService, ca_file: Path) -> HubRegistryClient:
    text = f"HostName={service.authority};SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}"
    return HubRegistryClient.create_from_connection_string(text, ca_file=ca_file)


async def test_devices_and_statistics(server_context: ssl.SSLContext, ca_file: Path) -> None:
    counts = {"totalDeviceCount": 3, "enabledDeviceCount": 2, "disabledDeviceCount": 1}
    steps = [
        Step(method="GET", path=f"/devices/d%231{VERSION}", body=DEVICE),
        Step(method="GET", path=f"/devices{VERSION}&top=5", body=[DEVICE]),
        Step(method="GET", path=f"/twins/d1{VERSION}", body=TWIN),
        Step(method="GET", path=f"/statistics/devices{VERSION}", body=counts),
        Step(method="GET", path=f"/statistics/service{VERSION}", body={"connectedDeviceCount": 2}),
        Step(method="DELETE", path=f"/devices/d1{VERSION}", status=204),
        Step(method="DELETE", path=f"/devices/d1{VERSION}", status=204),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as hub:
            device = await hub.get_device("d#1")
            assert await hub.list_devices(top=5) == [device]
            twin = await hub.get_twin("d1")
            statistics = await hub.get_registry_statistics()
            connected = await hub.get_service_statistics()
            await hub.delete_device("d1")
            await hub.delete_device("d1", etag="ODAx")
        assert [r.headers.get("if-match") for r in service.requests[-2:]] == ["*", '"ODAx"']
    assert device.authentication is not None
    assert device.authentication.symmetric_key is not None
    assert device.authentication.symmetric_key.primary_key == "c2VjcmV0"
    assert "c2VjcmV0" not in repr(device)
    assert twin.properties is not None
    assert twin.properties.desired["interval"] == 30
    assert statistics.disabled_device_count == 1
    assert connected.connected_device_count == 2


async def test_queries(server_context: ssl.SSLContext, ca_file: Path) -> None:
    path = f"/devices/query{VERSION}"
    steps = [
        Step(
            method="POST",
            path=path,
            body=[TWIN],
            headers={"x-ms-continuation": "next"},
            expects={"query": "SELECT * FROM devices"},
        ),
        Step(method="POST", path=path, body=[TWIN, TWIN]),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as hub:
            assert len([twin async for twin in hub.query_twins()]) == 3
        assert service.requests[1].headers["x-ms-continuation"] == "next"


async def test_a_hubs_refusal(server_context: ssl.SSLContext, ca_file: Path) -> None:
    body = {"Message": "ErrorCode:DeviceNotFound;d1", "ExceptionMessage": "Tracking ID:abc-TimeStamp:x"}
    service = ScriptedService([Step(method="GET", path=f"/twins/d1{VERSION}", status=404, body=body)], server_context)
    with service, pytest.raises(NotFoundError) as caught:
        async with client(service, ca_file) as hub:
            await hub.get_twin("d1")
    assert str(caught.value) == "404 (DeviceNotFound): d1 [tracking id abc]"


async def test_telemetry(server_context: ssl.SSLContext, ca_file: Path) -> None:
    steps = [
        Step(method="GET", path=f"/homeport/telemetry{VERSION}&limit=9&deviceId=d1", body=[MESSAGE]),
        Step(
            method="GET",
            path=f"/homeport/telemetry/count{VERSION}&deviceId=d1",
            body={"deviceId": "d1", "count": 12},
        ),
    ]
    with ScriptedService(steps, server_context) as service:
        async with client(service, ca_file) as hub:
            (message,) = await hub.telemetry("d1", limit=9)
            assert await hub.telemetry_count("d1") == 12
    assert message.offset == 7


async def test_where_files_go(server_context: ssl.SSLContext, ca_file: Path) -> None:
    answer = {
        "enabled": True,
        "storage": "built-in",
        "containerUrl": "https://h/uploads?sig=secret",
        "sasLifeInSeconds": 60,
        "notifications": False,
    }
    path = f"/fileUpload{VERSION}"
    changed = {"enabled": False, "container": None}
    service = ScriptedService(
        [
            Step(method="GET", path=path, body=answer),
            Step(method="PUT", path=path, body=answer | {"enabled": False}, expects=changed),
        ],
        server_context,
    )
    with service:
        async with client(service, ca_file) as hub:
            told = await hub.file_upload()
            assert (told.storage, told.sas_life_in_seconds, told.container_url) == (
                "built-in",
                60,
                "https://h/uploads?sig=secret",
            )
            assert "secret" not in repr(told)
            changes = FileUploadChanges(enabled=False, container=None)
            assert not (await hub.set_file_upload(changes)).enabled
