"""The outbound client against our own server."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from homeport.net.certificates import ServerCertificates
from homeport.net.http_client import AnswerTooLargeError, HttpClient, HttpUnreachableError
from homeport.net.stream import Peer
from tests.net.certs import Identity
from tests.net.serving import Mirror, http_server, listening


async def large(request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
    return web.Response(body=bytes(100_000))


async def never(request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
    await asyncio.sleep(3600)
    return web.Response()


async def redirect(request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
    raise web.HTTPFound("/elsewhere")


async def cut(request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


MIRROR = {"large": large, "never": never, "redirect": redirect, "cut": cut}


@pytest.fixture
async def client(server_identity: Identity) -> AsyncIterator[HttpClient]:
    async with HttpClient(ca_pem=server_identity.chain_pem.decode(), max_answer=50_000) as client:
        yield client


async def test_requests_share_connections_and_come_back_whole(
    client: HttpClient, certificates: ServerCertificates
) -> None:
    mirror = Mirror()
    async with listening(http_server(mirror), certificates) as (_, port):
        for number in range(3):
            answer = await client.request(
                "PUT", f"https://localhost:{port}/devices/a%3ab?n={number}", body=b'{"x":1}', headers={"X-A": "1"}
            )
            assert answer.status == 200
            assert answer.headers["CONTENT-TYPE"].startswith("application/json")
            assert b'"path": "/devices/a%3ab"' in answer.body
        missing = await client.request("GET", f"https://localhost:{port}/nobody")
        assert missing.status == 404
        assert len({peer.remote for peer in mirror.peers}) == 1
        await client.close()


async def test_redirects_are_not_followed(client: HttpClient, certificates: ServerCertificates) -> None:
    async with listening(http_server(Mirror(**MIRROR)), certificates) as (_, port):
        answer = await client.request("GET", f"https://localhost:{port}/redirect")
        assert (answer.status, answer.headers["Location"]) == (302, "/elsewhere")
        await client.close()


async def test_failures_are_typed_and_tell_no_secrets(client: HttpClient, certificates: ServerCertificates) -> None:
    async with listening(http_server(Mirror(**MIRROR)), certificates) as (_, port):
        place = f"https://localhost:{port}"
        with pytest.raises(AnswerTooLargeError, match="50000 bytes"):
            await client.request("GET", f"{place}/large")
        with pytest.raises(HttpUnreachableError, match="in time") as late:
            await client.request("GET", f"{place}/never?sig=secret", seconds=0.1)
        assert "secret" not in str(late.value)
        with pytest.raises(HttpUnreachableError, match="broke off"):
            await client.request("GET", f"{place}/cut")
        async with HttpClient() as stranger:
            with pytest.raises(HttpUnreachableError, match="not trusted"):
                await stranger.request("GET", f"{place}/x")
        with pytest.raises(HttpUnreachableError, match="not trusted"):
            await client.request("GET", f"https://127.0.0.1:{port}/x")  # another name than the certificate's
        await client.close()
    with pytest.raises(HttpUnreachableError, match="cannot be reached"):
        await client.request("GET", f"{place}/x")
    with pytest.raises(HttpUnreachableError, match="cannot be reached"):
        await client.request("GET", "https://no-such-host.invalid/x")


def test_a_ca_file_that_is_none() -> None:
    with pytest.raises(ValueError, match="expected PEM"):
        HttpClient(ca_pem="not a certificate")
