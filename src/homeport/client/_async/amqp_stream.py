"""One AMQP connection as clients drive it: say something, hear what comes, each in its time."""

import time
from collections import deque

from homeport.client._async.streams import Stream
from homeport.proto.amqp import Command, Connection, Event


class AmqpStream:
    """A stream of bytes and the engine that makes sense of them.

    Deadlines are those of `time.monotonic()`. All methods but `aclose` raise OSError (TimeoutError when the time is
    over, ConnectionError when the service hangs up) and ProtocolError.
    """

    def __init__(self, stream: Stream, engine: Connection) -> None:
        self.engine = engine
        self._stream = stream
        self._events: deque[Event] = deque()

    async def say(self, *commands: Command, deadline: float) -> None:
        """Send these, in one flight."""
        for command in commands:
            self.engine.send(command)
        await self.flush(deadline)

    async def flush(self, deadline: float) -> None:
        """Write what the engine has to say by itself."""
        if data := self.engine.outgoing():
            await self._stream.write(data, seconds=left(deadline))

    async def hear(self, deadline: float) -> Event:
        """Return the next thing that the service says."""
        while not self._events:
            data = await self._stream.read(seconds=left(deadline))
            if not data:
                raise ConnectionError("the service closed the connection")
            self._events.extend(self.engine.receive(data))
            await self.flush(deadline)
        return self._events.popleft()

    async def aclose(self) -> None:
        """Say goodbye and let go."""
        self.engine.close()
        try:
            await self._stream.write(self.engine.outgoing(), seconds=1.0)
        except OSError:
            pass
        finally:
            await self._stream.aclose()


def left(deadline: float) -> float:
    """Return the seconds that are left. Raises TimeoutError when there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("no answer in time")
    return seconds
