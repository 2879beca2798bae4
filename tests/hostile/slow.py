"""Clients that take all the time there is: a byte now and then, or none, so that a server has to lose its patience."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from homeport.proto.mqtt import Connect, encode
from tests.hostile.target import AMQP, MQTT, Target

DRIP_SECONDS = 0.5
SEND_SECONDS = 5.0
OF_EACH_KIND = 20


@dataclass
class SlowClient:
    """One connection that never gets to the point."""

    kind: str
    connection: socket.socket
    drips: Iterator[bytes]
    answer: bytes = b""
    ended: threading.Event = field(default_factory=threading.Event)

    def drip(self) -> None:
        """Say a little more and listen a little; note the server's end."""
        try:
            if data := next(self.drips, b""):
                self.connection.settimeout(SEND_SECONDS)
                self.connection.sendall(data)
            self.connection.settimeout(0.001)
            while True:
                received = self.connection.recv(4096)
                if not received:
                    break
                self.answer += received
        except (TimeoutError, ssl.SSLWantReadError, BlockingIOError):
            return
        except OSError:
            pass
        self.ended.set()
        self.connection.close()


class SlowClients:
    """Many of them, of every kind, dripping in a thread."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slow clients")
        self.clients: list[SlowClient] = []

    def __enter__(self) -> Self:
        for kind, make in self._kinds().items():
            for _ in range(OF_EACH_KIND):
                connection, drips = make()
                self.clients.append(SlowClient(kind, connection, drips))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        for client in self.clients:
            client.connection.close()

    def wait(self, seconds: float) -> dict[str, int]:
        """Wait until the server has ended them all, at most so long; return how many of each kind it did not."""
        deadline = time.monotonic() + seconds
        left: dict[str, int] = {}
        for client in self.clients:
            if not client.ended.wait(max(0.0, deadline - time.monotonic())):
                left[client.kind] = left.get(client.kind, 0) + 1
        return left

    def _run(self) -> None:
        while not self._stop.wait(DRIP_SECONDS):
            for client in self.clients:
                if not client.ended.is_set():
                    client.drip()

    def _kinds(self) -> dict[str, Callable[[], tuple[socket.socket, Iterator[bytes]]]]:
        target = self._target
        device = target.register_path("slow").encode()
        enrollment = b"/enrollments/slow?api-version=2021-10-01"
        twin = b"/twins/slow?api-version=2021-04-12"
        owner = f"Authorization: {target.hub_owner_token()}\r\n".encode()
        return {
            "handshake, silent": lambda: (target.connect_tcp(), iter(())),
            "handshake, dripping": lambda: (target.connect_tcp(), _bytes_of(_client_hello())),
            "handshake for MQTT, dripping": lambda: (target.connect_tcp(MQTT), _bytes_of(_client_hello())),
            "HTTP, silent": lambda: (target.connect(), iter(())),
            "HTTP head, dripping": lambda: (target.connect(), _bytes_of(b"GET / HTTP/1.1\r\nX-Slow: " + b"s" * 4000)),
            "HTTP body of a device": lambda: (target.connect(), _slow_body(b"PUT", device)),
            "HTTP body of an administrator": lambda: (target.connect(), _slow_body(b"PUT", enrollment)),
            "HTTP body for a hub": lambda: (target.connect(), _slow_body(b"PATCH", twin, owner)),
            "endless chunks of a device": lambda: (target.connect(), _endless(b"PUT", device)),
            "endless chunks of an administrator": lambda: (target.connect(), _endless(b"PUT", enrollment)),
            "endless chunks for a hub": lambda: (target.connect(), _endless(b"PATCH", twin, owner)),
            "MQTT, silent": lambda: (target.connect(MQTT), iter(())),
            "AMQP, silent": lambda: (target.connect(AMQP), iter(())),
            "AMQP header, dripping": lambda: (target.connect(AMQP), _bytes_of(b"AMQP\x00\x01\x00\x00")),
            "SASL, dripping": lambda: (
                target.connect(AMQP),
                _bytes_of(b"AMQP\x03\x01\x00\x00" + b"\0" * 2 + b"s" * 2000),
            ),
            "AMQP in a WebSocket, silent": lambda: (target.connect(), iter((_upgrade(),))),
            "CONNECT, dripping": lambda: (target.connect(MQTT), _bytes_of(encode(Connect(client_id="s" * 1000)))),
        }


def _bytes_of(data: bytes) -> Iterator[bytes]:
    # The last bytes are kept back for ever: it never gets to its end.
    for index in range(len(data) - 2):
        yield data[index : index + 1]


def _slow_body(method: bytes, path: bytes, headers: bytes = b"") -> Iterator[bytes]:
    yield method + b" " + path + b" HTTP/1.1\r\nHost: slow\r\nContent-Length: 5000\r\n" + headers + b"\r\n{"
    while True:
        yield b" "


def _endless(method: bytes, path: bytes, headers: bytes = b"") -> Iterator[bytes]:
    """Send 32 kB a second: too slow to hurt, and in the end too much to be taken."""
    yield method + b" " + path + b" HTTP/1.1\r\nHost: slow\r\nTransfer-Encoding: chunked\r\n" + headers + b"\r\n"
    while True:
        yield b"4000\r\n" + b" " * 0x4000 + b"\r\n"


def _upgrade() -> bytes:
    return (
        b"GET / HTTP/1.1\r\nHost: slow\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: AMQPWSB10\r\n\r\n"
    )


def _client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="slow.example")
    with contextlib.suppress(ssl.SSLWantReadError):
        hello.do_handshake()
    return outgoing.read()
