"""What differs between the two worlds: HTTP, sleeping, blocking calls, one TLS stream. Written by hand in both."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import httpx

T = TypeVar("T")

HttpClient = httpx.AsyncClient
HttpTransport = httpx.AsyncBaseTransport
Pause = Callable[[float], Awaitable[None]]

_CHUNK = 65536
_GOODBYE_SECONDS = 1.0


async def pause(seconds: float) -> None:
    """Wait."""
    await asyncio.sleep(seconds)


async def run_blocking(function: Callable[..., T], *arguments: object) -> T:
    """Call something that blocks (a TPM does) without holding the others up."""
    return await asyncio.to_thread(function, *arguments)


async def connect_seconds(host: str, port: int, *, seconds: float) -> float | None:
    """Return how long a TCP connection takes to open; None if it does not, or not in that time."""
    begun = time.monotonic()
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return None
    took = time.monotonic() - begun
    writer.transport.abort()
    return took


async def read_lines(response: httpx.Response) -> AsyncIterator[str]:
    """Yield the lines of an answer as they arrive."""
    async for line in response.aiter_lines():
        yield line


async def read_body(response: httpx.Response) -> bytes:
    """Return the whole body of an answer that is being streamed."""
    return await response.aread()


class TlsStream:
    """A TLS connection as bytes. All methods raise OSError (ssl.SSLError and TimeoutError are such)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, host: str, port: int, context: ssl.SSLContext, *, seconds: float) -> "TlsStream":
        """Open a connection and shake hands within that time."""
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
        return cls(reader, writer)

    async def read(self, *, seconds: float) -> bytes:
        """Return what has come, empty at the end of the stream; TimeoutError if nothing comes in that time."""
        async with asyncio.timeout(seconds):
            return await self._reader.read(_CHUNK)

    async def write(self, data: bytes, *, seconds: float) -> None:
        """Write it all."""
        async with asyncio.timeout(seconds):
            self._writer.write(data)
            await self._writer.drain()

    async def aclose(self) -> None:
        """Say goodbye and let go; a peer that does not answer is left alone after a second."""
        self._writer.close()
        try:
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await self._writer.wait_closed()
        except OSError:
            self._writer.transport.abort()
