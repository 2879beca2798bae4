"""A storage account as the hub's storage, against a double that checks signatures as Azure Storage does."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, unquote

import pytest
from aiohttp import web

from homeport.app.hub_files import account_storage
from homeport.blobs import AccountStorage
from homeport.clock import SystemClock
from homeport.hub.errors import HubCode, HubError
from homeport.net.http_client import HttpClient
from homeport.security.blob_sas import StorageAccount, permits

KEY = b"k" * 32
SECRET = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="
CLOCK = SystemClock()


class Double:
    """One container, path-style like an emulator: Put Blob, Put Block, Head."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.blocks: dict[str, bytes] = {}
        self.broken: int | None = None

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        _, account, container, name = path.split("/", 3)
        fields, blob = dict(parse_qsl(query)), unquote(name)
        opened = StorageAccount(name=account, key=KEY, endpoint="https://double")
        needed = "r" if request.method == "HEAD" else "w"
        problem = permits(opened, container, blob, fields, any_of=needed, now=CLOCK.now())
        if self.broken is not None:
            return web.Response(status=self.broken)
        if problem is not None or not request.headers.get("x-ms-version"):
            return web.Response(status=403, text=problem or "x-ms-version is missing")
        match request.method, fields.get("comp"):
            case "HEAD", None if blob in self.blobs:
                headers = {"Last-Modified": "Sat, 01 Jun 2024 12:00:00 GMT"}
                return web.Response(body=self.blobs[blob], headers=headers)
            case "PUT", None if request.headers.get("x-ms-blob-type") == "BlockBlob":
                self.blobs[blob] = await request.read()
            case "PUT", "block":
                self.blocks[fields["blockid"]] = await request.read()
            case _:
                return web.Response(status=404)
        return web.Response(status=201)


@pytest.fixture
def double() -> Double:
    return Double()


@pytest.fixture
async def endpoint(double: Double) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(double.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/acct"
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    async with HttpClient() as client:
        yield client


@pytest.fixture
def storage(endpoint: str, http: HttpClient) -> AccountStorage:
    string = f"AccountName=acct;AccountKey={SECRET};BlobEndpoint={endpoint}"
    return account_storage(string, "files", http, CLOCK)


async def test_what_a_device_uploads_with_its_token_is_found(
    storage: AccountStorage, http: HttpClient, endpoint: str
) -> None:
    name = "d1/ä b.txt"
    now = CLOCK.now()
    assert await storage.find(name) is None
    place = storage.place(name, host="hub.example.com", start=now, end=now + timedelta(hours=1))
    assert (f"http://{place.host_name}", place.container) == (endpoint, "files")
    url = f"{endpoint}/files/d1/%C3%A4%20b.txt{place.sas_token}"
    headers = {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2021-12-02"}
    answer = await http.request("PUT", url, headers=headers, body=b"hello")
    assert answer.status == 201
    found = await storage.find(name)
    assert found is not None
    assert (found.size, found.last_modified) == (5, datetime(2024, 6, 1, 12, tzinfo=UTC))


async def test_a_token_is_for_its_blob(storage: AccountStorage, http: HttpClient, endpoint: str) -> None:
    now = CLOCK.now()
    place = storage.place("d1/x", host="", start=now, end=now + timedelta(hours=1))
    headers = {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2021-12-02"}
    answer = await http.request("PUT", f"{endpoint}/files/d2/x{place.sas_token}", headers=headers, body=b"1")
    assert answer.status == 403


@pytest.mark.parametrize("status", [403, 500, 503])
async def test_a_storage_that_does_not_answer_the_question(
    storage: AccountStorage, double: Double, status: int
) -> None:
    double.broken = status
    with pytest.raises(HubError) as refused:
        await storage.find("d1/x")
    assert refused.value.code is HubCode.SERVICE_UNAVAILABLE
    assert SECRET not in refused.value.message


async def test_a_storage_that_is_out_of_reach(http: HttpClient) -> None:
    string = f"AccountName=acct;AccountKey={SECRET};BlobEndpoint=http://127.0.0.1:1/acct"
    with pytest.raises(HubError) as refused:
        await account_storage(string, "files", http, CLOCK).find("d1/x")
    assert refused.value.code is HubCode.SERVICE_UNAVAILABLE
    assert "sig=" not in refused.value.message


@pytest.mark.parametrize("container", ["", "ab", "A-b", "a--b", "-ab", "a" * 64, "abc\n"])
def test_containers_that_are_none(container: str, http: HttpClient) -> None:
    with pytest.raises(HubError) as refused:
        account_storage(f"AccountName=acct;AccountKey={SECRET}", container, http, CLOCK)
    assert refused.value.code is HubCode.ARGUMENT_INVALID
