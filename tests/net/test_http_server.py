"""HTTP over our TLS, with clients of three kinds: aiohttp, httpx and bytes."""

import asyncio
import json
import logging
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp import web
from yarl import URL

from homeport.net.certificates import ServerCertificates
from homeport.net.stream import Peer
from tests.net.certs import issue
from tests.net.clients import speak_and_half_close
from tests.net.conftest import ClientContext
from tests.net.serving import Mirror, http_server, listening

Raw = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def dial(address: tuple[str, int], client_context: ClientContext) -> Raw:
    return await asyncio.open_connection(*address, ssl=client_context(), server_hostname="localhost")


async def head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:] if line)
    return int(lines[0].split()[1]), {name.lower(): value for name, value in fields.items()}


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], Any]:
    status, fields = await head(reader)
    body = await reader.readexactly(int(fields.get("content-length", 0)))
    return status, fields, json.loads(body) if body else None


async def test_many_requests_on_one_connection(certificates: ServerCertificates, client_context: ClientContext) -> None:
    mirror = Mirror()
    identity = issue("device")
    async with (
        listening(http_server(mirror), certificates) as (_, port),
        httpx.AsyncClient(verify=client_context(identity)) as client,
    ):
        for number in range(5):
            response = await client.put(f"https://localhost:{port}/x?n={number}", content=b"body")
            assert response.json()["query"] == {"n": str(number)}
            assert response.json()["body"] == "body"
            assert "python" not in response.headers["server"].lower()
            assert "aiohttp" not in response.headers["server"].lower()
    assert len({peer.remote for peer in mirror.peers}) == 1
    assert mirror.peers[0].chain == identity.der
    assert mirror.peers[0].server_name == "localhost"


async def test_pipelined_requests_are_answered_in_order(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    async with listening(http_server(Mirror()), certificates) as address:
        reader, writer = await dial(address, client_context)
        for number in range(3):
            writer.write(b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % number)
        for number in range(3):
            assert (await answer(reader))[2]["path"] == f"/{number}"
        writer.close()


@pytest.mark.parametrize("path", ["/a%3ab", "/a:b", "/%24iothub/$x", "/d%2fe", "/%E4%BD%A0", "/a%20b%", "//x/../y"])
async def test_the_path_arrives_undecoded(
    path: str, certificates: ServerCertificates, client_context: ClientContext
) -> None:
    async with listening(http_server(Mirror()), certificates) as (host, port):
        reader, writer = await dial((host, port), client_context)
        writer.write(f"GET {path}?q=1 HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
        status, _, body = await answer(reader)
        assert (status, body["path"]) == (200, path)
        writer.close()


async def test_content_encoding_is_the_devices_business(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    async with (
        listening(http_server(Mirror()), certificates) as (_, port),
        aiohttp.ClientSession() as session,
    ):
        for encoding in ("utf-8", "gzip", "identity", "nonsense"):
            url = URL(f"https://localhost:{port}/messages")
            async with session.post(
                url, data=b"{}", headers={"Content-Encoding": encoding}, ssl=client_context()
            ) as response:
                assert response.status == 200
                assert await response.json() == {
                    "method": "POST",
                    "path": "/messages",
                    "query": {},
                    "body": "{}",
                    "encoding": encoding,
                }


async def test_a_body_on_get_is_ignored(certificates: ServerCertificates, client_context: ClientContext) -> None:
    async with listening(http_server(Mirror(), head_seconds=0.3), certificates) as address:
        reader, writer = await dial(address, client_context)
        for _ in range(2):
            writer.write(b"GET /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n12")
            await asyncio.sleep(0.02)
            writer.write(b"345")
            assert (await answer(reader))[0] == 200
            await asyncio.sleep(0.4)  # idle for longer than a head may take: still open
        writer.close()


async def test_expect_continue(certificates: ServerCertificates, client_context: ClientContext) -> None:
    async with listening(http_server(Mirror(), max_body=100), certificates) as address:
        reader, writer = await dial(address, client_context)
        request = "PUT /x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n"
        writer.write(request.format(4).encode())
        assert (await head(reader))[0] == 100
        writer.write(b"body")
        assert (await answer(reader))[2]["body"] == "body"
        writer.write(request.format(400).encode())
        status, fields, _ = await answer(reader)
        assert status == 413
        assert fields["connection"] == "close"
        assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("chunked", [False, True])
async def test_too_large_a_body(chunked: bool, certificates: ServerCertificates, client_context: ClientContext) -> None:
    async def pieces() -> Any:
        for _ in range(200):
            yield bytes(1000)

    async with (
        listening(http_server(Mirror()), certificates) as (_, port),
        httpx.AsyncClient(verify=client_context()) as client,
    ):
        content = pieces() if chunked else bytes(10_001)
        response = await client.post(f"https://localhost:{port}/x", content=content)
        assert response.status_code == 413
        assert response.json()["errorCode"] == 413000
        response = await client.post(f"https://localhost:{port}/x", content=bytes(10_000))
        assert response.status_code == 200


async def test_what_nobody_owns_and_what_fails(
    certificates: ServerCertificates, client_context: ClientContext, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        raise ZeroDivisionError("secret detail")

    async def redirect(request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        raise web.HTTPFound("/elsewhere")

    mirror = Mirror(fail=fail, redirect=redirect)
    async with (
        listening(http_server(mirror), certificates) as (_, port),
        httpx.AsyncClient(verify=client_context()) as client,
    ):
        response = await client.get(f"https://localhost:{port}/nobody")
        assert (response.status_code, response.json()["errorCode"]) == (404, 404000)
        assert response.headers["content-type"].startswith("application/json")
        with caplog.at_level(logging.ERROR):
            response = await client.get(f"https://localhost:{port}/fail")
        assert (response.status_code, response.json()["errorCode"]) == (500, 500000)
        assert "secret detail" not in response.text
        assert response.json()["trackingId"] in caplog.text
        assert (await client.get(f"https://localhost:{port}/redirect")).status_code == 302
        response = await client.get(f"https://localhost:{port}/x", headers={"Host": "example.test"})
        assert response.status_code == 200  # the TLS name decides first


async def test_a_host_we_do_not_serve(certificates: ServerCertificates, client_context: ClientContext) -> None:
    context = client_context()
    context.check_hostname = False
    async with (
        listening(http_server(Mirror()), certificates) as (host, port),
        httpx.AsyncClient(verify=context) as client,
    ):
        assert (await client.get(f"https://{host}:{port}/x")).status_code == 404
        named = await client.get(f"https://{host}:{port}/x", headers={"Host": f"Example.Test:{port}"})
        assert named.status_code == 200
        assert named.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
        local = await client.get(f"https://{host}:{port}/x", headers={"Host": "localhost"})
        assert "strict-transport-security" not in local.headers


@pytest.mark.parametrize(
    "request_head",
    [
        b"NOT HTTP AT ALL\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
        b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_bad_requests_get_400_and_the_end(
    request_head: bytes, certificates: ServerCertificates, client_context: ClientContext
) -> None:
    mirror = Mirror()
    async with listening(http_server(mirror), certificates) as address:
        reader, writer = await dial(address, client_context)
        writer.write(request_head)
        status, _, body = await answer(reader)
        assert status == 400
        assert body["errorCode"] == 400000
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
    assert mirror.peers == []


@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\nHost: loc"])
async def test_a_head_that_never_ends_is_cut(
    beginning: bytes, certificates: ServerCertificates, client_context: ClientContext
) -> None:
    async with listening(http_server(Mirror(), head_seconds=0.1), certificates) as address:
        reader, writer = await dial(address, client_context)
        writer.write(beginning)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_a_second_head_that_never_ends_is_cut(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    async with listening(http_server(Mirror(), head_seconds=0.2), certificates) as address:
        reader, writer = await dial(address, client_context)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await answer(reader))[0] == 200
        writer.write(b"GET ")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_a_body_that_never_ends_is_cut(certificates: ServerCertificates, client_context: ClientContext) -> None:
    async with listening(http_server(Mirror(), body_seconds=0.1), certificates) as address:
        reader, writer = await dial(address, client_context)
        writer.write(b"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n12")
        status, _, _ = await answer(reader)
        assert status == 408
        writer.write(b"345")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_an_idle_connection_is_closed(certificates: ServerCertificates, client_context: ClientContext) -> None:
    async with listening(http_server(Mirror(), idle_seconds=0.1), certificates) as address:
        reader, writer = await dial(address, client_context)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await answer(reader))[0] == 200
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_shutdown_lets_requests_finish_and_closes_the_idle(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def slow(request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        asked.set()
        await go.wait()
        return web.json_response({"late": True})

    async with asyncio.TaskGroup() as tasks:
        async with listening(http_server(Mirror(slow=slow)), certificates, grace=10) as address:
            idle_reader, idle_writer = await dial(address, client_context)
            idle_writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await answer(idle_reader)
            reader, writer = await dial(address, client_context)
            writer.write(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await asked.wait()

            async def watch() -> None:
                assert await asyncio.wait_for(idle_reader.read(), 5) == b""
                idle_writer.close()
                go.set()
                assert (await answer(reader))[2] == {"late": True}
                assert await asyncio.wait_for(reader.read(), 5) == b""
                writer.close()

            tasks.create_task(watch())
        with pytest.raises(OSError, match=r"."):
            await asyncio.open_connection(*address)


async def test_a_half_closed_client_gets_its_answer(certificates: ServerCertificates) -> None:
    async def slow(request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        return web.Response(text="the answer")

    async with listening(http_server(Mirror(slow=slow)), certificates) as address:
        heard = await speak_and_half_close(address, b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert heard.startswith(b"HTTP/1.1 200 ")
        assert heard.endswith(b"the answer")
        assert await speak_and_half_close(address, b"GET /slow HTTP/1.1\r\nHo") == b""


async def test_a_streamed_answer_to_a_client_that_leaves(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    ended = asyncio.Event()

    async def stream(request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(100_000))
        except ConnectionError:
            ended.set()
            raise

    async with listening(http_server(Mirror(stream=stream)), certificates) as address:
        reader, writer = await dial(address, client_context)
        writer.write(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        status, fields = await head(reader)
        assert status == 200
        assert fields["server"] == "Homeport"
        writer.transport.abort()
        await asyncio.wait_for(ended.wait(), 5)
