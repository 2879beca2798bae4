"""A TLS client that does what ordinary ones do not."""

import asyncio
from contextlib import suppress

from OpenSSL import SSL


async def knock(address: tuple[str, int]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send the first message of a handshake, and nothing more."""
    reader, writer = await asyncio.open_connection(*address)
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    client.set_connect_state()
    with suppress(SSL.WantReadError):
        client.do_handshake()
    writer.write(client.bio_read(100_000))
    return reader, writer


async def speak_and_half_close(address: tuple[str, int], data: bytes) -> bytes:
    """Send data and close_notify, and return what is answered until the server's close_notify."""
    reader, writer = await asyncio.open_connection(*address)
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    client.set_tlsext_host_name(b"localhost")
    client.set_connect_state()
    heard = b""
    said = False
    while True:
        try:
            if not said:
                client.do_handshake()
                client.send(data)
                client.shutdown()
                said = True
            while True:
                heard += client.recv(1000)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            break
        with suppress(SSL.WantReadError):
            writer.write(client.bio_read(100_000))
        received = await asyncio.wait_for(reader.read(65536), 5)
        assert received, "the server closed without close_notify"
        client.bio_write(received)
    writer.close()
    return heard
