"""A TLS connection as a ByteStream, for the protocols that read and write in a loop of their own."""

import asyncio
from collections.abc import Callable
from typing import Final

from homeport.net.stream import ByteStream, ConnectionClosedError, Peer
from homeport.net.tls import TlsConnection

__all__ = ["TlsStream"]

_READ_AHEAD: Final = 64 * 1024
"""Bytes kept for a reader that is busy; beyond it the socket is not read."""


class TlsStream(asyncio.Protocol):
    """The protocol above a TlsConnection that only collects bytes; a ByteStream for one reader.

    `start` is called once the connection is there, with the stream, and sets somebody to work on it.
    """

    __slots__ = ("_buffer", "_buffered", "_connection", "_ended", "_gone", "_paused", "_reader", "_start", "_writers")

    def __init__(self, start: Callable[[ByteStream], None]) -> None:
        self._start = start
        self._connection: TlsConnection | None = None
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._ended = False
        self._paused = False
        self._reader: asyncio.Future[None] | None = None
        self._writers: asyncio.Event | None = None
        self._gone = asyncio.Event()

    # --- told by the connection ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TlsConnection)
        self._connection = transport
        self._start(self)

    def data_received(self, data: bytes) -> None:
        self._buffer.append(data)
        self._buffered += len(data)
        if self._buffered > _READ_AHEAD and not self._paused:
            assert self._connection is not None
            self._paused = True
            self._connection.pause_reading()
        self._wake_reader()

    def eof_received(self) -> bool:
        self._ended = True
        self._wake_reader()
        return True  # what the client asked for may still be answered

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self._ended = True
        self._gone.set()
        self._wake_reader()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._writers = asyncio.Event()

    def resume_writing(self) -> None:
        if self._writers is not None:
            self._writers.set()
            self._writers = None

    # --- asked by the loop --------------------------------------------------------------------------------------

    @property
    def peer(self) -> Peer:
        assert self._connection is not None
        return self._connection.peer

    async def read(self) -> bytes:
        while not self._buffer:
            if self._ended:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        data = self._buffer[0] if len(self._buffer) == 1 else b"".join(self._buffer)
        self._buffer.clear()
        self._buffered = 0
        if self._paused:
            assert self._connection is not None
            self._paused = False
            self._connection.resume_reading()
        return data

    def write(self, data: bytes) -> None:
        assert self._connection is not None
        self._connection.write(data)

    @property
    def unsent(self) -> int:
        return 0 if self._connection is None else self._connection.get_write_buffer_size()

    async def drain(self) -> None:
        if self._writers is not None:
            await self._writers.wait()
        if self._gone.is_set():
            raise ConnectionClosedError("the connection has ended")

    async def close(self) -> None:
        assert self._connection is not None
        self._connection.close()
        await self._gone.wait()

    def abort(self) -> None:
        if self._connection is not None:
            self._connection.abort()

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
