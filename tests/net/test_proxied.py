"""Behind a load balancer: the client's address comes from its header, and only from a load balancer we know."""

import asyncio
import ssl
from contextlib import suppress

from homeport.net.certificates import ServerCertificates
from homeport.net.stream import Address
from tests.net.conftest import ClientContext
from tests.net.test_tls import Echo, connect, listen, say

HEADER = b"PROXY TCP4 192.0.2.7 127.0.0.1 40000 443\r\n"


async def through_proxy(
    address: Address, header: bytes, context: ssl.SSLContext, *, pieces: int = 1
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(*address)
    size = -(-len(header) // pieces)
    for start in range(0, len(header), size):
        writer.write(header[start : start + size])
        await writer.drain()
        await asyncio.sleep(0.005)
    await writer.start_tls(context, server_hostname="localhost")
    return reader, writer


async def test_the_client_behind_a_load_balancer(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    echo = Echo()
    async with listen(echo, certificates, proxies=["127.0.0.0/8"]) as listener:
        for pieces in (1, 3):
            reader, writer = await through_proxy(listener.addresses[0], HEADER, client_context(), pieces=pieces)
            assert await say(reader, writer) == b"hello"
            assert echo.peers[-1].remote == Address("192.0.2.7", 40000)
            writer.close()


async def test_limits_count_the_client_and_not_the_load_balancer(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    async with listen(Echo(), certificates, proxies=["127.0.0.1/32"], address_connections=1) as listener:
        writers = []
        for number in (1, 2):
            header = HEADER.replace(b"192.0.2.7", b"192.0.2.%d" % number)
            reader, writer = await through_proxy(listener.addresses[0], header, client_context())
            assert await say(reader, writer) == b"hello"
            writers.append(writer)
        reader, writer = await asyncio.open_connection(*listener.addresses[0])
        writer.write(HEADER.replace(b"192.0.2.7", b"192.0.2.1"))
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        for each in (*writers, writer):
            each.close()


async def test_a_load_balancer_that_says_nothing_of_the_kind(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    async with listen(Echo(), certificates, proxies=["127.0.0.1"]) as listener:
        with suppress(OSError):
            _, writer = await connect(listener, client_context())
            writer.close()
            raise AssertionError("a TLS client hello is no header")
        assert listener.connections == 0


async def test_strangers_cannot_claim_an_address(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    """Who is not a load balancer of ours is served as what it is; its header is no TLS."""
    echo = Echo()
    async with listen(echo, certificates, proxies=["10.0.0.0/8"]) as listener:
        reader, writer = await connect(listener, client_context())
        assert await say(reader, writer) == b"hello"
        assert echo.peers[-1].remote.host == "127.0.0.1"
        writer.close()
        reader, writer = await asyncio.open_connection(*listener.addresses[0])
        writer.write(HEADER)
        # At most the alert that says it is no TLS.
        with suppress(ConnectionResetError):
            assert len(await reader.read()) < 20
        writer.close()
        assert len(echo.peers) == 1
