"""What differs between the two worlds: HTTP, sleeping, blocking calls, one TLS stream. Written by hand in both."""

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import httpx

T = TypeVar("T")

HttpClient = httpx.Client
HttpTransport = httpx.BaseTransport
Pause = Callable[[float], None]

_CHUNK = 65536


def pause(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


def run_blocking(function: Callable[..., T], *arguments: object) -> T:
    """Call something that blocks (a TPM does)."""
    return function(*arguments)


def connect_seconds(host: str, port: int, *, seconds: float) -> float | None:
    """Return how long a TCP connection takes to open; None if it does not, or not in that time."""
    begun = time.monotonic()
    try:
        connection = socket.create_connection((host, port), timeout=seconds)
    except OSError:
        return None
    took = time.monotonic() - begun
    connection.close()
    return took


def read_lines(response: httpx.Response) -> Iterator[str]:
    """Yield the lines of an answer as they arrive."""
    yield from response.iter_lines()


def read_body(response: httpx.Response) -> bytes:
    """Return the whole body of an answer that is being streamed."""
    return response.read()


class TlsStream:
    """A TLS connection as bytes. All methods raise OSError (ssl.SSLError and TimeoutError are such)."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self._connection = connection

    @classmethod
    def connect(cls, host: str, port: int, context: ssl.SSLContext, *, seconds: float) -> "TlsStream":
        """Open a connection and shake hands within that time."""
        plain = socket.create_connection((host, port), timeout=seconds)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return cls(context.wrap_socket(plain, server_hostname=host))
        except BaseException:
            plain.close()
            raise

    def read(self, *, seconds: float) -> bytes:
        """Return what has come, empty at the end of the stream; TimeoutError if nothing comes in that time."""
        self._connection.settimeout(seconds)
        return self._connection.recv(_CHUNK)

    def write(self, data: bytes, *, seconds: float) -> None:
        """Write it all."""
        self._connection.settimeout(seconds)
        self._connection.sendall(data)

    def close(self) -> None:
        """Let go; what was written is on its way."""
        self._connection.close()
