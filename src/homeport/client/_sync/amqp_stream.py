# Made by scripts/unasync.py: change its twin in _async instead.
"""One AMQP connection as clients drive it: say something, hear what comes, each in its time."""

import time
from collections import deque

from homeport.client._sync.streams import Stream
from homeport.proto.amqp import Command, Connection, Event


class AmqpStream:
    """A stream of bytes and the engine that makes sense of them.

    Deadlines are those of `time.monotonic()`. All methods but `close` raise OSError (TimeoutError when the time is
    over, ConnectionError when the service hangs up) and ProtocolError.
    """

    def __init__(self, stream: Stream, engine: Connection) -> None:
        self.engine = engine
        self._stream = stream
        self._events: deque[Event] = deque()

    def say(self, *commands: Command, deadline: float) -> None:
        """Send these, in one flight."""
        for command in commands:
            self.engine.send(command)
        self.flush(deadline)

    def flush(self, deadline: float) -> None:
        """Write what the engine has to say by itself."""
        if data := self.engine.outgoing():
            self._stream.write(data, seconds=left(deadline))

    def hear(self, deadline: float) -> Event:
        """Return the next thing that the service says."""
        while not self._events:
            data = self._stream.read(seconds=left(deadline))
            if not data:
                raise ConnectionError("the service closed the connection")
            self._events.extend(self.engine.receive(data))
            self.flush(deadline)
        return self._events.popleft()

    def close(self) -> None:
        """Say goodbye and let go."""
        self.engine.close()
        try:
            self._stream.write(self.engine.outgoing(), seconds=1.0)
        except OSError:
            pass
        finally:
            self._stream.close()


def left(deadline: float) -> float:
    """Return the seconds that are left. Raises TimeoutError when there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("no answer in time")
    return seconds
