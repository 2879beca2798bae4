"""The socket protocol of Microsoft's TPM simulator in front of swtpm: the only TPM that the Node SDK can be given.

Two ports side by side: TPM commands on the first, power on the second (TSS.MSR, TpmDevice). One client at a time,
as with a TPM.
"""

import socket
import socketserver
import threading
from enum import IntEnum
from types import TracebackType
from typing import Self

_VERSION = 1
_PLATFORM_AVAILABLE = 1
_DONE = bytes(4)


class _Signal(IntEnum):
    SEND_COMMAND = 8
    HANDSHAKE = 15


class TpmSimulator:
    """Serves `swtpm`, the path of swtpm's Unix socket, on `host` at `port` and the port behind it while entered."""

    def __init__(self, swtpm: str, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._servers = [
            _Server((host, port), _CommandHandler, swtpm),
            _Server((host, port + 1), _PlatformHandler, swtpm),
        ]

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[socketserver.BaseRequestHandler], swtpm: str) -> None:
        super().__init__(address, handler)
        self.swtpm = swtpm


class _CommandHandler(socketserver.BaseRequestHandler):
    """Takes TPM commands out of the simulator's frames and hands them to swtpm."""

    def handle(self) -> None:
        assert isinstance(self.server, _Server)
        with socket.socket(socket.AF_UNIX) as chip, self.request.makefile("rb") as incoming:
            chip.connect(self.server.swtpm)
            answers = chip.makefile("rb")
            while len(head := incoming.read(4)) == 4:
                match int.from_bytes(head):
                    case _Signal.HANDSHAKE:
                        incoming.read(4)  # the client's version
                        self.request.sendall(_VERSION.to_bytes(4) + _PLATFORM_AVAILABLE.to_bytes(4) + _DONE)
                    case _Signal.SEND_COMMAND:
                        incoming.read(1)  # the locality
                        command = incoming.read(int.from_bytes(incoming.read(4)))
                        chip.sendall(command)
                        answer = answers.read(6)
                        answer += answers.read(int.from_bytes(answer[2:]) - len(answer))
                        self.request.sendall(len(answer).to_bytes(4) + answer + _DONE)
                    case _:
                        return


class _PlatformHandler(socketserver.BaseRequestHandler):
    """Says yes to every signal: swtpm has power already, and its non-volatile memory is there."""

    def handle(self) -> None:
        with self.request.makefile("rb") as incoming:
            while len(incoming.read(4)) == 4:
                self.request.sendall(_DONE)
