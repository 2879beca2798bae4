"""MQTT from the wrong side: what a server sends, read packet by packet, whatever was said to it."""

import ssl

from homeport.proto.mqtt import Event, decode
from homeport.proto.mqtt.reader import read_header
from tests.hostile.target import SECONDS


class Packets:
    """The packets that arrive on a connection."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self._connection = connection
        self._buffer = b""

    def next(self) -> Event | None:
        """Return the next packet, None when the server has closed the connection. Raises TimeoutError."""
        while True:
            header = read_header(self._buffer, 0) if self._buffer else None
            if header is not None and len(self._buffer) >= sum(header):
                packet, self._buffer = self._buffer[: sum(header)], self._buffer[sum(header) :]
                return decode(packet)
            if not self._receive(SECONDS):
                assert not self._buffer, "closed in the middle of a packet"
                return None

    def rest(self) -> list[Event]:
        """Return all that comes until the server closes the connection. Raises TimeoutError if it does not."""
        packets = []
        while (packet := self.next()) is not None:
            packets.append(packet)
        return packets

    def _receive(self, seconds: float) -> bool:
        self._connection.settimeout(seconds)
        try:
            data = self._connection.recv(65536)
        except TimeoutError:
            raise
        except OSError:  # reset: closed, too
            data = b""
        self._buffer += data
        return bool(data)
