"""What goes out to one AMQP client: frames on their way from the protocol engine to the stream.

Never here: which frames, and when to end.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from homeport.net.stream import ByteStream
from homeport.proto.amqp import Close, Command, Connection, End, Error, LocalProtocolError, State

__all__ = ["Outlet"]


class Outlet:
    """What goes out to one client. Frames of one turn of the event loop leave in one write."""

    __slots__ = ("_ended", "_engine", "_flush_due", "_loop", "_stream")

    def __init__(self, stream: ByteStream, engine: Connection) -> None:
        self._stream = stream
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._flush_due = False
        self._ended = False

    @property
    def waiting(self) -> int:
        """Bytes that wait for the client's window or for the network."""
        return self._engine.pending_bytes + self._stream.unsent

    def send(self, command: Command) -> int | None:
        """Queue a frame; what is about something that has ended is dropped. Raises LocalProtocolError."""
        if self._ended or self._engine.state is State.CLOSED:
            return None
        delivery_id = self._engine.send(command)
        self.flush_soon()
        return delivery_id

    def flush_soon(self) -> None:
        """Flush when this turn of the event loop is over."""
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Hand what is queued to the stream."""
        self._flush_due = False
        if data := self._engine.outgoing():
            self._stream.write(data)

    def end(self, error: Error | None, sessions: Iterable[End] = ()) -> None:
        """Say CLOSE where AMQP has that word, the ends of sessions before it; nothing leaves afterwards."""
        for each in sessions:
            with suppress(LocalProtocolError):  # it does not fit into the client's frames: CLOSE ends the session, too
                self._engine.send(each)
        try:
            self._engine.send(Close(error=error))
        except LocalProtocolError:  # SASL is not over, or we have not said OPEN
            self._engine.close(error)
        self.flush()
        self._ended = True
