"""The built-in blob store over HTTPS, with the real server in between: Azure's protocol, its signatures, its limits."""

import base64
import hashlib
import xml.etree.ElementTree as ET
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.hub.blob_account import CONTAINER, built_in_account
from homeport.hub.blob_errors import BlobError
from homeport.hub.frontends.blobs import front_end
from homeport.hub.frontends.blobs.documents import read_block_list
from homeport.hub.served_hub import ServedHub
from homeport.security.blob_sas import sign
from tests.unit.hub.clients import RestClient
from tests.unit.hub.conftest import ManualClock

LONG = "x" * 1200
XML = '<?xml version="1.0" encoding="utf-8"?>'


@pytest.fixture
async def store(rest: RestClient, hub: ServedHub, clock: ManualClock) -> Any:
    account = built_in_account(hub.name, await hub.files.uploads.settings(), "localhost")

    async def call(
        method: str, name: str | None, body: bytes | None = None, query: str = "", sp: str = "racwdl", **headers: str
    ) -> httpx.Response:
        now = clock.now()
        token = sign(account, CONTAINER, name, permissions=sp, start=now, end=now + timedelta(hours=1))
        path = f"/{CONTAINER}" + (f"/{quote(name)}" if name is not None else "")
        return await rest(method, f"{path}?{token}&{query}", body=body, policy=None, version=None, **headers)

    return call


def block(number: int) -> str:
    return base64.b64encode(f"{number:06}".encode()).decode()


async def put(store: Any, name: str, body: bytes = b"1", **headers: str) -> httpx.Response:
    answer: httpx.Response = await store("PUT", name, body, x_ms_blob_type="BlockBlob", **headers)
    return answer


def code(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal, which header and document agree on."""
    root = ET.fromstring(answer.text)  # our own answer
    assert root.findtext("Code") == answer.headers["x-ms-error-code"]
    return answer.status_code, answer.headers["x-ms-error-code"]


async def test_a_blob_and_its_properties(store: Any) -> None:
    digest = base64.b64encode(hashlib.md5(b"hello", usedforsecurity=False).digest()).decode()
    made = await put(
        store,
        "d1/x.txt",
        b"hello",
        Content_Type="text/plain",
        Content_MD5=digest,
        x_ms_meta_plant="north",
        x_ms_blob_content_encoding="identity",
        x_ms_client_request_id="r1",
    )
    assert (made.status_code, made.headers["x-ms-client-request-id"]) == (201, "r1")
    got = await store("GET", "d1/x.txt")
    assert (got.status_code, got.content, got.headers["Content-Type"]) == (200, b"hello", "text/plain")
    assert (got.headers["x-ms-meta-plant"], got.headers["Content-Encoding"]) == ("north", "identity")
    assert (got.headers["ETag"], got.headers["Last-Modified"]) == (made.headers["ETag"], made.headers["Last-Modified"])
    assert got.headers["x-ms-blob-type"] == "BlockBlob"
    # No browser takes a device's file for a page of the hub.
    assert (got.headers["X-Content-Type-Options"], got.headers["Content-Security-Policy"]) == ("nosniff", "sandbox")
    head = await store("HEAD", "d1/x.txt")
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "5", b"")
    assert (await store("DELETE", "d1/x.txt")).status_code == 202
    assert code(await store("GET", "d1/x.txt")) == (404, "BlobNotFound")
    assert (await store("HEAD", "d1/x.txt")).status_code == 404
    assert code(await store("DELETE", "d1/x.txt")) == (404, "BlobNotFound")


@pytest.mark.parametrize("header", ["Range", "x_ms_range"])
async def test_parts_of_a_blob(store: Any, header: str) -> None:
    await put(store, "x", bytes(range(100)))
    for asked, status, content, told in (
        ("bytes=0-9", 206, bytes(range(10)), "bytes 0-9/100"),
        ("bytes=90-", 206, bytes(range(90, 100)), "bytes 90-99/100"),
        ("bytes=0-33554431", 206, bytes(range(100)), "bytes 0-99/100"),
        ("lines=1-2", 200, bytes(range(100)), None),
    ):
        answer = await store("GET", "x", **{header: asked})
        assert (answer.status_code, answer.content, answer.headers.get("Content-Range")) == (status, content, told)
    assert code(await store("GET", "x", **{header: "bytes=100-"})) == (416, "InvalidRange")
    await put(store, "empty", b"")
    assert code(await store("GET", "empty", **{header: "bytes=0-99"})) == (416, "InvalidRange")
    assert (await store("GET", "empty")).content == b""


async def test_a_blob_in_blocks(store: Any) -> None:
    for number in (2, 1, 3):
        answer = await store("PUT", "x", f"part {number};".encode(), f"comp=block&blockid={block(number)}")
        assert answer.status_code == 201
    entries = f"<Latest>{block(1)}</Latest>\n<Uncommitted>{block(2)}</Uncommitted>"
    body = f"{XML}<BlockList>{entries}</BlockList>".encode()
    answer = await store("PUT", "x", body, "comp=blocklist", x_ms_blob_content_type="a/b", Content_Type="text/xml")
    assert answer.status_code == 201
    got = await store("GET", "x")
    assert (got.content, got.headers["Content-Type"]) == (b"part 1;part 2;", "a/b")
    missing = await store(
        "PUT", "x", f"{XML}<BlockList><Latest>{block(3)}</Latest></BlockList>".encode(), "comp=blocklist"
    )
    assert code(missing) == (400, "InvalidBlockList")


@pytest.mark.parametrize(
    ("sp", "call"),
    [
        ("r", ("PUT", "x", b"1", "")),
        ("r", ("PUT", "x", b"1", "comp=block&blockid=YQ==")),
        ("w", ("GET", "x")),
        ("rwcl", ("DELETE", "x")),
        ("rwdc", ("GET", None, None, "restype=container&comp=list")),
    ],
)
async def test_a_signature_opens_what_it_says(store: Any, sp: str, call: tuple[Any, ...]) -> None:
    assert code(await store(*call, sp=sp, x_ms_blob_type="BlockBlob")) == (403, "AuthenticationFailed")


async def test_without_a_signature(rest: RestClient, store: Any) -> None:
    await put(store, "x")
    for path in ("/uploads/x", "/uploads/x?sig=x&sv=2021-12-02&se=2999-01-01&sr=b&sp=r", "/uploads", "/uploads/"):
        answer = await rest("GET", path, version=None)  # a policy's token does not open the store
        assert code(answer) == (403, "AuthenticationFailed")


async def test_a_signature_is_for_its_hub_and_its_time(
    rest: RestClient, store: Any, hub: ServedHub, clock: ManualClock
) -> None:
    await put(store, "x")
    settings = await hub.files.uploads.settings()
    now = clock.now()
    for name, good in (("hub", 200), ("other", 403)):
        account = built_in_account(name, settings, "localhost")
        token = sign(account, CONTAINER, "x", permissions="r", start=now, end=now + timedelta(seconds=60))
        assert (await rest("GET", f"/uploads/x?{token}", policy=None, version=None)).status_code == good
    clock.pass_seconds(60)
    account = built_in_account("hub", settings, "localhost")
    token = sign(account, CONTAINER, "x", permissions="r", start=now, end=now + timedelta(seconds=60))
    assert (await rest("GET", f"/uploads/x?{token}", policy=None, version=None)).status_code == 403


async def test_conditions(store: Any) -> None:
    first = (await put(store, "x")).headers["ETag"]
    assert code(await put(store, "x", If_None_Match="*")) == (409, "BlobAlreadyExists")
    assert code(await put(store, "x", If_None_Match=first)) == (412, "ConditionNotMet")
    assert code(await put(store, "x", If_Match='"0xother"')) == (412, "ConditionNotMet")
    assert code(await put(store, "new", If_Match="*")) == (412, "ConditionNotMet")
    assert (await put(store, "x", If_Match=first)).status_code == 201
    assert (await put(store, "y", If_None_Match="*")).status_code == 201


@pytest.mark.parametrize(
    ("query", "headers", "expected"),
    [
        ("", {}, (400, "InvalidHeaderValue")),
        ("", {"x_ms_blob_type": "PageBlob"}, (400, "InvalidHeaderValue")),
        ("", {"x_ms_blob_type": "BlockBlob", "Content_MD5": "x"}, (400, "InvalidHeaderValue")),
        ("", {"x_ms_blob_type": "BlockBlob", "Content_MD5": "A" * 22 + "=="}, (400, "Md5Mismatch")),
        (
            "",
            {"x_ms_blob_type": "BlockBlob", "x_ms_meta_a": "x" * 7000, "x_ms_meta_b": LONG},
            (400, "InvalidHeaderValue"),
        ),
        ("comp=block", {}, (400, "InvalidBlockId")),
        ("comp=block&blockid=!", {}, (400, "InvalidBlockId")),
        ("comp=block&blockid=" + "QUFB" * 22, {}, (400, "InvalidBlockId")),
        ("comp=blocklist", {}, (400, "InvalidXmlDocument")),
        ("comp=lease", {}, (405, "UnsupportedHttpVerb")),
        ("&".join(f"a{number}=1" for number in range(99)), {}, (400, "InvalidQueryParameterValue")),
    ],
)
async def test_requests_that_are_none(
    store: Any, query: str, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    assert code(await store("PUT", "x", b"1", query, **headers)) == expected
    assert (await store("GET", "x")).status_code == 404


async def test_sizes(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_end, "MAX_PUT_BLOB", 10)
    monkeypatch.setattr(front_end, "MAX_BLOCK", 5)
    monkeypatch.setattr(front_end, "MAX_BLOB", 9)
    assert (await put(store, "x", b"x" * 10)).status_code == 201
    assert code(await put(store, "x", b"x" * 11)) == (413, "RequestBodyTooLarge")
    for number in (1, 2):
        assert (await store("PUT", "y", b"12345", f"comp=block&blockid={block(number)}")).status_code == 201
    assert code(await store("PUT", "y", b"123456", f"comp=block&blockid={block(3)}")) == (413, "RequestBodyTooLarge")
    body = f"<BlockList><Latest>{block(1)}</Latest><Latest>{block(2)}</Latest></BlockList>"
    assert code(await store("PUT", "y", body.encode(), "comp=blocklist")) == (413, "RequestBodyTooLarge")


async def test_a_body_of_unknown_length_has_the_same_limit(
    rest: RestClient, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_end, "MAX_PUT_BLOB", 100_000)

    async def pieces(count: int) -> Any:
        for _ in range(count):
            yield b"x" * 10_000

    assert (await store("PUT", "x", pieces(10), x_ms_blob_type="BlockBlob")).status_code == 201
    assert code(await store("PUT", "x", pieces(11), x_ms_blob_type="BlockBlob")) == (413, "RequestBodyTooLarge")
    assert (await store("HEAD", "x")).headers["Content-Length"] == "100000"


async def test_listing(store: Any) -> None:
    for name in ("d1/a", "d1/b/1", "d1/b/2", "d1/c&<", "d2/a"):
        assert (await put(store, name, b"123")).status_code == 201
    await put(store, "d1/z")

    async def listed(query: str) -> tuple[list[str], str]:
        answer = await store("GET", None, None, f"restype=container&comp=list&{query}")
        assert answer.status_code == 200
        root = ET.fromstring(answer.text)  # our own answer
        names = [each.text or "" for each in root.iterfind("Blobs/*/Name")]
        return names, root.findtext("NextMarker") or ""

    assert await listed("") == (["d1/a", "d1/b/1", "d1/b/2", "d1/c&<", "d1/z", "d2/a"], "")
    assert await listed("prefix=d2/") == (["d2/a"], "")
    assert sorted((await listed("prefix=d1/&delimiter=/"))[0]) == ["d1/a", "d1/b/", "d1/c&<", "d1/z"]
    found: list[str] = []
    marker = ""
    while True:
        names, marker = await listed(f"prefix=d1/&delimiter=/&maxresults=1&marker={quote(marker)}")
        assert len(names) == 1
        found += names
        if not marker:
            break
    assert found == ["d1/a", "d1/b/", "d1/c&<", "d1/z"]
    for query in ("maxresults=0", "maxresults=x", "delimiter=//", "prefix=%00"):
        answer = await store("GET", None, None, f"restype=container&comp=list&{query}")
        assert code(answer) == (400, "InvalidQueryParameterValue")
    assert code(await store("GET", None, None, "restype=container")) == (405, "UnsupportedHttpVerb")


@pytest.mark.parametrize("name", ["x" * 1025, "a%0Ab"])
async def test_names_that_are_none(rest: RestClient, name: str) -> None:
    assert code(await rest("PUT", f"/uploads/{name}", body=b"", version=None)) == (400, "InvalidUri")


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        (f"{XML}\n<BlockList></BlockList>", []),
        ("<BlockList />", []),
        ("\ufeff<BlockList><Latest>YQ==</Latest></BlockList>\n", [("YQ==", "latest")]),
        (
            "<BlockList>\r\n <Committed>YQ==</Committed> <Uncommitted>Yg&#61;&#61;</Uncommitted></BlockList>",
            [("YQ==", "committed"), ("Yg==", "uncommitted")],
        ),
    ],
)
def test_block_lists(text: str, blocks: list[tuple[str, str]]) -> None:
    assert list(read_block_list(text.encode())) == blocks


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<BlockList>",
        "<BlockList/>x",
        "<BlockList><Latest>YQ==</Committed></BlockList>",
        "<BlockList><Latest></Latest></BlockList>",
        '<!DOCTYPE a [<!ENTITY b "c">]><BlockList><Latest>&b;</Latest></BlockList>',
        "<BlockList>" + "<Latest>YQ==</Latest>" * 50_001 + "</BlockList>",
    ],
)
def test_block_lists_that_are_none(text: str) -> None:
    with pytest.raises(BlobError):
        read_block_list(text.encode())


@given(st.binary(max_size=200) | st.text(alphabet="<>/BlockListLatest \"'YQ=", max_size=200).map(str.encode))
def test_nothing_but_a_refusal_comes_of_a_bad_list(body: bytes) -> None:
    try:
        blocks = read_block_list(body)
    except BlobError:
        return
    assert all(where in {"latest", "committed", "uncommitted"} for _, where in blocks)
