"""Devices upload files to the built-in store: from the first request to what services are told (hub.md 17.3, 18.4)."""

import asyncio
from typing import Any

import httpx
import pytest

from homeport.hub.frontends.device_http.front_end import called_by
from homeport.hub.identities import IdentityWrite
from homeport.hub.model import SasAuthentication
from homeport.hub.served_hub import ServedHub
from tests.unit.hub.clients import RestClient, device_token
from tests.unit.hub.conftest import ManualClock

KEYS = SasAuthentication(primary_key=b"1" * 32, secondary_key=b"2" * 32)
FILES, ENDED = "/devices/d1/files", "/devices/d1/files/notifications"
TOLD = "/messages/serviceBound/filenotifications"


@pytest.fixture
async def device(rest: RestClient, hub: ServedHub) -> Any:
    for device_id in ("d1", "d2"):
        await hub.registry.create(IdentityWrite(device_id=device_id, authentication=KEYS))

    async def call(path: str, document: Any = None, device_id: str = "d1", method: str = "POST") -> httpx.Response:
        token = device_token(device_id, b"1" * 32)
        return await rest(method, path, document, policy=None, Authorization=token)

    return call


async def put(rest: RestClient, ticket: dict[str, str], body: bytes, query: str = "", **headers: str) -> httpx.Response:
    path = f"/{ticket['containerName']}/{ticket['blobName']}{ticket['sasToken']}{query}"
    return await rest("PUT", path, body=body, policy=None, version=None, **headers)


async def test_a_file_from_device_to_service(rest: RestClient, device: Any, clock: ManualClock) -> None:
    answer = await device(FILES, {"blobName": "a/x.txt"})
    ticket = answer.json()
    assert (answer.status_code, set(ticket)) == (
        200,
        {"correlationId", "hostName", "containerName", "blobName", "sasToken"},
    )
    assert answer.headers["Content-Type"].startswith("application/json")
    assert ticket["blobName"] == "d1/a/x.txt"
    assert ticket["sasToken"].startswith("?")
    # By the name and the port that the device used.
    assert ticket["hostName"] == f"localhost:{rest.port}"
    assert (await put(rest, ticket, b"hello", x_ms_blob_type="BlockBlob")).status_code == 201
    clock.pass_seconds(5)
    told = {"correlationId": ticket["correlationId"], "isSuccess": True, "statusCode": 200, "statusDescription": "ok"}
    assert (await device(ENDED, told)).status_code == 204

    answer = await rest("GET", TOLD, policy="service")
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "deviceId": "d1",
            "blobUri": f"https://localhost:{rest.port}/uploads/d1/a/x.txt",
            "blobName": "d1/a/x.txt",
            "lastUpdatedTime": "2024-06-01T12:00:00.0000000Z",
            "blobSizeInBytes": 5,
            "enqueuedTimeUtc": "2024-06-01T12:00:05.0000000Z",
        },
    )
    lock = answer.headers["ETag"].strip('"')
    assert (await rest("GET", TOLD)).status_code == 204
    assert (await rest("POST", f"{TOLD}/{lock}/abandon")).status_code == 204
    lock = (await rest("GET", TOLD)).headers["ETag"].strip('"')
    assert (await rest("DELETE", f"{TOLD}/{lock}")).status_code == 204
    gone = await rest("DELETE", f"{TOLD}/{lock}")
    assert (gone.status_code, gone.headers["iothub-errorcode"]) == (412, "DeviceMessageLockLost")
    assert (await rest("GET", TOLD)).status_code == 204


@pytest.mark.parametrize("path", [ENDED, f"{ENDED}/", f"{ENDED}/{{id}}"])
async def test_the_spellings_of_the_end(rest: RestClient, device: Any, path: str) -> None:
    ticket = (await device(f"{FILES}/", {"blobName": "x"})).json()
    await put(rest, ticket, b"1", x_ms_blob_type="BlockBlob")
    document = {"isSuccess": True, "statusCode": 200, "statusDescription": ""}
    if "{" not in path:
        document["correlationId"] = ticket["correlationId"]
    assert (await device(path.format(id=ticket["correlationId"]), document)).status_code == 204
    assert (await rest("GET", TOLD)).status_code == 200


async def test_a_module_uploads(rest: RestClient, hub: ServedHub) -> None:
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    await hub.registry.create(IdentityWrite(device_id="d1/m", authentication=KEYS))
    token = device_token("d1/modules/m", b"1" * 32)
    path = "/devices/d1/modules/m/files"
    ticket = (await rest("POST", path, {"blobName": "x"}, policy=None, Authorization=token)).json()
    assert ticket["blobName"] == "d1/m/x"
    await put(rest, ticket, b"1", x_ms_blob_type="BlockBlob")
    document = {"correlationId": ticket["correlationId"], "isSuccess": True}
    answer = await rest("POST", f"{path}/notifications", document, policy=None, Authorization=token)
    assert answer.status_code == 204
    assert (await rest("GET", TOLD)).json()["deviceId"] == "d1"


async def test_a_correlation_id_ends_once_and_for_its_device(device: Any, clock: ManualClock) -> None:
    ticket = (await device(FILES, {"blobName": "x"})).json()
    document = {"correlationId": ticket["correlationId"], "isSuccess": False}
    wrong = await device("/devices/d2/files/notifications", document, "d2")
    assert (wrong.status_code, wrong.headers["iothub-errorcode"]) == (400, "InvalidFileUploadCorrelationId")
    assert (await device(ENDED, document)).status_code == 204
    again = await device(ENDED, document)
    assert (again.status_code, again.headers["iothub-errorcode"]) == (400, "InvalidFileUploadCorrelationId")
    ticket = (await device(FILES, {"blobName": "x"})).json()
    clock.pass_seconds(3600)
    late = await device(ENDED, {"correlationId": ticket["correlationId"], "isSuccess": True})
    assert (late.status_code, late.headers["iothub-errorcode"]) == (400, "ExpiredFileUploadCorrelationId")


async def test_nobody_is_told_of_what_is_not_there(rest: RestClient, device: Any) -> None:
    for success in (True, False):
        ticket = (await device(FILES, {"blobName": "x"})).json()
        document = {"correlationId": ticket["correlationId"], "isSuccess": success}
        assert (await device(ENDED, document)).status_code == 204
    assert (await rest("GET", TOLD)).status_code == 204


async def test_ten_uploads_at_a_time(device: Any, clock: ManualClock) -> None:
    begun = await asyncio.gather(*(device(FILES, {"blobName": f"x{number}"}) for number in range(12)))
    assert sorted(answer.status_code for answer in begun) == [200] * 10 + [403] * 2
    refused = next(answer for answer in begun if answer.status_code == 403)
    assert refused.headers["iothub-errorcode"] == "DeviceMaximumActiveFileUploadLimitExceeded"
    assert (await device("/devices/d2/files", {"blobName": "x"}, "d2")).status_code == 200
    ticket = next(answer for answer in begun if answer.status_code == 200).json()
    await device(ENDED, {"correlationId": ticket["correlationId"], "isSuccess": False})
    assert (await device(FILES, {"blobName": "x"})).status_code == 200
    clock.pass_seconds(3600)
    assert (await device(FILES, {"blobName": "x"})).status_code == 200


@pytest.mark.parametrize(
    "document",
    [None, {}, {"blobName": ""}, {"blobName": 3}, {"blobName": "../d2/x"}, {"blobName": "a/./b"}, {"blobName": "a//b"}]
    + [{"blobName": name} for name in ("x" * 1025, "a\nb", "a\\b", "/a", "a/", "..")],
)
async def test_names_that_are_none(device: Any, document: Any) -> None:
    answer = await device(FILES, document)
    assert (answer.status_code, answer.headers["iothub-errorcode"]) == (400, "ArgumentInvalid")


@pytest.mark.parametrize("document", [{}, {"correlationId": "x"}, {"correlationId": 1}, {"isSuccess": True}])
async def test_ends_that_are_none(device: Any, document: Any) -> None:
    assert (await device(ENDED, document)).status_code == 400


async def test_files_have_owners(rest: RestClient, device: Any) -> None:
    assert (await device("/devices/d2/files", {"blobName": "x"})).status_code == 401
    assert (await rest("POST", FILES, {"blobName": "x"}, policy=None)).status_code == 401
    assert (await device(f"{FILES}/other", {"blobName": "x"})).status_code == 404
    # A policy's token speaks for any device.
    assert (await rest("POST", FILES, {"blobName": "x"}, policy="device")).status_code == 200


async def test_a_hub_may_take_no_files(rest: RestClient, device: Any) -> None:
    answer = await rest("PUT", "/fileUpload", {"enabled": False})
    assert (answer.status_code, answer.json()["enabled"]) == (200, False)
    refused = await device(FILES, {"blobName": "x"})
    assert (refused.status_code, refused.headers["iothub-errorcode"]) == (400, "DefaultStorageEndpointNotConfigured")


async def test_notifications_can_be_turned_off(rest: RestClient, device: Any) -> None:
    assert (await rest("PUT", "/fileUpload", {"notifications": False, "sasLifeInSeconds": 60})).status_code == 200
    ticket = (await device(FILES, {"blobName": "x"})).json()
    await put(rest, ticket, b"1", x_ms_blob_type="BlockBlob")
    assert (await device(ENDED, {"correlationId": ticket["correlationId"], "isSuccess": True})).status_code == 204
    assert (await rest("GET", TOLD)).status_code == 204


async def test_settings_are_for_administrators(rest: RestClient) -> None:
    assert (await rest("PUT", "/fileUpload", {"notifications": False}, policy="service")).status_code == 401
    answer = await rest("GET", "/fileUpload", policy="service")
    assert (answer.status_code, answer.json()["storage"]) == (200, "built-in")
    for document in ({"sasLifeInSeconds": 59}, {"sasLifeInSeconds": 10**7}, {"connectionString": "x"}, {"enabled": 1}):
        assert (await rest("PUT", "/fileUpload", document)).status_code == 400
    secret = "c2VjcmV0IGtleQ=="
    string = f"AccountName=a;AccountKey={secret}"
    assert (await rest("PUT", "/fileUpload", {"connectionString": string, "container": "A!"})).status_code == 400
    answer = await rest("PUT", "/fileUpload", {"connectionString": string, "container": "my-files"})
    assert (answer.status_code, answer.json()["storage"]) == (200, "https://a.blob.core.windows.net/my-files")
    assert secret not in answer.text
    # Back to the store that is built in.
    answer = await rest("PUT", "/fileUpload", {"connectionString": None})
    assert answer.json()["storage"] == "built-in"


async def test_notifications_end_after_an_hour(
    rest: RestClient, device: Any, hub: ServedHub, clock: ManualClock
) -> None:
    ticket = (await device(FILES, {"blobName": "x"})).json()
    await put(rest, ticket, b"1", x_ms_blob_type="BlockBlob")
    await device(ENDED, {"correlationId": ticket["correlationId"], "isSuccess": True})
    clock.pass_seconds(3601)
    await hub.files.notifications.expire()
    assert (await rest("GET", TOLD)).status_code == 204


@pytest.mark.parametrize(
    ("host", "names", "told"),
    [
        ("hub.example.com", ("hub.example.com", "10.0.0.1"), "hub.example.com"),
        ("HUB.example.com:8443", ("hub.example.com",), "HUB.example.com:8443"),
        ("10.0.0.1:443", ("hub.example.com", "10.0.0.1"), "10.0.0.1:443"),
        ("gateway:443", ("hub.example.com",), "hub.example.com"),
        ("", ("hub.example.com",), "hub.example.com"),
        ("[::1]:443", ("::1",), "[::1]:443"),
        ("[::1]", ("::1",), "[::1]"),
        ("gateway", ("::1",), "[::1]"),
        ("evil.example.com/hub.example.com", ("hub.example.com",), "hub.example.com"),
    ],
)
def test_by_which_name_a_device_finds_the_store(host: str, names: tuple[str, ...], told: str) -> None:
    assert called_by(host, names) == told
